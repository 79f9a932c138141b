"""What a Job does next: pods to make and to end, those counted, and how and when the Job ends."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.clock import rfc3339, seconds_of
from podpass.lab.cluster.kinds.job_defaults import INDEXED
from podpass.lab.cluster.workloads import conditions, indexes
from podpass.lab.cluster.workloads.events import Say
from podpass.lab.cluster.workloads.job_counting import (
    Count,
    counted,
    has_failed,
    index_failures,
    index_of,
    is_tracked,
)
from podpass.lab.cluster.workloads.job_failures import verdict
from podpass.lab.cluster.workloads.pods import Pod

BURST = 500
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 10.0, 600.0
"""How long a failed pod's replacement waits; twice as long after each failure without a success between."""


@dataclass(frozen=True, slots=True)
class NewPod:
    index: int | None = None
    """Only in an indexed Job."""
    index_failures: int | None = None
    """How often pods of this index failed; only where the Job counts that by index."""

    def __str__(self) -> str:
        return "create a pod" if self.index is None else f"create the pod of index {self.index}"


@dataclass(frozen=True, slots=True)
class DeletePod:
    name: str

    def __str__(self) -> str:
        return f"delete {self.name}"


@dataclass(frozen=True, slots=True)
class Release:
    """Take the Job's finalizer off a pod that is counted, or never will be."""

    name: str

    def __str__(self) -> str:
        return f"release {self.name}"


Action = NewPod | DeletePod | Release | Say


@dataclass(frozen=True, slots=True)
class Decision:
    """The status is to be written first, then the actions carried out in order."""

    status: Obj
    actions: list[Action] = field(default_factory=list)
    again_seconds: float | None = None
    """When time alone brings the next step."""


def is_finished(job: Obj) -> bool:
    listed = objects.status(job).get("conditions")
    return conditions.is_true(listed, "Complete") or conditions.is_true(listed, "Failed")


def seconds_to_live(job: Obj, now: float) -> float | None:
    """How long a Job that ended is kept; None when it stays until somebody deletes it."""
    ttl = objects.spec(job).get("ttlSecondsAfterFinished")
    if ttl is None or not is_finished(job):
        return None
    for kind in ("Complete", "Failed"):
        found = conditions.find(objects.status(job).get("conditions"), kind)
        if found is not None and found.get("status") == "True":
            return float((seconds_of(found.get("lastTransitionTime")) or now) + ttl - now)
    return None


def decide(job: Obj, pods: Sequence[Pod], now: float) -> Decision:
    """*pods* are those that the Job controls."""
    status = dict(objects.status(job))
    if is_finished(job) or objects.being_deleted(job):
        return Decision(status, [Release(pod.name) for pod in pods if is_tracked(pod)])
    spec = objects.spec(job)
    suspended = bool(spec.get("suspend"))
    count = counted(job, pods)
    listed = list(status.get("conditions") or ())
    actions: list[Action] = []
    if not suspended and not status.get("startTime"):
        status["startTime"] = rfc3339(now)
    again: float | None = None
    failure, success = _failure(job, count, status, listed, now), _success(job, count, listed)
    if failure is not None:
        listed = conditions.with_condition(listed, _condition("FailureTarget", "True", *failure, now))
        actions += [DeletePod(pod.name) for pod in count.active]
    elif success is not None:
        listed = conditions.with_condition(listed, _condition("SuccessCriteriaMet", "True", *success, now))
        actions += [DeletePod(pod.name) for pod in count.active]
    elif suspended:
        actions += [DeletePod(pod.name) for pod in count.active]
        if not conditions.is_true(listed, "Suspended"):
            listed = conditions.with_condition(
                listed, _condition("Suspended", "True", "JobSuspended", "Job suspended", now)
            )
            actions.append(Say("Normal", "Suspended", "Job suspended"))
        status.pop("startTime", None)
    else:
        if conditions.is_true(listed, "Suspended"):
            listed = conditions.with_condition(
                listed, _condition("Suspended", "False", "JobResumed", "Job resumed", now)
            )
            actions.append(Say("Normal", "Resumed", "Job resumed"))
            status["startTime"] = rfc3339(now)
        steps, again = _manage(job, pods, count, now)
        actions += steps
        deadline = _seconds_to_deadline(spec, status, now)
        again = min((each for each in (again, deadline) if each is not None), default=None)
    settled = (
        not count.active and not count.terminating and not count.uncounted_succeeded and not count.uncounted_failed
    )
    if settled and (failure or success) and not status.get("startTime"):
        # A suspended Job may end as well: nothing was asked of it.
        status["startTime"] = rfc3339(now)
    if settled and failure is not None:
        listed = conditions.with_condition(listed, _condition("Failed", "True", *failure, now))
        actions.append(Say("Warning", *failure))
    elif settled and success is not None:
        listed = conditions.with_condition(listed, _condition("Complete", "True", *success, now))
        status["completionTime"] = rfc3339(now)
        actions.append(Say("Normal", "Completed", "Job completed"))
    actions += [Release(pod.name) for pod in count.release]
    return Decision(_status(job, status, count, listed), actions, again)


