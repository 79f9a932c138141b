"""Start and orderly stop of ASGI apps on sockets that the caller has bound."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import cast

import uvicorn
from uvicorn.server import ServerState

from podpass.serving.asgi import App, Receive, Scope, Send
from podpass.serving.client_hello import LONGEST, server_name
from podpass.serving.connection import LOG, HttpConnection, Limits, Refused, Terms

BACKLOG = 1024
ACCEPT_RETRY_SECONDS = 1.0
PEEK_SECONDS = 0.005
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_GONE = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EINTR})
"""The connection ended before it was accepted."""


class PortInUse(OSError):
    """Another program listens on the address that was asked for."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"{host}:{port} is in use by another program")
        self.host, self.port = host, port


def bind_tcp(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A listening TCP socket; port 0 lets the kernel choose. Raises PortInUse, else OSError or OverflowError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only for sockets made with this protocol number; with it on, a head and
    # a body written apart wait 40 ms for each other.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port) from error
        raise
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


Instead = Callable[[str], "tuple[HttpEngine, ssl.SSLContext] | None"]
"""From the name that a TLS connection asks for to who ends it, where that is somebody else."""


class HttpEngine:
    """Makes the HTTP protocol for each connection to one app, and closes them all in order.

    uvicorn's protocol classes are used directly rather than its Server: the same app then answers on TCP, on unix
    sockets and on connections that arrived through a proxy's CONNECT, and no signal handler is touched.
    *refused* is told of each connection that was turned away before its request reached the app.
    """

    def __init__(
        self,
        app: App,
        *,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
        refused: Callable[[Refused], None] = lambda refusal: None,
    ) -> None:
        self._app = app
        config = uvicorn.Config(
            app=cast("uvicorn._types.ASGIApplication", self._guarded),
            # Guessing takes a bound method for the old two-step interface.
            interface="asgi3",
            loop="none",
            http=HttpConnection,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=cast("int", limits.idle_seconds),
            # Apps take connections over themselves: see serving/upgrade.py.
            ws="none",
        )
        config.load()
        self._state = ServerState()
        self.terms = Terms(config, self._state, limits, refused, self._connection_lost, lambda: self._closing)
        self._closing = False
        self._emptied = asyncio.Event()
        self._handshakes: set[asyncio.Task[None]] = set()

    @property
    def full(self) -> bool:
        """Whether a new connection would be one too many, or too late."""
        count = len(self._state.connections) + len(self._handshakes)
        return self._closing or count >= self.terms.limits.connections

    def protocol(self) -> HttpConnection:
        """A protocol for one new connection."""
        return HttpConnection(self.terms)

    @property
    def transports(self) -> list[asyncio.Transport]:
        """Those of the open connections."""
        transports = (getattr(connection, "transport", None) for connection in self._state.connections)
        return [transport for transport in transports if transport is not None]

    def open(self, handshake: Coroutine[None, None, None]) -> None:
        """Run *handshake*, which ends with a new connection; `close` cancels it."""
        task = asyncio.get_running_loop().create_task(handshake)
        self._handshakes.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._handshakes.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("Exception while opening a connection", exc_info=error)

    async def secure(
        self, transport: asyncio.Transport, tls: ssl.SSLContext, *, failed: Callable[[OSError], None]
    ) -> None:
        """End TLS on *transport* and serve the requests in it; *failed* is told when the handshake fails."""
        protocol = self.protocol()
        secured = None
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport, protocol, tls, server_side=True, ssl_handshake_timeout=self.terms.limits.head_seconds
            )
        except OSError as error:
            failed(error)
        finally:
            if secured is None:
                transport.abort()
        if secured is not None:
            # start_tls leaves this call to its caller.
            protocol.connection_made(secured)

    async def accept(
        self, listener: socket.socket, tls: ssl.SSLContext, instead: Callable[[], Instead | None] = lambda: None
    ) -> None:
        """Take connections from *listener*, end TLS on each and serve the requests in it, until cancelled.

        *instead* is asked for each connection who may want it by the name that it asks for; None spares a look.

        The loop's own TLS servers keep connections in the handshake out of sight: they count for no limit and
        outlive the server.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    LOG.error("No connection can be accepted: %s", error.strerror)
                    await asyncio.sleep(ACCEPT_RETRY_SECONDS)
                elif error.errno not in _GONE:
                    raise
                continue
            if self.full:
                accepted.close()
                continue
            peer = address[0] if isinstance(address, tuple) else ""
            self.open(self._secure_accepted(accepted, peer, tls, instead()))

    async def _secure_accepted(
        self, accepted: socket.socket, peer: str, tls: ssl.SSLContext, instead: Instead | None
    ) -> None:
        engine, seconds = self, self.terms.limits.head_seconds
        try:
            if instead is not None:
                try:
                    other = instead(await _asked_name(accepted, seconds))
                except OSError:
                    # It left, or said nothing: nobody is there to be told.
                    accepted.close()
                    return
                engine, tls = other or (engine, tls)
            await asyncio.get_running_loop().connect_accepted_socket(
                engine.protocol, accepted, ssl=tls, ssl_handshake_timeout=seconds
            )
        except OSError as error:
            # A client that only looked whether the port is open, or left, has nothing to be told.
            if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
                self.terms.refused(Refused(peer, 0, f"the TLS handshake failed ({reason_of(error)})"))
        except BaseException:
            accepted.close()
            raise

    async def close(self, *, grace_seconds: float) -> None:
        """Let running requests end for *grace_seconds*, then drop every connection and cancel what still runs."""
        self._closing = True
        for handshake in list(self._handshakes):
            handshake.cancel()
        for connection in list(self._state.connections):
            connection.shutdown()
        tasks = set(self._state.tasks)
        late = (await asyncio.wait(tasks, timeout=grace_seconds))[1] if tasks else set()
        # The connections first: an app that is cancelled while its client is there would be reported as a failure.
        await self._drop_connections()
        for task in late:
            task.cancel()
        if late or self._handshakes:
            await asyncio.wait({*late, *self._handshakes}, timeout=1)

    async def _drop_connections(self) -> None:
        self._emptied.clear()
        for transport in self.transports:
            transport.abort()
        if self._state.connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._emptied.wait()

    def _connection_lost(self) -> None:
        if not self._state.connections:
            self._emptied.set()

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # Only `close` cancels requests; to uvicorn a cancelled request is a crash worth a traceback.
            if not self._closing:
                raise


async def _asked_name(accepted: socket.socket, seconds: float) -> str:
    """The name in the ClientHello that is about to be read, which stays in the socket; empty where it has none.

    Raises OSError; TimeoutError is one.
    """
    async with asyncio.timeout(seconds):
        while True:
            await _readable(accepted)
            data = accepted.recv(LONGEST, socket.MSG_PEEK)
            name = server_name(data) if data else ""
            if name is not None:
                return name
            # What was looked at keeps the socket readable: a message in parts is waited for by the clock.
            await asyncio.sleep(PEEK_SECONDS)


async def _readable(accepted: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(accepted, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(accepted)


def reason_of(error: OSError) -> str:
    """Why TLS failed, as OpenSSL names it, or what the error says."""
    return str(getattr(error, "reason", None) or error or type(error).__name__)


@contextlib.asynccontextmanager
async def serving(
    app: App,
    listeners: Sequence[socket.socket],
    *,
    tls: ssl.SSLContext | None = None,
    grace_seconds: float = 2.0,
    limits: Limits = Limits(),  # noqa: B008 - a frozen value
    refused: Callable[[Refused], None] = lambda refusal: None,
) -> AsyncIterator[HttpEngine]:
    """Serve *app* on *listeners* while the context is open; then stop accepting, finish, close.

    The listeners are closed at the end. End long streams at their source first: a stream that is still open after
    *grace_seconds* is cancelled.
    """
    engine = HttpEngine(app, limits=limits, refused=refused)
    async with serving_with(engine, listeners, tls=tls, grace_seconds=grace_seconds):
        yield engine


@contextlib.asynccontextmanager
async def serving_with(
    engine: HttpEngine,
    listeners: Sequence[socket.socket],
    *,
    tls: ssl.SSLContext | None = None,
    instead: Callable[[], Instead | None] = lambda: None,
    grace_seconds: float = 2.0,
) -> AsyncIterator[None]:
    """As `serving`, with an engine that is closed together with the listeners; *instead* is for `HttpEngine.accept`."""
    loop = asyncio.get_running_loop()
    servers: list[asyncio.Server] = []
    accepting: list[asyncio.Task[None]] = []
    try:
        for listener in listeners:
            if tls is not None:
                accepting.append(loop.create_task(engine.accept(listener, tls, instead)))
            elif listener.family == socket.AF_UNIX:
                servers.append(await loop.create_unix_server(engine.protocol, sock=listener))
            else:
                servers.append(await loop.create_server(engine.protocol, sock=listener, backlog=BACKLOG))
        yield
    finally:
        for server in servers:
            server.close()
        for task in accepting:
            task.cancel()
        await asyncio.gather(*accepting, return_exceptions=True)
        await engine.close(grace_seconds=grace_seconds)
        for listener in listeners:
            listener.close()
