"""The issuer host of one region for several clusters: which of them a path belongs to.

All clusters of a region share a host; each has the path of its tenant and guid. What belongs to none is answered by
the lab's own cluster, whose issuer says 404 to every path but its two.
"""

from urllib.parse import urlsplit

from podpass.serving.asgi import App, Receive, Scope, Send


class Issuers:
    """An app. *own* is the lab's own cluster's issuer."""

    def __init__(self, own: App) -> None:
        self._own = own
        self._others: dict[tuple[str, str], App] = {}

    def add(self, issuer: str, app: App) -> None:
        """Lead *issuer*, a URL that ends in a slash, to *app*."""
        self._others[_place(issuer)] = app

    def remove(self, issuer: str) -> None:
        self._others.pop(_place(issuer), None)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._own
        if self._others and scope["type"] == "http":
            hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            host = hosts[0].partition(":")[0].lower().removesuffix(".") if hosts else ""
            path = "/".join(scope["path"].split("/", 3)[:3]) + "/"
            found = self._others.get((host, path), self._own)
        await found(scope, receive, send)


def _place(issuer: str) -> tuple[str, str]:
    parts = urlsplit(issuer)
    return parts.hostname or "", parts.path
