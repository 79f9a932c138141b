"""What a Job is given that does not say it: numbers, policies, and the selector that no other Job has.

Contract: Kubernetes API surface, section 1.4.
"""

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.cluster.kinds.templates import default_template

INDEXED, NON_INDEXED = "Indexed", "NonIndexed"
CONTROLLER_UID, JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
OLD_LABELS = {CONTROLLER_UID: "controller-uid", JOB_NAME: "job-name"}
"""Older spellings, which pods carry as well."""
UNLIMITED = 2**31 - 1


def default_job_spec(spec: Obj) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    if spec.get("parallelism") is None:
        spec["parallelism"] = 1
    if spec.get("backoffLimit") is None:
        spec["backoffLimit"] = 6 if spec.get("backoffLimitPerIndex") is None else UNLIMITED
    spec["completionMode"] = spec.get("completionMode") or NON_INDEXED
    spec.setdefault("suspend", False)
    policy = spec.get("podFailurePolicy")
    if not spec.get("podReplacementPolicy"):
        spec["podReplacementPolicy"] = "TerminatingOrFailed" if policy is None else "Failed"
    for rule in (policy or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern["status"] = pattern.get("status") or "True"
    default_template(spec)


def default_job(job: Obj) -> None:
    spec = job.setdefault("spec", {})
    if isinstance(spec, dict):
        default_job_spec(spec)
        spec.setdefault("manualSelector", False)
        job.setdefault("status", {})
        labels = objects.labels(spec["template"]) if isinstance(spec.get("template"), dict) else {}
        if labels and not objects.labels(job):
            job["metadata"] = {**objects.metadata(job), "labels": dict(labels)}


def complete_job(job: Obj) -> None:
    """Give a new Job the selector that no other has, and its template the labels for it."""
    spec = objects.spec(job)
    template = spec.get("template")
    if spec.get("manualSelector") or not isinstance(template, dict):
        return
    labels = dict(objects.labels(template))
    for key, value in generated_labels(job).items():
        labels.setdefault(key, value)
    template = {**template, "metadata": {**objects.metadata(template), "labels": dict(sorted(labels.items()))}}
    selector = spec.get("selector") or {}
    matched = {**(selector.get("matchLabels") or {}), CONTROLLER_UID: objects.uid(job)}
    job["spec"] = {**spec, "selector": {**selector, "matchLabels": matched}, "template": template}
    if not objects.labels(job):
        job["metadata"] = {**objects.metadata(job), "labels": dict(labels)}


def generated_labels(job: Obj) -> dict[str, str]:
    """The labels by which a Job knows its pods, in both of their spellings."""
    found = {CONTROLLER_UID: objects.uid(job), JOB_NAME: objects.name(job)}
    return {**{OLD_LABELS[key]: value for key, value in found.items()}, **found}
