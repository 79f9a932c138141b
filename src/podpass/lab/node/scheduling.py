"""Whether a pod fits the node. There is one node, so scheduling is a yes or a why not."""

from collections.abc import Mapping
from dataclasses import dataclass

from podpass.kube import objects
from podpass.kube.objects import Obj

SCHEDULER = "default-scheduler"


@dataclass(frozen=True, slots=True)
class Bind:
    """The pod goes to *node*."""

    node: str


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """The pod fits no node; the message is the scheduler's, for the event and the condition."""

    message: str


def schedule(pod: Obj, node: str, node_labels: Mapping[str, str], *, room: bool = True) -> Bind | Unschedulable | None:
    """The node for *pod*; None when the pod is not this scheduler's, is bound, ends, or is held by a gate.

    *room* says whether the node may take another pod.
    """
    spec = objects.spec(pod)
    if spec.get("nodeName") or spec.get("schedulerName", SCHEDULER) != SCHEDULER or objects.being_deleted(pod):
        return None
    if spec.get("schedulingGates") or is_over(pod):
        return None
    selector = spec.get("nodeSelector") or {}
    required = (
        ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    ) or {}
    terms = required.get("nodeSelectorTerms")
    fits = all(node_labels.get(key) == value for key, value in selector.items()) and (
        terms is None or any(_term_matches(term, node, node_labels) for term in terms)
    )
    if not fits:
        return Unschedulable(
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
            " preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        )
    if not room:
        return Unschedulable(
            "0/1 nodes are available: 1 Too many pods."
            " preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
        )
    return Bind(node)


def is_over(pod: Obj) -> bool:
    """Whether the containers of *pod* have ended for good."""
    return objects.status(pod).get("phase") in ("Succeeded", "Failed")


def binding(pod: Obj, node: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": objects.name(pod), "namespace": objects.namespace(pod), "uid": objects.uid(pod)},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }


def _term_matches(term: Obj, node: str, labels: Mapping[str, str]) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    # A term without requirements matches nothing.
    return bool(expressions or fields) and (
        all(_expression_matches(expression, labels) for expression in expressions)
        and all(_expression_matches(expression, {"metadata.name": node}) for expression in fields)
    )


def _expression_matches(expression: Obj, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression.get("key", ""))
    values = expression.get("values") or []
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
