"""What a pod needs so that it can show its service account's token to Azure, as JSON Patch operations.

Everything here is a function of the pod, its service account and the settings. The pod stays raw JSON: members this
contract does not name are neither read nor written, so that a pod newer than podpass passes through whole.
Contract: azure workload identity, sections 0 and 1.1 to 1.7. Left out: the proxy sidecar (1.10), which is refused with
a message, and the custom token endpoint (1.9), whose annotation is not read.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from podpass.azure.workload_identity import (
    CLIENT_ID,
    DEFAULT_EXPIRATION_SECONDS,
    EXPIRATION,
    LONGEST_EXPIRATION_SECONDS,
    PREFIX,
    SHORTEST_EXPIRATION_SECONDS,
    TENANT_ID,
)
from podpass.webhook.settings import Layout, Settings

SKIP_CONTAINERS = PREFIX + "skip-containers"
INJECT_PROXY = PREFIX + "inject-proxy-sidecar"
PROXY_PORT = PREFIX + "proxy-sidecar-port"

V1_VOLUME = "azure-identity-token"
V1_MOUNT_PATH = "/var/run/secrets/azure/tokens"
V1_TOKEN_PATH = "azure-identity-token"  # noqa: S105 - a path
V2_VOLUME_PREFIX = "azure-workload-identity-reserved-"
V2_MOUNT_PATH = "/var/run/secrets/azure/wi"
V2_TOKEN_PATH = "token/azure-identity-token"  # noqa: S105 - a path

API_DEFAULT_MODE = 420
"""The defaultMode that the API server fills in, and which is therefore there when the webhook is called again."""
MAX_WARNING = 256
"""Characters of one admission warning that reach the user."""

Op = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mutation:
    """The pod is admitted. No operations: it needs nothing, or has it already."""

    operations: tuple[Op, ...] = ()
    warnings: tuple[str, ...] = ()
    audit: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Denial:
    """The pod is refused; *code* is the HTTP status the API server answers its creator with."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class TokenVolume:
    """A volume with the projected token, and where containers see it."""

    name: str
    mount_path: str
    token_path: str

    @property
    def token_file(self) -> str:
        return f"{self.mount_path}/{self.token_path}"

    @property
    def mount(self) -> Op:
        return {"name": self.name, "mountPath": self.mount_path, "readOnly": True}

    def volume(self, audience: str, expiration_seconds: int) -> Op:
        token = {"path": self.token_path, "expirationSeconds": expiration_seconds, "audience": audience}
        return {"name": self.name, "projected": {"sources": [{"serviceAccountToken": token}]}}


def mutate(
    pod: Mapping[str, Any], service_account: Mapping[str, Any], settings: Settings, *, namespace: str = ""
) -> Mutation | Denial:
    """The operations that make *pod* ready for Azure, or why it is refused. Never raises, whatever the JSON.

    *namespace* is the request's; the one in the pod may be empty.
    """
    try:
        return _mutate(pod, service_account, settings, namespace)
    except _Malformed as error:
        return Denial(400, str(error))


def working_name(pod: Mapping[str, Any]) -> str:
    """The pod's name, or what stands for it before the API server has made one up."""
    metadata = _mapping(pod, "metadata", "metadata")
    name = _string(metadata, "name", "metadata.name")
    return name or f"{_string(metadata, 'generateName', 'metadata.generateName')} (prefix)"


def token_volumes(layout: Layout, pod_name: str) -> tuple[TokenVolume, ...]:
    """The volumes of *layout*; the last one is where AZURE_FEDERATED_TOKEN_FILE points."""
    v1 = TokenVolume(V1_VOLUME, V1_MOUNT_PATH, V1_TOKEN_PATH)
    digest = hashlib.sha256(pod_name.encode("utf-8", "surrogatepass")).hexdigest()[:30]
    v2 = TokenVolume(V2_VOLUME_PREFIX + digest, V2_MOUNT_PATH, V2_TOKEN_PATH)
    match layout:
        case Layout.V1:
            return (v1,)
        case Layout.V2:
            return (v2,)
        case Layout.BOTH:
            return (v1, v2)


