"""One run of a container: its process, and the pipes or the terminal that its input and output go through."""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from typing import Self, cast

from podpass.lab.node import terminals
from podpass.lab.node.logs import ContainerLog, LineWriter
from podpass.lab.node.runtime import ContainerProcess, Runtime
from podpass.lab.node.streams import (
    READ_AHEAD_BYTES,
    STDERR,
    STDOUT,
    ExecStreams,
    Inlet,
    Input,
    Sink,
    Streams,
)

OUTPUT_SECONDS = 1.0
"""How long a container's output may still arrive after its end."""


class ContainerRun:
    """A container that was started. *ended* is its exit code, or fails when the runtime was lost."""

    def __init__(self, name: str, process: ContainerProcess, runtime: Runtime, log: ContainerLog) -> None:
        self.name, self.process = name, process
        self.container_id = process.container_id
        self.done = asyncio.Event()
        """To be set once everybody knows that the container has ended."""
        self.ended: asyncio.Future[int]
        self._runtime = runtime
        self._log = log
        self._outputs = [_Output(log, "stdout", STDOUT)]
        if not process.tty:
            self._outputs.append(_Output(log, "stderr", STDERR))
        self._transports: list[asyncio.BaseTransport] = []
        self._attached: set[AttachStreams] = set()
        self._input: Input | None = None
        self._terminal: int | None = None

    @classmethod
    async def start(cls, name: str, process: ContainerProcess, runtime: Runtime, log: ContainerLog) -> Self:
        """Start *process*, its output going to *log*, which is closed in any case. Raises CannotStart, FabricFailed."""
        run = cls(name, process, runtime, log)
        theirs: list[int] = []
        try:
            if process.tty:
                await run._open_terminal(theirs)
            else:
                await run._open_pipes(theirs)
            run.ended = await runtime.run(process, theirs[0], theirs[1], stdin=theirs[2] if len(theirs) > 2 else None)
        except BaseException:
            run._close()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return run

    async def _open_pipes(self, theirs: list[int]) -> None:
        for output in self._outputs:
            reading, writing = os.pipe()
            theirs.append(writing)
            output.attached = self._attached
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda output=output: output,  # type: ignore[misc]
                os.fdopen(reading, "rb", buffering=0),
            )
            self._transports.append(transport)
        if self.process.stdin:
            reading, writing = os.pipe()
            theirs.append(reading)
            self._input = await Inlet.open(writing)

    async def _open_terminal(self, theirs: list[int]) -> None:
        ours, slave = os.openpty()
        self._terminal = ours
        theirs += [slave, os.dup(slave), os.dup(slave)]
        self._outputs[0].attached = self._attached
        self._transports.append(terminals.TerminalReading(os.dup(ours), self._outputs[0]))
        if self.process.stdin:
            self._input = terminals.TerminalWriting(os.dup(ours))

    async def execute(self, argv: Sequence[str], *, stdin: bool, tty: bool) -> Streams:
        """Start a program beside the first one. Raises NotStarted, FabricFailed."""
        return await ExecStreams.start(self._runtime, self.process, argv, stdin=stdin, tty=tty)

    def attach(self, *, stdin: bool) -> Streams:
        """Join the streams of the first process."""
        attached = AttachStreams(self, stdin=stdin and self._input is not None)
        if self.ended.done():
            attached.end()
        else:
            self._attached.add(attached)
        return attached

    async def finished(self) -> None:
        """Wait for the container's end, then for the rest of its output."""
        try:
            # asyncio.wait leaves the future alone when this task is cancelled; others wait for it too.
            await asyncio.wait([self.ended])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OUTPUT_SECONDS):
                    for output in self._outputs:
                        # The rest is what a pipe holds: the log has it even if nobody reads it elsewhere.
                        output.hurry()
                        await output.closed.wait()
        finally:
            self._close()

    def _close(self) -> None:
        for transport in self._transports:
            transport.close()
        if self._input is not None:
            self._input.abort()
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None
        for attached in list(self._attached):
            attached.end()
        self._log.close()

    # For those who are attached

    async def write(self, data: bytes) -> None:
        if self._input is not None:
            await self._input.write(data)

    def input_over(self) -> None:
        """Somebody's input has ended: with stdinOnce the program's has too."""
        if self._input is not None and self.process.stdin_once:
            self._input.end()

    def resize(self, width: int, height: int) -> None:
        if self._terminal is not None:
            terminals.set_size(self._terminal, width, height)

    def taken(self, attached: "AttachStreams") -> None:
        """*attached* has room again, or has left."""
        if attached.over:
            self._attached.discard(attached)
        for output in self._outputs:
            output.go_on()


class AttachStreams:
    """One client that is attached to a container's first process."""

    def __init__(self, run: ContainerRun, *, stdin: bool) -> None:
        self._run = run
        self._stdin = stdin
        self._waiting: list[tuple[int, bytes]] = []
        self._size = 0
        self._something = asyncio.Event()
        self.over = False

    @property
    def full(self) -> bool:
        return self._size > READ_AHEAD_BYTES and not self.over

    async def write(self, data: bytes) -> None:
        if self._stdin:
            await self._run.write(data)

    def end_input(self) -> None:
        if self._stdin:
            self._run.input_over()

    def resize(self, width: int, height: int) -> None:
        self._run.resize(width, height)

    async def copy_output(self, sink: Sink) -> None:
        while True:
            waiting, self._waiting, self._size = self._waiting, [], 0
            if waiting:
                for number, data in waiting:
                    await sink(number, data)
                self._run.taken(self)
            elif self.over:
                return
            else:
                self._something.clear()
                await self._something.wait()

    async def ended(self) -> int | None:
        await asyncio.wait([self._run.ended])
        return None

    async def close(self) -> None:
        self.end_input()
        self.end()
        self._run.taken(self)

    # For the run

    def feed(self, number: int, data: bytes) -> None:
        if not self.over:
            self._waiting.append((number, data))
            self._size += len(data)
            self._something.set()

    def end(self) -> None:
        self.over = True
        self._something.set()


class _Output(LineWriter):
    """Writes to the log and to those who are attached; while one of them is behind, the container waits."""

    def __init__(self, log: ContainerLog, stream: str, number: int) -> None:
        super().__init__(log, stream)
        self.attached: set[AttachStreams] = set()
        self._number = number
        self._transport: asyncio.ReadTransport | None = None
        self._paused = self._hurrying = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.ReadTransport", transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        for attached in self.attached:
            attached.feed(self._number, data)
        if not self._paused and not self._hurrying and self._held_up() and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def go_on(self) -> None:
        if self._paused and (self._hurrying or not self._held_up()) and self._transport is not None:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def hurry(self) -> None:
        """Wait for nobody any more."""
        self._hurrying = True
        self.go_on()

    def _held_up(self) -> bool:
        return any(attached.full for attached in self.attached)
