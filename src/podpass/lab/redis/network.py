"""The doors of one cache: where its clients arrive, with TLS and without, and how they get to its server."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

MAX_CONNECTIONS = 1_024
TLS_SECONDS = 10.0
_CHUNK = 65_536


class Door:
    """Carries connections from where clients arrive to the server's unix socket."""

    def __init__(self, server: Path, came: Callable[[str], None]) -> None:
        self._server, self._came = server, came
        self._listening: list[asyncio.Server] = []
        self._open: set[asyncio.StreamWriter] = set()

    async def open(self, listener: socket.socket, who: str, tls: ssl.SSLContext | None = None) -> None:
        """Take connections of *who* on *listener*, which is closed with the door."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._carry(who, reader, writer)

        patience = TLS_SECONDS if tls is not None else None
        start = asyncio.start_unix_server if listener.family == socket.AF_UNIX else asyncio.start_server
        self._listening.append(await start(serve, sock=listener, ssl=tls, ssl_handshake_timeout=patience))

    async def close(self) -> None:
        for server in self._listening:
            server.close()
        for writer in list(self._open):
            writer.transport.abort()
        self._listening.clear()

    async def _carry(self, who: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            with contextlib.suppress(OSError):
                answers, commands = await asyncio.open_unix_connection(self._server)
                self._came(who)
                try:
                    asking = asyncio.create_task(_pump(reader, commands))
                    try:
                        # When the server has nothing more to say, nobody has: it ends a connection whose client
                        # has ended its side, and TLS has no half of a connection anyway.
                        await _pump(answers, writer)
                    finally:
                        asking.cancel()
                        await asyncio.gather(asking, return_exceptions=True)
                    writer.close()
                    await writer.wait_closed()
                finally:
                    commands.transport.abort()
        finally:
            writer.transport.abort()
            self._open.discard(writer)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes until the reader's side ends, and say so where the writer's can be told."""
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
