"""The trace of a journey crosses the lab's own connections in a sealed header; from anyone else it is dropped."""

import hmac
import secrets

from podpass.lab.journal import TRACE_HEADER, tracing
from podpass.serving.asgi import App, Receive, Scope, Send

_HEADER = TRACE_HEADER.lower().encode()
_MAX_TRACE = 64


class TraceSeal:
    """Marks trace headers as the lab's own. The secret lives as long as the process and is told to nobody."""

    def __init__(self) -> None:
        self._secret = secrets.token_urlsafe(24)

    def __repr__(self) -> str:
        return "TraceSeal()"

    def value(self, trace: str) -> str:
        """The header's value for *trace*."""
        return f"{self._secret}.{trace}"

    def trace(self, value: str) -> str:
        """The trace in a header's *value*, or an empty string when the lab did not write it."""
        secret, _, trace = value.partition(".")
        genuine = hmac.compare_digest(secret.encode(), self._secret.encode())
        return trace if genuine and len(trace) <= _MAX_TRACE and trace.isalnum() else ""


def traced(app: App, seal: TraceSeal) -> App:
    """Run each request of *app* under a trace: the one its sealed header names, or a new one.

    The header is removed either way, so no service can be misled by it.
    """

    async def with_trace(scope: Scope, receive: Receive, send: Send) -> None:
        trace = ""
        headers = scope.get("headers", [])
        if any(name == _HEADER for name, _ in headers):
            given = [value.decode("latin-1") for name, value in headers if name == _HEADER]
            trace = seal.trace(given[0]) if len(given) == 1 else ""
            scope = {**scope, "headers": [entry for entry in headers if entry[0] != _HEADER]}
        with tracing(trace):
            await app(scope, receive, send)

    return with_trace
