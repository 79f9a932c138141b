"""PodDisruptionBudgets: how many of some pods may be evicted at a time.

Contract: Kubernetes API surface, sections 1.2 and 2.10.
"""

from collections.abc import Iterator

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, invalid
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.kinds.templates import amount_causes, more_than_all, number, selector_causes
from podpass.lab.cluster.registry import Column, Kind
from podpass.lab.cluster.tables import AGE, NAME

_LIMITS = ("minAvailable", "maxUnavailable")


def _default(budget: Obj) -> None:
    numbers = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")
    budget.setdefault("status", dict.fromkeys(numbers, 0))


def _causes(budget: Obj) -> Iterator[Cause]:
    spec = objects.spec(budget)
    if all(spec.get(member) is not None for member in _LIMITS):
        members = ("minAvailable", "selector", "maxUnavailable", "unhealthyPodEvictionPolicy")
        shown = {member[0].upper() + member[1:]: spec.get(member) for member in members}
        yield invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set")
    for member in _LIMITS:
        if spec.get(member) is not None:
            yield from amount_causes(spec[member], f"spec.{member}")
            yield from more_than_all(spec[member], f"spec.{member}")
    if spec.get("selector") is not None:
        yield from selector_causes(spec["selector"], "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    yield from rules.one_of("spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget"))


def _limit(member: str) -> Column:
    def cell(budget: Obj, _: float) -> str:
        found = objects.spec(budget).get(member)
        return "N/A" if found is None else str(found)

    title = "Min Available" if member == "minAvailable" else "Max Unavailable"
    return Column(title, cell, description="A number of pods, or a percentage of them.")


def budgets() -> Kind:
    return Kind(
        resource=resources.PODDISRUPTIONBUDGETS,
        has_status=True,
        has_generation=True,
        default=_default,
        validate_create=lambda obj: list(_causes(obj)),
        validate_update=lambda new, old: [] if objects.spec(new) == objects.spec(old) else list(_causes(new)),
        columns=(
            NAME,
            _limit("minAvailable"),
            _limit("maxUnavailable"),
            Column(
                "Allowed Disruptions",
                number("status", "disruptionsAllowed"),
                type="integer",
                description="How many pods may be evicted now.",
            ),
            AGE,
        ),
    )
