"""DaemonSets.

Contract: Kubernetes API surface, sections 1.4 and 2.11.
"""

from collections.abc import Iterator

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, invalid, not_supported, required
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.kinds.templates import (
    amount_causes,
    default_template,
    is_zero,
    more_than_all,
    no_deadline,
    not_negative,
    number,
    selected_template_causes,
    selector_causes,
    status_causes,
    wide_columns,
)
from podpass.lab.cluster.registry import Column, Kind
from podpass.lab.cluster.tables import AGE, NAME, NONE

ROLLING, ON_DELETE = "RollingUpdate", "OnDelete"
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_ALWAYS_SHOWN = ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady")


def _default(daemonset: Obj) -> None:
    spec = daemonset.setdefault("spec", {})
    if not isinstance(spec, dict):
        return
    strategy = spec["updateStrategy"] = spec.get("updateStrategy") or {}
    strategy["type"] = strategy.get("type") or ROLLING
    if strategy["type"] == ROLLING:
        rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    default_template(spec)
    daemonset.setdefault("status", dict.fromkeys(_ALWAYS_SHOWN, 0))


def _prepare_create(daemonset: Obj) -> None:
    _mark_generation(daemonset, 1)


def _prepare_update(new: Obj, old: Obj) -> None:
    kept = int(objects.annotations(old).get(TEMPLATE_GENERATION) or 1)
    changed = objects.spec(new).get("template") != objects.spec(old).get("template")
    _mark_generation(new, kept + 1 if changed else kept)


def _mark_generation(daemonset: Obj, number: int) -> None:
    """Which template of the set this is, in an annotation that was once a member."""
    meta = objects.metadata(daemonset)
    daemonset["metadata"] = {
        **meta,
        "annotations": {**(meta.get("annotations") or {}), TEMPLATE_GENERATION: str(number)},
    }


def _causes(daemonset: Obj) -> Iterator[Cause]:
    spec = objects.spec(daemonset)
    if spec.get("selector") is not None:
        yield from selector_causes(spec["selector"], "spec.selector", "empty selector is invalid for daemonset")
    yield from selected_template_causes(spec, template=spec.get("template"))
    yield from no_deadline(spec, "spec.template", "activeDeadlineSeconds in DaemonSet is not Supported")
    yield from not_negative(spec, ("minReadySeconds",))
    yield from _strategy_causes(spec.get("updateStrategy") or {})
    yield from not_negative(spec, ("revisionHistoryLimit",))


def _strategy_causes(strategy: Obj) -> Iterator[Cause]:
    if strategy.get("type") == ON_DELETE:
        return
    if strategy.get("type") != ROLLING:
        shown = {"Type": strategy.get("type"), "RollingUpdate": strategy.get("rollingUpdate")}
        yield not_supported("spec.updateStrategy", shown, (ROLLING, ON_DELETE))
        return
    path, rolling = "spec.updateStrategy.rollingUpdate", strategy.get("rollingUpdate") or {}
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    yield from amount_causes(unavailable, f"{path}.maxUnavailable")
    yield from amount_causes(surge, f"{path}.maxSurge")
    yield from more_than_all(unavailable, f"{path}.maxUnavailable")
    yield from more_than_all(surge, f"{path}.maxSurge")
    if not is_zero(unavailable) and not is_zero(surge):
        yield invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
    elif is_zero(unavailable) and is_zero(surge):
        yield required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def _update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from status_causes(
        new, old, (*_ALWAYS_SHOWN, "updatedNumberScheduled", "numberAvailable", "numberUnavailable")
    )
    if objects.spec(new) == objects.spec(old):
        return
    yield from _causes(new)
    yield from rules.immutable("spec.selector", objects.spec(new).get("selector"), objects.spec(old).get("selector"))


def _node_selector(daemonset: Obj, _: float) -> str:
    found = objects.spec(objects.spec(daemonset).get("template") or {}).get("nodeSelector") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(found.items())) or NONE


def daemonsets() -> Kind:
    return Kind(
        resource=resources.DAEMONSETS,
        has_status=True,
        has_generation=True,
        default=_default,
        prepare_create=_prepare_create,
        prepare_update=_prepare_update,
        validate_create=lambda obj: list(_causes(obj)),
        validate_update=lambda new, old: list(_update_causes(new, old)),
        columns=(
            NAME,
            *(
                Column(name, number("status", member), type="integer", description=description)
                for name, member, description in (
                    ("Desired", "desiredNumberScheduled", "How many nodes should have the pod."),
                    ("Current", "currentNumberScheduled", "How many of these have it."),
                    ("Ready", "numberReady", "On how many it is ready."),
                    ("Up-to-date", "updatedNumberScheduled", "On how many it is of the newest kind."),
                    ("Available", "numberAvailable", "On how many it is ready for at least minReadySeconds."),
                )
            ),
            Column("Node Selector", _node_selector, description="Which nodes it is for."),
            AGE,
            *wide_columns(),
        ),
    )
