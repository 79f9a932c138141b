"""The columns that a definition asks for: a cell for each from the object, by JSONPath and type.

Contract: Kubernetes API surface, sections 1.4 and 5.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from podpass.kube.objects import Obj
from podpass.lab.clock import seconds_of
from podpass.lab.cluster.customresources.jsonpath import BadPath, JsonPath
from podpass.lab.cluster.registry import Column
from podpass.lab.cluster.tables import AGE, NAME, since

COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")

_encode = msgspec.json.Encoder(order="sorted").encode


def columns(definitions: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Name, then what a version's additionalPrinterColumns ask for; Age where they ask for nothing."""
    if not definitions:
        return (NAME, Column(AGE.name, AGE.cell, type="date", description=AGE.description))
    return (NAME, *(_column(each) for each in definitions))


def _column(definition: Mapping[str, Any]) -> Column:
    path, kind = definition.get("jsonPath") or "", definition.get("type") or "string"
    by_default = f"Custom resource definition column (in JSONPath format): {path}"
    return Column(
        definition.get("name") or "",
        _cell(path, kind),
        type=kind,
        format=definition.get("format") or "",
        priority=definition.get("priority") or 0,
        description=definition.get("description") or by_default,
    )


def _cell(text: str, kind: str) -> Callable[[Obj, float], Any]:
    try:
        path = JsonPath(text)
    except BadPath:
        return lambda _obj, _now: None

    def cell(obj: Obj, now: float) -> Any:
        found = path.values(obj)
        return _shown(found[0], kind, now) if found else None

    return cell


def _shown(value: Any, kind: str, now: float) -> Any:
    """The cell for a value; None, which kubectl leaves empty, for one of another type."""
    if kind == "string":
        return _written(value)
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "integer" if number:
            return int(value)
        case "number" if number:
            return float(value)
        case "boolean" if isinstance(value, bool):
            return value
        case "date" if isinstance(value, str):
            return "<invalid>" if seconds_of(value) is None else since(value, now)
    return None


def _written(value: Any) -> str:
    """A value as text, as Go's JSONPath prints it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>"
    return _encode(value).decode()
