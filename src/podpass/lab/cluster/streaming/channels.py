"""The websocket protocol of exec and attach: each message belongs to the channel that its first byte names.

Contract: Kubernetes API surface, section 1.6. Version 4 tells the end as a Status, version 5 adds a message that
closes one channel; names with `base64` carry text.
"""

import base64
import contextlib
import json

import msgspec

from podpass.kube.objects import Obj
from podpass.lab.cluster.streaming.session import Input, InputEnd, Resize, resize
from podpass.serving.websocket import WebSocket

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
CLOSE = 255
V5 = "v5.channel.k8s.io"
PROTOCOLS = (V5, "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io", "")
_WITH_STATUS = ("v5.", "v4.")
MOST_CONTROL_BYTES = 1024
"""Of a message that is no input: a size, or which channel closes."""


class ChannelClient:
    """A client that speaks in channels. *opened* is the lowest that the client reads: it is told of the start there."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._text = "base64." in websocket.subprotocol
        self._with_status = websocket.subprotocol.startswith(_WITH_STATUS)
        self._channel = -1
        self._control = b""
        self._undecoded = b""

    async def greet(self, *, stdout: bool, stderr: bool) -> None:
        """An empty message on the first channel that the client reads says that the connection is there."""
        with contextlib.suppress(ConnectionResetError):
            await self._send(STDOUT if stdout else STDERR if stderr else ERROR, b"")

    async def receive(self) -> Input | InputEnd | Resize | None:
        while (piece := await self._websocket.receive()) is not None:
            data = piece.data
            if piece.first:
                self._channel, self._control, self._undecoded = -1, b"", b""
            if self._channel < 0 and data:
                self._channel, data = data[0] - (48 if self._text else 0), data[1:]
            match self._channel:
                case -1:
                    continue
                case 0:
                    if data and (decoded := self._decoded(data, last=piece.last)):
                        return Input(decoded)
                    continue
            if len(self._control) + len(data) > MOST_CONTROL_BYTES:
                return None
            self._control += data
            if piece.last and (event := self._event()) is not None:
                return event
        return None

    def _event(self) -> InputEnd | Resize | None:
        if self._channel == RESIZE:
            try:
                size = json.loads(self._control)
            except ValueError:
                return None
            return resize(size.get("Width"), size.get("Height")) if isinstance(size, dict) else None
        if self._channel == CLOSE and self._websocket.subprotocol == V5 and self._control == bytes([STDIN]):
            return InputEnd()
        return None

    def _decoded(self, data: bytes, *, last: bool) -> bytes:
        if not self._text:
            return data
        data = self._undecoded + data
        whole = len(data) if last else len(data) - len(data) % 4
        data, self._undecoded = data[:whole], data[whole:]
        try:
            return base64.b64decode(data, validate=True)
        except ValueError:
            # As in the API server: what can't be decoded is not passed on.
            return b""

    async def send(self, number: int, data: bytes) -> None:
        await self._send(number, data)

    async def ping(self) -> None:
        await self._websocket.ping()

    async def finish(self, status: Obj) -> None:
        try:
            if self._with_status:
                await self._send(ERROR, msgspec.json.encode(status))
            elif status.get("status") != "Success":
                await self._send(ERROR, str(status.get("message")).encode())
        except ConnectionResetError:
            return
        await self._websocket.close()

    async def _send(self, channel: int, data: bytes) -> None:
        if self._text:
            await self._websocket.send(b"%d" % channel + base64.b64encode(data), text=True)
        else:
            await self._websocket.send(bytes([channel]) + data)
