"""What bounds and orders pods: PriorityClasses, LimitRanges, ResourceQuotas; and PodTemplates.

Classes and limits are applied at admission. Quotas are stored and checked, but nobody counts what they bound.
Contract: Kubernetes API surface, section 1.2.
"""

from collections.abc import Iterator

from podpass.kube import names, objects, resources
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, forbidden_field, invalid, not_supported, required
from podpass.lab.cluster.admission.builtin import PRIORITY_CLASSES
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.kinds.templates import default_template, template_causes
from podpass.lab.cluster.registry import Column, Kind
from podpass.lab.cluster.tables import AGE, CREATED_AT, NAME

HIGHEST_USER_PRIORITY = 1_000_000_000
_COUNTED = (
    "pods", "services", "services.loadbalancers", "services.nodeports", "replicationcontrollers", "resourcequotas",
    "secrets", "configmaps", "persistentvolumeclaims",
)  # fmt: skip
_AMOUNTS = (
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage",
    "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage",
)  # fmt: skip


# PriorityClasses


def _default_priority(obj: Obj) -> None:
    obj.setdefault("value", 0)
    obj["preemptionPolicy"] = obj.get("preemptionPolicy") or "PreemptLowerPriority"


def _priority_causes(obj: Obj) -> Iterator[Cause]:
    name, value = objects.name(obj), obj.get("value") or 0
    if name.startswith("system-"):
        if PRIORITY_CLASSES.get(name) != value:
            text = (
                "priority class names with 'system-' prefix are reserved for system use only."
                f" error: {name} is not a known system priority class"
            )
            yield forbidden_field("metadata.name", text)
    elif value > HIGHEST_USER_PRIORITY:
        text = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        yield forbidden_field("value", text)
    if obj.get("preemptionPolicy") not in ("PreemptLowerPriority", "Never"):
        yield not_supported("preemptionPolicy", obj.get("preemptionPolicy"), ("PreemptLowerPriority", "Never"))


def _priority_update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    if new.get("value") != old.get("value"):
        yield forbidden_field("value", "may not be changed in an update.")
    yield from rules.immutable("preemptionPolicy", new.get("preemptionPolicy"), old.get("preemptionPolicy"))


def priority_classes() -> Kind:
    return Kind(
        resource=resources.PRIORITYCLASSES,
        has_generation=True,
        default=_default_priority,
        validate_create=lambda obj: list(_priority_causes(obj)),
        validate_update=lambda new, old: list(_priority_update_causes(new, old)),
        columns=(
            NAME,
            Column("Value", lambda obj, _: obj.get("value") or 0, type="integer"),
            Column("Global-Default", lambda obj, _: bool(obj.get("globalDefault")), type="boolean"),
            AGE,
            Column("PreemptionPolicy", lambda obj, _: obj.get("preemptionPolicy") or ""),
        ),
    )


# LimitRanges


def _default_limits(obj: Obj) -> None:
    for item in objects.spec(obj).get("limits") or ():
        if item.get("type") != "Container":
            continue
        default, request = dict(item.get("default") or {}), dict(item.get("defaultRequest") or {})
        for name, value in (item.get("max") or {}).items():
            default.setdefault(name, value)
        for source in (default, item.get("min") or {}):
            for name, value in source.items():
                request.setdefault(name, value)
        if default:
            item["default"] = default
        if request:
            item["defaultRequest"] = request


_ORDER = (
    ("min", "max", "min value {0} is greater than max value {1}"),
    ("min", "defaultRequest", "min value {0} is greater than default request value {1}"),
    ("defaultRequest", "max", "default request value {0} is greater than max value {1}"),
    ("defaultRequest", "default", "default request value {0} is greater than default limit value {1}"),
    ("min", "default", "min value {0} is greater than default value {1}"),
    ("default", "max", "default value {0} is greater than max value {1}"),
)
_BLAMED = {("min", "defaultRequest"): "defaultRequest", ("min", "default"): "default"}
"""Which of the two is named where it is not the lower one."""


