"""Port forwarding: a client's streams, each joined to a connection to a port of the pod.

Contract: Kubernetes API surface, section 1.3. kubectl opens pairs of SPDY streams, one for bytes and one for an error;
clients for Python name their ports at once and get two channels of a websocket for each.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from podpass.lab.cluster.streaming.request import NoPort, port_of
from podpass.lab.cluster.streaming.spdy_connection import SpdyConnection
from podpass.lab.node.driver import FabricFailed
from podpass.lab.node.streams import Connection, NoContainer
from podpass.serving.spdy import Data, Opened, Reset
from podpass.serving.websocket import WebSocket

SPDY_PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = f"SPDY/3.1+{SPDY_PROTOCOL}"
CHANNEL_PROTOCOL = "v4.channel.k8s.io"
MOST_CONNECTIONS = 256
_CHUNK = 64 * 1024

Dial = Callable[[int], Awaitable[Connection]]
"""A connection to a port of the pod. Raises NoContainer, FabricFailed."""
Send = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StreamHead:
    """What the headers of a SPDY stream say."""

    request: str
    port: int
    error: bool

    @classmethod
    def of(cls, opened: Opened) -> "StreamHead":
        """Raises NoPort."""
        kind = opened.headers.get("streamtype", "")
        if kind not in ("data", "error"):
            raise NoPort(f"invalid stream type {kind!r}")
        # Clients of old give no request id: their error stream comes first, and the one for bytes next.
        implied = str(opened.stream if kind == "error" else opened.stream - 2)
        return cls(opened.headers.get("requestid") or implied, port_of(opened.headers.get("port", "")), kind == "error")


class Forwarded:
    """One connection to a port of the pod. *send* takes what comes from there."""

    def __init__(self, port: int, dial: Dial, send: Send, ended: Callable[[str], Awaitable[None]]) -> None:
        self.port = port
        self._dial = dial
        self._send = send
        self._ended = ended
        self._writer: asyncio.StreamWriter | None = None

    async def run(self, opened: asyncio.Event) -> None:
        """Until both sides have ended, or one is gone; *opened* is set once bytes can be written, or never will."""
        why = ""
        try:
            try:
                reader, self._writer = await self._dial(self.port)
            except (FabricFailed, NoContainer, OSError) as error:
                why = str(error)
                return
            opened.set()
            with contextlib.suppress(OSError):
                while data := await reader.read(_CHUNK):
                    await self._send(data)
        finally:
            opened.set()
            self.abort()
            with contextlib.suppress(OSError):
                await self._ended(why)

    async def write(self, data: bytes) -> None:
        """To the pod, waiting while it does not read."""
        if self._writer is not None and not self._writer.is_closing():
            with contextlib.suppress(OSError):
                self._writer.write(data)
                await self._writer.drain()

    def end(self) -> None:
        if self._writer is not None and not self._writer.is_closing():
            with contextlib.suppress(OSError):
                self._writer.write_eof()

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()


async def forward_spdy(connection: SpdyConnection, dial: Dial, pod: str, used: set[int]) -> None:
    """Serve the pairs of streams that a client opens, until it has gone. *used* gets the ports."""
    halves: dict[str, dict[bool, int]] = {}
    by_stream: dict[int, Forwarded] = {}

    async with asyncio.TaskGroup() as tasks:
        running: set[asyncio.Task[None]] = set()

        async def begin(port: int, bytes_on: int, error_on: int) -> None:
            async def ended(why: str) -> None:
                by_stream.pop(bytes_on, None)
                text = f"error forwarding port {port} to pod {pod}, uid : {why}".encode() if why else b""
                await connection.send(error_on, text, ended=True)
                await connection.send(bytes_on, b"", ended=True)

            async def send(data: bytes) -> None:
                await connection.send(bytes_on, data)

            forwarded = by_stream[bytes_on] = Forwarded(port, dial, send, ended)
            used.add(port)
            opened = asyncio.Event()
            task = tasks.create_task(forwarded.run(opened))
            running.add(task)
            task.add_done_callback(running.discard)
            await opened.wait()

        try:
            while (event := await connection.receive()) is not None:
                match event:
                    case Opened():
                        try:
                            head = StreamHead.of(event)
                        except NoPort:
                            await connection.refuse(event.stream)
                            continue
                        known = halves.setdefault(head.request, {})
                        if head.error in known or len(by_stream) >= MOST_CONNECTIONS or len(halves) > MOST_CONNECTIONS:
                            await connection.refuse(event.stream)
                            continue
                        known[head.error] = event.stream
                        await connection.accept(event.stream)
                        if len(known) == 2:
                            del halves[head.request]
                            await begin(head.port, known[False], known[True])
                    case Data(stream=stream) if (forwarded := by_stream.get(stream)) is not None:
                        if event.data:
                            await forwarded.write(event.data)
                        if event.ended:
                            forwarded.end()
                    case Reset(stream=stream) if (forwarded := by_stream.get(stream)) is not None:
                        forwarded.abort()
        finally:
            for task in running:
                task.cancel()
    await connection.close()


async def forward_channels(websocket: WebSocket, ports: Sequence[int], dial: Dial, pod: str) -> None:
    """Serve two channels for each of *ports*, for bytes and for an error, until the client has gone."""
    async with asyncio.TaskGroup() as tasks:
        running: list[asyncio.Task[None]] = []
        connections: list[Forwarded] = []
        for index, port in enumerate(ports):

            async def send(data: bytes, channel: int = index * 2) -> None:
                await websocket.send(bytes([channel]) + data)

            async def ended(why: str, channel: int = index * 2 + 1, port: int = port) -> None:
                if why:
                    text = f"error forwarding port {port} to pod {pod}, uid : {why}"
                    await websocket.send(bytes([channel]) + text.encode())
                if all(task is asyncio.current_task() or task.done() for task in running):
                    await websocket.close()

            for channel in (index * 2, index * 2 + 1):
                # The first message of each channel says which port it is about.
                with contextlib.suppress(ConnectionResetError):
                    await websocket.send(bytes([channel]) + port.to_bytes(2, "little"))
            forwarded = Forwarded(port, dial, send, ended)
            opened = asyncio.Event()
            running.append(tasks.create_task(forwarded.run(opened)))
            connections.append(forwarded)
            await opened.wait()
        channel = -1
        try:
            while (piece := await websocket.receive()) is not None:
                data = piece.data
                if piece.first:
                    channel = -1
                if channel < 0 and data:
                    channel, data = data[0], data[1:]
                if data and channel >= 0 and channel % 2 == 0 and channel // 2 < len(connections):
                    await connections[channel // 2].write(data)
        finally:
            for task in running:
                task.cancel()
    await websocket.close()
