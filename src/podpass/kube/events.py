"""Events on Kubernetes objects, best effort: the same thing said again is counted, not repeated.

Contract: Kubernetes API surface, section 8.3.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from podpass.kube import objects
from podpass.kube.client import CALL_FAILURES, ApiError, Client
from podpass.kube.objects import Obj
from podpass.kube.resources import EVENTS
from podpass.telemetry.redaction import redact_text

MAX_WAITING = 1000
MAX_REMEMBERED = 4096
FORGET_SECONDS = 600.0
MAX_MESSAGE = 1024

EventType = Literal["Normal", "Warning"]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened to *involved*, an object reference."""

    involved: tuple[tuple[str, str], ...]
    namespace: str
    type: EventType
    reason: str
    message: str


@dataclass(slots=True)
class _Written:
    name: str
    count: int
    seen: float


class EventRecorder:
    """Writes events from a bounded queue; when that is full, or the server refuses, the event is dropped and counted.

    `record` never blocks and never fails; `run` is to be owned by the caller's TaskGroup.
    """

    def __init__(
        self,
        client: Client,
        component: str,
        *,
        host: str = "",
        now: Callable[[], float] = time.time,
        on_drop: Callable[[Occurrence, str], None] | None = None,
    ) -> None:
        self.dropped = 0
        self._client = client
        self._component, self._host = component, host
        self._now = now
        self._on_drop = on_drop
        self._waiting: asyncio.Queue[Occurrence] = asyncio.Queue(MAX_WAITING)
        self._written: OrderedDict[Occurrence, _Written] = OrderedDict()

    def record(self, involved: Obj, type: EventType, reason: str, message: str) -> None:
        """Say of *involved* (a whole object, or a reference) that *reason* (one CamelCase word) happened."""
        occurrence = Occurrence(
            reference(involved), _namespace(involved), type, reason, redact_text(message)[:MAX_MESSAGE]
        )
        try:
            self._waiting.put_nowait(occurrence)
        except asyncio.QueueFull:
            self._drop(occurrence, "too many events are waiting")

    async def run(self) -> None:
        """Write events until cancelled."""
        while True:
            occurrence = await self._waiting.get()
            try:
                await self._write(occurrence)
            except CALL_FAILURES as error:
                self._drop(occurrence, str(error))
            finally:
                self._waiting.task_done()

    async def drain(self) -> None:
        """Wait until everything recorded so far is written or dropped."""
        await self._waiting.join()

    async def _write(self, occurrence: Occurrence) -> None:
        now = self._now()
        written = self._written.get(occurrence)
        if written is not None and now - written.seen <= FORGET_SECONDS:
            change = {"count": written.count + 1, "lastTimestamp": _rfc3339(now)}
            try:
                await self._client.patch(EVENTS, written.name, change, occurrence.namespace)
            except ApiError as error:
                if not error.not_found:
                    raise
                # Events expire after an hour; then it is news again.
            else:
                written.count, written.seen = written.count + 1, now
                self._written.move_to_end(occurrence)
                return
        name = f"{dict(occurrence.involved).get('name', '')[:200]}.{time.time_ns():x}"
        await self._client.create(EVENTS, self._event(occurrence, name, now), occurrence.namespace)
        self._written[occurrence] = _Written(name, 1, now)
        self._written.move_to_end(occurrence)
        while len(self._written) > MAX_REMEMBERED:
            self._written.popitem(last=False)

    def _event(self, occurrence: Occurrence, name: str, now: float) -> Obj:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": occurrence.namespace},
            "involvedObject": dict(occurrence.involved),
            "type": occurrence.type,
            "reason": occurrence.reason,
            "message": occurrence.message,
            "count": 1,
            "firstTimestamp": _rfc3339(now),
            "lastTimestamp": _rfc3339(now),
            "source": {"component": self._component, **({"host": self._host} if self._host else {})},
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }

    def _drop(self, occurrence: Occurrence, why: str) -> None:
        self.dropped += 1
        if self._on_drop is not None:
            self._on_drop(occurrence, why)


def reference(involved: Obj) -> tuple[tuple[str, str], ...]:
    """The members of an object reference: of a whole object from its metadata, of a reference as they are.

    Without the resourceVersion, which would make each state of one object a different thing to count.
    """
    if "metadata" not in involved:
        return tuple((key, str(value)) for key, value in sorted(involved.items()))
    members = {
        "apiVersion": involved.get("apiVersion", ""),
        "kind": involved.get("kind", ""),
        "name": objects.name(involved),
        "namespace": objects.namespace(involved),
        "uid": objects.uid(involved),
    }
    return tuple((key, value) for key, value in members.items() if value)


def _namespace(involved: Obj) -> str:
    # Events of cluster-scoped objects live in the default namespace.
    return objects.namespace(involved) or str(involved.get("namespace") or "default")


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
