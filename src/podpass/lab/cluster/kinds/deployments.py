"""Deployments and the ReplicaSets that they roll out.

Contract: Kubernetes API surface, sections 1.4 and 2.11.
"""

from collections.abc import Iterator, Mapping

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, forbidden_field, invalid, not_supported
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
from podpass.lab.cluster.registry import Column, Kind, Subresource, spec_changed
from podpass.lab.cluster.tables import AGE, NAME

REVISION = "deployment.kubernetes.io/revision"
ROLLING, RECREATE = "RollingUpdate", "Recreate"
_QUARTER = "25%"
_UNREADABLE = "invalid label selector"
_NO_DEADLINE = "activeDeadlineSeconds in ReplicaSet is not Supported"


def _default_deployment(deployment: Obj) -> None:
    spec = deployment.setdefault("spec", {})
    if not isinstance(spec, dict):
        return
    spec.setdefault("replicas", 1)
    strategy = spec["strategy"] = spec.get("strategy") or {}
    strategy["type"] = strategy.get("type") or ROLLING
    if strategy["type"] == ROLLING:
        rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
        rolling.setdefault("maxUnavailable", _QUARTER)
        rolling.setdefault("maxSurge", _QUARTER)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    default_template(spec)
    deployment.setdefault("status", {})


def _deployment_causes(deployment: Obj) -> Iterator[Cause]:
    spec = objects.spec(deployment)
    yield from not_negative(spec, ("replicas",))
    yield from selector_causes(spec.get("selector"), "spec.selector", "empty selector is invalid for deployment")
    yield from selected_template_causes(spec, unreadable=_UNREADABLE, template=spec.get("template"))
    yield from no_deadline(spec, "spec.template", _NO_DEADLINE)
    yield from _strategy_causes(spec.get("strategy") or {})
    yield from not_negative(spec, ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        yield invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _strategy_causes(strategy: Obj) -> Iterator[Cause]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == RECREATE:
        if rolling is not None:
            yield forbidden_field(
                "spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"
            )
        return
    if kind != ROLLING:
        yield not_supported("spec.strategy", {"Type": kind, "RollingUpdate": rolling}, (RECREATE, ROLLING))
        return
    path = "spec.strategy.rollingUpdate"
    unavailable, surge = (rolling or {}).get("maxUnavailable"), (rolling or {}).get("maxSurge")
    yield from amount_causes(unavailable, f"{path}.maxUnavailable")
    yield from amount_causes(surge, f"{path}.maxSurge")
    yield from more_than_all(unavailable, f"{path}.maxUnavailable")
    if is_zero(unavailable) and is_zero(surge):
        yield invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")


def _deployment_update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")
    yield from status_causes(new, old, counts, within=counts[1:4])
    if objects.spec(new) == objects.spec(old):
        return
    yield from _deployment_causes(new)
    yield from rules.immutable("spec.selector", objects.spec(new).get("selector"), objects.spec(old).get("selector"))


def _generation_changed(new: Obj, old: Obj) -> bool:
    """Annotations count as well, which its ReplicaSets get to have too, but not the controller's own mark."""

    def kept(obj: Obj) -> Mapping[str, str]:
        return {key: value for key, value in objects.annotations(obj).items() if key != REVISION}

    return spec_changed(new, old) or kept(new) != kept(old)


def _ready(deployment: Obj, _: float) -> str:
    desired = objects.spec(deployment).get("replicas")
    return f"{objects.status(deployment).get('readyReplicas') or 0}/{0 if desired is None else desired}"


def deployments(subresources: Mapping[str, Subresource] | None = None) -> Kind:
    return Kind(
        resource=resources.DEPLOYMENTS,
        has_status=True,
        has_generation=True,
        generation_changed=_generation_changed,
        default=_default_deployment,
        validate_create=lambda obj: list(_deployment_causes(obj)),
        validate_update=lambda new, old: list(_deployment_update_causes(new, old)),
        columns=(
            NAME,
            Column("Ready", _ready, description="Number of the pod with ready state"),
            Column(
                "Up-to-date",
                number("status", "updatedReplicas"),
                type="integer",
                description="Pods of the newest kind.",
            ),
            Column(
                "Available",
                number("status", "availableReplicas"),
                type="integer",
                description="Pods that are ready for at least minReadySeconds.",
            ),
            AGE,
            *wide_columns(),
        ),
        subresources=subresources or {},
    )


def _default_replicaset(replicaset: Obj) -> None:
    spec = replicaset.setdefault("spec", {})
    if isinstance(spec, dict):
        spec.setdefault("replicas", 1)
        default_template(spec)
        replicaset.setdefault("status", {"replicas": 0})


def _replicaset_causes(replicaset: Obj) -> Iterator[Cause]:
    spec = objects.spec(replicaset)
    yield from not_negative(spec, ("replicas", "minReadySeconds"))
    yield from selector_causes(spec.get("selector"), "spec.selector", "empty selector is invalid for deployment")
    yield from selected_template_causes(spec, unreadable=_UNREADABLE, template=spec.get("template"))
    yield from no_deadline(spec, "spec.template", _NO_DEADLINE)


def _replicaset_update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    counts = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    yield from status_causes(new, old, counts, within=counts[1:])
    if objects.spec(new) == objects.spec(old):
        return
    yield from _replicaset_causes(new)
    yield from rules.immutable("spec.selector", objects.spec(new).get("selector"), objects.spec(old).get("selector"))


def replicasets(subresources: Mapping[str, Subresource] | None = None) -> Kind:
    return Kind(
        resource=resources.REPLICASETS,
        has_status=True,
        has_generation=True,
        default=_default_replicaset,
        validate_create=lambda obj: list(_replicaset_causes(obj)),
        validate_update=lambda new, old: list(_replicaset_update_causes(new, old)),
        field_labels=lambda obj: {"status.replicas": str(objects.status(obj).get("replicas") or 0)},
        field_names=frozenset({"status.replicas"}),
        columns=(
            NAME,
            Column("Desired", number("spec", "replicas"), type="integer", description="How many pods there should be."),
            Column("Current", number("status", "replicas"), type="integer", description="How many pods there are."),
            Column("Ready", number("status", "readyReplicas"), type="integer", description="How many are ready."),
            AGE,
            *wide_columns(),
        ),
        subresources=subresources or {},
    )
