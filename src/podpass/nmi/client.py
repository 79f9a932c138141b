"""The services behind NMI: the metadata service, and the login service for service principals.

Contract: pod identity, sections 3.8, 3.10 and 9 (17, 26).
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from multidict import CIMultiDictProxy
from yarl import URL

from podpass.imds.requests import OLDEST_TOKEN_VERSION, TOKEN_PATH
from podpass.nmi.requests import Asked
from podpass.nmi.tokens import Outcome, Pace, Refused, Token, Unavailable
from podpass.settings.values import Address

WAITS_SECONDS = (2.0, 6.0, 14.0, 30.0)
"""Before each further try, as the platform's documentation advises."""
TOKENS_A_SECOND, TOKENS_AT_ONCE = 20, 5
"""The limits of the metadata service."""
MAX_TOKEN_BODY = 256 * 1024
MAX_PASSED, MAX_LOGINS = 64, 16
"""Requests handed on, and requests to login services, at a time."""
ANSWER_SECONDS = 30.0
"""How long a token's answer may take as a whole; of an answer that is handed on, each part."""
_AGAIN = frozenset({404, 408, 410, 429})
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "content-length",
    }
)


class NotReached(Exception):
    """The metadata service gave no answer, or only a part of it."""


@dataclass(frozen=True, slots=True)
class Passed:
    """The head of an answer that is handed on, and its body as it comes."""

    status: int
    headers: list[tuple[str, str]]
    body: AsyncIterator[bytes]
    """Raises NotReached when no more of it comes."""


class Upstream:
    """One HTTP session for both services, as an async context manager.

    With a unix *socket* everything goes there, whatever its address.
    """

    def __init__(self, metadata: Address, *, user_agent: str = "podpass-nmi", socket: Path | None = None) -> None:
        host = f"[{metadata.host}]" if ":" in metadata.host else metadata.host
        self._base = f"http://{host}:{metadata.port}" if metadata.port != 80 else f"http://{host}"
        self._user_agent, self._socket = user_agent, socket
        self._pace = Pace(per_second=TOKENS_A_SECOND, at_once=TOKENS_AT_ONCE)
        self._passing, self._logins = asyncio.Semaphore(MAX_PASSED), asyncio.Semaphore(MAX_LOGINS)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            # Each kind of request has a bound of its own: one that is slow must not take the others' connections.
            connector=aiohttp.UnixConnector(str(self._socket), limit=0)
            if self._socket is not None
            else aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=5.0, sock_read=ANSWER_SECONDS),
            # Whatever proxy the node's environment names, the metadata service is not behind it.
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "User-Agent", "Accept"),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    # Tokens

    async def metadata_token(self, asked: Asked) -> Outcome:
        """A token of the node's identity that is *asked* for; where none is named, the metadata service chooses."""
        resource = asked.resource
        named = {"client_id": asked.client_id, "msi_res_id": asked.resource_id, "object_id": asked.object_id}
        query = {
            "api-version": OLDEST_TOKEN_VERSION,
            **{name: value for name, value in named.items() if value},
            "resource": resource,
        }
        endpoint = f"{self._base}{TOKEN_PATH}"
        outcome: Outcome = Unavailable("not tried")
        for wait in (0.0, *WAITS_SECONDS):
            await asyncio.sleep(wait)
            try:
                async with (
                    self._pace,
                    asyncio.timeout(ANSWER_SECONDS),
                    self._opened.get(
                        endpoint,
                        params=query,
                        headers={"Metadata": "true", "User-Agent": self._user_agent},
                        allow_redirects=False,
                    ) as answer,
                ):
                    body = await _bounded(answer)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                outcome = Unavailable(f"{endpoint} gave no answer: {type(error).__name__}")
                continue
            outcome = _outcome(answer.status, body, resource, str(answer.url))
            if not isinstance(outcome, Refused) or not (answer.status in _AGAIN or answer.status >= 500):
                break
        return outcome

    async def principal_token(self, endpoint: str, form: Mapping[str, str]) -> Outcome:
        """A token from the login service at *endpoint* for the credential in *form*."""
        try:
            async with (
                self._logins,
                asyncio.timeout(ANSWER_SECONDS),
                self._opened.post(
                    endpoint,
                    data=dict(form),
                    headers={"User-Agent": self._user_agent, "Accept": "application/json"},
                    allow_redirects=False,
                    ssl=self._roots,
                ) as answer,
            ):
                body = await _bounded(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Unavailable(f"{endpoint} gave no answer: {type(error).__name__}")
        return _outcome(answer.status, body, form["resource"], endpoint)

    # Everything else

    @asynccontextmanager
    async def passed(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncIterator[Passed]:
        """The answer to a request that is handed on as it is. Raises NotReached."""
        kept = {name: value for name, value in headers.items() if name not in _HOP_BY_HOP}
        # Encoded already: what was decided on is what is sent.
        url = URL(f"{self._base}{path}{'?' + query if query else ''}", encoded=True)
        async with self._passing:
            try:
                answer = await self._opened.request(method, url, headers=kept, data=body or None, allow_redirects=False)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                raise NotReached(f"{self._base} gave no answer: {type(error).__name__}") from error
            async with answer:
                yield Passed(answer.status, _handed_on(answer.headers), self._parts(answer))

    async def _parts(self, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for part in answer.content.iter_chunked(65_536):
                yield part
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NotReached(f"{self._base} gave a part of its answer only: {type(error).__name__}") from error

    @cached_property
    def _roots(self) -> ssl.SSLContext:
        """The machine's root certificates, read when a login service is asked for the first time.

        NMI is started without them: most nodes have managed identities only, whose tokens come without TLS.
        """
        return ssl.create_default_context()

    @property
    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the session is used before it is opened")
        return self._session


def _outcome(status: int, body: bytes, resource: str, endpoint: str) -> Outcome:
    if status != 200:
        return Refused(status, body.decode(errors="replace"), endpoint)
    try:
        found: Any = msgspec.json.decode(body)
        expires_on = int(found["expires_on"])
        token = str(found["access_token"])
        not_before = int(found.get("not_before") or 0)
        expires_in = int(found["expires_in"]) if found.get("expires_in") else None
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return Unavailable(f"{endpoint} answered 200 without a token that can be read")
    if not token:
        return Unavailable(f"{endpoint} answered 200 with an empty token")
    return Token(token, str(found.get("resource") or resource), expires_on, not_before, expires_in)


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    body = await answer.content.read(MAX_TOKEN_BODY + 1)
    while not answer.content.at_eof() and len(body) <= MAX_TOKEN_BODY:
        body += await answer.content.read(MAX_TOKEN_BODY + 1 - len(body))
    if len(body) > MAX_TOKEN_BODY:
        raise aiohttp.ClientPayloadError("the answer is too large")
    return body


def _handed_on(headers: CIMultiDictProxy[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP]
