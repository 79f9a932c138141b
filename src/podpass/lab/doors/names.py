"""One table from host names to the lab's services, read by the proxy, the gateway and DNS alike.

A pattern is an exact name, or `*.suffix`, where the star stands for exactly one label, as in a certificate.
"""

import functools
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from podpass.lab.doors import own

CLUSTER_ZONE = "cluster.local"

AZURE_PUBLIC: Mapping[str, str] = {
    "login.microsoftonline.com": "entra",
    "login.microsoft.com": "entra",
    "login.windows.net": "entra",
    "sts.windows.net": "entra",
    "management.azure.com": "arm",
    "management.core.windows.net": "arm",
    "graph.microsoft.com": "graph",
    "*.vault.azure.net": "keyvault",
    "*.redis.cache.windows.net": "redis",
    # Issuers of AKS clusters: https://<region>.oic.prod-aks.azure.com/<tenant>/<cluster>/
    "*.oic.prod-aks.azure.com": "issuer",
}
KUBERNETES: Mapping[str, str] = {
    "kubernetes": "cluster",
    "kubernetes.default": "cluster",
    "kubernetes.default.svc": "cluster",
    f"kubernetes.default.svc.{CLUSTER_ZONE}": "cluster",
}

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_MAX_NAME = 253
_UNKNOWN = "the lab does not emulate this host"


class BadPattern(ValueError):
    """A pattern that is neither a host name nor `*.` and a host name."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a host name leads."""

    service: str
    label: str
    """What the pattern's star stands for, for example the vault's name; empty for an exact name."""
    host: str
    """The name in normal form."""


@dataclass(frozen=True, slots=True)
class Nowhere:
    """A host name that leads to no service of the lab, and the reason."""

    host: str
    why: str


class Names:
    """The table. Patterns come and go while the lab runs; every door sees it at once."""

    def __init__(self, *tables: Mapping[str, str]) -> None:
        self._exact: dict[str, str] = {}
        self._below: dict[str, str] = {}
        self._exists: dict[str, Callable[[str], bool]] = {}
        self._addresses: dict[str, Callable[[str], str]] = {}
        # A few hosts are asked for over and over; bounded, because the asker chooses the name.
        self._remembered = functools.lru_cache(maxsize=256)(self._find)
        for table in tables or (AZURE_PUBLIC, KUBERNETES, own.TABLE):
            for pattern, service in table.items():
                self.add(pattern, service)

    def add(self, pattern: str, service: str) -> None:
        """Lead *pattern* to *service*. Raises BadPattern."""
        suffix = pattern.removeprefix("*.")
        host = normalise(suffix)
        if host is None or ":" in suffix:
            raise BadPattern(f"{pattern!r} is neither a host name nor '*.' and a host name")
        table = self._exact if suffix == pattern else self._below
        table[host] = service
        self._remembered.cache_clear()

    def remove(self, pattern: str) -> None:
        """Forget *pattern*; one that is not known is no matter."""
        suffix = pattern.removeprefix("*.")
        (self._exact if suffix == pattern else self._below).pop(suffix, None)
        self._remembered.cache_clear()

    def only_existing(self, service: str, exists: Callable[[str], bool]) -> None:
        """Of the names below a star that lead to *service*, know only those whose label *exists* accepts.

        A vault's name resolves only while there is a vault of that name, as in Azure's own DNS.
        """
        self._exists[service] = exists

    def addressed(self, service: str, address_of: Callable[[str], str]) -> None:
        """Of the names below a star that lead to *service*, tell pods an address by its label: their protocol does not
        name the host, as HTTP and TLS do. Empty where it has none.
        """
        self._addresses[service] = address_of

    def pod_address(self, found: Route) -> str | None:
        """The address of its own that a name has in pods, empty when it has none now; None: that of all others."""
        address_of = self._addresses.get(found.service) if found.label else None
        return None if address_of is None else address_of(found.label)

    def route(self, host: str) -> Route | None:
        """Where *host* leads, whether or not the thing behind a star exists."""
        found = self._match(host)
        return found if isinstance(found, Route) else None

    def resolve(self, host: str) -> Route | Nowhere:
        """Where *host* leads, as DNS sees it: names below a star must also exist.

        This machine's own names lead nowhere: to whoever asks they mean another machine, or a pod.
        """
        found = self._match(host)
        if isinstance(found, Route) and own.is_own(found.host):
            return Nowhere(found.host, _UNKNOWN)
        if isinstance(found, Route) and found.label:
            exists = self._exists.get(found.service)
            if exists is not None and not exists(found.label):
                return Nowhere(found.host, f"{found.service} has nothing named '{found.label}'")
        return found

    def patterns(self) -> Iterator[tuple[str, str]]:
        """Each pattern and its service."""
        yield from self._exact.items()
        for suffix, service in self._below.items():
            yield f"*.{suffix}", service

    def _match(self, host: str) -> Route | Nowhere:
        return self._remembered(host) if len(host) <= _MAX_NAME + len(".:65535") else self._find(host)

    def _find(self, host: str) -> Route | Nowhere:
        name = normalise(host)
        if name is None:
            return Nowhere(printable(host), "not a host name")
        if (service := self._exact.get(name)) is not None:
            return Route(service, "", name)
        label, _, suffix = name.partition(".")
        if (service := self._below.get(suffix)) is not None:
            return Route(service, label, name)
        return Nowhere(name, _UNKNOWN)


def normalise(host: str) -> str | None:
    """*host* in lower case, without port and trailing dot; None when it is no DNS host name, an address included."""
    name, _, port = host.partition(":")
    if port and not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        return None
    name = name.lower().removesuffix(".")
    if not name or len(name) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        return None
    return None if ends_in_number(name) else name


def ends_in_number(name: str) -> bool:
    """Whether programs would read *name* as an IPv4 address: dotted, decimal, octal or hexadecimal."""
    last = name.rpartition(".")[2]
    return last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last) is not None


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that *host* spells in the usual form, brackets allowed, or None."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def printable(text: str, *, limit: int = 100) -> str:
    """*text* as it may stand in a one-line answer or the journal: ASCII, no control characters, short."""
    shown = text[:limit].encode("ascii", "backslashreplace").decode()
    return "".join(character if character.isprintable() else "?" for character in shown)
