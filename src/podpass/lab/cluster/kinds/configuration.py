"""Secrets and ConfigMaps.

Contract: Kubernetes API surface, sections 2.2 and 2.11.
"""

import base64
from collections.abc import Iterator, Mapping

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, forbidden_field, invalid, required
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.registry import Column, Kind
from podpass.lab.cluster.tables import AGE, NAME

OPAQUE = "Opaque"
SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_NEEDED_KEYS: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_WHEN_IMMUTABLE = "field is immutable when `immutable` is set"


def _default_secret(obj: Obj) -> None:
    obj["type"] = obj.get("type") or OPAQUE
    written = obj.pop("stringData", None)
    if isinstance(written, dict) and written:
        data = obj["data"] = dict(obj.get("data") or {})
        for key, value in written.items():
            data[key] = base64.b64encode(str(value).encode()).decode()


def _secret_causes(obj: Obj) -> Iterator[Cause]:
    data = obj.get("data") or {}
    for key in data:
        yield from rules.config_key(f"data[{key}]", key)
    yield from rules.data_too_large("data", rules.data_size(data, encoded=True))
    kind = obj.get("type")
    for key in _NEEDED_KEYS.get(str(kind), ()):
        if key not in data:
            yield required(f"data[{key}]")
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & data.keys():
        yield required("data[username]")
        yield required("data[password]")
    if kind == SERVICE_ACCOUNT_TOKEN and not objects.annotations(obj).get(SERVICE_ACCOUNT_NAME):
        yield required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]")


def _secret_update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from rules.immutable("type", new.get("type"), old.get("type"))
    yield from _immutable_data(new, old, ("data",))
    yield from _secret_causes(new)


def _configmap_causes(obj: Obj) -> Iterator[Cause]:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    for key in data:
        yield from rules.config_key(f"data[{key}]", key)
        if key in binary:
            yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    for key in binary:
        yield from rules.config_key(f"binaryData[{key}]", key)
        if key in data:
            yield invalid(f"binaryData[{key}]", key, "duplicate of key present in data")
    yield from rules.data_too_large("", rules.data_size(data, encoded=False) + rules.data_size(binary, encoded=True))


def _configmap_update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from _immutable_data(new, old, ("data", "binaryData"))
    yield from _configmap_causes(new)


def _immutable_data(new: Obj, old: Obj, members: tuple[str, ...]) -> Iterator[Cause]:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield forbidden_field("immutable", _WHEN_IMMUTABLE)
    for member in members:
        if (new.get(member) or {}) != (old.get(member) or {}):
            yield forbidden_field(member, _WHEN_IMMUTABLE)


def secrets() -> Kind:
    return Kind(
        resource=resources.SECRETS,
        default=_default_secret,
        validate_create=lambda obj: list(_secret_causes(obj)),
        validate_update=lambda new, old: list(_secret_update_causes(new, old)),
        field_labels=lambda obj: {"type": obj.get("type") or ""},
        field_names=frozenset({"type"}),
        columns=(
            NAME,
            Column(
                "Type", lambda obj, _: obj.get("type") or "", description="Used to facilitate programmatic handling."
            ),
            Column(
                "Data", lambda obj, _: len(obj.get("data") or {}), type="integer", description="The number of keys."
            ),
            AGE,
        ),
    )


def configmaps() -> Kind:
    def entries(obj: Obj, _: float) -> int:
        return len(obj.get("data") or {}) + len(obj.get("binaryData") or {})

    return Kind(
        resource=resources.CONFIGMAPS,
        validate_create=lambda obj: list(_configmap_causes(obj)),
        validate_update=lambda new, old: list(_configmap_update_causes(new, old)),
        columns=(NAME, Column("Data", entries, type="integer", description="The number of keys."), AGE),
    )
