"""Fetch the keys of an issuer, trusting nothing about it but TLS.

A fetch is https only, follows no redirect, reads a bounded number of bytes in a bounded time, and takes keys only from
the issuer's own host. Design rule: a fetch of somebody's discovery document or keys is bounded.
"""

import asyncio
import contextlib
import ssl
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import aiohttp
import msgspec

from podpass.tokens.discovery import BadMetadata, discovery_url, read_metadata, unfetchable
from podpass.tokens.keys import JwkSet, UnusableKey

MAX_DOCUMENT_BYTES = 256 * 1024
TIMEOUT_SECONDS = 10.0
MAX_AGE_SECONDS = 3600.0
REFETCH_SECONDS = 5.0
"""Unknown kids make the keys be fetched anew at most this often."""
NEGATIVE_SECONDS = 1.0
"""A failed fetch is not tried again sooner."""
MAX_ISSUERS = 256

Step = Literal["discovery", "keys"]


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch."""
        ...


class DiscoveryFailed(Exception):
    """The issuer's keys could not be had. *missing* names the member that its discovery document lacks."""

    def __init__(self, issuer: str, step: Step, reason: str, *, missing: str = "") -> None:
        super().__init__(f"{step} of issuer {issuer} failed: {reason}")
        self.issuer, self.step, self.reason, self.missing = issuer, step, reason, missing


@dataclass(frozen=True, slots=True)
class Fetch:
    """One request made to an issuer, for whoever keeps a record of them."""

    issuer: str
    step: Step
    url: str
    failure: str = ""
    """Empty when the document was had."""
    kids: tuple[str, ...] = ()
    """The keys found, on the second step."""
    seconds: float = 0.0