def _condition(kind: str, value: str, reason: str, message: str, now: float) -> Obj:
    time = rfc3339(now)
    return {
        "type": kind,
        "status": value,
        "lastProbeTime": time,
        "lastTransitionTime": time,
        "reason": reason,
        "message": message,
    }


def _failure(job: Obj, count: Count, status: Obj, listed: Sequence[Obj], now: float) -> tuple[str, str] | None:
    """Why the Job fails: reason and message."""
    target = conditions.find(listed, "FailureTarget")
    if target is not None and target.get("status") == "True":
        return str(target.get("reason")), str(target.get("message"))
    if conditions.is_true(listed, "SuccessCriteriaMet"):
        return None
    spec = objects.spec(job)
    if count.job_failure:
        return "PodFailurePolicy", count.job_failure
    limit = spec.get("backoffLimit")
    failed = count.failed + len(count.uncounted_failed)
    if limit is not None and (failed > limit or _restarted_too_often(spec, count, limit)):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    left = _seconds_to_deadline(spec, status, now)
    if left is not None and left <= 0 and not spec.get("suspend"):
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    most = spec.get("maxFailedIndexes")
    if most is not None and len(count.failed_indexes) > most:
        return "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
    if count.failed_indexes and len(count.failed_indexes) + len(count.completed) >= int(spec.get("completions") or 0):
        return "FailedIndexes", "Job has failed indexes"
    return None


def _restarted_too_often(spec: Obj, count: Count, limit: int) -> bool:
    if objects.spec(spec.get("template") or {}).get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        container.restartCount
        for pod in count.active
        if pod.phase in ("Running", "Pending")
        for container in pod.containers
    )
    return restarts > 0 if limit == 0 else restarts >= limit


def _seconds_to_deadline(spec: Obj, status: Obj, now: float) -> float | None:
    deadline, begun = spec.get("activeDeadlineSeconds"), seconds_of(status.get("startTime"))
    return None if deadline is None or begun is None else begun + deadline - now


def _success(job: Obj, count: Count, listed: Sequence[Obj]) -> tuple[str, str] | None:
    target = conditions.find(listed, "SuccessCriteriaMet")
    if target is not None and target.get("status") == "True":
        return str(target.get("reason")), str(target.get("message"))
    spec = objects.spec(job)
    for number, rule in enumerate((spec.get("successPolicy") or {}).get("rules") or ()):
        if _rule_met(rule, count.completed, int(spec.get("completions") or 0)):
            return "SuccessPolicy", f"Matched rules at index {number}"
    reached = ("CompletionsReached", "Reached expected number of succeeded pods")
    succeeded = count.succeeded + len(count.uncounted_succeeded)
    if spec.get("completions") is None:
        # A work queue: done when one pod says so and the others have followed.
        return reached if succeeded and not count.active else None
    return reached if succeeded >= spec["completions"] else None


def _rule_met(rule: Obj, completed: frozenset[int], completions: int) -> bool:
    text, least = rule.get("succeededIndexes"), rule.get("succeededCount")
    wanted = completed if text is None else indexes.read(text, completions)
    done = len(completed & wanted)
    if least is not None:
        return done >= int(least)
    return text is not None and bool(wanted) and done == len(wanted)


