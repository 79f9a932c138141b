"""The custom resources read into values.

Objects older than version 1.6 of the original spell their members `ClientID`, `Selector`, `PodLabels`, others all in
lower case; members are found in any letter case. Contract: pod identity, sections 1.1 to 1.4 and 2.11.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any, Literal, cast

from podpass.azure.resourceids import USER_ASSIGNED_IDENTITIES, NotAResourceId, ResourceId
from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.podidentity.resources import BEHAVIOR_ANNOTATION, FORMER_ANNOTATION, NAMESPACED

Status = Literal["Created", "Assigned", "Unassigned"]


class IdentityType(IntEnum):
    """What `spec.type` says of an AzureIdentity."""

    USER_ASSIGNED = 0
    CLIENT_SECRET = 1
    CERTIFICATE = 2


@dataclass(frozen=True, slots=True)
class SecretReference:
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodIdentity:
    """An AzureIdentity that can be used."""

    namespace: str
    name: str
    resource_version: str = ""
    type: IdentityType = IdentityType.USER_ASSIGNED
    resource_id: str = ""
    """The ARM id of a managed identity, as written; empty for service principals."""
    client_id: str = ""
    tenant_id: str = ""
    auxiliary_tenant_ids: tuple[str, ...] = ()
    authority: str = ""
    """The base URL of the login service; empty for the cloud's own."""
    secret: SecretReference | None = None
    is_namespaced: bool = False
    """Whether only pods of its own namespace may have it, whatever the components' mode."""

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def managed_id(self) -> str:
        """The ARM id by which machines have it, in lower case; empty for a service principal, which they don't need."""
        return self.resource_id.lower() if self.type is IdentityType.USER_ASSIGNED else ""


@dataclass(frozen=True, slots=True)
class Unusable:
    """An object that is treated as if it were not there, and why."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """An AzureIdentityBinding: pods labelled *selector* may have the identity of that name in its namespace."""

    namespace: str
    name: str
    resource_version: str = ""
    identity: str
    selector: str
    """A literal value of the label, not an expression. An empty one matches no pod."""

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedIdentity:
    """An AzureAssignedIdentity: what MIC decided for one pod."""

    namespace: str
    name: str
    identity: PodIdentity
    resource_version: str = ""
    binding: tuple[str, str]
    """The namespace and the name of the binding."""
    binding_version: str = ""
    selector: str = ""
    """What the binding selected when MIC decided; empty where the object doesn't tell."""
    pod: tuple[str, str]
    """The namespace and the name of the pod."""
    node: str
    status: Status
    former: tuple[str, ...] = ()
    """ARM ids, in lower case, that the machine may still have because of what the object held before."""

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PodException:
    """An AzurePodIdentityException: pods of its namespace that reach the metadata service themselves."""

    namespace: str
    name: str
    pod_labels: Mapping[str, str]


def read_identity(obj: Obj) -> PodIdentity | Unusable:
    spec = _members(objects.spec(obj))
    given = spec.get("type", 0)
    if isinstance(given, bool) or not isinstance(given, int) or given not in set(IdentityType):
        return Unusable(f"spec.type {given!r} is none of 0, 1 and 2")
    kind = IdentityType(given)
    resource_id = _text(spec, "resourceid")
    if kind is IdentityType.USER_ASSIGNED and not names_user_assigned_identity(resource_id):
        return Unusable(
            f'invalid resource id: "{resource_id[:300]}", must match /subscriptions/<subid>/resourcegroups/'
            f"<resourcegroup>/providers/{USER_ASSIGNED_IDENTITIES}/<name>"
        )
    secret = spec.get("clientpassword")
    reference = None
    if isinstance(secret, Mapping) and secret.get("name"):
        reference = SecretReference(str(secret.get("namespace") or objects.namespace(obj)), str(secret["name"]))
    if kind is not IdentityType.USER_ASSIGNED and reference is None:
        return Unusable("spec.clientPassword names no Secret")
    return PodIdentity(
        namespace=objects.namespace(obj),
        name=objects.name(obj),
        resource_version=objects.resource_version(obj),
        type=kind,
        resource_id=resource_id,
        client_id=_text(spec, "clientid"),
        tenant_id=_text(spec, "tenantid"),
        auxiliary_tenant_ids=tuple(str(each) for each in spec.get("auxiliarytenantids") or () if each),
        authority=_text(spec, "adendpoint"),
        secret=reference,
        is_namespaced=objects.annotations(obj).get(BEHAVIOR_ANNOTATION) == NAMESPACED,
    )


def read_binding(obj: Obj) -> Binding:
    spec = _members(objects.spec(obj))
    return Binding(
        namespace=objects.namespace(obj),
        name=objects.name(obj),
        resource_version=objects.resource_version(obj),
        identity=_text(spec, "azureidentity"),
        selector=_text(spec, "selector"),
    )


def read_assigned_identity(obj: Obj) -> AssignedIdentity | Unusable:
    spec = _members(objects.spec(obj))
    embedded, binding = spec.get("azureidentityref"), spec.get("azurebindingref")
    if not isinstance(embedded, dict):
        return Unusable("spec.azureIdentityRef holds no identity")
    identity = read_identity(embedded)
    if isinstance(identity, Unusable):
        return identity
    bound_by = read_binding(binding if isinstance(binding, dict) else {})
    status = _text(_members(objects.status(obj)), "status")
    if status not in ("", "Created", "Assigned", "Unassigned"):
        return Unusable(f"status.status {status[:40]!r} is not a status")
    return AssignedIdentity(
        namespace=objects.namespace(obj),
        name=objects.name(obj),
        identity=identity,
        resource_version=objects.resource_version(obj),
        binding=bound_by.key,
        binding_version=bound_by.resource_version,
        selector=bound_by.selector,
        pod=(_text(spec, "podnamespace"), _text(spec, "pod")),
        node=_text(spec, "nodename"),
        # Controllers of old wrote no status once they had assigned.
        status=cast("Status", status or "Assigned"),
        former=tuple(each for each in objects.annotations(obj).get(FORMER_ANNOTATION, "").lower().split(",") if each),
    )


def read_exception(obj: Obj) -> PodException:
    labels = _members(objects.spec(obj)).get("podlabels")
    found = {str(key): str(value) for key, value in labels.items()} if isinstance(labels, Mapping) else {}
    return PodException(namespace=objects.namespace(obj), name=objects.name(obj), pod_labels=found)


@lru_cache(maxsize=4096)
def names_user_assigned_identity(resource_id: str) -> bool:
    """Whether the text is the ARM id of a user-assigned identity."""
    try:
        return ResourceId.parse(resource_id).type.lower() == USER_ASSIGNED_IDENTITIES.lower()
    except NotAResourceId:
        return False


def _members(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The members by their names in lower case; the present spelling wins over older ones."""
    found: dict[str, Any] = {}
    # `clientID` sorts behind `ClientID`: what comes last stays.
    for name in sorted(spec):
        if spec[name] not in (None, ""):
            found[name.lower()] = spec[name]
    return found


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    return value if isinstance(value, str) else ""
