"""The pods of a Job, told apart: at work, ending, succeeded, failed, and which of them still have to be counted.

A pod is counted in two steps, so that none is missed or counted twice: its uid is written into the status, then the
finalizer that kept it there is taken off, and what is seen without it is added to the numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.cluster.kinds.job_defaults import INDEXED
from podpass.lab.cluster.workloads import conditions, indexes
from podpass.lab.cluster.workloads.job_failures import verdict
from podpass.lab.cluster.workloads.pods import Pod

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"


@dataclass(slots=True)
class Count:
    active: list[Pod]
    terminating: list[Pod]
    succeeded: int
    failed: int
    uncounted_succeeded: list[str]
    uncounted_failed: list[str]
    completed: frozenset[int]
    failed_indexes: frozenset[int]
    release: list[Pod]
    job_failure: str = ""
    """Why the failure policy ends the Job."""


def is_tracked(pod: Pod) -> bool:
    return FINALIZER in pod.finalizers


def counted(job: Obj, pods: Sequence[Pod]) -> Count:
    spec, status = objects.spec(job), objects.status(job)
    indexed, completions = spec.get("completionMode") == INDEXED, int(spec.get("completions") or 0)
    waiting = status.get("uncountedTerminatedPods") or {}
    tracked = {pod.uid: pod for pod in pods if is_tracked(pod)}
    completed = set(indexes.read(status.get("completedIndexes"), completions)) if indexed else set()
    failed_indexes = set(indexes.read(status.get("failedIndexes"), completions)) if indexed else set()
    found = Count(
        active=[pod for pod in pods if pod.active],
        terminating=[pod for pod in pods if pod.deleting and not pod.over and not pod.let_go],
        succeeded=int(status.get("succeeded") or 0),
        failed=int(status.get("failed") or 0),
        uncounted_succeeded=[],
        uncounted_failed=[],
        completed=frozenset(),
        failed_indexes=frozenset(),
        release=[],
    )
    for uid in waiting.get("succeeded") or ():
        if uid in tracked:
            found.uncounted_succeeded.append(uid)
        else:
            found.succeeded += 1
    for uid in waiting.get("failed") or ():
        if uid in tracked:
            found.uncounted_failed.append(uid)
        else:
            found.failed += 1
    found.release += [tracked[uid] for uid in (*found.uncounted_succeeded, *found.uncounted_failed)]
    known = {*found.uncounted_succeeded, *found.uncounted_failed}
    for pod in tracked.values():
        if pod.uid in known:
            continue
        number = index_of(pod)
        if pod.phase == "Succeeded":
            if indexed and (number is None or number >= completions or number in completed):
                found.release.append(pod)
                continue
            if indexed and number is not None:
                completed.add(number)
            found.uncounted_succeeded.append(pod.uid)
            found.release.append(pod)
        elif (
            pod.deleting
            and pod.phase != "Failed"
            and conditions.is_true(status.get("conditions"), "SuccessCriteriaMet")
        ):
            # Ended because the others are enough: that is no failure.
            found.release.append(pod)
        elif has_failed(job, pod):
            _count_failure(job, pod, found, failed_indexes)
    if indexed:
        # The number of pods that succeeded is the number of indexes that are done.
        found.succeeded = len(completed) - len(found.uncounted_succeeded)
    found.completed, found.failed_indexes = frozenset(completed), frozenset(failed_indexes - completed)
    return found


def _count_failure(job: Obj, pod: Pod, found: Count, failed_indexes: set[int]) -> None:
    judged = verdict(job, pod)
    found.release.append(pod)
    if judged.action == "Ignore":
        return
    found.uncounted_failed.append(pod.uid)
    if judged.action == "FailJob" and not found.job_failure:
        found.job_failure = judged.message
    limit, number = objects.spec(job).get("backoffLimitPerIndex"), index_of(pod)
    if limit is not None and number is not None and (judged.action == "FailIndex" or index_failures(pod) + 1 > limit):
        failed_indexes.add(number)


def has_failed(job: Obj, pod: Pod) -> bool:
    if pod.phase == "Failed":
        return True
    # A pod that is on its way out counts at once, unless only those that failed are replaced.
    return pod.deleting and (pod.let_go or objects.spec(job).get("podReplacementPolicy") != "Failed")


def index_of(pod: Pod) -> int | None:
    text = pod.annotations.get(INDEX, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else None


def index_failures(pod: Pod) -> int:
    text = pod.annotations.get(INDEX_FAILURES, "0")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else 0
