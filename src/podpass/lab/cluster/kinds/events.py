"""Events, in both of their API groups: `v1` as they are stored, `events.k8s.io/v1` as the same objects.

Contract: Kubernetes API surface, sections 1.2, 1.4 and 2.9.
"""

from collections.abc import Callable, Iterator
from typing import Any

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, invalid, required
from podpass.lab.cluster.registry import Column, Kind
from podpass.lab.cluster.tables import UNKNOWN, since

KEPT_SECONDS = 3600
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_RENAMED = (
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
)
"""events.k8s.io/v1 member, v1 member."""


def from_core(event: Obj) -> Obj:
    """A v1 Event as events.k8s.io/v1 shows it."""
    return _renamed(event, {old: new for new, old in _RENAMED}, resources.EVENTS_V1.api_version)


def to_core(event: Obj) -> Obj:
    """An events.k8s.io/v1 Event as v1 stores it."""
    return _renamed(event, dict(_RENAMED), resources.EVENTS.api_version)


def _renamed(event: Obj, members: dict[str, str], api_version: str) -> Obj:
    found = {members.get(member, member): value for member, value in event.items()}
    if "apiVersion" in found:
        found["apiVersion"] = api_version
    return found


def _causes(event: Obj) -> Iterator[Cause]:
    involved = event.get("involvedObject") or {}
    home, namespace = objects.namespace(event), involved.get("namespace") or ""
    if namespace and namespace != home:
        yield invalid("involvedObject.namespace", namespace, "does not match event.namespace")
    elif not namespace and home not in ("", "default", "kube-system"):
        # Events of cluster-scoped objects live in `default`.
        yield invalid("involvedObject.namespace", namespace, "does not match event.namespace")
    if not event.get("eventTime"):
        return
    for member in ("reportingComponent", "reportingInstance", "action", "reason"):
        if not event.get(member):
            yield required(member if member != "reportingComponent" else "reportingController")
    if event.get("type") not in ("Normal", "Warning"):
        yield invalid("type", event.get("type") or "", "has invalid value")


def _labels(event: Obj) -> dict[str, str]:
    involved = event.get("involvedObject") or {}
    source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
    return {
        **{f"involvedObject.{member}": involved.get(member) or "" for member in _INVOLVED},
        "reason": event.get("reason") or "",
        "reportingComponent": event.get("reportingComponent") or "",
        "source": source,
        "type": event.get("type") or "",
    }


def _labels_v1(event: Obj) -> dict[str, str]:
    labels = _labels(to_core(event))
    regarding = {f"regarding.{member}": labels[f"involvedObject.{member}"] for member in _INVOLVED}
    return {
        **regarding,
        "reason": labels["reason"],
        "reportingController": labels["reportingComponent"],
        "type": labels["type"],
    }


def _first_seen(event: Obj, now: float) -> str:
    return since(event.get("firstTimestamp") or event.get("eventTime"), now)


def _last_seen(event: Obj, now: float) -> str:
    series = event.get("series") or {}
    if series:
        return since(series.get("lastObservedTime"), now)
    found = since(event.get("lastTimestamp"), now)
    return _first_seen(event, now) if found == UNKNOWN else found


def _count(event: Obj, _: float) -> int:
    series = event.get("series") or {}
    return int(series.get("count") or 0) if series else int(event.get("count") or 1)


def _object(event: Obj, _: float) -> str:
    involved = event.get("involvedObject") or {}
    kind, name = str(involved.get("kind") or "").lower(), involved.get("name") or ""
    return f"{kind}/{name}" if name else kind


def _source(event: Obj, _: float) -> str:
    source = event.get("source") or {}
    parts = (
        source.get("component") or event.get("reportingComponent"),
        source.get("host") or event.get("reportingInstance"),
    )
    return ", ".join(part for part in parts if part)


_COLUMNS = (
    Column("Last Seen", _last_seen, description="When it happened last."),
    Column("Type", lambda event, _: event.get("type") or "", description="Normal or Warning."),
    Column("Reason", lambda event, _: event.get("reason") or "", description="A word for machines."),
    Column("Object", _object, description="What the event is about."),
    Column(
        "Subobject",
        lambda event, _: (event.get("involvedObject") or {}).get("fieldPath") or "",
        priority=1,
        description="The part of it that the event is about.",
    ),
    Column("Source", _source, priority=1, description="Who reports it."),
    Column("Message", lambda event, _: str(event.get("message") or "").strip(), description="A sentence for people."),
    Column("First Seen", _first_seen, priority=1, description="When it happened first."),
    Column("Count", _count, type="integer", priority=1, description="How often it happened."),
    Column("Name", lambda event, _: objects.name(event), format="name", priority=1, description="The event's name."),
)


def event_kinds() -> tuple[Kind, Kind]:
    core = Kind(
        resource=resources.EVENTS,
        validate_create=lambda event: list(_causes(event)),
        validate_update=lambda new, _: list(_causes(new)),
        field_labels=_labels,
        field_names=frozenset(_labels({})),
        columns=_COLUMNS,
        time_to_live_seconds=KEPT_SECONDS,
    )
    newer = Kind(
        resource=resources.EVENTS_V1,
        stored_as=resources.EVENTS,
        from_stored=from_core,
        to_stored=to_core,
        validate_create=lambda event: list(_causes(to_core(event))),
        validate_update=lambda new, _: list(_causes(to_core(new))),
        field_labels=_labels_v1,
        field_names=frozenset(_labels_v1({})),
        columns=tuple(
            Column(column.name, _on_core(column), column.type, column.format, column.priority, column.description)
            for column in _COLUMNS
        ),
        time_to_live_seconds=KEPT_SECONDS,
    )
    return core, newer


def _on_core(column: Column) -> Callable[[Obj, float], Any]:
    return lambda event, now: column.cell(to_core(event), now)
