"""What becomes of a node that is silent, and of the pods on it. Pure.

Contract: Kubernetes API surface, section 7.5. Follows the node lifecycle and taint eviction controllers.
"""

from collections.abc import Sequence

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.placement import tolerates
from podpass.lab.clock import rfc3339, seconds_of

GRACE_SECONDS = 40.0
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_OWN = (NOT_READY, UNREACHABLE, UNSCHEDULABLE)
SILENT = "Kubelet stopped posting node status."


def readiness(node: Obj) -> str:
    """True, False or Unknown."""
    conditions = objects.status(node).get("conditions") or ()
    return next((str(each.get("status")) for each in conditions if each.get("type") == "Ready"), "Unknown")


def is_silent(lease: Obj | None, now: float) -> bool:
    """Whether a node has not been heard of for too long. One without a lease was made by hand: it promised nothing."""
    renewed = seconds_of(objects.spec(lease or {}).get("renewTime"))
    return renewed is not None and now - renewed > GRACE_SECONDS


def gone_silent(node: Obj, now: float) -> Obj | None:
    """The status of a node that is silent; None when it says so already."""
    status = objects.status(node)
    conditions, changed = [], False
    for each in status.get("conditions") or ():
        if each.get("status") == "Unknown":
            conditions.append(each)
            continue
        changed = True
        conditions.append(
            {
                **each,
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": SILENT,
                "lastTransitionTime": rfc3339(now),
            }
        )
    return {**status, "conditions": conditions} if changed else None


def taints(node: Obj, now: float) -> list[Obj] | None:
    """The taints that the node's state asks for, beside others' own; None when it has just those."""
    present = list(objects.spec(node).get("taints") or ())
    wanted: list[tuple[str, str]] = []
    match readiness(node):
        case "Unknown" if objects.status(node).get("conditions"):
            wanted += [(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]
        case "True":
            pass
        case _:
            wanted += [(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]
    if objects.spec(node).get("unschedulable"):
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    kept = [each for each in present if each.get("key") not in _OWN or _place(each) in wanted]
    missing = [each for each in wanted if each not in {_place(taint) for taint in present}]
    if len(kept) == len(present) and not missing:
        return None
    return [*kept, *({"key": key, "effect": effect, "timeAdded": rfc3339(now)} for key, effect in missing)]


def _place(taint: Obj) -> tuple[str, str]:
    return str(taint.get("key")), str(taint.get("effect"))


def evicted_at(pod: Obj, evicting: Sequence[tuple[Obj, float]]) -> float | None:
    """When the pod has to leave a node with taints that evict, each with the time it came; None for never."""
    tolerations = objects.spec(pod).get("tolerations") or ()
    times = []
    for taint, since in evicting:
        matching = [each for each in tolerations if tolerates(each, taint)]
        if not matching:
            times.append(since)
            continue
        limits = [each["tolerationSeconds"] for each in matching if each.get("tolerationSeconds") is not None]
        if limits:
            times.append(since + max(0, min(limits)))
    return min(times, default=None)