def _mutate(
    pod: Mapping[str, Any], service_account: Mapping[str, Any], settings: Settings, namespace: str
) -> Mutation | Denial:
    metadata = _mapping(pod, "metadata", "metadata")
    annotations = _strings(metadata, "annotations", "metadata.annotations")
    spec = _mapping(pod, "spec", "spec")
    account_metadata = _mapping(service_account, "metadata", "serviceaccount metadata")
    account = _strings(account_metadata, "annotations", "serviceaccount metadata.annotations")
    account_name = _string(account_metadata, "name", "serviceaccount metadata.name") or "default"
    where = _string(account_metadata, "namespace", "serviceaccount metadata.namespace") or namespace
    warnings: list[str] = []

    refusal = _proxy(annotations, spec, settings, warnings)
    if refusal is not None:
        return refusal
    expiration = _expiration(annotations.get(EXPIRATION) or account.get(EXPIRATION) or "")
    if isinstance(expiration, Denial):
        return expiration

    volumes = token_volumes(settings.layout, working_name(pod))
    client_id = account.get(CLIENT_ID, "")
    tenant_id = account.get(TENANT_ID, settings.tenant_id)
    environment = {
        name: value
        for name, value in (
            ("AZURE_CLIENT_ID", client_id),
            ("AZURE_TENANT_ID", tenant_id),
            ("AZURE_FEDERATED_TOKEN_FILE", volumes[-1].token_file),
            ("AZURE_AUTHORITY_HOST", settings.authority_host),
        )
        if value
    }
    skipped = {name.strip() for name in annotations.get(SKIP_CONTAINERS, "").split(";")} - {""}

    pod_volumes = _Entries(spec, "volumes", "/spec/volumes")
    containers = [
        _Container(container, f"/spec/{group}/{position}")
        for group in ("initContainers", "containers")
        for position, container in enumerate(_list(spec, group, f"/spec/{group}"))
    ]
    wanted = [container for container in containers if container.name not in skipped]
    stale = _stale(pod_volumes, wanted, volumes, settings.layout)
    operations: list[Op] = []
    for container in containers:
        # A mount of a volume that goes must go too, even from a skipped container: the pod would be invalid.
        container.mounts.drop(stale)
    for container in wanted:
        for name, value in environment.items():
            if name not in container.environment:
                container.environment.append({"name": name, "value": value})
        for volume in volumes:
            container.mounts.put(volume.mount, _same_mount)
    for container in containers:
        operations += (*container.environment.operations, *container.mounts.operations)
    pod_volumes.drop(stale)
    for volume in volumes:
        pod_volumes.put(volume.volume(settings.audience, expiration), _same_volume)
    operations += pod_volumes.operations

    if not client_id and any("AZURE_CLIENT_ID" not in container.environment for container in wanted):
        warnings.append(
            f"service account {where}/{account_name} has no annotation {CLIENT_ID}, so AZURE_CLIENT_ID is not set"
        )
    if not tenant_id:
        warnings.append(
            f"annotation {TENANT_ID} of service account {where}/{account_name} is empty, so AZURE_TENANT_ID is not set"
        )
    if settings.strict_annotations:
        warnings += _id_warnings(client_id, tenant_id, f"{where}/{account_name}")
    audit = {"layout": settings.layout.value, **({"client-id": client_id} if client_id else {})}
    return Mutation(tuple(operations), tuple(text[:MAX_WARNING] for text in warnings), audit)


