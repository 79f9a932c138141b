"""What is wrong with a pod's volumes.

Contract: Kubernetes API surface, sections 2.2 and 4.5.
"""

from collections.abc import Iterator
from typing import Any

from podpass.kube.objects import Obj
from podpass.kube.status import Cause, forbidden_field, invalid, required
from podpass.lab.cluster import fields
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.kinds.field_reference_validation import VOLUME_FIELDS, field_reference, resource_reference

MIN_TOKEN_SECONDS = 600
MAX_TOKEN_SECONDS = 1 << 32
TOO_SHORT = "may not specify a duration less than 10 minutes"
TOO_LONG = "may not specify a duration larger than 2^32 seconds"
_HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_PROJECTIONS = ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate")


def volumes(listed: list[Obj], path: str) -> Iterator[Cause]:
    for index, volume in enumerate(listed):
        place = f"{path}[{index}]"
        yield from rules.required_label(f"{place}.name", volume.get("name") or "")
        yield from _source(volume, place)
    yield from rules.duplicates(path, (volume.get("name") or "" for volume in listed))


def _source(volume: Obj, path: str) -> Iterator[Cause]:
    yield from rules.exactly_one(
        path,
        volume,
        (member for member in fields.members("core.v1.Volume") if member != "name"),
        missing="must specify a volume type",
        many="may not specify more than 1 volume type",
    )
    if (source := volume.get("secret")) is not None:
        if not source.get("secretName"):
            yield required(f"{path}.secret.secretName")
        yield from _files(source, f"{path}.secret")
    if (source := volume.get("configMap")) is not None:
        if not source.get("name"):
            yield required(f"{path}.configMap.name")
        yield from _files(source, f"{path}.configMap")
    if (source := volume.get("downwardAPI")) is not None:
        yield from rules.file_mode(f"{path}.downwardAPI.defaultMode", source.get("defaultMode"))
        yield from _downward(source, f"{path}.downwardAPI")
    if (source := volume.get("projected")) is not None:
        yield from _projected(source, f"{path}.projected")
    for member, needed in (("hostPath", "path"), ("csi", "driver"), ("persistentVolumeClaim", "claimName")):
        if (source := volume.get(member)) is not None and not source.get(needed):
            yield required(f"{path}.{member}.{needed}")
    if (source := volume.get("hostPath")) is not None:
        if ".." in (source.get("path") or "").split("/"):
            yield invalid(f"{path}.hostPath.path", source["path"], "must not contain '..'")
        yield from rules.one_of(f"{path}.hostPath.type", source.get("type"), _HOST_PATH_TYPES)
    if (limit := (volume.get("emptyDir") or {}).get("sizeLimit")) is not None and (rules.quantity(limit) or 0) < 0:
        yield forbidden_field(f"{path}.emptyDir.sizeLimit", "SizeLimit field must be a valid resource quantity")
    secret = (volume.get("csi") or {}).get("nodePublishSecretRef")
    if secret is not None and not secret.get("name"):
        yield required(f"{path}.csi.nodePublishSecretRef.name")


def _projected(projected: Obj, path: str) -> Iterator[Cause]:
    yield from rules.file_mode(f"{path}.defaultMode", projected.get("defaultMode"))
    for index, source in enumerate(projected.get("sources") or ()):
        place = f"{path}.sources[{index}]"
        found = [member for member in _PROJECTIONS if source.get(member) is not None]
        for member in found[1:]:
            yield forbidden_field(f"{place}.{member}", "may not specify more than 1 volume type")
        for member in ("secret", "configMap"):
            if (inner := source.get(member)) is not None:
                if not inner.get("name"):
                    yield required(f"{place}.{member}.name")
                yield from _files(inner, f"{place}.{member}")
        if (inner := source.get("downwardAPI")) is not None:
            yield from _downward(inner, f"{place}.downwardAPI")
        if (inner := source.get("serviceAccountToken")) is not None:
            yield from _token(inner, f"{place}.serviceAccountToken")


def _token(token: Obj, path: str) -> Iterator[Cause]:
    yield from token_seconds(f"{path}.expirationSeconds", token.get("expirationSeconds"))
    if not token.get("path"):
        yield required(f"{path}.path")
    else:
        yield from rules.unreserved_path(f"{path}.path", token["path"])


def token_seconds(path: str, seconds: Any) -> Iterator[Cause]:
    """What is wrong with the lifetime that is asked for a service-account token."""
    if not isinstance(seconds, int):
        return
    if seconds < MIN_TOKEN_SECONDS:
        yield invalid(path, seconds, TOO_SHORT)
    elif seconds > MAX_TOKEN_SECONDS:
        yield invalid(path, seconds, TOO_LONG)


def _files(source: Obj, path: str) -> Iterator[Cause]:
    yield from rules.file_mode(f"{path}.defaultMode", source.get("defaultMode"))
    for index, item in enumerate(source.get("items") or ()):
        place = f"{path}.items[{index}]"
        if not item.get("key"):
            yield required(f"{place}.key")
        if not item.get("path"):
            yield required(f"{place}.path")
        else:
            yield from rules.unreserved_path(f"{place}.path", item["path"])
        yield from rules.file_mode(f"{place}.mode", item.get("mode"))


def _downward(source: Obj, path: str) -> Iterator[Cause]:
    for index, item in enumerate(source.get("items") or ()):
        place = f"{path}.items[{index}]"
        if not item.get("path"):
            yield required(f"{place}.path")
        else:
            yield from rules.unreserved_path(f"{place}.path", item["path"])
        yield from rules.file_mode(f"{place}.mode", item.get("mode"))
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if field is not None:
            yield from field_reference(field, f"{place}.fieldRef", VOLUME_FIELDS)
            if resource is not None:
                yield invalid(place, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
        elif resource is not None:
            yield from resource_reference(resource, f"{place}.resourceFieldRef", in_volume=True)
        else:
            yield required(place, "one of fieldRef and resourceFieldRef is required")
