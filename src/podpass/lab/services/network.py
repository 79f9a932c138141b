"""The sockets on this machine that lead to Services: each connection goes on to a pod, over the runtime."""

import asyncio
import contextlib
import errno
import ipaddress
import itertools
import socket
from collections.abc import Awaitable, Callable, Sequence

from podpass.lab.node.driver import FabricFailed

MOST_CONNECTIONS = 512
ATTEMPTS = 3
_CHUNK = 65_536

Connect = Callable[[str, int], Awaitable[int]]
"""A pod's address and port to a descriptor of a connection. Raises FabricFailed."""
Targets = Callable[[], Sequence[tuple[str, int]]]


class HostPort:
    """One listening socket on a loopback address."""

    def __init__(self, listener: socket.socket, targets: Targets, connect: Connect) -> None:
        self._listener = listener
        self._targets, self._connect = targets, connect
        self._turns = itertools.count()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._listener)

    def close(self) -> None:
        """Stop listening, and end what is open: the Service is gone."""
        if self._server is not None:
            self._server.close()
        self._listener.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            if (found := await self._reach()) is not None:
                await _carry(reader, writer, found)
        finally:
            writer.transport.abort()
            self._open.discard(writer)

    async def _reach(self) -> socket.socket | None:
        targets = list(self._targets())
        start = next(self._turns) % len(targets) if targets else 0
        for address, port in [*targets[start:], *targets[:start]][:ATTEMPTS]:
            try:
                return socket.socket(fileno=await self._connect(address, port))
            except (FabricFailed, OSError):
                continue
        return None


def listen(address: str, port: int) -> socket.socket:
    """A socket that listens on a loopback address. Raises OSError; ValueError for any other address."""
    if not ipaddress.ip_address(address).is_loopback:
        raise ValueError(f"{address} is not a loopback address")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


def not_allowed(error: OSError) -> str:
    """Why a port can't be listened on, for a person."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return "ports below 1024 are for root here"
    if error.errno == errno.EADDRINUSE:
        return "another program has it"
    return error.strerror or str(error)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: socket.socket) -> None:
    connection.setblocking(False)
    pod_reader, pod_writer = await asyncio.open_connection(sock=connection)
    try:
        await asyncio.gather(_pump(reader, pod_writer), _pump(pod_reader, writer))
    finally:
        pod_writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        with contextlib.suppress(OSError):
            writer.transport.abort()
