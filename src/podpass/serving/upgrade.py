"""A connection that leaves HTTP: what an app gets when it takes up a request's offer of another protocol.

A request that offers an upgrade carries `UPGRADE` among its scope's extensions. An app that leaves it alone answers as
if nothing had been offered, which is also how it refuses: with any HTTP answer it likes.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from podpass.serving.asgi import Request, Scope

UPGRADE = "podpass.upgrade"
READ_AHEAD_BYTES = 128 * 1024
"""What is read from a client before the app asks for it."""


class CanNotUpgrade(Exception):
    """The connection can't be taken over. *status*: what to answer, 0 where the connection has moved on."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Flow(Protocol):
    """The flow control of a connection, in both directions."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    async def drain(self) -> None: ...


class ByteStream:
    """A connection's bytes after the upgrade. A side that does not read makes the other one wait, never memory grow."""

    def __init__(self, transport: asyncio.Transport, flow: Flow) -> None:
        self._transport = transport
        self._flow = flow
        self._arrived = bytearray()
        self._ended = False
        self._something = asyncio.Event()

    async def read(self) -> bytes:
        """What has arrived, at least one byte; nothing once the client has gone or will send no more."""
        while not self._arrived and not self._ended:
            self._something.clear()
            await self._something.wait()
        data = bytes(self._arrived)
        self._arrived.clear()
        if not self._ended:
            self._flow.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send *data*, waiting while the client does not read. Raises ConnectionResetError when it has gone."""
        if not self._transport.is_closing():
            self._transport.write(data)
            await self._flow.drain()
        if self._transport.is_closing():
            raise ConnectionResetError("the client has gone")

    def close(self) -> None:
        """Close once what was written is sent."""
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    # For the connection that made it

    def feed(self, data: bytes) -> None:
        self._arrived += data
        if len(self._arrived) > READ_AHEAD_BYTES:
            self._flow.pause_reading()
        self._something.set()

    def end(self) -> None:
        self._ended = True
        self._something.set()


Upgrade = Callable[[Iterable[tuple[str, str]]], ByteStream]
"""Answers 101 with these headers and gives the connection away. Raises CanNotUpgrade."""


def offered(request: Request) -> str:
    """The protocol that the request offers to go on with, in lower case; empty when it offers none."""
    tokens = {token.strip().lower() for token in request.headers.get("connection", "").split(",")}
    return request.headers.get("upgrade", "").strip().lower() if "upgrade" in tokens else ""


def upgrade_of(scope: Scope) -> Upgrade | None:
    """How to take the request's offer up; None when it made none."""
    found: Upgrade | None = (scope.get("extensions") or {}).get(UPGRADE)
    return found
