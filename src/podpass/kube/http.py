"""HTTP to one API server: credentials, one more try after a 401, failures told apart, bounded answers.

Contract: Kubernetes API surface, sections 1.4, 8.1.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Self

import aiohttp
import msgspec
from yarl import URL

from podpass.kube.config import Access
from podpass.kube.credentials import Credentials
from podpass.kube.errors import AnswerUnusable, Unreachable, api_error, reason

CONNECT_SECONDS = 10.0


class Session:
    """One HTTP session with an API server, as an async context manager."""

    def __init__(
        self,
        access: Access,
        *,
        connector: aiohttp.BaseConnector | None,
        user_agent: str,
        timeout_seconds: float,
        max_body_bytes: int,
    ) -> None:
        self._access = access
        self._connector = connector
        self._user_agent = user_agent
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, connect=min(timeout_seconds, CONNECT_SECONDS))
        self._max_body_bytes = max_body_bytes
        self._credentials: Credentials | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._credentials = Credentials(self._access)
        self._session = aiohttp.ClientSession(
            # Every watch holds a connection for minutes, so the usual limit of 100 would starve the rest.
            connector=self._connector or aiohttp.TCPConnector(limit=512),
            headers={"User-Agent": self._user_agent, "Accept": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            read_bufsize=2**18,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def read(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> bytes:
        async with self.open(method, path, query=query, body=body, content_type=content_type) as answer:
            return await self.whole(answer)

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
        timeout: aiohttp.ClientTimeout | None = None,
        accept: str = "",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        answer = await self._send(method, path, query, body, content_type, timeout, accept)
        async with answer:
            if answer.status == 401 and self._credentials is not None:
                self._credentials.discard()
            if answer.status == 401 and method == "GET":
                answer.release()
                async with await self._send(method, path, query, body, content_type, timeout, accept) as again:
                    await self._accept(again)
                    yield again
                return
            await self._accept(answer)
            try:
                yield answer
            finally:
                _abandon(answer)

    async def _accept(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status >= 300:
            raise api_error(answer.status, await self.whole(answer), answer.headers.get("Retry-After", ""))

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        content_type: str,
        timeout: aiohttp.ClientTimeout | None,
        accept: str = "",
    ) -> aiohttp.ClientResponse:
        if self._session is None or self._credentials is None:
            raise RuntimeError("the client is used before it is opened")
        headers = await self._credentials.headers()
        data: bytes | None = None
        if accept or body is not None:
            headers = headers.copy()
        if accept:
            headers["Accept"] = accept
        if body is not None:
            headers["Content-Type"] = content_type
            data = msgspec.json.encode(body)
        with self.failures_told():
            return await self._session.request(
                method,
                # The path's segments are ready for the wire; yarl must not requote them.
                URL(self._access.server + path, encoded=True),
                params=query or None,
                data=data,
                headers=headers,
                ssl=self._credentials.tls or True,
                server_hostname=self._access.tls_server_name or None,
                proxy=self._access.proxy or None,
                timeout=timeout or self._timeout,
                allow_redirects=False,
            )

    async def whole(self, answer: aiohttp.ClientResponse) -> bytes:
        """The body, unless it is larger than one may be."""
        if (answer.content_length or 0) > self._max_body_bytes:
            raise AnswerUnusable(f"the answer announces {answer.content_length} bytes")
        chunks: list[bytes] = []
        size = 0
        with self.failures_told():
            async for chunk in answer.content.iter_any():
                size += len(chunk)
                if size > self._max_body_bytes:
                    raise AnswerUnusable(f"the answer is larger than {self._max_body_bytes} bytes")
                chunks.append(chunk)
        return b"".join(chunks)

    async def lines(self, answer: aiohttp.ClientResponse, most: int) -> AsyncGenerator[bytes, None]:
        """The body's lines as they come, none of more than *most* bytes; empty ones are left out."""
        pending: list[bytes] = []
        size = 0
        with self.failures_told():
            async for chunk in answer.content.iter_any():
                head, *rest = chunk.split(b"\n")
                pending.append(head)
                size += len(head)
                if size > most:
                    raise AnswerUnusable(f"an event is larger than {most} bytes")
                for tail in rest:
                    line = b"".join(pending)
                    pending, size = [tail], len(tail)
                    if line.strip():
                        yield line
        # An event without its newline was cut off in the middle: it comes again after the resume.

    @contextmanager
    def failures_told(self) -> Iterator[None]:
        """Raises Unreachable for what keeps a request from its server, or an answer from its end."""
        try:
            yield
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(self._access.server, reason(error)) from error


def _abandon(answer: aiohttp.ClientResponse) -> None:
    """Cut the connection of an answer that was not read to its end, as a watch never is.

    Closing it instead would start TLS's farewell, which waits for the server and outlives the loop it belongs to.
    """
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()
