"""The doors' sockets: the gateway's and the proxy's listeners, DNS over a stream, and the lab's own HTTP client.

Listeners are on loopback or unix sockets. The client knows real host names and one destination: nothing is sent to
any other host, and none is looked up, because the check stands before the resolver.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from podpass.lab.certificates import CertificateAuthority
from podpass.lab.doors.dns import Addresses, Reply, Services, reply
from podpass.lab.doors.http import ForwardProxy, Gateway, OwnTls
from podpass.lab.doors.names import Names, Nowhere, printable
from podpass.lab.doors.traces import TraceSeal
from podpass.lab.journal import TRACE_HEADER, Hop, Journal, current_trace
from podpass.serving.connection import Limits
from podpass.serving.server import HttpEngine, serving_with

TOTAL_SECONDS = 30.0
CONNECT_SECONDS = 5.0
MOST_RECORDED_NAMES = 10_000


class NotLoopback(ValueError):
    """A listener of the lab would be reached from other machines."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} is not a loopback address")


class NotEmulated(aiohttp.ClientConnectionError):
    """The lab does not emulate the host, so nothing was sent to it."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(f"{host}: {why}")
        self.host, self.why = host, why


class LabResolver(AbstractResolver):
    """Resolves every name the lab emulates to the gateway's address and port, and no other name."""

    def __init__(self, names: Names, gateway: tuple[str, int]) -> None:
        self._names = names
        self._gateway = gateway

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self._names.resolve(host)
        if isinstance(found, Nowhere):
            raise NotEmulated(found.host, found.why)
        address, gateway_port = self._gateway
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=gateway_port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
        ]

    async def close(self) -> None:
        return None


def lab_session(
    ca: CertificateAuthority,
    gateway: tuple[str, int],
    names: Names,
    *,
    seal: TraceSeal | None = None,
    refused: Callable[[Nowhere], None] = lambda nowhere: None,
) -> aiohttp.ClientSession:
    """A session whose requests to emulated hosts arrive at *gateway*, trusting only *ca*.

    Any other host, an address included, raises NotEmulated before a look-up or a packet, after *refused* was told.
    With *seal* requests carry the current trace. The caller closes the session. Raises NotLoopback.
    """
    _must_be_loopback(gateway[0])

    async def only_emulated(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        # A middleware rather than the resolver alone: aiohttp does not ask the resolver about addresses.
        found = names.resolve(request.url.host or "")
        if not isinstance(found, Nowhere) and request.url.scheme != "https":
            found = Nowhere(found.host, f"the gateway speaks https, not {request.url.scheme}")
        elif not isinstance(found, Nowhere) and request.url.port != 443:
            found = Nowhere(found.host, f"the gateway stands for port 443, not {request.url.port}")
        if isinstance(found, Nowhere):
            refused(found)
            raise NotEmulated(printable(found.host), found.why)
        if seal is not None and (trace := current_trace()):
            request.headers[TRACE_HEADER] = seal.value(trace)
        return await handler(request)

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=LabResolver(names, gateway), ssl=ca.client_context(), use_dns_cache=False, limit=256
        ),
        middlewares=(only_emulated,),
        timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS, sock_connect=CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


@contextlib.asynccontextmanager
async def serve_gateway(
    gateway: Gateway,
    listeners: Sequence[socket.socket],
    ca: CertificateAuthority,
    names: Names,
    *,
    own_tls: Mapping[str, OwnTls] | None = None,
    default_hosts: Iterable[str] = ("localhost", "127.0.0.1"),
    limits: Limits = Limits(),  # noqa: B008 - a frozen value
    grace_seconds: float = 2.0,
) -> AsyncIterator[None]:
    """Serve *gateway* over TLS with the certificate of each emulated name. Raises NotLoopback.

    A connection to a service of *own_tls* is handed to that service, which ends TLS itself.
    """
    for listener in listeners:
        _must_be_local(listener)

    def of_their_own(host: str) -> tuple[HttpEngine, ssl.SSLContext] | None:
        route = names.route(host)
        found = None if route is None or own_tls is None else own_tls.get(route.service)
        return None if found is None else (found.engine, found.context)

    tls = ca.server_context(default_hosts, accepts=lambda host: names.route(host) is not None)
    engine = HttpEngine(gateway, limits=limits, refused=gateway.refused)
    async with serving_with(
        engine,
        listeners,
        tls=tls,
        instead=lambda: of_their_own if own_tls else None,
        grace_seconds=grace_seconds,
    ):
        yield


@contextlib.asynccontextmanager
async def serve_forward_proxy(
    proxy: ForwardProxy, listener: socket.socket, *, grace_seconds: float = 2.0
) -> AsyncIterator[None]:
    """Serve *proxy* on *listener*, tunnels included. Raises NotLoopback."""
    _must_be_local(listener)
    async with serving_with(proxy, [listener], grace_seconds=grace_seconds):
        yield


@contextlib.asynccontextmanager
async def serve_dns(
    listener: socket.socket,
    names: Names,
    addresses: Addresses,
    journal: Journal,
    *,
    services: Services | None = None,
) -> AsyncIterator[None]:
    """Answer DNS messages on *listener*, each preceded by its length in two bytes (RFC 1035, section 4.2.2).

    The node relays its pods' datagrams here. Each unknown name is recorded once. Raises NotLoopback.
    """
    _must_be_local(listener)
    open_streams: set[_DnsStream] = set()
    recorded: set[str] = set()

    def respond(query: bytes) -> bytes:
        found = reply(query, names, addresses, services=services)
        if found.unknown and found.unknown not in recorded and len(recorded) < MOST_RECORDED_NAMES:
            recorded.add(found.unknown)
            journal.record(_unknown_name(found))
        return found.message

    loop = asyncio.get_running_loop()
    try:
        if listener.family == socket.AF_UNIX:
            server = await loop.create_unix_server(lambda: _DnsStream(respond, open_streams), sock=listener)
        else:
            server = await loop.create_server(lambda: _DnsStream(respond, open_streams), sock=listener)
        try:
            yield
        finally:
            server.close()
            for stream in list(open_streams):
                stream.abort()
    finally:
        listener.close()


def _unknown_name(found: Reply) -> Hop:
    return Hop(
        who="pod", whom="dns", what=f"resolve {found.unknown}", outcome="refused", why=found.why, wire="NXDOMAIN"
    )


class _DnsStream(asyncio.Protocol):
    def __init__(self, respond: Callable[[bytes], bytes], streams: set["_DnsStream"]) -> None:
        self._respond = respond
        self._streams = streams
        self._transport: asyncio.Transport | None = None
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._streams.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._streams.discard(self)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        data = self._pending + data
        at, answers = 0, []
        while len(data) >= at + 2 and len(data) >= (end := at + 2 + int.from_bytes(data[at : at + 2])):
            if message := self._respond(data[at + 2 : end]):
                answers.append(len(message).to_bytes(2) + message)
            at = end
        self._pending = data[at:]
        if answers:
            self._transport.write(b"".join(answers))

    def pause_writing(self) -> None:
        # A client that asks without reading waits, instead of filling memory.
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _must_be_local(listener: socket.socket) -> None:
    if listener.family != socket.AF_UNIX:
        _must_be_loopback(listener.getsockname()[0])


def _must_be_loopback(address: str) -> None:
    if not ipaddress.ip_address(address).is_loopback:
        raise NotLoopback(address)
