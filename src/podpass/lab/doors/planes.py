"""The planes of the cloud behind one address, for clients of a cloud of their own: told apart by path.

Contract: Azure HTTP surface, head (the paths of the planes do not collide) and section 9 (a).
"""

from collections.abc import Mapping

from podpass.serving.asgi import App, Receive, Scope, Send

_ARM = frozenset(("", "metadata", "providers", "subscriptions", "tenants"))
_GRAPH = frozenset(("v1.0", "beta"))


def plane_of(path: str) -> str:
    """The service that *path* is a path of: arm, graph, or entra, whose paths begin with the name of a tenant."""
    first = path.lstrip("/").partition("/")[0].lower()
    if first in _ARM:
        return "arm"
    return "graph" if first in _GRAPH else "entra"


class Planes:
    """An ASGI app that sends each request to the service its path belongs to."""

    def __init__(self, services: Mapping[str, App]) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._services[plane_of(scope["path"])](scope, receive, send)