def _proxy(
    annotations: Mapping[str, str], spec: Mapping[str, Any], settings: Settings, warnings: list[str]
) -> Denial | None:
    """The refusal of a pod that asks for the sidecar; the checks come in the contract's order."""
    if INJECT_PROXY not in annotations:
        return None
    value = annotations[INJECT_PROXY]
    if settings.strict_annotations and value.lower() != "true":
        warnings.append(f'{INJECT_PROXY}: "{value}" is not "true", so no proxy sidecar is asked for')
        return None
    if spec.get("hostNetwork") is True:
        return Denial(400, "hostNetwork is set to true, cannot inject proxy sidecar")
    port = _go_integer(annotations[PROXY_PORT], bits=32) if PROXY_PORT in annotations else 8000
    if isinstance(port, str):
        return Denial(400, f"failed to parse proxy sidecar port: {port}")
    if settings.strict_annotations and not 1 <= port <= 65535:
        warnings.append(f"{PROXY_PORT}: {port} is not a port")
    return Denial(
        400,
        f"annotation {INJECT_PROXY} asks for the proxy sidecar, which this release of podpass does not inject; "
        "remove the annotation (its presence alone asks, whatever its value) and use a client that reads "
        "AZURE_FEDERATED_TOKEN_FILE",
    )


def _expiration(text: str) -> int | Denial:
    if not text:
        return DEFAULT_EXPIRATION_SECONDS
    seconds = _go_integer(text, bits=64)
    if isinstance(seconds, str):
        return Denial(400, seconds)
    if not SHORTEST_EXPIRATION_SECONDS <= seconds <= LONGEST_EXPIRATION_SECONDS:
        return Denial(
            400,
            f"token expiration {seconds} not valid. Expected value to be between "
            f"{SHORTEST_EXPIRATION_SECONDS} and {LONGEST_EXPIRATION_SECONDS}",
        )
    return seconds


def _go_integer(text: str, *, bits: int) -> int | str:
    """A base-10 integer, or the sentence Go's parser refuses it with: no white space, no underscores, no fraction."""
    quoted = json.dumps(text[:64], ensure_ascii=False)
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        return f"strconv.ParseInt: parsing {quoted}: invalid syntax"
    digits = text.lstrip("+-").lstrip("0") or "0"
    limit = 2 ** (bits - 1)
    if len(digits) > 19 or not -limit <= int(text) < limit:
        return f"strconv.ParseInt: parsing {quoted}: value out of range"
    return int(text)


_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DOMAIN = re.compile(r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}")


def _id_warnings(client_id: str, tenant_id: str, account: str) -> Iterable[str]:
    if client_id and not _GUID.fullmatch(client_id):
        yield f"{CLIENT_ID} of service account {account} is not a GUID"
    if tenant_id and not _GUID.fullmatch(tenant_id) and not _DOMAIN.fullmatch(tenant_id):
        yield f"{TENANT_ID} of service account {account} is neither a GUID nor a domain name"


def _stale(
    volumes: "_Entries", containers: Iterable["_Container"], wanted: Iterable[TokenVolume], layout: Layout
) -> frozenset[str]:
    """The names of token volumes that an earlier mutation left behind and that stand in the way of *wanted*.

    A manifest copied from a mutated pod to another name carries the old reserved volume at the very path of the new
    one. Under v1 such a volume lies elsewhere and may still serve AZURE_FEDERATED_TOKEN_FILE: it stays, unless the
    paths collide.
    """
    names = {volume.name for volume in wanted}
    paths = {volume.mount_path for volume in wanted}
    stale: set[str] = set()
    for entry in volumes:
        name = entry.get("name") or ""
        reserved = name.startswith(V2_VOLUME_PREFIX) and _has_token_at(entry, V2_TOKEN_PATH)
        if name in names or not (reserved or (name == V1_VOLUME and _has_token_at(entry, V1_TOKEN_PATH))):
            continue
        collides = any(
            mount.get("name") == name and mount.get("mountPath") in paths
            for container in containers
            for mount in container.mounts
        )
        if collides or (reserved and layout is not Layout.V1):
            stale.add(name)
    return frozenset(stale)


def _has_token_at(volume: Op, path: str) -> bool:
    projected = volume.get("projected")
    sources = projected.get("sources") if isinstance(projected, dict) else None
    tokens = [source.get("serviceAccountToken") for source in sources or () if isinstance(source, dict)]
    return any(isinstance(token, dict) and token.get("path") == path for token in tokens)


