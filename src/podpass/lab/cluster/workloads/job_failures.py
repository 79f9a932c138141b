"""What a failed pod means for its Job, by the Job's `podFailurePolicy`."""

from dataclasses import dataclass

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.cluster.workloads.pods import Pod


@dataclass(frozen=True, slots=True)
class Verdict:
    """The rule that a failed pod matched."""

    action: str
    """Count, Ignore, FailIndex or FailJob."""
    message: str = ""


def verdict(job: Obj, pod: Pod) -> Verdict:
    """By the first rule that matches; a failure that no rule is about counts."""
    for number, rule in enumerate((objects.spec(job).get("podFailurePolicy") or {}).get("rules") or ()):
        action = str(rule.get("action") or "Count")
        if (codes := rule.get("onExitCodes")) is not None:
            found = _exit_code(codes, pod)
            if found is not None:
                name, code = found
                return Verdict(
                    action,
                    f"Container {name} for pod {pod.namespace}/{pod.name} failed with exit code {code}"
                    f" matching {action} rule at index {number}",
                )
        else:
            for pattern in rule.get("onPodConditions") or ():
                if _has(pod, pattern):
                    return Verdict(
                        action,
                        f"Pod {pod.namespace}/{pod.name} has condition {pattern.get('type')}"
                        f" matching {action} rule at index {number}",
                    )
    return Verdict("Count")


def _exit_code(codes: Obj, pod: Pod) -> tuple[str, int] | None:
    values, wanted = codes.get("values") or [], codes.get("containerName")
    for container in pod.containers:
        if wanted is not None and container.name != wanted:
            continue
        code = 0 if container.ended is None else container.ended.exitCode
        if code and (code in values) == (codes.get("operator") == "In"):
            return container.name, code
    return None


def _has(pod: Pod, pattern: Obj) -> bool:
    return any(
        each.type == pattern.get("type") and each.status == (pattern.get("status") or "True") for each in pod.conditions
    )
