"""Websockets (RFC 6455) on a connection that an app takes over.

Messages are handed on in the pieces in which they arrive, so that their size needs no bound: no message is ever held
whole. Imported only when a client asks for a websocket.
"""

import base64
import contextlib
import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from wsproto import ConnectionType
from wsproto.connection import Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from podpass.serving.asgi import Request
from podpass.serving.upgrade import ByteStream, CanNotUpgrade, Upgrade

NORMAL, PROTOCOL_ERROR = 1000, 1002
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a message."""

    data: bytes = field(repr=False)
    first: bool
    last: bool


def subprotocols(request: Request) -> list[str]:
    """Those the client offers, the one it likes best first."""
    offered = request.headers.get("sec-websocket-protocol", "").split(",")
    return [name.strip() for name in offered if name.strip()]


def open_websocket(request: Request, upgrade: Upgrade, supported: Sequence[str]) -> "WebSocket":
    """Accept the client's offer with the first of its subprotocols that is supported.

    The empty name stands for none; it is chosen only for a client that names none. Raises CanNotUpgrade.
    """
    key = request.headers.get("sec-websocket-key", "")
    if request.headers.get("sec-websocket-version", "") != "13":
        raise CanNotUpgrade(400, "missing or bad WebSocket Version")
    try:
        nonce = base64.b64decode(key, validate=True)
    except ValueError:
        nonce = b""
    if len(nonce) != 16 or request.method != "GET":
        raise CanNotUpgrade(400, "missing or bad challenge")
    offered = subprotocols(request) or [""]
    chosen = next((name for name in offered if name in supported), None)
    if chosen is None:
        raise CanNotUpgrade(403, "none of the requested protocols is supported")
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
    headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]
    if chosen:
        headers.append(("Sec-WebSocket-Protocol", chosen))
    return WebSocket(upgrade(headers), chosen)


class WebSocket:
    """An open websocket, the server's side. Pings are answered while messages are read."""

    def __init__(self, stream: ByteStream, subprotocol: str) -> None:
        self.subprotocol = subprotocol
        self._stream = stream
        self._connection = Connection(ConnectionType.SERVER)
        self._pieces: deque[Piece] = deque()
        self._inside = False
        self._ended = False

    async def receive(self) -> Piece | None:
        """The next part of a message; None when the client has closed, gone, or broken the protocol."""
        while not self._pieces and not self._ended:
            data = await self._stream.read()
            try:
                self._connection.receive_data(data or None)
                for event in self._connection.events():
                    if isinstance(event, BytesMessage | TextMessage):
                        text = event.data
                        piece = text.encode() if isinstance(text, str) else bytes(text)
                        self._pieces.append(Piece(piece, not self._inside, event.message_finished))
                        self._inside = not event.message_finished
                    elif isinstance(event, Ping):
                        await self._stream.write(self._connection.send(event.response()))
                    elif isinstance(event, CloseConnection):
                        self._ended = True
                        if self._connection.state is not ConnectionState.CLOSED:
                            await self._stream.write(self._connection.send(event.response()))
            except (RemoteProtocolError, LocalProtocolError):
                self._ended = True
                await self.close(PROTOCOL_ERROR)
            except ConnectionResetError:
                self._ended = True
            self._ended = self._ended or not data
        return self._pieces.popleft() if self._pieces else None

    async def send(self, data: bytes, *, text: bool = False) -> None:
        """Send one message, waiting while the client does not read. Raises ConnectionResetError when it has gone."""
        message = TextMessage(data.decode()) if text else BytesMessage(data)
        try:
            frame = self._connection.send(message)
        except LocalProtocolError as error:
            raise ConnectionResetError("the websocket is closed") from error
        await self._stream.write(frame)

    async def ping(self) -> None:
        """Raises ConnectionResetError when the client has gone."""
        try:
            frame = self._connection.send(Ping())
        except LocalProtocolError as error:
            raise ConnectionResetError("the websocket is closed") from error
        await self._stream.write(frame)

    async def close(self, code: int = NORMAL) -> None:
        """Say goodbye, unless that has been done, and close the connection."""
        with contextlib.suppress(LocalProtocolError, ConnectionResetError):
            await self._stream.write(self._connection.send(CloseConnection(code)))
        self._stream.close()
