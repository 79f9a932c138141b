"""The scale subresource of a custom resource: replicas and selector, where its definition says they are.

Contract: Kubernetes API surface, section 2.10.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, StatusError, invalid
from podpass.lab.cluster.extension import SubresourceCall
from podpass.lab.cluster.requests.options import options_of
from podpass.lab.cluster.verbs import Verbs

MAX_REPLICAS = (1 << 31) - 1
SCALE = "Scale"
API_VERSION = "autoscaling/v1"


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where the numbers are: `.spec.replicas`, `.status.replicas`, `.status.labelSelector`."""

    spec_replicas: str
    status_replicas: str
    label_selector: str = ""


def scale_of(obj: Obj, paths: ScalePaths) -> Obj:
    """The autoscaling/v1 Scale of an object. Raises StatusError 500 for values that are none."""
    replicas = _find(obj, paths.spec_replicas)
    if replicas is None:
        raise StatusError.internal(f'the spec replicas field "{paths.spec_replicas}" does not exist')
    selector = _find(obj, paths.label_selector) if paths.label_selector else None
    status: Obj = {"replicas": _whole(_find(obj, paths.status_replicas))}
    if selector:
        status["selector"] = str(selector)
    meta = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": SCALE,
        "apiVersion": API_VERSION,
        "metadata": {name: meta[name] for name in kept if name in meta},
        "spec": {"replicas": _whole(replicas)},
        "status": status,
    }


def with_replicas(obj: Obj, paths: ScalePaths, replicas: int) -> Obj:
    """*obj*, changed in place to ask for so many replicas."""
    *parents, last = _parts(paths.spec_replicas)
    place: Any = obj
    for name in parents:
        below = place.get(name)
        if not isinstance(below, dict):
            below = place[name] = {}
        place = below
    place[last] = replicas
    return obj


def scale_faults(obj: Mapping[str, Any], paths: ScalePaths) -> Iterator[Cause]:
    """What an object has that is no number of replicas, or no selector."""
    for path in (paths.spec_replicas, paths.status_replicas):
        value, fault = _accessed(obj, path)
        if fault or (value is not None and (isinstance(value, bool) or not isinstance(value, int))):
            yield invalid(path, 0, f"{path} accessor error: {fault or _of_type(value, 'int64')}")
        elif value is not None and value < 0:
            yield invalid(path, value, "should be a non-negative integer")
        elif value is not None and value > MAX_REPLICAS:
            yield invalid(path, value, f"should be less than or equal to {MAX_REPLICAS}")
    if path := paths.label_selector:
        value, fault = _accessed(obj, path)
        if fault or not isinstance(value, str | None):
            yield invalid(path, "", f"{path} accessor error: {fault or _of_type(value, 'string')}")


def _accessed(obj: Any, path: str) -> tuple[Any, str]:
    """The value at *path*, and what is in its way."""
    for name in _parts(path):
        if not isinstance(obj, Mapping):
            return None, _of_type(obj, "map[string]interface{}")
        if obj.get(name) is None:
            return None, ""
        obj = obj[name]
    return obj, ""


_GO_TYPES = {str: "string", bool: "bool", int: "int64", float: "float64", list: "[]interface {}"}


def _of_type(value: Any, expected: str) -> str:
    shown = {True: "true", False: "false"}[value] if isinstance(value, bool) else value
    if isinstance(value, list):
        shown = f"[{' '.join(map(str, value))}]"
    elif isinstance(value, Mapping):
        shown = f"map[{' '.join(f'{name}:{each}' for name, each in sorted(value.items()))}]"
    return f"{shown} is of the type {_GO_TYPES.get(type(value), 'map[string]interface {}')}, expected {expected}"


def wanted_replicas(scale: Obj) -> int:
    """What a Scale asks for. Raises StatusError 400."""
    spec = scale.get("spec")
    replicas = spec.get("replicas", 0) if isinstance(spec, dict) else 0
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise StatusError.bad_request("spec.replicas must be an integer")
    return replicas


class ScaleRequests:
    """Answers requests for the scale of custom resources."""

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs

    async def answer(self, call: SubresourceCall, paths: ScalePaths) -> Obj:
        """Raises StatusError."""
        verbs, kind = self._verbs, call.kind
        if call.verb == "get":
            return scale_of(verbs.present(kind, verbs.stored(kind, call.namespace, call.name)), paths)
        write = options_of(call)

        def make(obj: Obj) -> Obj:
            if _find(obj, paths.spec_replicas) is None:
                # What was never set can be set all the same.
                with_replicas(obj, paths, 0)
            scale = call.change(scale_of(obj, paths))
            replicas = wanted_replicas(scale)
            version = objects.resource_version(scale)
            if version:
                obj["metadata"]["resourceVersion"] = version
            return with_replicas(obj, paths, replicas)

        stored = await verbs.change(kind, call.namespace, call.name, make, write)
        return scale_of(verbs.present(kind, stored), paths)


def _parts(path: str) -> list[str]:
    return path.removeprefix(".").split(".")


def _find(obj: Any, path: str) -> Any:
    for name in _parts(path):
        if not isinstance(obj, Mapping) or name not in obj:
            return None
        obj = obj[name]
    return obj


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
