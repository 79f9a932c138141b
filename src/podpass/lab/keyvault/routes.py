"""Which call a path and a method make, as tables.

A path is written with `{}` for a name in it, the second of which is a version: `keys/{}/{}/sign`.
Contract: secrets store, sections 3.3 to 3.5.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from podpass.lab.keyvault import errors
from podpass.lab.keyvault.calls import Call
from podpass.lab.keyvault.operations import Operation


@dataclass(frozen=True, slots=True)
class Route:
    """The calls that a path offers, by HTTP method."""

    path: str
    calls: Mapping[str, Operation] = field(default_factory=dict)
    only_these: bool = False
    """Other methods mean another path, in which the last word is a name: `GET keys/{}/create` asks for a version."""
    gap: str = ""
    """What the vault has there and the lab has not."""

    def names(self, segments: Sequence[str]) -> tuple[str, ...] | None:
        """The names in a path that is this one, in whatever letter case; None for any other."""
        parts = self.path.split("/")
        if len(parts) != len(segments):
            return None
        pairs = list(zip(parts, segments, strict=True))
        if any(part not in ("{}", segment.lower()) for part, segment in pairs):
            return None
        return tuple(segment for part, segment in pairs if part == "{}")


class Routed(Protocol):
    """What answers some of the calls on vaults."""

    @property
    def routes(self) -> Sequence[Route]: ...


def call_of(services: Iterable[Routed], method: str, path: str) -> tuple[int, Call]:
    """The call that a request makes, and at which place among *services* the one is that answers it.

    Raises KeyVaultError for an unknown path, another method, and what the lab does not emulate.
    """
    place, route, names = route_of(services, method, path)
    return place, Call(route.calls[method], *names)


def route_of(services: Iterable[Routed], method: str, path: str) -> tuple[int, Route, tuple[str, ...]]:
    """The route of a request with the names in its path, as `call_of` takes it.

    A trailing slash stands for the newest version. Raises KeyVaultError.
    """
    segments = [segment for segment in path.split("/") if segment]
    for place, service in enumerate(services):
        for route in service.routes:
            names = route.names(segments)
            if names is None or (route.only_these and method not in route.calls):
                continue
            if route.gap:
                raise errors.not_emulated(route.gap)
            if method not in route.calls:
                raise errors.method_not_allowed(method)
            return place, route, names
    if segments and segments[0].lower() in _NOT_EMULATED:
        raise errors.not_emulated(f"the {segments[0].lower()} of a vault")
    raise errors.not_found(path)


_NOT_EMULATED = frozenset(("rng", "storage", "deletedstorage"))


def routes_of(plural: str, operations: type[Operation], *, put: Operation | None = None) -> tuple[Route, ...]:
    """The routes that every type of object has; *put* is what a PUT of a name does."""
    deleted, operation = f"deleted{plural}", operations
    named = {"GET": operation["GET"], "PATCH": operation["UPDATE"], "DELETE": operation["DELETE"]}
    return (
        Route(plural, {"GET": operation["LIST"]}),
        Route(f"{plural}/restore", {"POST": operation["RESTORE"]}, only_these=True),
        Route(f"{plural}/{{}}", named if put is None else {**named, "PUT": put}),
        Route(f"{plural}/{{}}/versions", {"GET": operation["VERSIONS"]}),
        Route(f"{plural}/{{}}/backup", {"POST": operation["BACKUP"]}),
        Route(f"{plural}/{{}}/{{}}", {"GET": operation["GET"], "PATCH": operation["UPDATE"]}),
        Route(deleted, {"GET": operation["LIST_DELETED"]}),
        Route(f"{deleted}/{{}}", {"GET": operation["GET_DELETED"], "DELETE": operation["PURGE"]}),
        Route(f"{deleted}/{{}}/recover", {"POST": operation["RECOVER"]}),
    )
