"""What was wrong before a schema became stricter, and is as it was, is no reason to refuse an update.

Contract: Kubernetes API surface, section 5; the API server does so since 1.33.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from podpass.kube.status import Cause
from podpass.lab.cluster.customresources.validation import NOWHERE

_INDEX = re.compile(r"\[(\d+)\]")
_MEANT = re.compile(r'Invalid value: "": "(.*)" must ', re.DOTALL)


def remaining(causes: Iterable[Cause], new: Any, old: Any, schema: Mapping[str, Any]) -> list[Cause]:
    """The causes that lie in what an update changed."""
    return [cause for cause in causes if not _unchanged(_place(cause), new, old, schema)]


def _place(cause: Cause) -> str:
    found = _MEANT.match(cause.message) if cause.field == NOWHERE else None
    return found.group(1) if found else cause.field


def _unchanged(path: str, new: Any, old: Any, schema: Mapping[str, Any]) -> bool:
    """Whether the value at *path*, or the object that lacks it, is in *old* as it is in *new*."""
    while True:
        if new == old and type(new) is type(old):
            return True
        path = path.removeprefix(".")
        if isinstance(new, dict) and isinstance(old, dict):
            name = _member(path, new)
            if name is None or name not in old:
                return False
            below = (schema.get("properties") or {}).get(name) or schema.get("additionalProperties")
            new, old, path = new[name], old[name], path[len(name) :]
        elif isinstance(new, list) and isinstance(old, list) and (found := _INDEX.match(path)):
            if schema.get("x-kubernetes-list-type") != "map" or int(found.group(1)) >= len(new):
                return False
            new = new[int(found.group(1))]
            keys = schema.get("x-kubernetes-list-map-keys") or ()
            old = next((each for each in old if _same_key(each, new, keys)), None)
            below, path = schema.get("items"), path[found.end() :]
        else:
            return False
        schema = below if isinstance(below, Mapping) else {}


def _member(path: str, obj: Mapping[str, Any]) -> str | None:
    """The member that *path* begins with; names may hold dots themselves, and the longest one counts."""
    names = [name for name in obj if path == name or path.startswith((f"{name}.", f"{name}["))]
    return max(names, key=len, default=None)


def _same_key(one: Any, other: Any, keys: Iterable[str]) -> bool:
    return isinstance(one, dict) and isinstance(other, dict) and all(one.get(name) == other.get(name) for name in keys)
