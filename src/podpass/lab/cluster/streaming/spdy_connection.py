"""A SPDY connection with a client: raw on the connection that was handed over, or inside the messages of a websocket.

Contract: Kubernetes API surface, section 1.3 (port-forward). kubectl before 1.31 speaks it for exec and attach as well.
"""

from collections.abc import Sequence
from typing import Protocol

from podpass.serving.asgi import Request
from podpass.serving.spdy import MOST_DATA_BYTES, Decoder, Encoder, Event, GoAway, Opened, Ping, ProtocolError
from podpass.serving.upgrade import ByteStream, CanNotUpgrade, Upgrade
from podpass.serving.websocket import WebSocket

_REFUSED_STREAM = 3
_OUR_PING = 2


class Duplex(Protocol):
    """Bytes both ways."""

    async def read(self) -> bytes:
        """At least one byte, nothing at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Raises ConnectionResetError."""
        ...

    async def close(self) -> None: ...


class RawDuplex:
    """The connection itself."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def read(self) -> bytes:
        return await self._stream.read()

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)

    async def close(self) -> None:
        self._stream.close()


class TunnelDuplex:
    """The messages of a websocket, one after the other."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def read(self) -> bytes:
        while (piece := await self._websocket.receive()) is not None:
            if piece.data:
                return piece.data
        return b""

    async def write(self, data: bytes) -> None:
        await self._websocket.send(data)

    async def close(self) -> None:
        await self._websocket.close()


class SpdyConnection:
    """The streams of a client. Pings are answered while events are read."""

    def __init__(self, duplex: Duplex) -> None:
        self._duplex = duplex
        self._decoder = Decoder()
        self._encoder = Encoder()
        self._events: list[Event] = []
        self._last = 0
        self._over = False

    async def receive(self) -> Event | None:
        """What comes next; None once the client has gone or makes no sense."""
        while True:
            while self._events:
                event = self._events.pop(0)
                if isinstance(event, Ping):
                    # Those with even numbers are answers to ours.
                    if event.number % 2:
                        await self._write(self._encoder.ping(event.number))
                elif isinstance(event, GoAway):
                    continue
                else:
                    if isinstance(event, Opened):
                        self._last = max(self._last, event.stream)
                    return event
            if self._over:
                return None
            data = await self._duplex.read()
            try:
                self._events = self._decoder.feed(data)
            except ProtocolError:
                self._over = True
            self._over = self._over or not data

    async def accept(self, stream: int) -> None:
        await self._write(self._encoder.reply(stream))

    async def refuse(self, stream: int) -> None:
        await self._write(self._encoder.reset(stream, _REFUSED_STREAM))

    async def send(self, stream: int, data: bytes, *, ended: bool = False) -> None:
        """Raises ConnectionResetError."""
        assert len(data) <= MOST_DATA_BYTES
        await self._duplex.write(self._encoder.data(stream, data, ended=ended))

    async def ping(self) -> None:
        """Raises ConnectionResetError."""
        await self._duplex.write(self._encoder.ping(_OUR_PING))

    async def close(self) -> None:
        await self._write(self._encoder.go_away(self._last))
        await self._duplex.close()

    async def _write(self, data: bytes) -> None:
        try:
            await self._duplex.write(data)
        except ConnectionResetError:
            self._over = True


def open_spdy(request: Request, upgrade: Upgrade, supported: Sequence[str]) -> tuple[SpdyConnection, str]:
    """Accept an offer of SPDY with the first of the client's stream protocols that is supported.

    Raises CanNotUpgrade.
    """
    offered = [name.strip() for name in request.headers.get("x-stream-protocol-version", "").split(",")]
    chosen = next((name for name in offered if name in supported), None)
    if chosen is None:
        raise CanNotUpgrade(
            403,
            f"unable to upgrade: unable to negotiate protocol: client supports {offered}, server accepts"
            f" {list(supported)}",
        )
    headers = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
    if chosen:
        headers.append(("X-Stream-Protocol-Version", chosen))
    return SpdyConnection(RawDuplex(upgrade(headers))), chosen
