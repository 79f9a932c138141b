"""The lab's own client: real host names, one destination.

No packet for any other host is sent, and none is looked up: the check stands before the resolver.
"""

import ipaddress
import socket
from collections.abc import Callable

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from podpass.lab.certificates import CertificateAuthority
from podpass.lab.doors.names import Names, Nowhere, printable
from podpass.lab.doors.traces import TraceSeal
from podpass.lab.journal import TRACE_HEADER, current_trace

TOTAL_SECONDS = 30.0
CONNECT_SECONDS = 5.0


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
    With *seal* requests carry the current trace. *gateway* must be a loopback address. The caller closes the session.
    """
    if not ipaddress.ip_address(gateway[0]).is_loopback:
        raise ValueError(f"the gateway's address {gateway[0]} is not a loopback address")

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
