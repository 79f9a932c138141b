"""Start and orderly stop of ASGI apps on sockets that the caller has bound."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from podpass.serving.asgi import App

BACKLOG = 1024
KEEP_ALIVE_SECONDS = 75


class PortInUse(OSError):
    """Another program listens on the address that was asked for."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"{host}:{port} is in use by another program")
        self.host, self.port = host, port


def bind_tcp(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A listening TCP socket; port 0 lets the kernel choose. Raises PortInUse."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortInUse(host, port) from error
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def bind_unix(path: Path) -> socket.socket:
    """A listening unix socket that only this user may connect to. A stale file of that name is replaced."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
    except OSError:
        listener.close()
        raise
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


class HttpEngine:
    """Makes the HTTP protocol for each connection to one app, and closes them all in order.

    uvicorn's protocol classes are used directly rather than its Server: the same app then answers on TCP, on unix
    sockets and on connections that arrived through a proxy's CONNECT, and no signal handler is touched.
    """

    def __init__(self, app: App) -> None:
        self._config = uvicorn.Config(
            app=cast("uvicorn._types.ASGIApplication", app),
            # Guessing takes a bound method for the old two-step interface.
            interface="asgi3",
            loop="none",
            http=HttpToolsProtocol,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            ws="none",
        )
        self._config.load()
        self._state = ServerState()

    def protocol(self) -> asyncio.Protocol:
        return HttpToolsProtocol(config=self._config, server_state=self._state, app_state={})

    async def close(self, *, grace_seconds: float) -> None:
        """Let running requests end for *grace_seconds*, then cancel them and drop every connection."""
        for connection in list(self._state.connections):
            connection.shutdown()
        tasks = set(self._state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)
        for connection in list(self._state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()


@contextlib.asynccontextmanager
async def serving(
    app: App,
    listeners: Sequence[socket.socket],
    *,
    tls: ssl.SSLContext | None = None,
    grace_seconds: float = 2.0,
) -> AsyncIterator[HttpEngine]:
    """Serve *app* on *listeners* while the context is open; then stop accepting, finish, close.

    The listeners are closed at the end. End long streams at their source first: a stream that is still open after
    *grace_seconds* is cancelled.
    """
    loop = asyncio.get_running_loop()
    engine = HttpEngine(app)
    servers: list[asyncio.Server] = []
    try:
        for listener in listeners:
            if listener.family == socket.AF_UNIX:
                server = await loop.create_unix_server(engine.protocol, sock=listener, ssl=tls)
            else:
                server = await loop.create_server(engine.protocol, sock=listener, ssl=tls, backlog=BACKLOG)
            servers.append(server)
        yield engine
    finally:
        for server in servers:
            server.close()
        await engine.close(grace_seconds=grace_seconds)
        for listener in listeners:
            listener.close()
