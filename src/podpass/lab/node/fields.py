"""The downward API: members of a pod and of its resources as text.

Contract: Kubernetes API surface, section 7.3.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.node.quantity import divided

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pod runs, for the members of its status that are not stored yet."""

    node_name: str
    host_ip: str
    pod_ip: str
    allocatable: Mapping[str, str]
    """What the node offers, by resource: the limit of a container that sets none."""


def field(pod: Obj, path: str, place: Place) -> str | None:
    """The value of a fieldRef's *path*; None for a path that Kubernetes does not offer."""
    if found := _SUBSCRIPT.fullmatch(path):
        kind, key = found.groups()
        return (objects.labels(pod) if kind == "labels" else objects.annotations(pod)).get(key, "")
    spec = objects.spec(pod)
    match path:
        case "metadata.name":
            return objects.name(pod)
        case "metadata.namespace":
            return objects.namespace(pod)
        case "metadata.uid":
            return objects.uid(pod)
        case "metadata.labels":
            return _lines(objects.labels(pod))
        case "metadata.annotations":
            return _lines(objects.annotations(pod))
        case "spec.nodeName":
            return place.node_name
        case "spec.serviceAccountName":
            return str(spec.get("serviceAccountName") or "default")
        case "status.podIP" | "status.podIPs":
            return place.pod_ip
        case "status.hostIP" | "status.hostIPs":
            return place.host_ip
    return None


def resource_field(container: Obj, resource: str, divisor: str, place: Place) -> str | None:
    """The value of a resourceFieldRef such as `limits.memory`; None for a resource it does not know.

    Raises ValueError for a quantity that can't be read.
    """
    kind, _, name = resource.partition(".")
    if kind not in ("limits", "requests") or not name:
        return None
    declared = container.get("resources") or {}
    quantity = (declared.get(kind) or {}).get(name)
    if quantity is None:
        quantity = place.allocatable.get(name, "0") if kind == "limits" else "0"
    return str(divided(quantity, divisor or "1"))


def _lines(members: Mapping[str, str]) -> str:
    quoted = {
        key: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for key, value in members.items()
    }
    return "\n".join(f'{key}="{quoted[key]}"' for key in sorted(quoted))
