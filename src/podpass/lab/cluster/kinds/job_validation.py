"""What is refused of a Job: its spec, what may not change, and what no status may say.

Contract: Kubernetes API surface, section 2.11.
"""

from collections.abc import Iterator
from typing import Any

from podpass.kube import names, objects
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, invalid, not_supported, required
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.kinds.job_defaults import INDEXED, NON_INDEXED, generated_labels
from podpass.lab.cluster.kinds.templates import (
    not_negative,
    selected_template_causes,
    selector_causes,
    selector_of,
    template_causes,
)
from podpass.lab.cluster.workloads import indexes

MAX_INDEXED_PARALLELISM = 100_000
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_FROZEN = ("selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
_DIRECTIVES = ("nodeSelector", "tolerations", "schedulingGates", "affinity")
"""What of a template may change while the Job is suspended and has not begun."""


def create_causes(job: Obj) -> Iterator[Cause]:
    if not objects.spec(job).get("manualSelector"):
        yield from _generated_causes(job)
    yield from _causes(job)


def _causes(job: Obj) -> Iterator[Cause]:
    spec = objects.spec(job)
    yield from job_spec_causes(spec, "spec")
    yield from selector_causes(spec.get("selector"), "spec.selector")
    yield from selected_template_causes(spec)
    if spec.get("completionMode") == INDEXED and (spec.get("completions") or 0) > 0:
        hostname = f"{objects.name(job)}-{spec['completions'] - 1}"
        if names.label_fault(hostname):
            text = f"will not able to create pod with invalid DNS label: {hostname}"
            yield invalid("metadata.name", objects.name(job), text)


def _generated_causes(job: Obj) -> Iterator[Cause]:
    spec = objects.spec(job)
    labels = objects.labels(spec.get("template") or {})
    generated = generated_labels(job)
    for key, value in generated.items():
        if labels.get(key) != value:
            yield invalid(f"spec.template.metadata.labels[{key}]", dict(sorted(labels.items())), f"must be '{value}'")
    found = selector_of(spec)
    if found is None or not found.matches(generated):
        yield invalid("spec.selector", spec.get("selector"), "`selector` not auto-generated")


def job_spec_causes(spec: Obj, path: str) -> Iterator[Cause]:
    """What is wrong with a Job's spec, or with a CronJob's template of one."""
    yield from not_negative(spec, _COUNTS, path)
    yield from _mode_causes(spec, path)
    yield from _failure_policy_causes(spec, f"{path}.podFailurePolicy")
    if (policy := spec.get("successPolicy")) is not None:
        if spec.get("completionMode") != INDEXED:
            yield invalid(f"{path}.successPolicy", {"Rules": policy.get("rules")}, "requires indexed completion mode")
        else:
            yield from _success_policy_causes(spec, policy.get("rules") or [], f"{path}.successPolicy.rules")
    replacement = spec.get("podReplacementPolicy")
    allowed = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
    if replacement not in allowed:
        yield not_supported(f"{path}.podReplacementPolicy", replacement or "", allowed)
    yield from template_causes(spec.get("template"), f"{path}.template", restart_policies=())
    place = f"{path}.template.spec.restartPolicy"
    restart = objects.spec(spec.get("template") or {}).get("restartPolicy")
    if restart in ("Always", "", None):
        yield required(place, 'valid values: "OnFailure", "Never"')
    elif restart not in ("OnFailure", "Never"):
        yield not_supported(place, restart, ("OnFailure", "Never"))
    elif restart == "OnFailure" and spec.get("podFailurePolicy") is not None:
        yield invalid(place, restart, 'only "Never" is supported when podFailurePolicy is specified')


def _mode_causes(spec: Obj, path: str) -> Iterator[Cause]:
    mode, completions = spec.get("completionMode"), spec.get("completions")
    per_index, most_failed = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    if most_failed is not None and per_index is None:
        yield required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if mode not in (INDEXED, NON_INDEXED):
        yield not_supported(f"{path}.completionMode", mode, (NON_INDEXED, INDEXED))
    elif mode == NON_INDEXED:
        for member, value in (("backoffLimitPerIndex", per_index), ("maxFailedIndexes", most_failed)):
            if value is not None:
                yield invalid(f"{path}.{member}", value, "requires indexed completion mode")
    else:
        if completions is None:
            yield required(f"{path}.completions", "when completion mode is Indexed")
        if spec["parallelism"] > MAX_INDEXED_PARALLELISM:
            yield invalid(
                f"{path}.parallelism",
                spec["parallelism"],
                f"must be less than or equal to {MAX_INDEXED_PARALLELISM} when completion mode is Indexed",
            )
        if completions is not None and most_failed is not None and most_failed > completions:
            yield invalid(f"{path}.maxFailedIndexes", most_failed, "must be less than or equal to completions")


def _failure_policy_causes(spec: Obj, path: str) -> Iterator[Cause]:
    pod = objects.spec(spec.get("template") or {})
    containers = {each.get("name") for member in ("containers", "initContainers") for each in pod.get(member) or ()}
    for index, rule in enumerate((spec.get("podFailurePolicy") or {}).get("rules") or ()):
        place = f"{path}.rules[{index}]"
        action, codes, conditions = rule.get("action"), rule.get("onExitCodes"), rule.get("onPodConditions")
        if not action:
            yield required(f"{place}.action", f"valid values: {_listed(_ACTIONS)}")
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            yield invalid(f"{place}.action", action, "requires the backoffLimitPerIndex to be set")
        elif action not in _ACTIONS:
            yield not_supported(f"{place}.action", action, _ACTIONS)
        if codes is not None:
            yield from _exit_code_causes(codes, f"{place}.onExitCodes", containers)
        for number, pattern in enumerate(conditions or ()):
            yield from rules.one_of(
                f"{place}.onPodConditions[{number}].status", pattern.get("status"), ("False", "True", "Unknown")
            )
            if fault := names.qualified_name_fault(pattern.get("type") or ""):
                yield invalid(f"{place}.onPodConditions[{number}].type", pattern.get("type") or "", fault)
        if codes is not None and conditions:
            yield _plain(place, "specifying both OnExitCodes and OnPodConditions is not supported")
        elif codes is None and not conditions:
            yield _plain(place, "specifying one of OnExitCodes and OnPodConditions is required")


def _exit_code_causes(codes: Obj, path: str, containers: set[Any]) -> Iterator[Cause]:
    operator, values = codes.get("operator"), codes.get("values") or []
    if not operator:
        yield required(f"{path}.operator", f"valid values: {_listed(('In', 'NotIn'))}")
    yield from rules.one_of(f"{path}.operator", operator, ("In", "NotIn"))
    name = codes.get("containerName")
    if name is not None and name not in containers:
        yield invalid(
            f"{path}.containerName", name, "must be one of the container or initContainer names in the pod template"
        )
    if not values:
        yield invalid(f"{path}.values", values, "at least one value is required")
    seen: set[int] = set()
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            yield invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
        if value in seen:
            yield Cause("FieldValueDuplicate", f"Duplicate value: {value}", f"{path}.values[{index}]")
        seen.add(value)
    if values != sorted(values):
        yield invalid(f"{path}.values", values, "must be ordered")


def _success_policy_causes(spec: Obj, listed: list[Obj], path: str) -> Iterator[Cause]:
    completions = spec.get("completions") or 0
    if not listed:
        yield required(path, "at least one rules must be specified when the successPolicy is specified")
    for number, rule in enumerate(listed):
        place = f"{path}[{number}]"
        text, count = rule.get("succeededIndexes"), rule.get("succeededCount")
        if text is None and count is None:
            yield required(place, "at least one of succeededCount or succeededIndexes must be specified")
        if text is not None and (fault := indexes.fault(text, completions)):
            yield invalid(f"{place}.succeededIndexes", text, f"error parsing succeededIndexes: {fault}")
        if count is None:
            continue
        yield from rules.at_least(f"{place}.succeededCount", count, 0)
        if count > completions:
            yield invalid(
                f"{place}.succeededCount",
                count,
                f"must be less than or equal to {completions} (the number of specified completions)",
            )


def _listed(words: tuple[str, ...]) -> str:
    return "[" + " ".join(f'"{word}"' for word in words) + "]"


def _plain(path: str, text: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {text}", path)


def update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    if objects.status(new) != objects.status(old):
        yield from _status_causes(new)
    after, before = objects.spec(new), objects.spec(old)
    if after == before:
        return
    yield from _causes(new)
    if after.get("completionMode") != INDEXED or after.get("completions") is None:
        yield from rules.immutable("spec.completions", after.get("completions"), before.get("completions"))
    elif after["completions"] != before.get("completions") and after["completions"] != after.get("parallelism"):
        text = "can only be modified in tandem with spec.parallelism"
        yield invalid("spec.completions", after["completions"], text)
    for member in _FROZEN:
        if after.get(member) != before.get(member):
            value = after.get(member)
            shown = {"Rules": value.get("rules")} if member.endswith("Policy") and value else value
            yield invalid(f"spec.{member}", shown, rules.IMMUTABLE)
    waiting = before.get("suspend") and not objects.status(old).get("startTime")
    template, kept = after.get("template") or {}, before.get("template") or {}
    if waiting:
        yield from rules.immutable("spec.template.spec", _without_directives(template), _without_directives(kept))
    else:
        yield from rules.immutable("spec.template", template, kept)


def _without_directives(template: Obj) -> Obj:
    return {name: value for name, value in objects.spec(template).items() if name not in _DIRECTIVES}


def _status_causes(job: Obj) -> Iterator[Cause]:
    """What no Job's status may say, whoever writes it."""
    status = objects.status(job)
    yield from not_negative(status, ("active", "succeeded", "failed", "ready", "terminating"), "status")
    complete, failed = condition(job, "Complete"), condition(job, "Failed")
    if complete and failed:
        yield _plain("status.conditions", "cannot set Complete=True and Failed=true conditions")
    if complete and not status.get("completionTime"):
        yield required("status.completionTime", "completionTime is required for Complete jobs")
    if status.get("completionTime") and not complete:
        text = "cannot set completionTime when there is no Complete=True condition"
        yield invalid("status.completionTime", status["completionTime"], text)
    if failed and not condition(job, "FailureTarget"):
        yield _plain("status.conditions", "cannot set Failed=True condition without the FailureTarget=true condition")
    if complete and not condition(job, "SuccessCriteriaMet"):
        text = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        yield _plain("status.conditions", text)
    if (complete or failed) and (status.get("active") or 0) > 0:
        yield invalid("status.active", status["active"], "active>0 is invalid for finished job")
    if (complete or failed) and not status.get("startTime"):
        yield required("status.startTime", "startTime is required for finished job")


def condition(job: Obj, kind: str) -> Obj | None:
    """The condition of that type, if it holds."""
    for each in objects.status(job).get("conditions") or ():
        if each.get("type") == kind and each.get("status") == "True":
            found: Obj = each
            return found
    return None
