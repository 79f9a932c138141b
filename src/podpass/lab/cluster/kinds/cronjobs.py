"""CronJobs: when they make Jobs, and out of what.

Contract: Kubernetes API surface, sections 1.4 and 2.11.
"""

from collections.abc import Iterator

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, invalid, not_supported, required
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.kinds.job_defaults import default_job_spec
from podpass.lab.cluster.kinds.job_validation import job_spec_causes
from podpass.lab.cluster.kinds.templates import default_template, not_negative, wide_columns
from podpass.lab.cluster.registry import Column, Kind
from podpass.lab.cluster.tables import AGE, NAME, NONE, since
from podpass.lab.cluster.workloads import cron
from podpass.lab.cluster.workloads.cron import CronSyntax

MAX_CRON_NAME = 52
"""A CronJob's Jobs have eleven characters more."""


def _default_cron(cron_job: Obj) -> None:
    spec = cron_job.setdefault("spec", {})
    if not isinstance(spec, dict):
        return
    spec["concurrencyPolicy"] = spec.get("concurrencyPolicy") or "Allow"
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    cron_job.setdefault("status", {})
    template = spec.get("jobTemplate")
    if isinstance(template, dict) and isinstance(template.setdefault("spec", {}), dict):
        template.setdefault("metadata", {})
        # A Job's own numbers are left for the Jobs to come; only the pod is filled in here.
        default_template(template["spec"])


def _cron_causes(cron_job: Obj) -> Iterator[Cause]:
    spec = objects.spec(cron_job)
    yield from _schedule_causes(spec)
    yield from not_negative(spec, ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"))
    yield from rules.one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
    template = objects.spec(spec.get("jobTemplate") or {})
    filled = {**template, "template": template.get("template") or {}}
    default_job_spec(filled)
    yield from job_spec_causes(filled, "spec.jobTemplate.spec")
    if template.get("selector") is not None:
        yield invalid("spec.jobTemplate.spec.selector", template["selector"], "`selector` will be auto-generated")
    if template.get("manualSelector"):
        yield not_supported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false"))
    if len(objects.name(cron_job)) > MAX_CRON_NAME:
        yield invalid("metadata.name", objects.name(cron_job), f"must be no more than {MAX_CRON_NAME} characters")


def _schedule_causes(spec: Obj) -> Iterator[Cause]:
    schedule, name = spec.get("schedule") or "", spec.get("timeZone")
    if not schedule:
        yield required("spec.schedule")
    elif "TZ" in schedule:
        yield invalid("spec.schedule", schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    else:
        try:
            cron.parse(schedule)
        except CronSyntax as error:
            yield invalid("spec.schedule", schedule, str(error))
    if name is None:
        return
    if not name:
        yield invalid("spec.timeZone", name, "timeZone must be nil or non-empty string")
        return
    try:
        cron.zone(name)
    except CronSyntax as error:
        yield invalid("spec.timeZone", name, str(error))


def _cron_update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    if objects.spec(new) != objects.spec(old):
        yield from _cron_causes(new)


def _suspend_cell(cron_job: Obj, _: float) -> str:
    found = objects.spec(cron_job).get("suspend")
    return "<unset>" if found is None else str(bool(found))


def _last_cell(cron_job: Obj, now: float) -> str:
    last = objects.status(cron_job).get("lastScheduleTime")
    return since(last, now) if last else NONE


def cronjobs() -> Kind:
    return Kind(
        resource=resources.CRONJOBS,
        has_status=True,
        has_generation=True,
        default=_default_cron,
        validate_create=lambda obj: list(_cron_causes(obj)),
        validate_update=lambda new, old: list(_cron_update_causes(new, old)),
        columns=(
            NAME,
            Column("Schedule", lambda obj, _: objects.spec(obj).get("schedule") or "", description="In Cron format."),
            Column(
                "Timezone",
                lambda obj, _: objects.spec(obj).get("timeZone") or NONE,
                description="The time zone of the schedule; UTC when none is named.",
            ),
            Column("Suspend", _suspend_cell, type="boolean", description="Whether no more Jobs are made."),
            Column(
                "Active",
                lambda obj, _: len(objects.status(obj).get("active") or ()),
                type="integer",
                description="How many Jobs are under way.",
            ),
            Column("Last Schedule", _last_cell, description="When a Job was last due."),
            AGE,
            *wide_columns(template="jobTemplate"),
        ),
    )
