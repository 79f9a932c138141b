"""What is in a pod's volumes: pure functions from the pod and the objects it names to files.

Contract: Kubernetes API surface, sections 4.5 and 7.4.
"""

import base64
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.node import fields
from podpass.lab.node.container_environment import NotYet, References, containers
from podpass.lab.node.csi_volumes import inline_id, pod_attributes
from podpass.lab.node.fields import Place
from podpass.lab.node.security import fs_group

DEFAULT_MODE = 0o644
DEFAULT_TOKEN_SECONDS = 3600
_PERSISTENT_KINDS = ("azureDisk", "azureFile", "cephfs", "csi", "fc", "flexVolume", "iscsi", "local", "nfs", "rbd")


@dataclass(frozen=True, slots=True)
class File:
    """A file of a volume; *mode* are its permission bits."""

    data: bytes = field(repr=False)
    mode: int = DEFAULT_MODE


@dataclass(frozen=True, slots=True)
class Files:
    """A volume that the node writes and keeps current."""

    files: dict[str, File]
    """By path relative to the volume."""


@dataclass(frozen=True, slots=True)
class EmptyDirectory:
    """A volume that belongs to the pod's containers."""


@dataclass(frozen=True, slots=True)
class HostPath:
    """A place of the node's file system; *kind* is what it has to be, or is made to be."""

    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class Csi:
    """What a driver is to show."""

    driver: str
    id: str
    read_only: bool
    attributes: dict[str, str]
    secret: str = ""
    """The name of the Secret that the driver is given; empty for none."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """What makes two projected tokens the same one."""

    namespace: str
    service_account: str
    audience: str
    """Empty for the API server's own."""
    seconds: int
    pod_name: str
    pod_uid: str


Volume = Files | EmptyDirectory | HostPath | Csi | NotYet


def token_keys(pod: Obj) -> list[TokenKey]:
    """The tokens that the projected volumes of *pod* need."""
    found = []
    for volume in objects.spec(pod).get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if token := source.get("serviceAccountToken"):
                found.append(token_key(pod, token))
    return list(dict.fromkeys(found))


def token_key(pod: Obj, token: Obj) -> TokenKey:
    return TokenKey(
        namespace=objects.namespace(pod),
        service_account=objects.spec(pod).get("serviceAccountName") or "default",
        audience=token.get("audience") or "",
        seconds=int(token.get("expirationSeconds") or DEFAULT_TOKEN_SECONDS),
        pod_name=objects.name(pod),
        pod_uid=objects.uid(pod),
    )


def referenced(pod: Obj) -> tuple[set[str], set[str]]:
    """The names of the Secrets and ConfigMaps that the volumes of *pod* need."""
    secrets: set[str] = set()
    config_maps: set[str] = set()
    for volume in objects.spec(pod).get("volumes") or ():
        if source := volume.get("secret"):
            secrets.add(source.get("secretName", ""))
        if source := volume.get("configMap"):
            config_maps.add(source.get("name", ""))
        for source in (volume.get("projected") or {}).get("sources") or ():
            if inner := source.get("secret"):
                secrets.add(inner.get("name", ""))
            if inner := source.get("configMap"):
                config_maps.add(inner.get("name", ""))
        if source := (volume.get("csi") or {}).get("nodePublishSecretRef"):
            secrets.add(source.get("name", ""))
    return secrets, config_maps


def claims(pod: Obj) -> set[str]:
    """The names of the PersistentVolumeClaims that *pod* needs."""
    sources = (volume.get("persistentVolumeClaim") or {} for volume in objects.spec(pod).get("volumes") or ())
    return {source["claimName"] for source in sources if source.get("claimName")}


def content(pod: Obj, volume: Obj, references: References, tokens: Mapping[TokenKey, str], place: Place) -> Volume:
    """What *volume* holds, or why it can't be made yet."""
    if source := volume.get("secret"):
        mode = source.get("defaultMode", DEFAULT_MODE)
        return _wrapped(pod, _secret(source.get("secretName", ""), source, references, mode))
    if source := volume.get("configMap"):
        mode = source.get("defaultMode", DEFAULT_MODE)
        return _wrapped(pod, _config_map(source.get("name", ""), source, references, mode))
    if source := volume.get("downwardAPI"):
        return _wrapped(pod, _downward(pod, source, source.get("defaultMode", DEFAULT_MODE), place))
    if source := volume.get("projected"):
        return _wrapped(pod, _projected(pod, source, references, tokens, place))
    if source := volume.get("hostPath"):
        return HostPath(source.get("path", ""), source.get("type") or "")
    if source := volume.get("csi"):
        return _inline(pod, volume["name"], source)
    if source := volume.get("persistentVolumeClaim"):
        return _claimed(pod, source.get("claimName", ""), references)
    kinds = [key for key in volume if key != "name"]
    if not kinds or "emptyDir" in volume:
        return EmptyDirectory()
    return NotYet(f"the lab's node has no volumes of kind {kinds[0]}")


def _inline(pod: Obj, name: str, source: Obj) -> Csi:
    account = objects.spec(pod).get("serviceAccountName") or "default"
    told = pod_attributes(objects.name(pod), objects.namespace(pod), objects.uid(pod), account)
    return Csi(
        driver=source.get("driver", ""),
        id=inline_id(objects.uid(pod), name),
        read_only=bool(source.get("readOnly")),
        attributes={**(source.get("volumeAttributes") or {}), **told},
        secret=(source.get("nodePublishSecretRef") or {}).get("name") or "",
    )


