"""What happened in the lab and why: one redacted event per hop, holding the decision.

The traces that the command line prints, the pages and the tests read the journal, never the logs. An event belongs
to a trace: the request that a client made and every request that the lab's own services made because of it.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from podpass.lab.clock import Clock
from podpass.lab.store import NotStored, Store
from podpass.telemetry.redaction import redact_text

Outcome = Literal["done", "granted", "refused", "failed", "noted"]
"""done: an action ended well; granted, refused: a decision; failed: something broke; noted: worth knowing."""

TRACE_HEADER = "x-podpass-trace"
"""Carries the trace on requests between the lab's own services; taken from nobody else."""

KEPT_EVENTS = 20_000
_TRIM_EVERY = 500
_QUEUE_LENGTH = 4_096
_MOST_PENDING = 512
_MOST_WAITING = 400
FLUSH_SECONDS = 0.05

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (
    number INTEGER PRIMARY KEY,
    trace  TEXT NOT NULL,
    body   BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS journal_trace ON journal (trace, number);
"""

_trace: ContextVar[str] = ContextVar("podpass_trace", default="")
_cluster: ContextVar[str] = ContextVar("podpass_cluster", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One step of a journey: who asked whom for what, how it ended, and which rule decided."""

    who: str
    """The asker as the service knows it: `system:serviceaccount:shop:orders`, `client 6f0c…`, `entra`, `kubelet`."""
    whom: str
    """The service asked: `cluster`, `webhook`, `issuer`, `entra`, `arm`, `keyvault`, `node`, `door`, `dns`."""
    what: str
    outcome: Outcome
    why: str = ""
    decision: Mapping[str, Any] = field(default_factory=dict)
    """The decision value, as JSON members. Claims and names; never a token or a secret."""
    wire: str = ""
    """The code the client was told, for example `AADSTS700213` or `ForbiddenByRbac`."""
    problem: str = ""
    """The catalogue's code, where a remedy is known; its values are in `decision`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    number: int
    trace: str
    time: float
    """The lab's clock, seconds since the epoch."""
    real_time: float
    hop: Hop
    cluster: str = ""
    """The managed cluster that it happened in; empty for the lab's own, and for the clouds."""


class RepeatedHop:
    """A hop that is recorded over and over: redacted and written out once."""

    __slots__ = ("hop", "written")

    def __init__(self, hop: Hop) -> None:
        text = msgspec.json.encode(hop).decode()
        clean = redact_text(text).encode()
        self.hop = msgspec.json.decode(clean, type=Hop)
        self.written = msgspec.Raw(clean)


def current_trace() -> str:
    return _trace.get()


def new_trace() -> str:
    """A trace's name, 12 hex digits: unlike any other, but no secret."""
    return f"{random.getrandbits(48):012x}"


class tracing:  # noqa: N801 - reads as a phrase
    """Record what happens inside under *trace*, or under a new one; it is what `as` gives.

    Not a generator: every request that comes through a door enters one.
    """

    __slots__ = ("_name", "_token")

    def __init__(self, trace: str = "") -> None:
        self._name = trace or new_trace()

    def __enter__(self) -> str:
        self._token = _trace.set(self._name)
        return self._name

    def __exit__(self, *raised: object) -> None:
        _trace.reset(self._token)


@contextlib.contextmanager
def within(cluster: str) -> Iterator[None]:
    """Record what happens inside, and in the tasks that begin inside, as of *cluster*."""
    token = _cluster.set(cluster)
    try:
        yield
    finally:
        _cluster.reset(token)


class Journal:
    """Records events durably and tells followers of them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._followers: set[asyncio.Queue[Event | None]] = set()
        self._pending: list[tuple[int, str, bytes]] = []
        self._flush_timer: asyncio.TimerHandle | None = None
        self._closed = False
        store.connection.executescript(_SCHEMA)
        self._newest = int(store.connection.execute("SELECT max(number) FROM journal").fetchone()[0] or 0)

    def record(self, hop: "Hop | RepeatedHop") -> None:
        """Append one event under the current trace. Everything that looks like a token is replaced first.

        Followers hear of it at once; the file does within FLUSH_SECONDS. A transaction for each event would cost the
        hot paths more than the decision it records.
        """
        self._newest += 1
        trace = current_trace() or new_trace()
        now, real, cluster = self._clock.now(), time.time(), _cluster.get()
        recorded = hop.written if isinstance(hop, RepeatedHop) else hop
        body: dict[str, Any] = {"time": now, "real_time": real, "hop": recorded}
        if cluster:
            body["cluster"] = cluster
        written = msgspec.json.encode(body)
        if isinstance(hop, RepeatedHop):
            hop = hop.hop
        # Redacted as one text: a look at the whole costs less than one at each member.
        elif (clean := redact_text(text := written.decode())) != text:
            written = clean.encode()
            hop = _decode_body(written).hop
        if not self._closed:
            self._pending.append((self._newest, trace, written))
        if self._followers:
            self._tell(Event(number=self._newest, trace=trace, time=now, real_time=real, hop=hop, cluster=cluster))
        self._flush_soon()

    def _tell(self, event: Event) -> None:
        for queue in list(self._followers):
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                # A follower that does not keep up is cut off rather than slowing the services.
                self._followers.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)

    def _flush_soon(self) -> None:
        if len(self._pending) >= _MOST_PENDING:
            self.flush()
        elif self._flush_timer is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self.flush()
            else:
                self._flush_timer = loop.call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what was recorded since the last time, in one transaction."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if not self._pending:
            return
        if self._store.in_transaction:
            # What somebody else's transaction takes back must not take events with it.
            self._flush_timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
            return
        pending, self._pending = self._pending, []
        try:
            with self._store.transaction() as connection:
                connection.executemany("INSERT INTO journal (number, trace, body) VALUES (?, ?, ?)", pending)
                if pending[0][0] // _TRIM_EVERY != (pending[-1][0] + 1) // _TRIM_EVERY:
                    connection.execute("DELETE FROM journal WHERE number <= ?", (self._newest - KEPT_EVENTS,))
        except NotStored:
            # A full disk must not stop the services that only record here; the newest events wait for room.
            self._pending = pending[-_MOST_WAITING:]

    def events(self, *, after: int = 0, trace: str = "", limit: int = 1_000) -> list[Event]:
        """Events numbered above *after*, oldest first; only those of *trace* when it is given."""
        self.flush()
        rows = self._store.connection.execute(
            "SELECT number, trace, body FROM journal"
            " WHERE number > ? AND (? = '' OR trace = ?) ORDER BY number LIMIT ?",
            (after, trace, trace, limit),
        )
        return [_event(*row) for row in rows]

    @property
    def newest(self) -> int:
        """The newest event's number, 0 before the first."""
        return self._newest

    async def follow(self, *, after: int = 0) -> AsyncGenerator[Event, None]:
        """Events numbered above *after*, past ones first, then each as it happens. Ends when the journal closes."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(_QUEUE_LENGTH)
        self._followers.add(queue)
        try:
            seen = after
            while past := self.events(after=seen):
                for event in past:
                    seen = event.number
                    yield event
            while (live := await queue.get()) is not None:
                if live.number > seen:
                    seen = live.number
                    yield live
        finally:
            self._followers.discard(queue)

    def close(self) -> None:
        """Write what is left and end every follower. Nothing is recorded afterwards."""
        self.flush()
        self._closed = True
        for queue in list(self._followers):
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(None)
        self._followers.clear()


def event_members(event: Event) -> dict[str, Any]:
    """The event as the flat JSON object that `podpass lab journal --output json` prints."""
    hop = event.hop
    return {
        "number": event.number,
        "trace": event.trace,
        "time": event.time,
        "real_time": event.real_time,
        "who": hop.who,
        "whom": hop.whom,
        "what": hop.what,
        "outcome": hop.outcome,
        "why": hop.why,
        "decision": dict(hop.decision),
        "wire": hop.wire,
        "problem": hop.problem,
        "cluster": event.cluster,
    }


class _Body(msgspec.Struct):
    time: float
    real_time: float
    hop: Hop
    cluster: str = ""


_decode_body = msgspec.json.Decoder(_Body).decode


def _event(number: int, trace: str, body: bytes) -> Event:
    kept = _decode_body(body)
    return Event(
        number=number, trace=trace, time=kept.time, real_time=kept.real_time, hop=kept.hop, cluster=kept.cluster
    )
