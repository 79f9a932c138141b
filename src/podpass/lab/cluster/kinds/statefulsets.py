"""StatefulSets, and the ControllerRevisions in which they and DaemonSets keep their past templates.

Contract: Kubernetes API surface, sections 1.4 and 2.11.
"""

from collections.abc import Iterator, Mapping

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, forbidden_field, invalid, not_supported, required
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.kinds.templates import (
    amount_causes,
    default_template,
    is_zero,
    more_than_all,
    no_deadline,
    not_negative,
    selected_template_causes,
    selector_causes,
    status_causes,
    wide_columns,
)
from podpass.lab.cluster.registry import Column, Kind, Subresource
from podpass.lab.cluster.tables import AGE, NAME, NONE

ROLLING, ON_DELETE = "RollingUpdate", "OnDelete"
ORDERED, PARALLEL = "OrderedReady", "Parallel"
_RETENTION = ("Retain", "Delete")
_CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_IMMUTABLE = ("podManagementPolicy", "serviceName", "selector")
"""These are refused by name; what is neither here nor changeable, all together."""
_FROZEN_TEXT = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy',"
    " 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def _default(statefulset: Obj) -> None:
    spec = statefulset.setdefault("spec", {})
    if not isinstance(spec, dict):
        return
    spec["podManagementPolicy"] = spec.get("podManagementPolicy") or ORDERED
    strategy = spec["updateStrategy"] = spec.get("updateStrategy") or {}
    if not strategy.get("type"):
        strategy["type"] = ROLLING
        strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
    if strategy["type"] == ROLLING and isinstance(rolling := strategy.get("rollingUpdate"), dict):
        rolling.setdefault("partition", 0)
        rolling.setdefault("maxUnavailable", 1)
    spec.setdefault("serviceName", "")
    retention = spec["persistentVolumeClaimRetentionPolicy"] = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for member in ("whenDeleted", "whenScaled"):
        retention[member] = retention.get(member) or "Retain"
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    default_template(spec)
    statefulset.setdefault("status", {"availableReplicas": 0, "replicas": 0})
    for claim in spec.get("volumeClaimTemplates") or ():
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim.setdefault("apiVersion", "v1")
        if isinstance(claim.get("spec"), dict):
            claim["spec"]["volumeMode"] = claim["spec"].get("volumeMode") or "Filesystem"
        claim.setdefault("status", {"phase": "Pending"})


def _causes(statefulset: Obj) -> Iterator[Cause]:
    spec = objects.spec(statefulset)
    policy = spec.get("podManagementPolicy")
    if policy not in (ORDERED, PARALLEL):
        yield invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    yield from _strategy_causes(spec.get("updateStrategy") or {})
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for member in ("whenScaled", "whenDeleted"):
        if retention.get(member) not in _RETENTION:
            yield not_supported(
                f"spec.persistentVolumeClaimRetentionPolicy.{member}", retention.get(member) or "", _RETENTION
            )
    yield from not_negative(spec, ("replicas", "minReadySeconds"))
    yield from not_negative(spec.get("ordinals") or {}, ("start",), "spec.ordinals")
    yield from selector_causes(spec.get("selector"), "spec.selector", "empty selector is invalid for statefulset")
    yield from selected_template_causes(spec, unreadable="", template=_with_claims(spec))
    yield from no_deadline(spec, "spec.template", "activeDeadlineSeconds in StatefulSet is not Supported")


def _with_claims(spec: Obj) -> Obj:
    """The template as its pods will be: with a volume of each claim's name."""
    template: Obj = spec.get("template") or {}
    names = [objects.name(claim) for claim in spec.get("volumeClaimTemplates") or ()]
    if not names:
        return template
    pod = objects.spec(template)
    kept = [volume for volume in pod.get("volumes") or () if volume.get("name") not in names]
    made = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names]
    return {**template, "spec": {**pod, "volumes": [*kept, *made]}}


def _strategy_causes(strategy: Obj) -> Iterator[Cause]:
    path, rolling = "spec.updateStrategy", strategy.get("rollingUpdate")
    if strategy.get("type") == ON_DELETE:
        if rolling is not None:
            shown = {"Partition": rolling.get("partition") or 0, "MaxUnavailable": rolling.get("maxUnavailable")}
            yield invalid(f"{path}.rollingUpdate", shown, "only allowed for updateStrategy 'RollingUpdate'")
    elif strategy.get("type") == ROLLING:
        if rolling is None:
            return
        yield from not_negative(rolling, ("partition",), f"{path}.rollingUpdate")
        if (most := rolling.get("maxUnavailable")) is not None:
            yield from amount_causes(most, f"{path}.rollingUpdate.maxUnavailable")
            if is_zero(most):
                yield invalid(f"{path}.rollingUpdate.maxUnavailable", most, "cannot be 0")
            yield from more_than_all(most, f"{path}.rollingUpdate.maxUnavailable")
    else:
        shown = {"Type": strategy.get("type"), "RollingUpdate": rolling}
        yield invalid(path, shown, "must be 'RollingUpdate' or 'OnDelete'")


def _update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    counts = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    yield from status_causes(new, old, counts, within=counts[1:])
    after, before = objects.spec(new), objects.spec(old)
    if after == before:
        return
    yield from _causes(new)
    for member in _IMMUTABLE:
        yield from rules.immutable(f"spec.{member}", after.get(member), before.get(member))
    frozen = {member: value for member, value in after.items() if member not in (*_CHANGEABLE, *_IMMUTABLE)}
    if frozen != {member: value for member, value in before.items() if member not in (*_CHANGEABLE, *_IMMUTABLE)}:
        yield forbidden_field("spec", _FROZEN_TEXT)


def statefulsets(subresources: Mapping[str, Subresource] | None = None) -> Kind:
    def ready(obj: Obj, _: float) -> str:
        return f"{objects.status(obj).get('readyReplicas') or 0}/{objects.spec(obj).get('replicas') or 0}"

    return Kind(
        resource=resources.STATEFULSETS,
        has_status=True,
        has_generation=True,
        default=_default,
        validate_create=lambda obj: list(_causes(obj)),
        validate_update=lambda new, old: list(_update_causes(new, old)),
        columns=(
            NAME,
            Column("Ready", ready, description="Number of the pod with ready state"),
            AGE,
            *wide_columns(selector=False),
        ),
        subresources=subresources or {},
    )


def _revision_causes(revision: Obj) -> Iterator[Cause]:
    yield from rules.at_least("revision", revision.get("revision"), 0)
    if revision.get("data") is None:
        yield required("data", "data is mandatory")


def _revision_update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from _revision_causes(new)
    yield from rules.immutable("data", new.get("data"), old.get("data"))


def _controller(revision: Obj, _: float) -> str:
    for reference in objects.owner_references(revision):
        if reference.get("controller"):
            group = str(reference.get("apiVersion") or "").rpartition("/")[0]
            kind = str(reference.get("kind") or "").lower()
            return f"{kind}{'.' if group else ''}{group}/{reference.get('name')}"
    return NONE


def controllerrevisions() -> Kind:
    return Kind(
        resource=resources.CONTROLLERREVISIONS,
        default=lambda obj: obj.__setitem__("revision", obj.get("revision") or 0),
        validate_create=lambda obj: list(_revision_causes(obj)),
        validate_update=lambda new, old: list(_revision_update_causes(new, old)),
        columns=(
            NAME,
            Column("Controller", _controller, description="Controller of the object"),
            Column("Revision", lambda obj, _: obj.get("revision") or 0, description="The state's number."),
            AGE,
        ),
    )
