"""What a Deployment's status says: its numbers, and whether the rollout is available, under way or overdue."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.clock import rfc3339, seconds_of
from podpass.lab.cluster.workloads import conditions
from podpass.lab.cluster.workloads.deployment import Rollout, status_numbers

NO_DEADLINE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Progress:
    """What happened to the newest ReplicaSet in this turn, for the condition Progressing."""

    reason: Literal["NewReplicaSetCreated", "FoundNewReplicaSet", "ReplicaSetCreateError"]
    message: str

    @property
    def status(self) -> str:
        return "False" if self.reason == "ReplicaSetCreateError" else "True"


def status(rollout: Rollout, progress: Progress | None, now: float) -> Obj:
    """The Deployment's status; *progress* is what happened in this turn."""
    deployment = rollout.deployment
    spec, old = objects.spec(deployment), objects.status(deployment)
    numbers = status_numbers(rollout)
    status: Obj = {name: value for name, value in numbers.items() if value or name == "terminatingReplicas"}
    status["observedGeneration"] = objects.metadata(deployment).get("generation", 0)
    if old.get("collisionCount"):
        status["collisionCount"] = old["collisionCount"]
    listed = list(old.get("conditions") or ())
    enough = numbers["availableReplicas"] >= rollout.replicas - rollout.max_unavailable
    listed = conditions.with_condition(
        listed,
        _condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
        if enough
        else _condition(
            "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", now
        ),
    )
    has_deadline = spec.get("progressDeadlineSeconds") not in (None, NO_DEADLINE)
    if has_deadline:
        listed = _paused_or_resumed(listed, bool(spec.get("paused")), now)
        if progress is not None:
            listed = conditions.with_condition(
                listed, _condition("Progressing", progress.status, progress.reason, progress.message, now)
            )
    if not spec.get("paused") and not objects.being_deleted(deployment):
        listed = (
            _progressing(rollout, listed, numbers, now) if has_deadline else conditions.without(listed, "Progressing")
        )
    failure = _replica_failure(rollout)
    listed = conditions.without(listed, "ReplicaFailure")
    status["conditions"] = listed if failure is None else [*listed, failure]
    return status


def _condition(kind: str, value: str, reason: str, message: str, now: float) -> Obj:
    time = rfc3339(now)
    return {
        "type": kind,
        "status": value,
        "lastUpdateTime": time,
        "lastTransitionTime": time,
        "reason": reason,
        "message": message,
    }


def _paused_or_resumed(listed: list[Obj], paused: bool, now: float) -> list[Obj]:
    reason = (conditions.find(listed, "Progressing") or {}).get("reason")
    if reason == "ProgressDeadlineExceeded":
        return listed
    if paused and reason != "DeploymentPaused":
        return conditions.with_condition(
            listed, _condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now)
        )
    if not paused and reason == "DeploymentPaused":
        return conditions.with_condition(
            listed, _condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now)
        )
    return listed


def _progressing(rollout: Rollout, listed: list[Obj], numbers: dict[str, int], now: float) -> list[Obj]:
    current = conditions.find(listed, "Progressing")
    settled = (
        current is not None
        and current.get("reason") == "NewReplicaSetAvailable"
        and numbers["replicas"] == numbers["updatedReplicas"]
    )
    if settled:
        return listed
    who = (
        f'ReplicaSet "{objects.name(rollout.new)}"'
        if rollout.new is not None
        else f'Deployment "{objects.name(rollout.deployment)}"'
    )
    if rollout.complete:
        return conditions.with_condition(
            listed,
            _condition("Progressing", "True", "NewReplicaSetAvailable", f"{who} has successfully progressed.", now),
        )
    if _moved(objects.status(rollout.deployment), numbers):
        made = _condition("Progressing", "True", "ReplicaSetUpdated", f"{who} is progressing.", now)
        if current is not None and current.get("status") == "True":
            made["lastTransitionTime"] = current.get("lastTransitionTime")
        # Put anew even where nothing but its time changes: the deadline counts from there.
        return [*conditions.without(listed, "Progressing"), made]
    left = seconds_to_deadline(rollout.deployment, listed, now)
    if left is not None and left <= 0:
        return conditions.with_condition(
            listed,
            _condition("Progressing", "False", "ProgressDeadlineExceeded", f"{who} has timed out progressing.", now),
        )
    return listed


def _moved(old: Obj, numbers: dict[str, int]) -> bool:
    def before(member: str) -> int:
        return int(old.get(member) or 0)

    return (
        numbers["updatedReplicas"] > before("updatedReplicas")
        or numbers["replicas"] - numbers["updatedReplicas"] < before("replicas") - before("updatedReplicas")
        or numbers["readyReplicas"] > before("readyReplicas")
        or numbers["availableReplicas"] > before("availableReplicas")
    )


def seconds_to_deadline(deployment: Obj, listed: Sequence[Obj], now: float) -> float | None:
    """How long the rollout may still show no progress; None when no deadline runs."""
    spec = objects.spec(deployment)
    current = conditions.find(listed, "Progressing")
    deadline: Any = spec.get("progressDeadlineSeconds")
    if current is None or spec.get("paused") or deadline in (None, NO_DEADLINE):
        return None
    if current.get("reason") in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded"):
        return None
    begun = seconds_of(current.get("lastUpdateTime")) or now
    return float(begun + deadline - now)


def _replica_failure(rollout: Rollout) -> Obj | None:
    for each in (rollout.new, *rollout.old):
        found = None if each is None else conditions.find(objects.status(each).get("conditions"), "ReplicaFailure")
        if found is not None and found.get("status") == "True":
            return {**found, "lastUpdateTime": found.get("lastTransitionTime")}
    return None
