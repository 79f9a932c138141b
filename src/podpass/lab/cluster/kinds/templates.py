"""What the workload kinds share: pod templates, selectors, counts and percentages, and the cells about them.

A template's pod is checked by the pod's own rules, at its place in the workload.
Contract: Kubernetes API surface, sections 1.4, 2.2 and 2.11.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from podpass.kube import names, objects, selectors
from podpass.kube.objects import Obj
from podpass.kube.selectors import LabelSelector, SelectorSyntax
from podpass.kube.status import Cause, forbidden_field, invalid, not_supported, required
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.kinds.pod_defaults import default_pod_spec
from podpass.lab.cluster.kinds.pod_validation import spec_causes
from podpass.lab.cluster.registry import Column
from podpass.lab.cluster.tables import NONE

NO_MATCH = "`selector` does not match template `labels`"
_PERCENT = re.compile(r"[0-9]{1,9}%")
_PERCENT_TEXT = (
    "a valid percent string must be a numeric string followed by an ending '%'"
    " (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)
_SET_OPERATORS = ("In", "NotIn")
_BARE_OPERATORS = ("Exists", "DoesNotExist")


def default_template(owner: Obj) -> None:
    """Fill in the pod template that is a member of *owner*, a workload's spec."""
    template = owner.get("template")
    if isinstance(template, dict) and isinstance(template.setdefault("spec", {}), dict):
        template.setdefault("metadata", {})
        default_pod_spec(template["spec"])


