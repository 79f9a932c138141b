"""The streams of a program in a container, carried between its descriptors and whoever is connected to them.

Contract: Kubernetes API surface, section 1.6. Nothing is dropped: who does not read makes the writer wait.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from podpass.lab.node import terminals
from podpass.lab.node.driver import FabricFailed
from podpass.lab.node.runtime import ContainerProcess, Execution, Runtime

STDOUT, STDERR = 1, 2
READ_AHEAD_BYTES = 64 * 1024
"""What is read of an output before its reader has taken what came before."""
INHERITED_SECONDS = 1.0
"""How long output may still come after the program's end, from what it started."""

Sink = Callable[[int, bytes], Awaitable[None]]
"""Takes what was written to stdout (1) or stderr (2)."""


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
"""To a port of a pod."""


class NoContainer(Exception):
    """The container does not run here; the message is for the client, *status* the HTTP code."""

    def __init__(self, message: str, status: int = 500) -> None:
        super().__init__(message)
        self.message, self.status = message, status


class Streams(Protocol):
    """An exec or attach, as the API server sees it."""

    async def write(self, data: bytes) -> None:
        """To the program's stdin, waiting while it does not read; nothing happens once it has no stdin any more."""
        ...

    def end_input(self) -> None: ...

    def resize(self, width: int, height: int) -> None: ...

    async def copy_output(self, sink: Sink) -> None:
        """Hand on all output until there is no more. What *sink* raises ends it."""
        ...

    async def ended(self) -> int | None:
        """The exit code that the client is to be told; None where the end is all it is told."""
        ...

    async def close(self) -> None:
        """Let go: an exec that still runs is killed, a container goes on."""
        ...


class RunningContainer(Protocol):
    """A container that could be found, for the API server to connect to."""

    async def execute(self, argv: Sequence[str], *, stdin: bool, tty: bool) -> Streams:
        """Start a program in it. Raises NotStarted, FabricFailed."""
        ...

    def attach(self, *, stdin: bool) -> Streams:
        """Join what is written by its first process from now on, and what it reads."""
        ...


class Input(Protocol):
    """What leads to a program's stdin."""

    async def write(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def abort(self) -> None: ...


class Inlet(asyncio.Protocol):
    """Writes to a pipe that may not be read for a while, or ever."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = False

    @classmethod
    async def open(cls, descriptor: int) -> "Inlet":
        """Takes *descriptor* over."""
        _, inlet = await asyncio.get_running_loop().connect_write_pipe(cls, os.fdopen(descriptor, "wb", buffering=0))
        return inlet

    async def write(self, data: bytes) -> None:
        if self._transport is None or self._lost or self._transport.is_closing():
            return
        self._transport.write(data)
        await self._writable.wait()

    def end(self) -> None:
        """Close once what was written is read."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None and not self._lost:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._writable.set()


def _reader() -> tuple[asyncio.StreamReader, asyncio.StreamReaderProtocol]:
    reader = asyncio.StreamReader(limit=READ_AHEAD_BYTES)
    return reader, asyncio.StreamReaderProtocol(reader)


class ExecStreams:
    """A program started in a running container. Open it with `start`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._execution: Execution | None = None
        self._input: Input | None = None
        self._terminal: int | None = None
        self._outlets: list[tuple[int, asyncio.StreamReader]] = []
        self._transports: list[asyncio.ReadTransport] = []

    @classmethod
    async def start(
        cls, runtime: Runtime, process: ContainerProcess, argv: Sequence[str], *, stdin: bool, tty: bool
    ) -> "ExecStreams":
        """Start *argv* beside *process*. Raises NotStarted, FabricFailed."""
        streams = cls(runtime)
        try:
            await (streams._start_on_terminal if tty else streams._start_on_pipes)(process, argv, stdin)
        except BaseException:
            await streams.close()
            raise
        return streams

    async def _start_on_pipes(self, process: ContainerProcess, argv: Sequence[str], stdin: bool) -> None:
        theirs: list[int] = []
        try:
            if stdin:
                reading, writing = os.pipe()
                theirs.append(reading)
                self._input = await Inlet.open(writing)
            else:
                theirs.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            for number in (STDOUT, STDERR):
                reading, writing = os.pipe()
                theirs.append(writing)
                reader, protocol = _reader()
                transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                    lambda protocol=protocol: protocol,  # type: ignore[misc]
                    os.fdopen(reading, "rb", buffering=0),
                )
                self._outlets.append((number, reader))
                self._transports.append(transport)
            self._execution = await self._runtime.execute(process, argv, (theirs[0], theirs[1], theirs[2]))
        finally:
            for descriptor in theirs:
                os.close(descriptor)

    async def _start_on_terminal(self, process: ContainerProcess, argv: Sequence[str], stdin: bool) -> None:
        self._execution = await self._runtime.execute(process, argv, None)
        assert self._execution.terminal is not None
        self._terminal = self._execution.terminal
        if stdin:
            self._input = terminals.TerminalWriting(os.dup(self._terminal))
        reader, protocol = _reader()
        self._outlets.append((STDOUT, reader))
        self._transports.append(terminals.TerminalReading(os.dup(self._terminal), protocol))

    async def write(self, data: bytes) -> None:
        if self._input is not None:
            await self._input.write(data)

    def end_input(self) -> None:
        if self._input is not None:
            self._input.end()

    def resize(self, width: int, height: int) -> None:
        if self._terminal is not None:
            terminals.set_size(self._terminal, width, height)

    async def copy_output(self, sink: Sink) -> None:
        async def copy(number: int, reader: asyncio.StreamReader) -> None:
            while data := await self._next(reader):
                await sink(number, data)

        copies = [asyncio.create_task(copy(*outlet)) for outlet in self._outlets]
        try:
            await asyncio.gather(*copies)
        finally:
            for each in copies:
                each.cancel()

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        assert self._execution is not None
        reading = asyncio.ensure_future(reader.read(READ_AHEAD_BYTES))
        try:
            happens: list[asyncio.Future[Any]] = [reading, self._execution.ended]
            await asyncio.wait(happens, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                # What is written already comes at once; what a background process holds open may never end.
                await asyncio.wait([reading], timeout=INHERITED_SECONDS)
            return reading.result() if reading.done() else b""
        finally:
            reading.cancel()

    async def ended(self) -> int | None:
        assert self._execution is not None
        await asyncio.wait([self._execution.ended])
        return self._execution.ended.result()

    async def close(self) -> None:
        if self._execution is not None and not self._execution.ended.done():
            with contextlib.suppress(FabricFailed):
                await self._runtime.signal(self._execution.id, signal.SIGKILL)
        if self._input is not None:
            self._input.abort()
        for transport in self._transports:
            transport.close()
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None
