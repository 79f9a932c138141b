"""Whether a DaemonSet's pod belongs on a node: by name, labels and taints."""

from collections.abc import Iterable, Mapping
from typing import Literal

from podpass.kube import objects
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
    if not _wanted(spec, node):
        return "no"
    found = with_tolerations(spec)
    untolerated = [
        taint
        for taint in objects.spec(node).get("taints") or ()
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not any(_tolerates(each, taint) for each in found)
    ]
    if not untolerated:
        return "run"
    return "no" if any(taint.get("effect") == "NoExecute" for taint in untolerated) else "keep"


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
    for term in _terms(spec) or ():
        for field in term.get("matchFields") or ():
            values: list[str] = field.get("values") or []
            if field.get("key") == "metadata.name" and field.get("operator") == "In" and len(values) == 1:
                return str(values[0])
    return ""


def _terms(spec: Obj) -> list[Obj] | None:
    by_node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = by_node.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    found: list[Obj] | None = required.get("nodeSelectorTerms")
    return found


def _wanted(spec: Obj, node: Obj) -> bool:
    labels = objects.labels(node)
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    terms = _terms(spec)
    return terms is None or any(_term_matches(term, objects.name(node), labels) for term in terms)


def _term_matches(term: Obj, name: str, labels: Mapping[str, str]) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    # A term without requirements matches nothing.
    return bool(expressions or fields) and (
        _all_match(expressions, labels) and _all_match(fields, {"metadata.name": name})
    )


def _all_match(expressions: Iterable[Obj], labels: Mapping[str, str]) -> bool:
    return all(_matches(each, labels) for each in expressions)


def _matches(expression: Obj, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression.get("key", "")), expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            try:
                found, bound = int(value or ""), int(values[0])
            except (ValueError, IndexError):
                return False
            return found > bound if operator == "Gt" else found < bound
    return False


def _tolerates(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    return (toleration.get("value") or "") == (taint.get("value") or "") and bool(toleration.get("key"))