def template_causes(template: Any, path: str, *, restart_policies: tuple[str, ...] = ("Always",)) -> Iterator[Cause]:
    """What is wrong with a pod template at *path*. Empty *restart_policies*: the caller checks the policy."""
    template = template if isinstance(template, dict) else {}
    # The API server leaves `metadata` out of these two paths.
    yield from _label_causes(objects.labels(template), f"{path}.labels")
    for key in objects.annotations(template):
        if fault := names.qualified_name_fault(key.lower()):
            yield invalid(f"{path}.annotations", key, fault)
    spec = objects.spec(template)
    yield from spec_causes(spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        yield forbidden_field(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")
    policy = spec.get("restartPolicy")
    if restart_policies and policy not in restart_policies:
        yield not_supported(f"{path}.spec.restartPolicy", policy or "", restart_policies)


def no_deadline(spec: Obj, path: str, text: str) -> Iterator[Cause]:
    """What runs for ever has no deadline; *path* is that of the template."""
    if objects.spec(spec.get("template") or {}).get("activeDeadlineSeconds") is not None:
        yield forbidden_field(f"{path}.spec.activeDeadlineSeconds", text)


def _label_causes(labels: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for key, value in labels.items():
        if fault := names.label_key_fault(key):
            yield invalid(path, key, fault)
        if fault := names.label_value_fault(str(value)):
            yield invalid(path, value, fault)


def selector_causes(selector: Any, path: str, empty: str = "") -> Iterator[Cause]:
    """What is wrong with a label selector; *empty* is said of one that would match everything."""
    if selector is None:
        yield required(path)
        return
    yield from _requirement_causes(selector, path)
    if empty and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid(path, selector, empty)


def _requirement_causes(selector: Obj, path: str) -> Iterator[Cause]:
    yield from _label_causes(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        place = f"{path}.matchExpressions[{index}]"
        operator, values = expression.get("operator") or "", expression.get("values") or []
        if operator in _SET_OPERATORS and not values:
            yield required(f"{place}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in _BARE_OPERATORS and values:
            yield forbidden_field(
                f"{place}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            )
        elif operator not in (*_SET_OPERATORS, *_BARE_OPERATORS):
            yield invalid(f"{place}.operator", operator, "not a valid selector operator")
        if fault := names.label_key_fault(expression.get("key") or ""):
            yield invalid(f"{place}.key", expression.get("key") or "", fault)
        for number, value in enumerate(values):
            if fault := names.label_value_fault(str(value)):
                yield invalid(f"{place}.values[{number}]", value, fault)


def selected_template_causes(spec: Obj, *, unreadable: str | None = None, **template: Any) -> Iterator[Cause]:
    """What is wrong with the template and with its match to the selector.

    *unreadable* is said of a selector that can't be read, beyond what is wrong with it; then nothing else is said.
    The rest goes to template_causes.
    """
    selector = spec.get("selector")
    if selector is not None and any(_requirement_causes(selector, "")):
        if unreadable is not None:
            yield invalid("spec.selector", selector, unreadable)
            return
    else:
        found = selector_of(spec)
        labels = objects.labels(spec.get("template") or {})
        if found is None or (found and not found.matches(labels)):
            yield invalid("spec.template.metadata.labels", dict(sorted(labels.items())) or None, NO_MATCH)
    if template:
        yield from template_causes(template.pop("template"), "spec.template", **template)


def selector_of(spec: Obj) -> LabelSelector | None:
    """The workload's selector; None where there is none that can be read: it selects nothing."""
    try:
        return selectors.from_object(spec.get("selector"))
    except SelectorSyntax:
        return None


def not_negative(spec: Obj, members: Iterable[str], path: str = "spec") -> Iterator[Cause]:
    for member in members:
        yield from rules.at_least(f"{path}.{member}", spec.get(member), 0)


def status_causes(new: Obj, old: Obj, counts: Iterable[str], *, within: Iterable[str] = ()) -> Iterator[Cause]:
    """What is wrong with the *counts* of a status that changed; those *within* it are no more than its replicas."""
    status = objects.status(new)
    if status == objects.status(old):
        return
    yield from not_negative(status, counts, "status")
    replicas = status.get("replicas") or 0
    for member in within:
        if (count := status.get(member) or 0) > replicas:
            yield invalid(f"status.{member}", count, "cannot be greater than status.replicas")


def amount_causes(value: Any, path: str) -> Iterator[Cause]:
    """What keeps *value* from being a number or a percentage."""
    if isinstance(value, int):
        yield from rules.at_least(path, value, 0)
    elif not _PERCENT.fullmatch(str(value)):
        yield invalid(path, value, _PERCENT_TEXT)


def more_than_all(value: Any, path: str) -> Iterator[Cause]:
    if isinstance(value, str) and _PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        yield invalid(path, value, "must not be greater than 100%")


def is_zero(value: Any) -> bool:
    return value in (None, 0) or (
        isinstance(value, str) and _PERCENT.fullmatch(value) is not None and not int(value[:-1])
    )


def scaled(value: Any, total: int, *, up: bool) -> int:
    """A number as it is, a percentage of *total*, rounded *up* or down; 0 for neither."""
    if isinstance(value, int):
        return value
    if not isinstance(value, str) or not _PERCENT.fullmatch(value):
        return 0
    share = int(value[:-1]) * total
    return -(-share // 100) if up else share // 100


def _containers(spec: Obj) -> list[Obj]:
    return objects.spec(spec.get("template") or {}).get("containers") or []


def selector_text(selector: Any) -> str:
    try:
        found = selectors.from_object(selector)
    except SelectorSyntax:
        return "<error>"
    return NONE if not found else written(found)


def written(selector: LabelSelector) -> str:
    """The selector as clients write it: one value is an equation."""
    return ",".join(
        f"{each.key}={each.values[0]}" if each.operator == "in" and len(each.values) == 1 else str(each)
        for each in selector.requirements
    )


def wide_columns(*, selector: bool = True, template: str = "template") -> tuple[Column, ...]:
    """Containers, Images and Selector, which only `-o wide` shows. *template* holds the pod template."""

    def holder(obj: Obj) -> Obj:
        return objects.spec(obj) if template == "template" else objects.spec(objects.spec(obj).get(template) or {})

    def listed(member: str) -> Any:
        return lambda obj, _: ",".join(each.get(member) or "" for each in _containers(holder(obj)))

    found = (
        Column("Containers", listed("name"), priority=1, description="Names of each container in the template."),
        Column("Images", listed("image"), priority=1, description="Images referenced by each container."),
    )
    if not selector:
        return found
    cell = Column(
        "Selector",
        lambda obj, _: selector_text(holder(obj).get("selector")),
        priority=1,
        description="Label selector for pods.",
    )
    return (*found, cell)


def number(part: str, member: str, default: int = 0) -> Any:
    """A cell: an integer of spec or status."""

    def cell(obj: Obj, _: float) -> int:
        found = (obj.get(part) or {}).get(member)
        return default if found is None else int(found)

    return cell
