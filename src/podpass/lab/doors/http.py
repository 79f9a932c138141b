"""The HTTP doors: the gateway sends a request to its service by Host, the forward proxy leads host programs to it."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from podpass.lab.certificates import CertificateAuthority
from podpass.lab.doors.destinations import Intercept, TurnedAway, decide
from podpass.lab.doors.names import Names, Nowhere, Route, printable
from podpass.lab.doors.origin import by_its_door
from podpass.lab.doors.refusals import bad_host, not_emulated, not_served
from podpass.lab.doors.traces import TraceSeal, traced
from podpass.lab.doors.traffic import Traffic
from podpass.lab.journal import Hop, Journal
from podpass.serving.asgi import App, Receive, Response, Scope, Send, send_response
from podpass.serving.connection import HttpConnection, Limits, Refused, Terms
from podpass.serving.server import HttpEngine, reason_of

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

_WATCHED = frozenset({"arm", "entra", "graph", "keyvault"})


@dataclass(frozen=True, slots=True)
class OwnTls:
    """Who ends TLS for a service that has certificates of its own, and asks its clients for theirs."""

    engine: HttpEngine
    context: ssl.SSLContext


class Gateway:
    """An ASGI app that sends each request to the service its Host header names, under a trace.

    A host that is not emulated is answered 421, a host whose service is not part of the lab 501; both are recorded.
    *services* may be filled while the gateway runs.
    """

    def __init__(self, names: Names, services: Mapping[str, App], journal: Journal, *, seal: TraceSeal) -> None:
        self.traffic = Traffic()
        self._names = names
        self._services = services
        self._journal = journal
        self._app = by_its_door(traced(self._route, seal))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def refused(self, refusal: Refused) -> None:
        """Record a connection that ended before its request was whole; for `serving(…, refused=…)`."""
        record_refusal(self._journal, refusal)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            await self._refuse(scope, send, bad_host(), f"the request has {len(hosts)} Host headers")
            return
        route = self._names.route(hosts[0])
        if route is None:
            found = self._names.resolve(hosts[0])
            why = found.why if isinstance(found, Nowhere) else ""
            await self._refuse(scope, send, not_emulated(printable(hosts[0]), why), f"{printable(hosts[0])}: {why}")
            return
        app = self._services.get(route.service)
        if app is None:
            why = f"the lab does not emulate the service {route.service}"
            await self._refuse(scope, send, not_served(route, scope), why, host=route.host)
            return
        if route.service in _WATCHED and scope["type"] == "http":
            app = self.traffic.watched(route.service, app)
        await app(scope, receive, send)

    async def _refuse(self, scope: Scope, send: Send, response: Response, why: str, *, host: str = "") -> None:
        method = scope.get("method", "websocket")
        self._journal.record(
            Hop(
                who="client",
                whom="door",
                what=f"{method} {host}{printable(scope['path'])}",
                outcome="refused",
                why=why,
                wire=str(response.status),
            )
        )
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        await send_response(send, response, head_only=method == "HEAD")


class ForwardProxy(HttpEngine):
    """Leads programs that have HTTPS_PROXY or HTTP_PROXY set to the gateway, and nowhere else.

    CONNECT to an emulated host is answered 200 and the TLS connection ends here, with a certificate of the lab's CA
    for that host; its requests then go to *gateway* in this process. A service of *own_tls* ends TLS itself. A plain
    request in absolute form goes to the gateway too. Everything else is refused with one line of text, recorded, and
    never tunnelled.
    """

    def __init__(
        self,
        gateway: App,
        names: Names,
        ca: CertificateAuthority,
        journal: Journal,
        *,
        own_tls: Mapping[str, OwnTls] | None = None,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
    ) -> None:
        def refused(refusal: Refused) -> None:
            record_refusal(journal, refusal)

        super().__init__(gateway, limits=limits, refused=refused)
        self.names = names
        self._ca = ca
        self._own_tls = {} if own_tls is None else own_tls
        self._inside = HttpEngine(gateway, limits=limits, refused=refused)

    def protocol(self) -> HttpConnection:
        return _ProxyConnection(self.terms, self)

    async def close(self, *, grace_seconds: float) -> None:
        await asyncio.gather(
            super().close(grace_seconds=grace_seconds), self._inside.close(grace_seconds=grace_seconds)
        )

    async def intercept(self, transport: asyncio.Transport, route: Route) -> None:
        """Open the tunnel on *transport*, end its TLS here and hand the requests in it to the gateway."""
        transport.write(_ESTABLISHED)
        own = self._own_tls.get(route.service)
        engine, context = (own.engine, own.context) if own else (self._inside, self._ca.context_for(route.host))
        await engine.secure(
            transport,
            context,
            failed=lambda error: self.terms.refused(
                Refused(
                    "",
                    0,
                    f"the TLS handshake failed ({reason_of(error)}); does the program trust the lab's CA?",
                    f"CONNECT {route.host}:443",
                )
            ),
        )


class _ProxyConnection(HttpConnection):
    def __init__(self, terms: Terms, proxy: ForwardProxy) -> None:
        super().__init__(terms)
        self._proxy = proxy
        self._tunnel_to: Route | None = None

    def on_headers_complete(self) -> None:
        self.check_head()
        method = self.parser.get_method().decode("ascii")
        hosts = [value.decode("latin-1") for name, value in self.headers if name == b"host"]
        destination = decide(method, self.url.decode("latin-1"), hosts, self._proxy.names)
        if isinstance(destination, TurnedAway):
            self.asked = destination.what
            self.fail(destination.status, destination.why)
        if isinstance(destination, Intercept):
            self._tunnel_to = destination.route
            return
        # Meant for this proxy, not for the service behind it.
        self.headers[:] = [header for header in self.headers if not header[0].startswith(b"proxy-")]
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._tunnel_to is None:
            super().on_message_complete()

    def upgraded(self, rest: bytes) -> None:
        route, transport = self._tunnel_to, self.transport
        if route is None or transport is None:
            super().upgraded(rest)
            return
        if rest or (self.cycle is not None and not self.cycle.response_complete):
            self.asked = f"CONNECT {route.host}:443"
            self.refuse(400, "a tunnel opens after everything before it was answered")
            return
        # Until TLS listens, what the client sends next must stay in the socket.
        transport.pause_reading()
        self.leave()
        self._proxy.open(self._proxy.intercept(transport, route))


def record_refusal(journal: Journal, refusal: Refused) -> None:
    """Record a connection that was turned away by the HTTP engine."""
    journal.record(
        Hop(
            who="client",
            whom="door",
            what=refusal.what or "a request that was not read whole",
            outcome="refused" if refusal.status else "failed",
            why=printable(refusal.why, limit=300),
            wire=str(refusal.status or ""),
        )
    )
