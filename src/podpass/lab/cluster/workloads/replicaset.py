"""How many pods a ReplicaSet makes or deletes, and which of them go first."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.clock import rfc3339
from podpass.lab.cluster.workloads import conditions
from podpass.lab.cluster.workloads.pods import DELETION_COST, Pod, available

BURST = 500
"""The most pods that one turn makes or deletes."""
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class CreatePods:
    count: int

    def __str__(self) -> str:
        return f"create {self.count} pod{'' if self.count == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class DeletePods:
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"delete {', '.join(self.names)}"


Action = CreatePods | DeletePods


def decide(replicas: int, pods: Sequence[Pod], related_on_node: Mapping[str, int], now: float) -> Action | None:
    """What brings *pods*, those that the ReplicaSet owns, to *replicas*; None when they are that many.

    *related_on_node* counts the pods of the same workload by node: the fuller node gives first.
    """
    active = [pod for pod in pods if pod.active]
    missing = replicas - len(active)
    if missing > 0:
        return CreatePods(min(missing, BURST))
    if missing < 0:
        active.sort(key=_order_of_deletion(related_on_node, now))
        return DeletePods(tuple(pod.name for pod in active[: min(-missing, BURST)]))
    return None


def _order_of_deletion(related_on_node: Mapping[str, int], now: float) -> Callable[[Pod], Any]:
    """What has no node, is not ready, or is young goes before what serves.

    Ages are compared by their magnitude, so that of pods of about the same age any may go.
    """

    def key(pod: Pod) -> tuple[Any, ...]:
        since = pod.ready_since
        return (
            bool(pod.node),
            _PHASES.get(pod.phase, 1),
            pod.ready,
            _cost(pod),
            -related_on_node.get(pod.node, 0),
            0 if since is None else _magnitude(now - since),
            -pod.restarts,
            _magnitude(now - pod.created),
            pod.uid,
        )

    return key


def _cost(pod: Pod) -> int:
    text = pod.annotations.get(DELETION_COST, "0")
    try:
        return int(text) if len(text) <= 11 else 0
    except ValueError:
        return 0


def _magnitude(seconds: float) -> int:
    return math.floor(math.log2(seconds)) + 1 if seconds >= 1 else 0


@dataclass(frozen=True, slots=True)
class Numbers:
    """How the pods of a ReplicaSet are."""

    active: int
    labelled: int
    """Of those, how many have all labels of the template."""
    ready: int
    available: int
    terminating: int

    @classmethod
    def of(cls, replicaset: Obj, pods: Iterable[Pod], now: float) -> "Numbers":
        spec = objects.spec(replicaset)
        labels, least = objects.labels(spec.get("template") or {}), int(spec.get("minReadySeconds") or 0)
        found = list(pods)
        active = [pod for pod in found if pod.active]
        return cls(
            active=len(active),
            labelled=sum(labels.items() <= pod.labels.items() for pod in active),
            ready=sum(pod.ready for pod in active),
            available=sum(available(pod, least, now) for pod in active),
            terminating=sum(pod.deleting and not pod.over for pod in found),
        )


def status(replicaset: Obj, numbers: Numbers, failure: tuple[str, str] | None, now: float) -> Obj:
    """The status with these numbers; *failure* is the reason and message of the newest failed write of a pod."""
    made: Obj = {
        "replicas": numbers.active,
        "fullyLabeledReplicas": numbers.labelled,
        "readyReplicas": numbers.ready,
        "availableReplicas": numbers.available,
        "terminatingReplicas": numbers.terminating,
        "observedGeneration": objects.metadata(replicaset).get("generation", 0),
    }
    listed = list(objects.status(replicaset).get("conditions") or ())
    if failure is None:
        listed = conditions.without(listed, "ReplicaFailure")
    elif conditions.find(listed, "ReplicaFailure") is None:
        reason, message = failure
        listed.append(
            {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": reason,
                "message": message,
                "lastTransitionTime": rfc3339(now),
            }
        )
    # As Go writes them: what is zero is left out, but for the number of replicas.
    status = {name: value for name, value in made.items() if value or name in ("replicas", "terminatingReplicas")}
    if listed:
        status["conditions"] = listed
    return status
