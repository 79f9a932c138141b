"""Where a pod goes, or why nowhere. Pure.

Contract: Kubernetes API surface, section 7.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.scheduler import filters, scores
from podpass.lab.scheduler.model import NodeState

SCHEDULER = "default-scheduler"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
_FINAL = (filters.cordoned, filters.tainted, filters.node_affinity)
"""Rules that the absence of other pods would not change."""


@dataclass(frozen=True, slots=True)
class Bind:
    """The pod goes to *node*."""

    node: str


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """The pod fits no node; the message is the scheduler's, for the event and the condition."""

    message: str


def schedule(pod: Obj, nodes: Sequence[NodeState]) -> Bind | Unschedulable | None:
    """The node for *pod*; None when the pod is not this scheduler's, is bound, ends, or is held by a gate."""
    spec = objects.spec(pod)
    if spec.get("nodeName") or spec.get("schedulerName", SCHEDULER) != SCHEDULER or objects.being_deleted(pod):
        return None
    if spec.get("schedulingGates") or is_over(pod):
        return None
    if not nodes:
        return Unschedulable("no nodes available to schedule pods")
    fitting: list[NodeState] = []
    reasons: Counter[str] = Counter()
    preemption: Counter[str] = Counter()
    for node in nodes:
        for rule in filters.RULES:
            if found := rule(pod, node, nodes):
                reasons.update(found)
                preemption[NOT_HELPFUL if rule in _FINAL else NO_VICTIMS] += 1
                break
        else:
            fitting.append(node)
    if fitting:
        return Bind(scores.best(pod, fitting, nodes).name)
    head = f"0/{len(nodes)} nodes are available: "
    return Unschedulable(f"{head}{_counted(reasons)}. preemption: {head}{_counted(preemption)}.")


def _counted(reasons: Counter[str]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))


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
