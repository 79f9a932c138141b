"""Whether a component lives and is ready, and if not, which part of it is why."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from podpass.telemetry import metrics

CHECK_SECONDS = 5.0

Check = Callable[[], Awaitable[str | None]]
"""None when all is well, else the reason, in a few words and without secrets."""

_App = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]


@dataclass(frozen=True, slots=True)
class Report:
    """Every check's name with its reason; an empty reason is a pass."""

    reasons: Mapping[str, str]

    @property
    def passed(self) -> bool:
        return not any(self.reasons.values())

    def text(self) -> str:
        lines = [f"[{'-' if reason else '+'}]{name} {reason or 'ok'}" for name, reason in self.reasons.items()]
        return "\n".join([*lines, "ok" if self.passed else "failed"]) + "\n"


@dataclass(slots=True)
class Health:
    """Named checks. *live* ones say that a restart would help, *ready* ones that traffic would."""

    live: dict[str, Check] = field(default_factory=dict)
    ready: dict[str, Check] = field(default_factory=dict)
    state: Callable[[], str] = lambda: "ok"
    """What a good /healthz says; some programs look for a word of their own."""

    async def liveness(self) -> Report:
        return await _report(self.live)

    async def readiness(self) -> Report:
        return await _report({**self.live, **self.ready})


def flag(event: asyncio.Event, reason: str) -> Check:
    """A check that fails with *reason* until *event* is set."""

    async def check() -> str | None:
        return None if event.is_set() else reason

    return check


def active(event: asyncio.Event) -> Callable[[], str]:
    """The state of a component of pod identity, by whether *event* is set. Contract: sections 2.10 and 3.1."""
    return lambda: "Active" if event.is_set() else "Not Active"


def all_read(missing: Callable[[], list[str]]) -> Check:
    """A check that fails while there are names in what *missing* gives, of copies that are not complete."""

    async def check() -> str | None:
        names = missing()
        return f"not all read yet: {', '.join(names)}" if names else None

    return check


async def _report(checks: Mapping[str, Check]) -> Report:
    async def one(check: Check) -> str:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await check() or ""
        except TimeoutError:
            return "no result in time"

    async with asyncio.TaskGroup() as group:
        running = {name: group.create_task(one(check)) for name, check in checks.items()}
    return Report({name: task.result() for name, task in running.items()})


def health_app(health: Health, registry: CollectorRegistry | None) -> _App:
    """The ASGI app of /healthz and /readyz (200 and a word, else 500 with the reasons) and, given a registry, /metrics.

    `?verbose` lists the checks in a good answer too.
    """

    async def answer(path: str, query: bytes) -> tuple[int, bytes, str]:
        text = "text/plain; charset=utf-8"
        if path in ("/healthz", "/readyz"):
            report = await (health.liveness() if path == "/healthz" else health.readiness())
            if not report.passed:
                return 500, report.text().encode(), text
            word = health.state() if path == "/healthz" else "ok"
            return 200, report.text().encode() if b"verbose" in query else word.encode(), text
        if path == "/metrics" and registry is not None:
            return 200, metrics.render(registry), metrics.CONTENT_TYPE
        return 404, b"not found\n", text

    async def app(
        scope: MutableMapping[str, Any],
        _receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"health does not speak {scope['type']}")
        if scope["method"] in ("GET", "HEAD"):
            status, body, content_type = await answer(scope["path"].rstrip("/") or "/", scope["query_string"])
        else:
            status, body, content_type = 405, b"only GET\n", "text/plain; charset=utf-8"
        headers = [
            (b"Content-Type", content_type.encode()),
            (b"Content-Length", str(len(body)).encode()),
            (b"Cache-Control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return app
