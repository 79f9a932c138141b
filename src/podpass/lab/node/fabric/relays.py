"""What carries bytes between the networks inside and the lab's unix sockets."""

import asyncio
import struct
from typing import Any, cast

MAX_CONNECTIONS = 512
MAX_DNS_IN_FLIGHT = 128
MAX_DATAGRAM = 4096
CONNECT_SECONDS = 10.0
DNS_SECONDS = 5.0
_CHUNK = 65536


class TcpRelay:
    """Carries connections made inside the node's network to a unix socket of the lab."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open += 1
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                lab_reader, lab_writer = await asyncio.open_unix_connection(self._target)
        except (OSError, TimeoutError):
            writer.transport.abort()
            self._open -= 1
            return
        try:
            await carry((reader, writer), (lab_reader, lab_writer))
        finally:
            self._open -= 1


class DnsRelay(asyncio.DatagramProtocol):
    """Carries DNS over UDP to the lab, which speaks DNS over TCP's length-prefixed framing."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # In Python 3.11 the loop's own class is no DatagramTransport.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: Any) -> None:
        if len(data) > MAX_DATAGRAM or len(self._tasks) >= MAX_DNS_IN_FLIGHT:
            return
        task = asyncio.get_running_loop().create_task(self._answer(data, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, query: bytes, address: Any) -> None:
        try:
            async with asyncio.timeout(DNS_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._target)
                try:
                    writer.write(struct.pack(">H", len(query)) + query)
                    (length,) = struct.unpack(">H", await reader.readexactly(2))
                    answer = await reader.readexactly(length)
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return  # The resolver asks again.
        if self._transport is not None:
            self._transport.sendto(answer, address)


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def carry(one: Stream, other: Stream) -> None:
    """Carry bytes both ways until both sides have ended, then close both."""
    try:
        await asyncio.gather(_pump(one[0], other[1]), _pump(other[0], one[1]))
    finally:
        one[1].transport.abort()
        other[1].transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except (ConnectionError, TimeoutError, OSError):
        writer.transport.abort()
