"""Whether a DaemonSet's pod belongs on a node: by name, labels and taints."""

from typing import Literal

from podpass.kube import objects, placement
from podpass.kube.objects import Obj

Place = Literal["run", "keep", "no"]
"""`keep`: a pod that is there stays, but none is made: the node is tainted for new pods only."""

_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)


def place(spec: Obj, node: Obj) -> Place:
    """*spec* is the pod's, as the template has it."""
    if spec.get("nodeName") not in (None, "", objects.name(node)):
        return "no"
    if not placement.wants(spec, objects.name(node), objects.labels(node)):
        return "no"
    effects = {
        taint["effect"]
        for taint in placement.untolerated(objects.spec(node).get("taints") or (), with_tolerations(spec))
    }
    if not effects:
        return "run"
    return "no" if "NoExecute" in effects else "keep"


def with_tolerations(spec: Obj) -> list[Obj]:
    """The tolerations of a DaemonSet's pod: its own, and those for nodes in trouble, on which it stays."""
    wanted = list(_TOLERATED)
    if spec.get("hostNetwork"):
        wanted.append(("node.kubernetes.io/network-unavailable", "NoSchedule"))
    found = list(spec.get("tolerations") or ())
    for key, effect in wanted:
        toleration = {"key": key, "operator": "Exists", "effect": effect}
        if toleration not in found:
            found.append(toleration)
    return found


def bound_to(spec: Obj, node: str) -> Obj:
    """The spec of a pod for one node only: the scheduler is to choose no other."""
    affinity = spec.get("affinity") or {}
    by_node = affinity.get("nodeAffinity") or {}
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    required = {"nodeSelectorTerms": [term]}
    return {
        **spec,
        "tolerations": with_tolerations(spec),
        "affinity": {
            **affinity,
            "nodeAffinity": {**by_node, "requiredDuringSchedulingIgnoredDuringExecution": required},
        },
    }


def node_of(spec: Obj) -> str:
    """The node that a pod is on, or is made for; empty when that cannot be told."""
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    for term in placement.required_terms(spec) or ():
        for field in term.get("matchFields") or ():
            values: list[str] = field.get("values") or []
            if field.get("key") == "metadata.name" and field.get("operator") == "In" and len(values) == 1:
                return str(values[0])
    return ""
