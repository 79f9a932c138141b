"""Accessors for Kubernetes objects, which stay plain JSON mappings."""

from collections.abc import Mapping
from typing import Any

Obj = dict[str, Any]
"""A Kubernetes object as it is on the wire."""


def metadata(obj: Mapping[str, Any]) -> Obj:
    """The object's metadata, or an empty mapping where it has none (or something else in its place)."""
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def name(obj: Mapping[str, Any]) -> str:
    return metadata(obj).get("name") or ""


def namespace(obj: Mapping[str, Any]) -> str:
    """The object's namespace; empty for a cluster-scoped object."""
    return metadata(obj).get("namespace") or ""


def uid(obj: Mapping[str, Any]) -> str:
    return metadata(obj).get("uid") or ""


def resource_version(obj: Mapping[str, Any]) -> str:
    return metadata(obj).get("resourceVersion") or ""


def labels(obj: Mapping[str, Any]) -> dict[str, str]:
    return metadata(obj).get("labels") or {}


def annotations(obj: Mapping[str, Any]) -> dict[str, str]:
    return metadata(obj).get("annotations") or {}


def finalizers(obj: Mapping[str, Any]) -> list[str]:
    return metadata(obj).get("finalizers") or []


def owner_references(obj: Mapping[str, Any]) -> list[Obj]:
    return metadata(obj).get("ownerReferences") or []


def being_deleted(obj: Mapping[str, Any]) -> bool:
    """Whether a deletion was accepted that finalizers or a grace period still hold up."""
    return bool(metadata(obj).get("deletionTimestamp"))


def spec(obj: Mapping[str, Any]) -> Obj:
    found = obj.get("spec")
    return found if isinstance(found, dict) else {}


def status(obj: Mapping[str, Any]) -> Obj:
    found = obj.get("status")
    return found if isinstance(found, dict) else {}


def key(obj: Mapping[str, Any]) -> tuple[str, str]:
    """Namespace and name, by which an object is known among those of its resource."""
    return namespace(obj), name(obj)
