"""One run of a container: its process, and the pipes that its output comes through."""

import asyncio
import contextlib
import os
from typing import Self

from podpass.lab.node.logs import ContainerLog, LineWriter
from podpass.lab.node.runtime import ContainerProcess, Runtime

OUTPUT_SECONDS = 1.0
"""How long a container's output may still arrive after its end."""


class ContainerRun:
    """A container that was started. *ended* is its exit code, or fails when the runtime was lost."""

    def __init__(self, name: str, process: ContainerProcess, log: ContainerLog) -> None:
        self.name, self.process = name, process
        self.container_id = process.container_id
        self.done = asyncio.Event()
        """To be set once everybody knows that the container has ended."""
        self.ended: asyncio.Future[int]
        self._log = log
        self._writers = (LineWriter(log, "stdout"), LineWriter(log, "stderr"))
        self._transports: list[asyncio.ReadTransport] = []

    @classmethod
    async def start(cls, name: str, process: ContainerProcess, runtime: Runtime, log: ContainerLog) -> Self:
        """Start *process*, its output going to *log*, which is closed in any case. Raises CannotStart, FabricFailed."""
        run = cls(name, process, log)
        writing: list[int] = []
        try:
            for writer in run._writers:
                reading, descriptor = os.pipe()
                writing.append(descriptor)
                transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                    lambda writer=writer: writer,  # type: ignore[misc]
                    os.fdopen(reading, "rb", buffering=0),
                )
                run._transports.append(transport)
            run.ended = await runtime.run(process, writing[0], writing[1])
        except BaseException:
            run._close()
            raise
        finally:
            for descriptor in writing:
                os.close(descriptor)
        return run

    async def finished(self) -> None:
        """Wait for the container's end, then for the rest of its output."""
        try:
            # asyncio.wait leaves the future alone when this task is cancelled; others wait for it too.
            await asyncio.wait([self.ended])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OUTPUT_SECONDS):
                    for writer in self._writers:
                        await writer.closed.wait()
        finally:
            self._close()

    def _close(self) -> None:
        for transport in self._transports:
            transport.close()
        self._log.close()
