"""One request in, one answer out, over plain ASGI.

Every service of podpass is an ASGI callable. Those that read a body and write one answer are written as a
function from `Request` to `Response` and wrapped by `answering`; those that stream take the callable as it is.
A routing framework would add its cost to every token, key set and admission review, which are the hot paths.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON_TYPE = "application/json"


class BodyTooLarge(Exception):
    """The request's body is larger than the service reads; nothing of it was parsed."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request body is larger than {limit} bytes")
        self.limit = limit


class ClientGone(Exception):
    """The client closed the connection before its request was read."""


@dataclass(frozen=True)
class Request:
    """A whole HTTP request. Header names are lower case; a repeated header is joined with a comma."""

    method: str
    path: str
    """The path, percent-decoded once."""
    raw_path: str
    """The path as sent, without the query."""
    query_string: str
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)
    peer: str = ""
    """The client's address, or an empty string on a unix socket."""
    scheme: str = "http"
    client_certificate: str = field(default="", repr=False)
    """The certificate, PEM, that the client showed and TLS verified; empty without one."""

    @cached_property
    def query(self) -> dict[str, str]:
        """The query's members; of a repeated one the first counts."""
        members: dict[str, str] = {}
        for name, value in self.query_list:
            members.setdefault(name, value)
        return members

    @cached_property
    def query_list(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query_string, keep_blank_values=True)

    @property
    def host(self) -> str:
        """The Host header as sent, port included."""
        return self.headers.get("host", "")

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Response:
    """A whole HTTP answer."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request], Awaitable[Response]]


def json_response(status: int, value: object, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """An answer with a JSON body. A Content-Type among *headers* takes the place of the default one."""
    given = tuple(headers)
    if not any(name.lower() == "content-type" for name, _ in given):
        given = (("Content-Type", JSON_TYPE), *given)
    return Response(status, msgspec.json.encode(value), given)


def text_response(status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> Response:
    return Response(status, text.encode(), (("Content-Type", "text/plain; charset=utf-8"), *headers))


def headers_of(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def request_of(scope: Scope, body: bytes = b"") -> Request:
    """The request that *scope* announces, with a body read elsewhere."""
    raw = scope.get("raw_path") or scope["path"].encode()
    raw_path = raw.decode("latin-1").partition("?")[0]
    client = scope.get("client")
    shown = (scope.get("extensions") or {}).get("tls", {}).get("client_cert_chain") or [""]
    return Request(
        method=scope["method"],
        path=unquote(raw_path),
        raw_path=raw_path,
        query_string=scope["query_string"].decode("latin-1"),
        headers=headers_of(scope),
        body=body,
        peer=client[0] if client else "",
        scheme=scope.get("scheme", "http"),
        client_certificate=shown[0],
    )


async def read_body(scope: Scope, receive: Receive, *, limit: int) -> bytes:
    """The whole body, at most *limit* bytes.

    Raises BodyTooLarge as soon as the limit is passed (or announced by Content-Length), ClientGone when the
    client hangs up first.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            raise BodyTooLarge(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(limit)
        chunks.append(chunk)
        if not message.get("more_body"):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def response_messages(response: Response, *, head_only: bool = False) -> tuple[Message, Message]:
    """The ASGI messages of *response*. They may be sent any number of times."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    if response.status not in (204, 304):
        headers.append((b"Content-Length", str(len(response.body)).encode()))
    body = b"" if head_only or response.status in (204, 304) else response.body
    start = {"type": "http.response.start", "status": response.status, "headers": headers}
    return start, {"type": "http.response.body", "body": body}


async def send_response(send: Send, response: Response, *, head_only: bool = False) -> None:
    for message in response_messages(response, head_only=head_only):
        await send(message)


def answering(
    handler: Handler,
    *,
    max_body: int,
    too_large: Callable[[Request], Response],
    broken: Callable[[Request, Exception], Response | None] = lambda request, error: None,
) -> App:
    """An ASGI app that reads the whole request and sends what *handler* returns.

    A body over *max_body* bytes is answered by *too_large* without being read further. When *handler* raises, *broken*
    may have an answer; without one the exception is the server's to log.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"this service does not speak {scope['type']}")
        try:
            body = await read_body(scope, receive, limit=max_body)
        except BodyTooLarge:
            request = request_of(scope)
            refusal = too_large(request)
            refusal = Response(refusal.status, refusal.body, (*refusal.headers, ("Connection", "close")))
            await send_response(send, refusal, head_only=request.method == "HEAD")
            return
        except ClientGone:
            return
        request = request_of(scope, body)
        try:
            response = await handler(request)
        except Exception as error:
            if (answer := broken(request, error)) is None:
                raise
            response = answer
        await send_response(send, response, head_only=request.method == "HEAD")

    return app