def _limit_causes(obj: Obj) -> Iterator[Cause]:
    types: set[str] = set()
    for index, item in enumerate(objects.spec(obj).get("limits") or ()):
        path, kind = f"spec.limits[{index}]", item.get("type") or ""
        if not kind:
            yield required(f"{path}.type")
        elif kind not in ("Container", "Pod", "PersistentVolumeClaim") and "/" not in kind:
            yield invalid(f"{path}.type", kind, "must be a standard limit type or fully qualified")
        if kind in types:
            yield Cause("FieldValueDuplicate", f'Duplicate value: "{kind}"', f"{path}.type")
        types.add(kind)
        for member in ("max", "min", "default", "defaultRequest"):
            for name, value in (item.get(member) or {}).items():
                if rules.quantity(value) is None:
                    yield invalid(f"{path}.{member}[{name}]", value, "must be a quantity")
        for low, high, text in _ORDER:
            lows, highs = item.get(low) or {}, item.get(high) or {}
            for name in sorted(lows.keys() & highs.keys()):
                one, other = rules.quantity(lows[name]), rules.quantity(highs[name])
                if one is not None and other is not None and one > other:
                    blamed = _BLAMED.get((low, high), low)
                    shown = text.format(lows[name], highs[name])
                    yield invalid(f"{path}.{blamed}[{name}]", item[blamed][name], shown)


def limit_ranges() -> Kind:
    return Kind(
        resource=resources.LIMITRANGES,
        default=_default_limits,
        validate_create=lambda obj: list(_limit_causes(obj)),
        validate_update=lambda new, _: list(_limit_causes(new)),
        columns=(NAME, CREATED_AT),
    )


# ResourceQuotas


def _quota_causes(obj: Obj) -> Iterator[Cause]:
    for name, value in (objects.spec(obj).get("hard") or {}).items():
        path, known = f"spec.hard[{name}]", name in _COUNTED or name in _AMOUNTS or "/" in name or "." in name
        amount = rules.quantity(value)
        if not known:
            yield invalid(path, name, "must be a standard resource type or fully qualified")
            yield invalid(path, name, "must be a standard resource for quota")
        elif "/" in name and (fault := names.qualified_name_fault(name)):
            yield invalid(path, name, fault)
        if amount is None:
            yield invalid(path, value, "must be a quantity")
        elif amount < 0:
            yield invalid(path, value, "must be greater than or equal to 0")
        elif name in _COUNTED and amount != amount.to_integral_value():
            yield invalid(path, value, "must be an integer")


def _used(obj: Obj, prefix: str) -> str:
    status = objects.status(obj)
    hard, used = status.get("hard") or {}, status.get("used") or {}
    shown = [name for name in sorted(hard) if name.startswith("limits.") == (prefix == "limits.")]
    return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in shown)


def resource_quotas() -> Kind:
    return Kind(
        resource=resources.RESOURCEQUOTAS,
        has_status=True,
        default=lambda obj: None if obj.get("status") is not None else obj.update(status={}),
        validate_create=lambda obj: list(_quota_causes(obj)),
        validate_update=lambda new, _: list(_quota_causes(new)),
        columns=(
            NAME,
            Column("Request", lambda obj, _: _used(obj, "")),
            Column("Limit", lambda obj, _: _used(obj, "limits.")),
            AGE,
        ),
    )


# PodTemplates


def _default_pod_template(obj: Obj) -> None:
    obj.setdefault("template", {})
    default_template(obj)


def pod_templates() -> Kind:
    def causes(obj: Obj) -> list[Cause]:
        return list(template_causes(obj.get("template"), "template", restart_policies=()))

    return Kind(
        resource=resources.PODTEMPLATES,
        has_generation=True,
        default=_default_pod_template,
        validate_create=causes,
        validate_update=lambda new, _: causes(new),
        columns=(NAME, *wide_columns_of_template()),
    )


def wide_columns_of_template() -> tuple[Column, ...]:
    """Containers, images and labels, which are all there is to see."""

    def cell(member: str) -> Column:
        def text(obj: Obj, _: float) -> str:
            containers = objects.spec(obj.get("template") or {}).get("containers") or ()
            return ",".join(str(container.get(member) or "") for container in containers)

        return Column("Containers" if member == "name" else "Images", text)

    def labels(obj: Obj, _: float) -> str:
        found = objects.labels(obj.get("template") or {})
        return ",".join(f"{key}={value}" for key, value in sorted(found.items())) or "<none>"

    return cell("name"), cell("image"), Column("Pod Labels", labels)


def bound_kinds() -> tuple[Kind, ...]:
    return priority_classes(), limit_ranges(), resource_quotas(), pod_templates()
