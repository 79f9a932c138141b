"""Lists of conditions: found by type, set so that times tell when what changed."""

from collections.abc import Iterable, Mapping
from typing import Any

from podpass.kube.objects import Obj


def find(conditions: Iterable[Obj] | None, kind: str) -> Obj | None:
    return next((each for each in conditions or () if each.get("type") == kind), None)


def is_true(conditions: Iterable[Obj] | None, kind: str) -> bool:
    found = find(conditions, kind)
    return found is not None and found.get("status") == "True"


def without(conditions: Iterable[Obj] | None, kind: str) -> list[Obj]:
    return [each for each in conditions or () if each.get("type") != kind]


def with_condition(conditions: Iterable[Obj] | None, condition: Mapping[str, Any]) -> list[Obj]:
    """The list with *condition* in it; one with the same status and reason is left as it is.

    The time of transition stays while the status does.
    """
    listed = list(conditions or ())
    old = find(listed, condition["type"])
    if old is not None and old.get("status") == condition["status"] and old.get("reason") == condition.get("reason"):
        return listed
    new = dict(condition)
    if old is not None and old.get("status") == new["status"] and old.get("lastTransitionTime"):
        new["lastTransitionTime"] = old["lastTransitionTime"]
    return [*without(listed, condition["type"]), new]
