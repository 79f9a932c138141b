"""A scripted API server on a loopback socket: what it answers is listed, what it was asked is kept."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from podpass.serving.asgi import Request, read_body, request_of
from podpass.serving.server import bind_tcp, serving


@dataclass
class Answer:
    status: int = 200
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    events: list[Any] | None = None
    """Lines of a watch; raw bytes are sent as they are."""
    hold: asyncio.Event | None = None
    """Keeps the watch open after its events."""
    cut: bool = False
    """Breaks the connection instead of ending the stream."""


@dataclass
class LoopbackApi:
    answer: Callable[[Request], Answer]
    seen: list[Request] = field(default_factory=list)
    url: str = ""

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        request = request_of(scope, await read_body(scope, receive, limit=1 << 20))
        self.seen.append(request)
        answer = self.answer(request)
        headers = [(b"Content-Type", b"application/json")]
        headers += [(name.encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if answer.events is None:
            body = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
            await send({"type": "http.response.body", "body": body})
            return
        for event in answer.events:
            line = event if isinstance(event, bytes) else msgspec.json.encode(event) + b"\n"
            await send({"type": "http.response.body", "body": line, "more_body": True})
        if answer.hold is not None:
            await answer.hold.wait()
        if answer.cut:
            raise ConnectionAbortedError("the test cuts the stream")
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def loopback_api(
    answer: Callable[[Request], Answer], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[LoopbackApi]:
    api = LoopbackApi(answer)
    listener = bind_tcp()
    api.url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    async with serving(api.app, [listener], tls=tls, grace_seconds=0.1):
        yield api


def pod(name: str, version: str, namespace: str = "shop", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": version, **more}}


def status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
