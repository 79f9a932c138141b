"""The versions of a definition, and the schema of each."""

from collections.abc import Mapping
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj


def storage_version(obj: Obj) -> str | None:
    return next((each.get("name") for each in versions(obj) if each.get("storage")), None)


def versions(obj: Mapping[str, Any]) -> list[Obj]:
    return objects.spec(obj).get("versions") or []


def schema_of(version: Mapping[str, Any]) -> Obj | None:
    found: Obj | None = (version.get("schema") or {}).get("openAPIV3Schema")
    return found
