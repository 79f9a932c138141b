"""Roles, ClusterRoles and their bindings.

Contract: Kubernetes API surface, sections 2.2 and 6.
"""

from collections.abc import Iterator

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.kube.status import Cause, invalid, not_supported, required
from podpass.lab.cluster.registry import Column, Kind
from podpass.lab.cluster.tables import AGE, CREATED_AT, NAME

GROUP = "rbac.authorization.k8s.io"


def _rule_causes(obj: Obj, *, namespaced: bool) -> Iterator[Cause]:
    for index, rule in enumerate(obj.get("rules") or ()):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            yield required(f"{path}.verbs", "verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            if namespaced:
                yield invalid(
                    f"{path}.nonResourceURLs",
                    _GoList(rule["nonResourceURLs"]),
                    "namespaced rules cannot apply to non-resource URLs",
                )
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                yield invalid(
                    f"{path}.nonResourceURLs",
                    _GoList(rule["nonResourceURLs"]),
                    "rules cannot apply to both regular resources and non-resource URLs",
                )
            continue
        if not rule.get("apiGroups"):
            yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield required(f"{path}.resources", "resource rules must supply at least one resource")


class _GoList(list[str]):
    """A list that prints as it does in the API server's messages."""

    def __str__(self) -> str:
        return "[" + ",".join(f'"{value}"' for value in self) + "]"


def _default_binding(obj: Obj) -> None:
    reference = obj.get("roleRef")
    if isinstance(reference, dict) and not reference.get("apiGroup"):
        reference["apiGroup"] = GROUP
    for subject in obj.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = GROUP


def _binding_causes(obj: Obj, *, namespaced: bool) -> Iterator[Cause]:
    reference = obj.get("roleRef") or {}
    if reference.get("apiGroup") != GROUP:
        yield not_supported("roleRef.apiGroup", reference.get("apiGroup") or "", [GROUP])
    kinds = ["ClusterRole", "Role"] if namespaced else ["ClusterRole"]
    if reference.get("kind") not in kinds:
        yield not_supported("roleRef.kind", reference.get("kind") or "", kinds)
    if not reference.get("name"):
        yield required("roleRef.name")
    for index, subject in enumerate(obj.get("subjects") or ()):
        yield from _subject_causes(f"subjects[{index}]", subject, namespaced=namespaced)


def _subject_causes(path: str, subject: Obj, *, namespaced: bool) -> Iterator[Cause]:
    if not subject.get("name"):
        yield required(f"{path}.name")
    match subject.get("kind"):
        case "ServiceAccount":
            if subject.get("apiGroup"):
                yield not_supported(f"{path}.apiGroup", subject["apiGroup"], [""])
            # In a namespace, an account that names none is of the binding's own.
            if not namespaced and not subject.get("namespace"):
                yield required(f"{path}.namespace")
        case "User" | "Group":
            if subject.get("apiGroup") != GROUP:
                yield not_supported(f"{path}.apiGroup", subject.get("apiGroup") or "", [GROUP])
        case other:
            yield not_supported(f"{path}.kind", other or "", ["Group", "ServiceAccount", "User"])


def _binding_update_causes(new: Obj, old: Obj, *, namespaced: bool) -> Iterator[Cause]:
    if new.get("roleRef") != old.get("roleRef"):
        reference = new.get("roleRef") or {}
        # The API server shows its own struct.
        shown = {member[0].upper() + member[1:]: reference.get(member) or "" for member in ("apiGroup", "kind", "name")}
        shown["APIGroup"] = shown.pop("ApiGroup")
        yield invalid("roleRef", dict(sorted(shown.items())), "field is immutable")
    yield from _binding_causes(new, namespaced=namespaced)


def _role(resource: Resource) -> Kind:
    def causes(obj: Obj) -> list[Cause]:
        return list(_rule_causes(obj, namespaced=resource.namespaced))

    return Kind(
        resource=resource,
        name_rule="path",
        validate_create=causes,
        validate_update=lambda new, _: causes(new),
        columns=(NAME, CREATED_AT),
    )


def _binding(resource: Resource) -> Kind:
    def role(obj: Obj, _: float) -> str:
        reference = obj.get("roleRef") or {}
        return f"{reference.get('kind', '')}/{reference.get('name', '')}"

    def subjects(kind: str) -> Column:
        def cell(obj: Obj, _: float) -> str:
            found = [subject for subject in obj.get("subjects") or () if subject.get("kind") == kind]
            if kind == "ServiceAccount":
                # An account of the binding's own namespace may leave it out in old objects.
                return ", ".join(
                    f"{subject.get('namespace') or objects.namespace(obj)}/{subject.get('name', '')}"
                    for subject in found
                )
            return ", ".join(subject.get("name", "") for subject in found)

        return Column(f"{kind}s", cell, priority=1, description=f"{kind}s in the roleBinding")

    return Kind(
        resource=resource,
        name_rule="path",
        default=_default_binding,
        validate_create=lambda obj: list(_binding_causes(obj, namespaced=resource.namespaced)),
        validate_update=lambda new, old: list(_binding_update_causes(new, old, namespaced=resource.namespaced)),
        columns=(
            NAME,
            Column("Role", role, description="The role that is bound."),
            AGE,
            subjects("User"),
            subjects("Group"),
            subjects("ServiceAccount"),
        ),
    )


def access_kinds() -> tuple[Kind, ...]:
    return (
        _role(resources.ROLES),
        _role(resources.CLUSTERROLES),
        _binding(resources.ROLEBINDINGS),
        _binding(resources.CLUSTERROLEBINDINGS),
    )
