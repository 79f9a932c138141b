"""What holds for the metadata of every kind: names, labels, owners, finalizers, and what may not change.

Contract: Kubernetes API surface, sections 2.1, 2.2, 2.6.
"""

import secrets
from typing import Any

from podpass.kube import names
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, forbidden_field, invalid, required, too_long, type_invalid
from podpass.lab.cluster.deletion import FOREGROUND, ORPHAN
from podpass.lab.cluster.kinds.rules import IMMUTABLE
from podpass.lab.cluster.registry import Kind, NameRule

GENERATED_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
MAX_GENERATE_NAME = 58
MAX_ANNOTATIONS_BYTES = 256 * 1024

STANDARD_FINALIZERS = (ORPHAN, FOREGROUND, "kubernetes")

_FAULTS = {
    "subdomain": names.subdomain_fault,
    "label": names.label_fault,
    "label1035": names.label_1035_fault,
    "path": names.path_segment_fault,
}
_NAMESPACE_FAULT = names.label_fault


def generated_name(prefix: str) -> str:
    return prefix[:MAX_GENERATE_NAME] + "".join(secrets.choice(GENERATED_ALPHABET) for _ in range(5))


def name_fault(rule: NameRule, name: str) -> str:
    return _FAULTS[rule](name)


def shape_faults(obj: Obj) -> list[Cause]:
    """Members of metadata that have the wrong JSON type; other checks rely on their absence."""
    causes: list[Cause] = []
    meta = obj.get("metadata")
    if not isinstance(meta, dict):
        return [type_invalid("metadata", "" if meta is None else _kind_of(meta), "must be an object")]
    for member in ("name", "generateName", "namespace", "uid", "resourceVersion", "creationTimestamp"):
        if not isinstance(meta.get(member), str | None):
            causes.append(type_invalid(f"metadata.{member}", _kind_of(meta[member]), "must be a string"))
    for member in ("labels", "annotations"):
        found = meta.get(member)
        if found is None:
            continue
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            causes.append(type_invalid(f"metadata.{member}", _kind_of(found), "must be an object of strings"))
    found = meta.get("finalizers")
    if found is not None and not (isinstance(found, list) and all(isinstance(each, str) for each in found)):
        causes.append(type_invalid("metadata.finalizers", _kind_of(found), "must be a list of strings"))
    for member in ("ownerReferences", "managedFields"):
        found = meta.get(member)
        if found is not None and not (isinstance(found, list) and all(isinstance(each, dict) for each in found)):
            causes.append(type_invalid(f"metadata.{member}", _kind_of(found), "must be a list of objects"))
    for number, reference in enumerate(meta.get("ownerReferences") or () if not causes else ()):
        for member in ("apiVersion", "kind", "name", "uid"):
            if not isinstance(reference.get(member), str | None):
                path = f"metadata.ownerReferences[{number}].{member}"
                causes.append(type_invalid(path, _kind_of(reference[member]), "must be a string"))
    return causes


def _kind_of(value: Any) -> str:
    return {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}.get(
        type(value), "null"
    )


def validate(kind: Kind, obj: Obj) -> list[Cause]:
    """What is wrong with the metadata of a new or changed object."""
    meta = obj["metadata"]
    causes: list[Cause] = []
    name = meta.get("name") or ""
    if not name:
        causes.append(required("metadata.name", "name or generateName is required"))
    elif fault := name_fault(kind.name_rule, name):
        causes.append(invalid("metadata.name", name, fault))
    namespace = meta.get("namespace") or ""
    if kind.resource.namespaced and not namespace:
        causes.append(required("metadata.namespace"))
    elif kind.resource.namespaced and (fault := _NAMESPACE_FAULT(namespace)):
        causes.append(invalid("metadata.namespace", namespace, fault))
    elif namespace and not kind.resource.namespaced:
        causes.append(forbidden_field("metadata.namespace", "not allowed on this type"))
    for key, value in (meta.get("labels") or {}).items():
        if fault := names.label_key_fault(key):
            causes.append(invalid("metadata.labels", key, fault))
        if fault := names.label_value_fault(value):
            causes.append(invalid("metadata.labels", value, fault))
    size = 0
    for key, value in (meta.get("annotations") or {}).items():
        if fault := names.qualified_name_fault(key.lower()):
            causes.append(invalid("metadata.annotations", key, fault))
        size += len(key.encode()) + len(value.encode())
    if size > MAX_ANNOTATIONS_BYTES:
        causes.append(too_long("metadata.annotations", MAX_ANNOTATIONS_BYTES))
    for number, finalizer in enumerate(meta.get("finalizers") or ()):
        if fault := names.qualified_name_fault(finalizer):
            causes.append(invalid("metadata.finalizers", finalizer, fault))
        elif kind.qualified_finalizers and "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            causes.append(
                invalid(
                    f"metadata.finalizers[{number}]",
                    finalizer,
                    "name is neither a standard finalizer name nor is it fully qualified",
                )
            )
    causes.extend(_owner_faults(meta.get("ownerReferences") or ()))
    return causes


def _owner_faults(references: Any) -> list[Cause]:
    causes: list[Cause] = []
    controllers: list[str] = []
    for number, reference in enumerate(references):
        path = f"metadata.ownerReferences[{number}]"
        for member in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(member):
                causes.append(required(f"{path}.{member}", "must not be empty"))
        if reference.get("controller"):
            controllers.append(str(reference.get("name")))
    if len(controllers) > 1:
        causes.append(
            invalid(
                "metadata.ownerReferences",
                ", ".join(controllers),
                "Only one reference can have Controller set to true."
                f' Found "true" in references for {" and ".join(controllers[:2])}',
            )
        )
    return causes


def validate_change(new: Obj, old: Obj) -> list[Cause]:
    """Members of metadata that a write changed and may not."""
    causes: list[Cause] = []
    meta, before = new["metadata"], old["metadata"]
    for member in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"):
        if (meta.get(member) or "") != (before.get(member) or ""):
            causes.append(invalid(f"metadata.{member}", meta.get(member), IMMUTABLE))
    if before.get("deletionTimestamp"):
        added = [each for each in meta.get("finalizers") or () if each not in (before.get("finalizers") or ())]
        if added:
            listed = " ".join(f'"{each}"' for each in added)
            causes.append(
                forbidden_field(
                    "metadata.finalizers",
                    "no new finalizers can be added if the object is being deleted, found new finalizers"
                    f" []string{{{listed}}}",
                )
            )
    return causes
