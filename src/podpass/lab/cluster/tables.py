"""Tables, as which kubectl prints what it gets: the answer's shape, and how ages are written.

Which columns a kind has is said by its `Kind`; without any, name and age.
Contract: Kubernetes API surface, section 1.4.
"""

from collections.abc import Sequence
from typing import Literal

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.clock import Clock, seconds_of
from podpass.lab.cluster.registry import Column, Kind

UNKNOWN = "<unknown>"
NONE = "<none>"
UNSET = "<unset>"
_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 365 * 86_400


class Tables:
    """Renders lists and watch events as Tables at the time of *clock*."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def render(
        self,
        kind: Kind,
        items: Sequence[Obj],
        *,
        metadata: Obj,
        include_object: Literal["None", "Metadata", "Object"] = "Metadata",
        with_columns: bool = True,
    ) -> Obj:
        """The Table of *items*. In a watch only the first event carries the columns."""
        now = self._clock.now()
        columns = kind.columns or DEFAULT_COLUMNS
        rows = [
            {"cells": [column.cell(item, now) for column in columns], "object": _row_object(kind, item, include_object)}
            for item in items
        ]
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "columnDefinitions": [definition(column) for column in columns] if with_columns else None,
            "rows": rows,
        }


def definition(column: Column) -> Obj:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def _row_object(kind: Kind, item: Obj, include_object: str) -> Obj | None:
    if include_object == "None":
        return None
    if include_object == "Object":
        return {"kind": kind.resource.kind, "apiVersion": kind.resource.api_version, **item}
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item.get("metadata", {})}


def since(timestamp: object, now: float) -> str:
    """How long ago *timestamp* was, as kubectl's tables write it; `<unknown>` without one."""
    moment = seconds_of(timestamp)
    return UNKNOWN if moment is None else duration(now - moment)


def duration(seconds: float) -> str:
    """A length of time in at most two units: `90s`, `5m30s`, `3h12m`, `3d5h`, `2y15d`."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 2 * _MINUTE:
        return f"{max(whole, 0)}s"
    if whole < 10 * _MINUTE:
        return _two(whole, _MINUTE, "m", 1, "s")
    if whole < 3 * _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < 8 * _HOUR:
        return _two(whole, _HOUR, "h", _MINUTE, "m")
    if whole < 2 * _DAY:
        return f"{whole // _HOUR}h"
    if whole < 8 * _DAY:
        return _two(whole, _DAY, "d", _HOUR, "h")
    if whole < 2 * _YEAR:
        return f"{whole // _DAY}d"
    if whole < 8 * _YEAR:
        return _two(whole, _YEAR, "y", _DAY, "d")
    return f"{whole // _YEAR}y"


def _two(seconds: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    count, rest = divmod(seconds, large)
    rest //= small
    return f"{count}{large_unit}{rest}{small_unit}" if rest else f"{count}{large_unit}"


def age(obj: Obj, now: float) -> str:
    return since(objects.metadata(obj).get("creationTimestamp"), now)


def created_at(obj: Obj, _: float) -> str:
    return objects.metadata(obj).get("creationTimestamp") or UNKNOWN


NAME = Column(
    "Name", lambda obj, _: objects.name(obj), format="name", description="Name must be unique within a namespace."
)
AGE = Column(
    "Age",
    age,
    description="CreationTimestamp is a timestamp representing the server time when this object was created.",
)
CREATED_AT = Column("Created At", created_at, description="The time at which this object was created.")
DEFAULT_COLUMNS = (NAME, AGE)
