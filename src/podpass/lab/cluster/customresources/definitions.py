"""CustomResourceDefinitions: what is filled in, and what a client sees of them.

Contract: Kubernetes API surface, section 5.
"""

from collections.abc import Iterator
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import CUSTOMRESOURCEDEFINITIONS
from podpass.lab.cluster.customresources import naming, structural
from podpass.lab.cluster.customresources.definition_validation import create_faults, update_faults
from podpass.lab.cluster.customresources.definition_versions import schema_of, storage_version, versions
from podpass.lab.cluster.registry import Column, Kind
from podpass.lab.cluster.tables import CREATED_AT, NAME

CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


def definition_kind() -> Kind:
    return Kind(
        resource=CUSTOMRESOURCEDEFINITIONS,
        has_status=True,
        has_generation=True,
        needs_version=True,
        qualified_finalizers=False,
        default=_default,
        prepare_create=_prepare_create,
        prepare_update=lambda new, _old: _note_storage_version(new),
        prepare_delete=_prepare_delete,
        validate_create=lambda obj: list(create_faults(obj)),
        validate_update=lambda new, old: list(update_faults(new, old)),
        warn=_warnings,
        columns=_COLUMNS,
    )


# What is filled in


def _default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    wanted = spec.setdefault("names", {})
    kind = wanted.get("kind") or ""
    if kind:
        wanted["singular"] = wanted.get("singular") or kind.lower()
        wanted["listKind"] = wanted.get("listKind") or f"{kind}List"
    conversion = spec.get("conversion")
    if not conversion:
        spec["conversion"] = {"strategy": "None"}
    elif service := ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service"):
        service.setdefault("port", 443)


def _prepare_create(obj: Obj) -> None:
    obj["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": []}
    _note_storage_version(obj)


def _note_storage_version(obj: Obj) -> None:
    storage = storage_version(obj)
    status = objects.status(obj)
    stored = status.get("storedVersions") or []
    if storage and storage not in stored:
        obj["status"] = {**status, "storedVersions": [*stored, storage]}


def _prepare_delete(obj: Obj, now: str) -> None:
    """From here on the definition waits for its instances to go."""
    meta = obj["metadata"]
    if objects.being_deleted(obj):
        return
    if CLEANUP_FINALIZER not in objects.finalizers(obj):
        meta["finalizers"] = [*objects.finalizers(obj), CLEANUP_FINALIZER]
    text = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    condition = naming.Condition(naming.TERMINATING, "True", "InstanceDeletionPending", text)
    obj["status"] = naming.with_conditions(objects.status(obj), [condition], now)


# What clients see


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    """Formats that no value will be checked for."""
    if old is not None and objects.spec(old) == objects.spec(new):
        return []
    before = set() if old is None else set(_formats(old))
    found = dict.fromkeys(each for each in _formats(new) if each not in before)
    return [f'unrecognized format "{each}"' for each in found]


def _formats(obj: Obj) -> Iterator[str]:
    for version in versions(obj):
        schema = schema_of(version)
        if schema is not None:
            yield from structural.unrecognized_formats(schema)


def _served(obj: Obj, _: float) -> str:
    shown = [
        f"{each.get('name')}(storage)" if each.get("storage") else str(each.get("name"))
        for each in versions(obj)
        if each.get("served")
    ]
    return ",".join(sorted(shown))


def _name(member: str, obj: Obj) -> Any:
    return (objects.spec(obj).get("names") or {}).get(member) or ""


_COLUMNS = (
    NAME,
    Column("Scope", lambda obj, _: objects.spec(obj).get("scope") or "", description="Cluster/Namespaced"),
    Column("Versions", _served, description="Served versions"),
    CREATED_AT,
    Column("Group", lambda obj, _: objects.spec(obj).get("group") or "", priority=1, description="API group"),
    Column("Kind", lambda obj, _: _name("kind", obj), priority=1, description="CustomResource kind"),
    Column("ShortNames", lambda obj, _: ",".join(_name("shortNames", obj)), priority=1, description="Short names"),
    Column(
        "Established",
        lambda obj, _: naming.is_true(obj, naming.ESTABLISHED),
        type="boolean",
        priority=1,
        description="Established status",
    ),
)
