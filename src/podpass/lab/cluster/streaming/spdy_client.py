"""A client of exec or attach that speaks SPDY: a stream for each of stdin, stdout, stderr, errors and sizes.

Contract: Kubernetes API surface, section 1.6. What the channels of a websocket are, named by a header.
"""

import asyncio
import json
from typing import Self

import msgspec

from podpass.kube.objects import Obj
from podpass.lab.cluster.streaming.request import StreamOptions
from podpass.lab.cluster.streaming.session import ClientLeft, Input, InputEnd, Resize, resize
from podpass.lab.cluster.streaming.spdy_connection import SpdyConnection
from podpass.serving.spdy import Data, Event, Opened, Reset

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io")
_WITH_STATUS = PROTOCOLS[:2]
_WITH_RESIZE = PROTOCOLS[:3]
STREAMS_SECONDS = 30.0
MOST_SIZE_BYTES = 1024


class SpdyClient:
    """Open it with `open`."""

    def __init__(self, connection: SpdyConnection, protocol: str) -> None:
        self._connection = connection
        self._with_status = protocol in _WITH_STATUS
        self._numbers: dict[str, int] = {}
        self._early: list[Event] = []
        self._size = ""

    @classmethod
    async def open(cls, connection: SpdyConnection, protocol: str, options: StreamOptions) -> Self:
        """Wait for the client's streams. Raises ClientLeft when they don't come, and the connection is closed."""
        client = cls(connection, protocol)
        wanted = {"error"}
        for name, asked in (
            ("stdin", options.stdin),
            ("stdout", options.stdout),
            ("stderr", options.stderr),
            ("resize", options.tty and protocol in _WITH_RESIZE),
        ):
            wanted |= {name} if asked else set()
        try:
            async with asyncio.timeout(STREAMS_SECONDS):
                await client._gather(wanted)
        except (TimeoutError, ClientLeft) as error:
            await connection.close()
            raise ClientLeft("timed out waiting for client to create streams") from error
        return client

    async def _gather(self, wanted: set[str]) -> None:
        while set(self._numbers) != wanted:
            event = await self._connection.receive()
            if event is None:
                raise ClientLeft
            if not isinstance(event, Opened):
                self._early.append(event)
                if len(self._early) > len(wanted) * 100:
                    raise ClientLeft
                continue
            kind = event.headers.get("streamtype", "")
            if kind not in wanted or kind in self._numbers:
                await self._connection.refuse(event.stream)
                continue
            self._numbers[kind] = event.stream
            await self._connection.accept(event.stream)
            if event.ended:
                self._early.append(Data(event.stream, b"", True))

    async def receive(self) -> Input | InputEnd | Resize | None:
        while True:
            event = self._early.pop(0) if self._early else await self._connection.receive()
            match event:
                case None:
                    return None
                case Opened():
                    await self._connection.refuse(event.stream)
                case Data(stream=number) if number == self._numbers.get("stdin"):
                    if event.ended and event.data:
                        self._early.insert(0, Data(number, b"", True))
                    return Input(event.data) if event.data else InputEnd()
                case Reset(stream=number) if number == self._numbers.get("stdin"):
                    return InputEnd()
                case Data(stream=number) if number == self._numbers.get("resize"):
                    if (found := self._resized(event.data)) is not None:
                        return found

    def _resized(self, data: bytes) -> Resize | None:
        """The newest size in a stream of JSON objects."""
        self._size += data.decode("utf-8", "replace")
        found: Resize | None = None
        while (text := self._size.lstrip()) and len(text) <= MOST_SIZE_BYTES:
            try:
                size, end = json.JSONDecoder().raw_decode(text)
            except ValueError:
                break
            self._size = text[end:]
            if isinstance(size, dict):
                found = resize(size.get("Width"), size.get("Height")) or found
        if len(self._size) > MOST_SIZE_BYTES:
            self._size = ""
        return found

    async def send(self, number: int, data: bytes) -> None:
        await self._connection.send(self._numbers["stdout" if number == 1 else "stderr"], data)

    async def ping(self) -> None:
        await self._connection.ping()

    async def finish(self, status: Obj) -> None:
        text = b""
        if self._with_status:
            text = msgspec.json.encode(status)
        elif status.get("status") != "Success":
            text = str(status.get("message")).encode()
        try:
            for kind in ("stdout", "stderr"):
                if kind in self._numbers:
                    await self._connection.send(self._numbers[kind], b"", ended=True)
            await self._connection.send(self._numbers["error"], text, ended=True)
        except ConnectionResetError:
            return
        await self._connection.close()
