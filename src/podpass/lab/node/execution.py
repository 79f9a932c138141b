"""Run one command in a running container to its end, as an exec probe and a lifecycle hook do."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field

from podpass.lab.node.driver import FabricFailed
from podpass.lab.node.runtime import ContainerProcess, Runtime

MOST_OUTPUT_BYTES = 10 * 1024
"""What is kept of a command's output, as the kubelet keeps of a probe's."""
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended, and the start of what it wrote to stdout and stderr."""

    code: int
    output: bytes = field(repr=False)


async def run_to_end(
    runtime: Runtime, process: ContainerProcess, argv: Sequence[str], *, seconds: float, inherited_seconds: float = 0.5
) -> Finished:
    """Run *argv* in the container of *process*.

    Raises NotStarted, FabricFailed, and TimeoutError after *seconds*, when the command and what it started in its
    process group have been killed. Output is waited for *inherited_seconds* where something it started still holds it.
    """
    gathered = _Gathered()
    reading, writing = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: gathered, os.fdopen(reading, "rb", buffering=0)
    )
    try:
        try:
            execution = await runtime.execute(process, argv, (nothing, writing, writing))
        finally:
            os.close(writing)
            os.close(nothing)
        try:
            async with asyncio.timeout(seconds):
                # asyncio.wait leaves the future alone when the time is up.
                await asyncio.wait([execution.ended])
        finally:
            if not execution.ended.done():
                with contextlib.suppress(FabricFailed):
                    await runtime.signal(execution.id, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(inherited_seconds):
                await gathered.closed.wait()
        return Finished(execution.ended.result(), bytes(gathered.data))
    finally:
        transport.close()


class _Gathered(asyncio.Protocol):
    """Keeps the first bytes of a pipe and reads the rest, so that the writer never waits."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.closed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data[: max(0, MOST_OUTPUT_BYTES - len(self.data))]

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set()
