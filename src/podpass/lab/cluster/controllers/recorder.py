"""Events that controllers write about the objects they care for: best effort, counted, and never a flood.

Contract: Kubernetes API surface, section 7.1.
"""

import contextlib
import time
from collections import OrderedDict
from dataclasses import dataclass

from podpass.kube import objects
from podpass.kube.events import EventType, reference
from podpass.kube.objects import Obj
from podpass.kube.resources import EVENTS
from podpass.kube.status import StatusError
from podpass.lab.clock import rfc3339
from podpass.lab.cluster.controllers.writes import Gone, Writer
from podpass.telemetry.redaction import redact_text

BURST = 25
"""How many events one object may have at once; one more every REFILL_SECONDS."""
REFILL_SECONDS = 300.0
FORGET_SECONDS = 600.0
MAX_REMEMBERED = 4096
MAX_MESSAGE = 1024


@dataclass(slots=True)
class _Written:
    name: str
    seen: float


@dataclass(slots=True)
class _Allowance:
    left: float
    since: float


class Recorder:
    """Writes the events of one component, through the same verbs as everybody."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._written: OrderedDict[tuple[str, str, str, str], _Written] = OrderedDict()
        self._allowances: OrderedDict[str, _Allowance] = OrderedDict()

    async def record(self, about: Obj, type: EventType, reason: str, message: str) -> None:
        """Say of the object *about* that *reason* happened. Never fails: events are best effort."""
        now = self._writer.verbs.clock.now()
        uid = objects.uid(about)
        if not self._allowed(uid, now):
            return
        message = redact_text(message)[:MAX_MESSAGE]
        key = (uid, type, reason, message)
        written = self._written.get(key)
        with contextlib.suppress(StatusError):
            if written is not None and now - written.seen <= FORGET_SECONDS:
                with contextlib.suppress(Gone):
                    await self._count(about, written.name, now)
                    written.seen = now
                    self._written.move_to_end(key)
                    return
            self._remember(key, await self._create(about, type, reason, message, now), now)

    async def _create(self, about: Obj, type: EventType, reason: str, message: str, now: float) -> str:
        name = f"{objects.name(about)[:200]}.{time.time_ns():x}"
        namespace = objects.namespace(about) or "default"
        event = {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {**dict(reference(about)), "resourceVersion": objects.resource_version(about)},
            "type": type,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": rfc3339(now),
            "lastTimestamp": rfc3339(now),
            "source": {"component": self._writer.name},
            "reportingComponent": self._writer.name,
            "reportingInstance": "",
        }
        await self._writer.create(EVENTS, event)
        return name

    async def _count(self, about: Obj, name: str, now: float) -> None:
        namespace = objects.namespace(about) or "default"

        def again(event: Obj) -> Obj:
            return {**event, "count": int(event.get("count") or 1) + 1, "lastTimestamp": rfc3339(now)}

        await self._writer.change(EVENTS, {"metadata": {"name": name, "namespace": namespace}}, again)

    def _remember(self, key: tuple[str, str, str, str], name: str, now: float) -> None:
        self._written[key] = _Written(name, now)
        self._written.move_to_end(key)
        while len(self._written) > MAX_REMEMBERED:
            self._written.popitem(last=False)

    def _allowed(self, uid: str, now: float) -> bool:
        found = self._allowances.get(uid)
        if found is None:
            found = self._allowances[uid] = _Allowance(BURST, now)
            while len(self._allowances) > MAX_REMEMBERED:
                self._allowances.popitem(last=False)
        found.left = min(found.left + (now - found.since) / REFILL_SECONDS, BURST)
        found.since = now
        if found.left < 1:
            return False
        found.left -= 1
        self._allowances.move_to_end(uid)
        return True