def _same_mount(found: Op, wanted: Op) -> bool:
    return found == wanted


def _same_volume(found: Op, wanted: Op) -> bool:
    """Whether *found* is *wanted*, once the API server's default file mode is set aside."""
    projected = found.get("projected")
    if not isinstance(projected, dict) or projected.get("defaultMode", API_DEFAULT_MODE) != API_DEFAULT_MODE:
        return False
    rest = {member: value for member, value in projected.items() if member != "defaultMode"}
    return {**found, "projected": rest} == wanted


class _Malformed(Exception):
    """The pod is not shaped as the API has it; the text names the member."""


class _Entries:
    """A list of named entries that is edited by operations, and what it will be after them.

    A missing list is created whole, since JSON Patch can't append to nothing.
    """

    def __init__(self, owner: Mapping[str, Any], member: str, pointer: str) -> None:
        self._entries = list(_list(owner, member, pointer))
        # Names are looked up several times for each entry that is added, so they are taken out once.
        self._names = [entry.get("name") or "" for entry in self._entries]
        if not _only(self._names, str):
            raise _Malformed(f"{pointer}/*/name: expected a string")
        self._exists = owner.get(member) is not None
        self._pointer = pointer
        self.operations: list[Op] = []

    def __iter__(self) -> Iterator[Op]:
        return iter(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def append(self, entry: Op) -> None:
        self._entries.append(entry)
        self._names.append(entry["name"])
        if self._exists:
            self.operations.append({"op": "add", "path": f"{self._pointer}/-", "value": entry})
        elif self.operations:
            self.operations[-1]["value"].append(entry)
        else:
            self.operations.append({"op": "add", "path": self._pointer, "value": [entry]})

    def put(self, entry: Op, same: Callable[[Op, Op], bool]) -> None:
        """Make *entry* the one of its name, replacing another in place; nothing when it is there already."""
        if entry["name"] not in self._names:
            self.append(entry)
            return
        positions = [position for position, name in enumerate(self._names) if name == entry["name"]]
        if any(same(self._entries[position], entry) for position in positions):
            return
        self._entries[positions[0]] = entry
        self.operations.append({"op": "replace", "path": f"{self._pointer}/{positions[0]}", "value": entry})

    def drop(self, names: frozenset[str]) -> None:
        # From the end, so that each removal leaves the positions of those to come.
        for position in reversed(range(len(self._entries))) if names else ():
            if self._names[position] in names:
                del self._entries[position], self._names[position]
                self.operations.append({"op": "remove", "path": f"{self._pointer}/{position}"})


class _Container:
    def __init__(self, container: Mapping[str, Any], pointer: str) -> None:
        self.name = _string(container, "name", f"{pointer}/name")
        self.environment = _Entries(container, "env", f"{pointer}/env")
        self.mounts = _Entries(container, "volumeMounts", f"{pointer}/volumeMounts")


def _mapping(owner: Mapping[str, Any], member: str, what: str) -> Mapping[str, Any]:
    value = owner.get(member)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _Malformed(f"{what}: expected an object")
    return value


def _strings(owner: Mapping[str, Any], member: str, what: str) -> Mapping[str, str]:
    values = _mapping(owner, member, what)
    for key, value in values.items():
        if not isinstance(value, str):
            raise _Malformed(f"{what}.{key}: expected a string")
    return values


def _string(owner: Mapping[str, Any], member: str, what: str) -> str:
    value = owner.get(member)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Malformed(f"{what}: expected a string")
    return value


def _list(owner: Mapping[str, Any], member: str, what: str) -> list[Any]:
    value = owner.get(member)
    if value is None:
        return []
    if not isinstance(value, list) or not _only(value, dict):
        raise _Malformed(f"{what}: expected an array of objects")
    return value


def _only(values: list[Any], kind: type) -> bool:
    # A pod has hundreds of entries; a set of their types is had without a step of the interpreter for each.
    return {kind}.issuperset(map(type, values))