@dataclass(slots=True)
class _Entry:
    """What is known of one issuer. Times are of the injected clock."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    keys: JwkSet | None = None
    fetched: float = 0.0
    refetched: float = float("-inf")
    failure: DiscoveryFailed | None = None
    failed: float = 0.0


class KeyFetcher:
    """The keys of issuers, fetched when needed and kept for a while.

    *session* decides which hosts can be reached at all. One fetch per issuer runs at a time; requests that arrive
    meanwhile share its outcome.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        clock: Clock,
        *,
        allow_http_loopback: bool = False,
        max_bytes: int = MAX_DOCUMENT_BYTES,
        timeout_seconds: float = TIMEOUT_SECONDS,
        max_age_seconds: float = MAX_AGE_SECONDS,
        refetch_seconds: float = REFETCH_SECONDS,
        negative_seconds: float = NEGATIVE_SECONDS,
        on_fetch: Callable[[Fetch], None] | None = None,
    ) -> None:
        self._session = session
        self._clock = clock
        self._allow_http_loopback = allow_http_loopback
        self._max_bytes = max_bytes
        self._timeout_seconds = timeout_seconds
        self._max_age_seconds = max_age_seconds
        self._refetch_seconds = refetch_seconds
        self._negative_seconds = negative_seconds
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self.on_fetch = on_fetch

    async def keys_for(self, issuer: str, kid: str) -> JwkSet:
        """The issuer's keys; fetched once more, within limits, when *kid* is not among those already known.

        The result may lack *kid* all the same. Raises DiscoveryFailed when there are no keys to be had; keys that
        are still fresh survive a failed refetch.
        """
        entry = self._entry(issuer)
        if (known := self._usable(entry, kid)) is not None:
            return known
        async with entry.lock:
            # Another request may have fetched while this one waited.
            if (known := self._usable(entry, kid)) is not None:
                return known
            now = self._clock.now()
            fresh = self._fresh(entry)
            if entry.failure is not None and now - entry.failed < self._negative_seconds:
                # A new error each time: one exception raised in two tasks would share a traceback.
                failure = entry.failure
                raise DiscoveryFailed(issuer, failure.step, failure.reason, missing=failure.missing) from failure
            if fresh is not None:
                entry.refetched = now
            try:
                keys = await self._fetch_keys(issuer)
            except DiscoveryFailed as error:
                if fresh is not None:
                    return fresh
                entry.failure, entry.failed = error, self._clock.now()
                raise
            entry.keys, entry.fetched, entry.failure = keys, self._clock.now(), None
            return keys

    def forget(self, issuer: str | None = None) -> None:
        """Drop what is known of *issuer*, or of all."""
        if issuer is None:
            self._entries.clear()
        else:
            self._entries.pop(issuer, None)

    def _entry(self, issuer: str) -> _Entry:
        entry = self._entries.get(issuer)
        if entry is None:
            entry = self._entries[issuer] = _Entry()
            while len(self._entries) > MAX_ISSUERS:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end(issuer)
        return entry

    def _fresh(self, entry: _Entry) -> JwkSet | None:
        return entry.keys if self._clock.now() - entry.fetched < self._max_age_seconds else None

    def _usable(self, entry: _Entry, kid: str) -> JwkSet | None:
        """The known keys, unless a fetch may do better."""
        fresh = self._fresh(entry)
        if fresh is None or fresh.get(kid) is not None:
            return fresh
        return fresh if self._clock.now() - entry.refetched < self._refetch_seconds else None

    async def _fetch_keys(self, issuer: str) -> JwkSet:
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        url = discovery_url(issuer)
        document = await self._document(issuer, "discovery", url, deadline)
        try:
            jwks_uri = read_metadata(document.value, issuer)
        except BadMetadata as error:
            self._record(document, failure=error.reason)
            raise DiscoveryFailed(issuer, "discovery", error.reason, missing=error.missing) from error
        self._record(document)
        document = await self._document(issuer, "keys", jwks_uri, deadline)
        try:
            keys = JwkSet.from_dict(document.value)
        except UnusableKey as error:
            self._record(document, failure=str(error))
            raise DiscoveryFailed(issuer, "keys", str(error)) from error
        self._record(document, kids=keys.kids)
        return keys

    async def _document(self, issuer: str, step: Step, url: str, deadline: float) -> "_Document":
        started = time.perf_counter()
        cause: Exception
        try:
            if reason := unfetchable(url, allow_http_loopback=self._allow_http_loopback):
                raise _NotHad(f"{url} is not fetched: {reason}")
            async with asyncio.timeout_at(deadline):
                value = await self._get(url)
        except TimeoutError as error:
            failure, cause = f"no answer within {self._timeout_seconds:g} seconds", error
        except (aiohttp.ClientError, OSError) as error:
            failure, cause = _plainly(error), error
        except _NotHad as error:
            failure, cause = str(error), error
        else:
            return _Document(issuer, step, url, value, time.perf_counter() - started)
        self._record(_Document(issuer, step, url, None, time.perf_counter() - started), failure=failure)
        raise DiscoveryFailed(issuer, step, failure) from cause

    async def _get(self, url: str) -> object:
        """The JSON document at *url*. Encodings are neither asked for nor undone: a small body could unpack to a
        huge one before its size is known."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with self._session.get(url, allow_redirects=False, headers=headers, auto_decompress=False) as response:
            if 300 <= response.status < 400:
                raise _NotHad(f"status {response.status}; redirects are not followed")
            if response.status != 200:
                raise _NotHad(f"status {response.status}")
            if (response.content_length or 0) > self._max_bytes:
                raise _NotHad(f"the document is larger than {self._max_bytes} bytes")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > self._max_bytes:
                    # The connection is not worth reading to the end.
                    response.close()
                    raise _NotHad(f"the document is larger than {self._max_bytes} bytes")
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _NotHad("the document is not JSON") from error

    def _record(self, document: "_Document", *, failure: str = "", kids: tuple[str, ...] = ()) -> None:
        if self.on_fetch is not None:
            self.on_fetch(
                Fetch(document.issuer, document.step, document.url, failure, kids, round(document.seconds, 6))
            )


@dataclass(frozen=True, slots=True)
class _Document:
    issuer: str
    step: Step
    url: str
    value: object = field(repr=False)
    seconds: float


class _NotHad(Exception):
    """The document could not be had; the text says why."""


def _plainly(error: Exception) -> str:
    """What went wrong, without the internals of the HTTP library."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS failed"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its host name is not known"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "nothing answers there"
    if isinstance(error, aiohttp.InvalidURL):
        return "it is not a URL"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed before an answer"
    if isinstance(error, aiohttp.ClientConnectionError):
        return "no connection to it can be made"
    return type(error).__name__


@contextlib.asynccontextmanager
async def fetching_as_configured(clock: Clock, *, ca_file: str | None = None) -> AsyncIterator[KeyFetcher]:
    """A fetcher that goes through the proxy which the environment names, trusting *ca_file* or the system's roots."""
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=ca_file))
    async with aiohttp.ClientSession(connector=connector, trust_env=True) as session:
        yield KeyFetcher(session, clock)
