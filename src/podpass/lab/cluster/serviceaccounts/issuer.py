"""The cluster as an OpenID issuer: the two documents by which others verify its tokens.

They are served by the API server at its own root and, under the issuer's path, by the public issuer host, which is
the one that clouds fetch. Contract: Kubernetes API surface, section 4.4; Azure workload identity, section 4.
"""

import functools
from typing import Protocol
from urllib.parse import urlsplit

from podpass.lab.journal import Hop, Journal, RepeatedHop
from podpass.serving.asgi import (
    Message,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    answering,
    json_response,
    response_messages,
    text_response,
)
from podpass.tokens.discovery import JWKS_PATH, WELL_KNOWN, issuer_document, jwks_url
from podpass.tokens.keys import JwkSet

_CACHE = ("Cache-Control", "public, max-age=3600")


class PublishedKeys(Protocol):
    @property
    def published(self) -> JwkSet: ...


def documents(issuer: str, keys: JwkSet) -> dict[str, Response]:
    """The two answers by their paths below the API server's root."""
    configuration = issuer_document(issuer, jwks_url(issuer), (key.algorithm for key in keys.keys))
    jwks = ("Content-Type", "application/jwk-set+json")
    return {
        WELL_KNOWN: json_response(200, configuration, (_CACHE,)),
        JWKS_PATH: json_response(200, keys.to_dict(), (jwks, _CACHE)),
    }


class Issuer:
    """Answers the two documents. *issuer* is compared byte for byte by relying parties: keep its trailing slash.

    Raises ValueError for an issuer that is not https or that has a query or fragment.
    """

    def __init__(self, issuer: str, keys: PublishedKeys, journal: Journal | None = None) -> None:
        parts = urlsplit(issuer)
        if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"an issuer is an https URL without query and fragment, not {issuer!r}")
        self.issuer = issuer
        self._base = parts.path.removesuffix("/")
        self._keys = keys
        self._journal = journal
        self._rendered_keys: JwkSet | None = None
        self._rendered: dict[str, Response] = {}
        self._prepared: dict[str, tuple[Message, Message]] = {}
        self._otherwise = answering(
            self._answer, max_body=1024, too_large=lambda _: text_response(413, "request entity too large\n")
        )

    def document(self, path: str) -> Response | None:
        """What the API server answers at *path* below its own root; None where neither document lives."""
        self._render()
        return self._rendered.get(path)

    def _render(self) -> None:
        keys = self._keys.published
        if self._rendered_keys is not keys:
            self._rendered_keys, self._rendered = keys, documents(self.issuer, keys)
            # Bounded, because readers name themselves.
            self._read = functools.lru_cache(maxsize=64)(self._repeated)
            self._prepared = {self._base + path: response_messages(found) for path, found in self._rendered.items()}

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The public issuer host: the documents under the issuer's path, nothing else."""
        self._render()
        messages = self._prepared.get(scope["path"]) if scope.get("method") == "GET" else None
        if messages is None:
            await self._otherwise(scope, receive, send)
            return
        # Relying parties of all clouds read these two: nothing is parsed, and nothing rendered, for each of them.
        reader = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
        if self._journal is not None:
            self._journal.record(self._read(reader, scope["path"]))
        for message in messages:
            await send(message)

    async def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return text_response(405, "method not allowed\n", (("Allow", "GET, HEAD"),))
        found = self.document(request.path.removeprefix(self._base)) if self._owns(request.path) else None
        self._record(request.headers.get("user-agent", ""), request.method, request.path, found=found is not None)
        return found or text_response(404, "404 page not found\n")

    def _repeated(self, reader: bytes, path: str) -> RepeatedHop:
        return RepeatedHop(self._hop(reader.decode("latin-1"), "GET", path, found=True))

    def _record(self, reader: str, method: str, path: str, *, found: bool) -> None:
        if self._journal is not None:
            self._journal.record(self._hop(reader, method, path, found=found))

    def _hop(self, reader: str, method: str, path: str, *, found: bool) -> Hop:
        return Hop(
            who=reader or "an HTTP client",
            whom="issuer",
            what=f"{method} {path}",
            outcome="done" if found else "refused",
            why="" if found else "the issuer publishes two documents only",
            decision={"issuer": self.issuer, "kids": list(self._keys.published.kids)},
            wire="" if found else "404",
        )

    def _owns(self, path: str) -> bool:
        return path in (self._base + WELL_KNOWN, self._base + JWKS_PATH)