def _claimed(pod: Obj, name: str, references: References) -> Volume:
    """What stands behind a PersistentVolumeClaim."""
    claim = references.claims.get(name)
    if claim is None:
        return NotYet(f'persistentvolumeclaim "{name}" not found')
    bound = objects.spec(claim).get("volumeName") or ""
    if not bound or objects.status(claim).get("phase") != "Bound":
        return NotYet(f"error processing PVC {objects.namespace(pod)}/{name}: PVC is not bound")
    volume = references.persistent_volumes.get(bound)
    if volume is None:
        return NotYet(f'persistentvolume "{bound}" not found')
    spec = objects.spec(volume)
    if source := spec.get("hostPath"):
        return HostPath(source.get("path", ""), source.get("type") or "")
    kinds = [kind for kind in spec if kind in _PERSISTENT_KINDS]
    return NotYet(f"the lab's node has no persistent volumes of kind {', '.join(kinds) or 'unknown'}")


def _wrapped(pod: Obj, files: dict[str, File] | NotYet) -> Volume:
    if isinstance(files, NotYet):
        return files
    if fs_group(pod) is not None:
        # The volume's group may read everything, whatever the modes say.
        files = {path: File(file.data, file.mode | 0o440) for path, file in files.items()}
    return Files(files)


def _secret(name: str, source: Obj, references: References, mode: int) -> dict[str, File] | NotYet:
    secret = references.secrets.get(name)
    if secret is None:
        return {} if source.get("optional") else NotYet(f'secret "{name}" not found')
    data = {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
    return _items(source, data, mode, "secret")


def _config_map(name: str, source: Obj, references: References, mode: int) -> dict[str, File] | NotYet:
    config_map = references.config_maps.get(name)
    if config_map is None:
        return {} if source.get("optional") else NotYet(f'configmap "{name}" not found')
    data = {key: str(value).encode() for key, value in (config_map.get("data") or {}).items()}
    data |= {key: base64.b64decode(value) for key, value in (config_map.get("binaryData") or {}).items()}
    return _items(source, data, mode, "config")


def _items(source: Obj, data: Mapping[str, bytes], mode: int, word: str) -> dict[str, File] | NotYet:
    items = source.get("items")
    if not items:
        return {key: File(value, mode) for key, value in data.items()}
    files: dict[str, File] = {}
    for item in items:
        key, path = item.get("key", ""), _relative(item.get("path", ""))
        if path is None:
            return NotYet(f"invalid path {item.get('path')!r}: it must be relative and without '..'")
        if key not in data:
            if source.get("optional"):
                continue
            return NotYet(f"references non-existent {word} key: {key}")
        files[path] = File(data[key], item.get("mode") if item.get("mode") is not None else mode)
    return files


def _downward(pod: Obj, source: Obj, mode: int, place: Place) -> dict[str, File] | NotYet:
    files: dict[str, File] = {}
    for item in source.get("items") or ():
        path = _relative(item.get("path", ""))
        if path is None:
            return NotYet(f"invalid path {item.get('path')!r}: it must be relative and without '..'")
        value: str | None = None
        if reference := item.get("fieldRef"):
            value = fields.field(pod, reference.get("fieldPath", ""), place)
        elif reference := item.get("resourceFieldRef"):
            container = next((c for c in containers(pod) if c.get("name") == reference.get("containerName")), None)
            try:
                value = fields.resource_field(
                    container or {}, reference.get("resource", ""), reference.get("divisor", "1"), place
                )
            except ValueError as error:
                return NotYet(str(error))
        if value is None:
            return NotYet(f"unsupported field for {path}")
        files[path] = File(value.encode(), item.get("mode") if item.get("mode") is not None else mode)
    return files


def _projected(
    pod: Obj, projected: Obj, references: References, tokens: Mapping[TokenKey, str], place: Place
) -> dict[str, File] | NotYet:
    mode = projected.get("defaultMode", DEFAULT_MODE)
    files: dict[str, File] = {}
    for source in projected.get("sources") or ():
        found = _projected_source(pod, source, references, tokens, place, mode)
        if isinstance(found, NotYet):
            return found
        # Where two sources give the same path, the later one counts.
        files |= found
    return files


def _projected_source(
    pod: Obj, source: Obj, references: References, tokens: Mapping[TokenKey, str], place: Place, mode: int
) -> dict[str, File] | NotYet:
    if inner := source.get("secret"):
        return _secret(inner.get("name", ""), inner, references, mode)
    if inner := source.get("configMap"):
        return _config_map(inner.get("name", ""), inner, references, mode)
    if inner := source.get("downwardAPI"):
        return _downward(pod, inner, mode, place)
    if inner := source.get("serviceAccountToken"):
        path = _relative(inner.get("path", ""))
        if path is None:
            return NotYet(f"invalid path {inner.get('path')!r}: it must be relative and without '..'")
        token = tokens.get(token_key(pod, inner))
        if token is None:
            return NotYet("failed to fetch token")
        return {path: File(token.encode(), token_mode(pod, mode))}
    if kind := next((kind for kind in ("clusterTrustBundle", "podCertificate") if kind in source), None):
        return NotYet(f"the lab's node projects no {kind}")
    return NotYet(f"unknown source of a projected volume: {', '.join(source) or 'empty'}")


def token_mode(pod: Obj, mode: int) -> int:
    """A token's mode: private to the pod's group or user where the pod names one, else the volume's."""
    if fs_group(pod) is not None:
        return 0o640
    security = objects.spec(pod).get("securityContext") or {}
    users = {
        (container.get("securityContext") or {}).get("runAsUser", security.get("runAsUser"))
        for container in containers(pod)
    }
    return 0o600 if len(users) == 1 and users != {None} else mode


def _relative(path: str) -> str | None:
    normal = posixpath.normpath(path) if path else ""
    if not normal or normal == "." or normal.startswith(("/", "..")) or ".." in path.split("/"):
        return None
    return normal
