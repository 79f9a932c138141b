"""Jobs: pods that run to their end.

Contract: Kubernetes API surface, sections 1.4 and 2.11.
"""

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.lab.clock import seconds_of
from podpass.lab.cluster.kinds.job_defaults import complete_job, default_job
from podpass.lab.cluster.kinds.job_validation import condition, create_causes, update_causes
from podpass.lab.cluster.kinds.templates import wide_columns
from podpass.lab.cluster.registry import Column, Kind
from podpass.lab.cluster.tables import AGE, NAME, duration


def _status_cell(job: Obj, _: float) -> str:
    for kind, word in (("Complete", "Complete"), ("Failed", "Failed")):
        if condition(job, kind):
            return word
    if objects.being_deleted(job):
        return "Terminating"
    for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if condition(job, kind):
            return kind
    return "Running"


def _completions_cell(job: Obj, _: float) -> str:
    spec, succeeded = objects.spec(job), objects.status(job).get("succeeded") or 0
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration_cell(job: Obj, now: float) -> str:
    status = objects.status(job)
    begun = seconds_of(status.get("startTime"))
    if begun is None:
        return ""
    ended = seconds_of(status.get("completionTime"))
    return duration((now if ended is None else ended) - begun)


def jobs() -> Kind:
    return Kind(
        resource=resources.JOBS,
        has_status=True,
        has_generation=True,
        default=default_job,
        complete_create=complete_job,
        validate_create=lambda obj: list(create_causes(obj)),
        validate_update=lambda new, old: list(update_causes(new, old)),
        field_labels=lambda obj: {"status.successful": str(objects.status(obj).get("succeeded") or 0)},
        field_names=frozenset({"status.successful"}),
        columns=(
            NAME,
            Column("Status", _status_cell, description="Status of the job."),
            Column("Completions", _completions_cell, description="How many pods succeeded, of how many that should."),
            Column("Duration", _duration_cell, description="Time required to complete the job."),
            AGE,
            *wide_columns(),
        ),
    )
