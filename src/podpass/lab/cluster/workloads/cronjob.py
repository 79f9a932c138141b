"""When a CronJob is due, what it does then, and which of its old Jobs it forgets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.clock import rfc3339, seconds_of
from podpass.lab.cluster.workloads import cron
from podpass.lab.cluster.workloads.cron import CronSyntax
from podpass.lab.cluster.workloads.events import Say
from podpass.lab.cluster.workloads.job import is_finished

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MAX_MISSED = 100
"""More than so many missed times are said to be too many; only the last one is made up for."""


@dataclass(frozen=True, slots=True)
class CreateJob:
    due: float
    """Seconds since the epoch; the Job is named after it."""

    def __str__(self) -> str:
        return f"create the Job of {rfc3339(self.due)}"


@dataclass(frozen=True, slots=True)
class DeleteJob:
    name: str

    def __str__(self) -> str:
        return f"delete {self.name}"


Action = CreateJob | DeleteJob | Say


@dataclass(frozen=True, slots=True)
class Decision:
    status: Obj
    actions: list[Action] = field(default_factory=list)
    again_seconds: float | None = None


def decide(cron_job: Obj, jobs: Sequence[Obj], now: float) -> Decision:
    """*jobs* are those that the CronJob controls."""
    spec, status = objects.spec(cron_job), dict(objects.status(cron_job))
    actions: list[Action] = []
    known = {each.get("uid") for each in status.get("active") or ()}
    running = [job for job in jobs if not is_finished(job)]
    for job in jobs:
        if is_finished(job) and objects.uid(job) in known:
            word = "Complete" if _succeeded(job) else "Failed"
            actions.append(
                Say("Normal", "SawCompletedJob", f"Saw completed job: {objects.name(job)}, condition: {word}")
            )
    finished = [seconds_of(objects.status(job).get("completionTime")) for job in jobs if _succeeded(job)]
    newest = max((time for time in finished if time is not None), default=None)
    if newest is not None and newest > (seconds_of(status.get("lastSuccessfulTime")) or 0):
        status["lastSuccessfulTime"] = rfc3339(newest)
    active = [job for job in running if not objects.being_deleted(job)]
    status.pop("active", None)
    if active:
        status["active"] = [_reference(job) for job in active]
    actions += _history(spec, jobs)
    if spec.get("suspend") or objects.being_deleted(cron_job):
        return Decision(status, actions)
    try:
        schedule, zone = cron.parse(spec.get("schedule") or ""), cron.zone(spec.get("timeZone"))
    except CronSyntax as error:
        return Decision(status, [*actions, Say("Warning", "UnparseableSchedule", f"unparseable schedule: {error}")])
    due, missed = _last_due(cron_job, schedule, zone, now)
    following = schedule.next(now, zone)
    again = None if following is None else max(following - now, 0.0)
    if due is None:
        return Decision(status, actions, again)
    if missed > MAX_MISSED:
        text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        actions.append(Say("Warning", "TooManyMissedTimes", text))
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None and due + deadline < now:
        text = f"Missed scheduled time to start a job: {rfc3339(due)}"
        return Decision(status, [*actions, Say("Warning", "MissSchedule", text)], again)
    policy = spec.get("concurrencyPolicy")
    if policy == "Forbid" and active:
        text = "Not starting job because prior execution is running and concurrency policy is Forbid"
        return Decision(status, [*actions, Say("Normal", "JobAlreadyActive", text)], again)
    if policy == "Replace":
        actions += [DeleteJob(objects.name(job)) for job in active]
    status["lastScheduleTime"] = rfc3339(due)
    return Decision(status, [*actions, CreateJob(due)], again)


def _last_due(cron_job: Obj, schedule: cron.Schedule, zone: Any, now: float) -> tuple[float | None, int]:
    """The last time that is due and was not made up for, and how many there were (no more than are told apart)."""
    spec, status = objects.spec(cron_job), objects.status(cron_job)
    since = seconds_of(status.get("lastScheduleTime")) or seconds_of(
        objects.metadata(cron_job).get("creationTimestamp")
    )
    begin = now if since is None else since
    if (deadline := spec.get("startingDeadlineSeconds")) is not None:
        begin = max(begin, now - deadline)
    due: float | None = None
    missed = 0
    time = schedule.next(begin, zone)
    while time is not None and time <= now:
        due, missed = time, missed + 1
        if missed > MAX_MISSED and schedule.every_seconds:
            due = time + (now - time) // schedule.every_seconds * schedule.every_seconds
            break
        if missed > MAX_MISSED:
            # Near the end of a long absence one day is enough to look at.
            time = max(schedule.next(max(time, now - 86_400), zone) or now, time)
            while time is not None and time <= now:
                due, time = time, schedule.next(time, zone)
            break
        time = schedule.next(time, zone)
    return due, missed


def _history(spec: Obj, jobs: Sequence[Obj]) -> list[Action]:
    """The oldest Jobs beyond the limits of the history go."""
    actions: list[Action] = []
    for succeeded, member in ((True, "successfulJobsHistoryLimit"), (False, "failedJobsHistoryLimit")):
        limit = spec.get(member)
        over = [job for job in jobs if is_finished(job) and _succeeded(job) == succeeded]
        over.sort(key=lambda job: (objects.status(job).get("startTime") or "", objects.name(job)))
        if limit is not None and len(over) > limit:
            actions += [
                DeleteJob(objects.name(job)) for job in over[: len(over) - limit] if not objects.being_deleted(job)
            ]
    return actions


def _succeeded(job: Obj) -> bool:
    return any(
        each.get("type") == "Complete" and each.get("status") == "True"
        for each in objects.status(job).get("conditions") or ()
    )


def _reference(job: Obj) -> Obj:
    return {
        "kind": "Job",
        "namespace": objects.namespace(job),
        "name": objects.name(job),
        "uid": objects.uid(job),
        "apiVersion": "batch/v1",
        "resourceVersion": objects.resource_version(job),
    }


def job_name(cron_job: Obj, due: float) -> str:
    return f"{objects.name(cron_job)}-{int(due) // 60}"
