"""Where a request to the forward proxy may go: to an emulated host on its standard port, or nowhere.

Contract: azure surface, section 9 (b): CONNECT and absolute-form for emulated hosts, refusal of every other.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from podpass.lab.doors.names import Names, Nowhere, Route, address_of, ends_in_number, normalise, printable

HTTPS_PORT = 443
HTTP_PORT = 80
_LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})


@dataclass(frozen=True, slots=True)
class Intercept:
    """CONNECT to an emulated host: the lab ends the TLS connection itself."""

    route: Route


@dataclass(frozen=True, slots=True)
class Forward:
    """A plain request in absolute form for an emulated host."""

    route: Route


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A request that leads nowhere. *why* is one line for the client; *what* names the request in the journal."""

    status: int
    why: str
    what: str


Destination = Intercept | Forward | TurnedAway


def decide(method: str, target: str, hosts: Sequence[str], names: Names) -> Destination:
    """Where the request *method* *target* goes; *hosts* are its Host headers.

    400: the request is malformed. 403: an address, a port or a scheme that is never reached through the proxy.
    502: a host name the lab does not emulate, as a proxy answers for a name it can't resolve.
    """
    if method == "CONNECT":
        return _connect(target, names)
    return _absolute(method, target, hosts, names)


def _connect(target: str, names: Names) -> Destination:
    if "@" in target:
        return TurnedAway(400, "credentials in a CONNECT target are not allowed", "CONNECT")
    what = f"CONNECT {printable(target)}"
    host, colon, port = target.rpartition(":")
    if not colon or not _is_port(port) or not host or (":" in host and not host.startswith("[")):
        return TurnedAway(400, "the target of CONNECT must be host:port", what)
    found = _emulated(host, int(port), HTTPS_PORT, what, names)
    return Intercept(found) if isinstance(found, Route) else found


def _absolute(method: str, target: str, hosts: Sequence[str], names: Names) -> Destination:
    if target.startswith("/") or target == "*":
        # Origin form; the target is not repeated, a path may hold anything.
        return TurnedAway(400, "this is a proxy: set it as HTTPS_PROXY instead of sending requests to it", method)
    try:
        url = urlsplit(target)
        host, port = url.hostname or "", url.port
    except ValueError:
        return TurnedAway(400, "the target is not a URL", method)
    what = f"{method} {printable(url.scheme)}://{printable(host)}"
    if "@" in url.netloc:
        return TurnedAway(400, "credentials in a URL are not allowed", what)
    if url.scheme != "http":
        return TurnedAway(400, "only http:// URLs are taken in this form; other schemes need CONNECT", what)
    if port is not None:
        what = f"{what}:{port}"
    found = _emulated(host, HTTP_PORT if port is None else port, HTTP_PORT, what, names)
    if isinstance(found, TurnedAway):
        return found
    # RFC 9112 section 3.2.2 lets the URL win; a disagreement only ever serves to mislead, so it is refused.
    if len(hosts) != 1 or normalise(hosts[0]) != found.host:
        return TurnedAway(400, "the Host header does not agree with the URL", what)
    return Forward(found)


def _emulated(host: str, port: int, wanted_port: int, what: str, names: Names) -> Route | TurnedAway:
    name = host.lower().removesuffix(".")
    shown = printable(name)
    address = address_of(name)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if name in _LOOPBACK_NAMES or name.endswith(".localhost") or (address is not None and address.is_loopback):
        return TurnedAway(403, f"{shown} is this machine: add it to NO_PROXY (127.0.0.1,localhost)", what)
    if address is not None and address.is_link_local:
        # azure-identity takes a 403 that says "unreachable" for a machine without managed identities.
        return TurnedAway(
            403, f"{shown} is unreachable from the lab: set AZURE_POD_IDENTITY_AUTHORITY_HOST for IMDS", what
        )
    if address is not None or ends_in_number(name):
        return TurnedAway(403, f"{shown} is an address; the lab is reached by host name", what)
    found = names.resolve(host)
    if isinstance(found, Nowhere):
        return TurnedAway(502, f"{shown}: {found.why}", what)
    if port != wanted_port:
        return TurnedAway(403, f"{shown}: only port {wanted_port} is reached through the proxy, not {port}", what)
    return found


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536
