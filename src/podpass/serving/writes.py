"""Writes that leave together: a head and the body behind it make one TLS record and one system call."""

import asyncio

JOINED_BYTES = 64 * 1024
"""What is longer is not copied for the sake of one call less."""


class JoinedWrites:
    """What an answer is written through. A write waits for the one after it, at the longest until the loop's next
    turn, and then leaves with it."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def write(self, data: bytes) -> None:
        held, self._held = self._held, b""
        if held and len(data) <= JOINED_BYTES:
            self._transport.write(held + data)
        elif held:
            self._transport.write(held)
            self._transport.write(data)
        elif len(data) <= JOINED_BYTES:
            self._held = data
            self._loop.call_soon(self.flush)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():
            self._transport.write(held)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()
