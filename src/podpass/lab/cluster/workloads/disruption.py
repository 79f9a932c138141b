"""How many of the pods that a PodDisruptionBudget guards may be evicted, and whether one of them may.

Contract: Kubernetes API surface, section 2.10.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.clock import rfc3339, seconds_of
from podpass.lab.cluster.kinds.templates import scaled
from podpass.lab.cluster.workloads import conditions
from podpass.lab.cluster.workloads.pods import Pod

BELIEVED_SECONDS = 120.0
"""How long a pod counts as disrupted that was to be evicted, and is still there."""
VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."
SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
MAX_DISRUPTED = 2000


@dataclass(frozen=True, slots=True)
class Expected:
    """How many pods there should be, or why nobody can say."""

    count: int = 0
    failure: str = ""


def needs_scale(budget: Obj) -> bool:
    """Whether the budget is about a share of the pods that should be, and not about a number of those that are."""
    spec = objects.spec(budget)
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def status(budget: Obj, pods: Sequence[Pod], expected: Expected, now: float) -> Obj:
    """The budget's status; *expected* counts only where `needs_scale`."""
    spec, old = objects.spec(budget), objects.status(budget)
    generation = objects.metadata(budget).get("generation", 0)
    if expected.failure:
        made = {**old, "disruptionsAllowed": 0, "observedGeneration": generation}
        return _with_condition(made, old, "False", "SyncFailed", expected.failure, generation, now)
    count = expected.count if needs_scale(budget) else len(pods)
    if spec.get("maxUnavailable") is not None:
        desired = max(count - scaled(spec["maxUnavailable"], count, up=True), 0)
    else:
        desired = scaled(spec.get("minAvailable"), count, up=True)
    disrupted = _still_disrupted(old.get("disruptedPods") or {}, {pod.name: pod for pod in pods}, now)
    healthy = sum(pod.ready and not pod.deleting and pod.name not in disrupted for pod in pods)
    allowed = max(healthy - desired, 0) if count > 0 else 0
    made = {
        "observedGeneration": generation,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": count,
        **({"disruptedPods": disrupted} if disrupted else {}),
    }
    word, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    return _with_condition(made, old, word, reason, "", generation, now)


def _with_condition(made: Obj, old: Obj, word: str, reason: str, message: str, generation: int, now: float) -> Obj:
    before = conditions.find(old.get("conditions"), "DisruptionAllowed") or {}
    changed = before.get("status") != word
    condition = {
        "type": "DisruptionAllowed",
        "status": word,
        "observedGeneration": generation,
        "lastTransitionTime": rfc3339(now) if changed else before.get("lastTransitionTime"),
        "reason": reason,
        "message": message,
    }
    return {**made, "conditions": [*conditions.without(old.get("conditions"), "DisruptionAllowed"), condition]}


def _still_disrupted(disrupted: Obj, pods: dict[str, Pod], now: float) -> Obj:
    kept = {}
    for name, time in disrupted.items():
        pod = pods.get(name)
        if pod is not None and not pod.deleting and (seconds_of(time) or 0.0) + BELIEVED_SECONDS > now:
            kept[name] = time
    return kept


def seconds_to_disbelief(status: Obj, now: float) -> float | None:
    """When the next pod that was to be evicted will count as healthy again; None when none waits for that."""
    times = [seconds_of(time) or now for time in (status.get("disruptedPods") or {}).values()]
    return max(min(times) + BELIEVED_SECONDS - now, 0.0) if times else None


# Evictions


@dataclass(frozen=True, slots=True)
class Evict:
    """The pod may go; the budget is not touched. *as_it_is*: only if the pod is still what was looked at."""

    as_it_is: bool = False


@dataclass(frozen=True, slots=True)
class Spend:
    """The pod may go, and the budget's status becomes this."""

    status: Obj


@dataclass(frozen=True, slots=True)
class Refuse:
    """The pod stays, for now. *message* is the cause of a 429."""

    message: str
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """Nobody can say: 403, or 500 for several budgets."""

    message: str
    code: int


def decide(pod: Pod, budgets: Iterable[Obj], now: float) -> Evict | Spend | Refuse | Broken:
    """Whether *pod* may be evicted; *budgets* are those that select it."""
    if pod.over or pod.phase == "Pending" or pod.deleting:
        return Evict()
    found = list(budgets)
    if not found:
        return Evict()
    if len(found) > 1:
        return Broken(SEVERAL, 500)
    budget = found[0]
    name, status = objects.name(budget), objects.status(budget)
    healthy, desired = int(status.get("currentHealthy") or 0), int(status.get("desiredHealthy") or 0)
    if not pod.ready:
        if objects.spec(budget).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
            return Evict(as_it_is=True)
        if healthy >= desired > 0:
            return Evict(as_it_is=True)
    if int(status.get("observedGeneration") or 0) < int(objects.metadata(budget).get("generation") or 0):
        return Refuse(f"The disruption budget {name} is still being processed by the server.", 10)
    allowed = int(status.get("disruptionsAllowed") or 0)
    if len(status.get("disruptedPods") or {}) > MAX_DISRUPTED:
        return Broken("DisruptedPods map too big - too many evictions not confirmed by PDB controller", 403)
    if allowed <= 0:
        return Refuse(f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
    spent = {
        **status,
        "disruptionsAllowed": allowed - 1,
        "disruptedPods": {**(status.get("disruptedPods") or {}), pod.name: rfc3339(now)},
    }
    if allowed == 1:
        generation = objects.metadata(budget).get("generation", 0)
        spent = _with_condition(spent, status, "False", "InsufficientPods", "", generation, now)
    return Spend(spent)