def _manage(job: Obj, pods: Sequence[Pod], count: Count, now: float) -> tuple[list[Action], float | None]:
    """Pods to make or to end, and in how many seconds more may be made."""
    spec = objects.spec(job)
    parallelism = int(spec.get("parallelism") or 0)
    succeeded = count.succeeded + len(count.uncounted_succeeded)
    if spec.get("completions") is None:
        wanted = len(count.active) if succeeded else parallelism
    else:
        left = int(spec["completions"]) - succeeded - len(count.failed_indexes)
        wanted = max(min(left, parallelism), 0)
    surplus = len(count.active) - wanted
    if spec.get("completionMode") == INDEXED:
        return _manage_indexes(job, pods, count, wanted, now)
    if surplus > 0:
        return [DeletePod(pod.name) for pod in sorted(count.active, key=_least_first)[:surplus]], None
    missing = -surplus - (len(count.terminating) if spec.get("podReplacementPolicy") == "Failed" else 0)
    if missing <= 0:
        return [], None
    if (pause := _pause([pod for pod in pods if pod.over], now)) > 0:
        return [], pause
    return [NewPod()] * min(missing, BURST), None


def _manage_indexes(
    job: Obj, pods: Sequence[Pod], count: Count, wanted: int, now: float
) -> tuple[list[Action], float | None]:
    spec = objects.spec(job)
    by_index: dict[int, list[Pod]] = {}
    for pod in pods:
        if (number := index_of(pod)) is not None:
            by_index.setdefault(number, []).append(pod)
    taken: set[int] = set()
    deleted: list[Action] = []
    completions, over = int(spec.get("completions") or 0), count.completed | count.failed_indexes
    for pod in sorted(count.active, key=_least_first, reverse=True):
        number = index_of(pod)
        if number is None or number >= completions or number in taken or number in over or len(taken) >= wanted:
            deleted.append(DeletePod(pod.name))
        else:
            taken.add(number)
    busy = {index_of(pod) for pod in count.terminating} if spec.get("podReplacementPolicy") == "Failed" else set()
    per_index = spec.get("backoffLimitPerIndex") is not None
    made: list[Action] = []
    pauses: list[float] = []
    overall = 0.0 if per_index else _pause([pod for pod in pods if pod.over], now)
    for number in range(completions):
        if len(taken) + len(made) >= wanted or len(made) >= BURST:
            break
        if number in taken or number in busy or number in over:
            continue
        past = by_index.get(number, [])
        pause = _pause([pod for pod in past if pod.over], now) if per_index else overall
        if pause > 0:
            pauses.append(pause)
            continue
        failures = None
        if per_index:
            failures = max(
                (index_failures(pod) + (verdict(job, pod).action == "Count" and has_failed(job, pod)) for pod in past),
                default=0,
            )
        made.append(NewPod(number, failures))
    return deleted + made, min(pauses, default=None)


def _least_first(pod: Pod) -> tuple[Any, ...]:
    return (bool(pod.node), pod.phase == "Running", pod.ready, -pod.restarts, -pod.created, pod.name)


def _pause(over: Iterable[Pod], now: float) -> float:
    """How long the next pod waits after failures that no success came after."""
    failures, last = 0, 0.0
    for pod in sorted(over, key=lambda pod: pod.finished):
        if pod.phase == "Succeeded":
            failures = 0
        else:
            failures, last = failures + 1, pod.finished
    if not failures:
        return 0.0
    return last + min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE_SECONDS) - now


def _status(job: Obj, status: Obj, count: Count, listed: list[Obj]) -> Obj:
    spec = objects.spec(job)
    made: Obj = {name: status[name] for name in ("startTime", "completionTime") if status.get(name)}
    numbers = {"active": len(count.active), "succeeded": count.succeeded, "failed": count.failed}
    made |= {name: value for name, value in numbers.items() if value}
    made["ready"] = sum(pod.ready for pod in count.active)
    made["terminating"] = len(count.terminating)
    if spec.get("completionMode") == INDEXED:
        if text := indexes.written(count.completed):
            made["completedIndexes"] = text
        if spec.get("backoffLimitPerIndex") is not None:
            made["failedIndexes"] = indexes.written(count.failed_indexes)
    waiting = {"succeeded": count.uncounted_succeeded, "failed": count.uncounted_failed}
    made["uncountedTerminatedPods"] = {name: uids for name, uids in waiting.items() if uids}
    if listed:
        made["conditions"] = listed
    return made
