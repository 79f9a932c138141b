"""What requests may say of a managed cluster, as far as the lab reads it; all else is kept as it was given."""

from typing import Any, Literal, TypeVar

import msgspec

from podpass.lab.arm import errors
from podpass.lab.arm.model import Body
from podpass.lab.arm.resource_identity import Identity

T = TypeVar("T")


class _Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class PowerState(_Struct, frozen=True, kw_only=True, rename="camel"):
    code: str | None = None


class Pool(_Struct, frozen=True, kw_only=True, rename="camel"):
    """One of `agentPoolProfiles`, or the properties of an agent pool."""

    name: str | None = None
    count: int | None = None
    vm_size: str | None = None
    os_type: str | None = None
    type: str | None = None
    mode: Literal["System", "User", "Gateway"] | None = None
    orchestrator_version: str | None = None
    max_pods: int | None = None
    os_disk_size_gb: int | None = msgspec.field(default=None, name="osDiskSizeGB")
    enable_auto_scaling: bool | None = None
    power_state: PowerState | None = None
    tags: dict[str, str] | None = None
    vnet_subnet_id: str | None = msgspec.field(default=None, name="vnetSubnetID")


class Switch(_Struct, frozen=True, kw_only=True, rename="camel"):
    enabled: bool | None = None


class Security(_Struct, frozen=True, kw_only=True, rename="camel"):
    workload_identity: Switch | None = None


class Network(_Struct, frozen=True, kw_only=True, rename="camel"):
    network_plugin: Literal["azure", "kubenet", "none"] | None = None
    network_plugin_mode: Literal["overlay"] | None = None


class KubeletIdentity(_Struct, frozen=True, kw_only=True, rename="camel"):
    resource_id: str | None = None


class ServicePrincipal(_Struct, frozen=True, kw_only=True, rename="camel"):
    client_id: str


class PodIdentity(_Struct, frozen=True, kw_only=True, rename="camel"):
    """An entry of `podIdentityProfile.userAssignedIdentities`."""

    namespace: str
    identity: KubeletIdentity
    name: str = ""
    binding_selector: str | None = None


class PodIdentityException(_Struct, frozen=True, kw_only=True, rename="camel"):
    name: str
    namespace: str
    pod_labels: dict[str, str]


class PodIdentityProfile(_Struct, frozen=True, kw_only=True, rename="camel"):
    enabled: bool | None = None
    allow_network_plugin_kubenet: bool | None = None
    user_assigned_identities: list[PodIdentity] | None = None
    user_assigned_identity_exceptions: list[PodIdentityException] | None = None


class Properties(_Struct, frozen=True, kw_only=True, rename="camel"):
    kubernetes_version: str | None = None
    dns_prefix: str | None = None
    node_resource_group: str | None = None
    disable_local_accounts: bool | None = None
    agent_pool_profiles: list[Pool] | None = None
    network_profile: Network | None = None
    oidc_issuer_profile: Switch | None = None
    security_profile: Security | None = None
    pod_identity_profile: PodIdentityProfile | None = None
    identity_profile: dict[str, KubeletIdentity] | None = None
    service_principal_profile: ServicePrincipal | None = None
    windows_profile: dict[str, Any] | None = None


class Sku(_Struct, frozen=True, kw_only=True, rename="camel"):
    name: Literal["Base", "Basic", "Automatic"] = "Base"
    tier: Literal["Free", "Standard", "Premium", "Paid"] = "Free"


class ClusterBody(Body, frozen=True, kw_only=True, rename="camel"):
    sku: Sku | None = None
    identity: Identity | None = None
    properties: dict[str, Any] = msgspec.field(default_factory=dict)


def read(properties: dict[str, Any]) -> Properties:
    """*properties* as far as the lab reads them. Raises ArmError."""
    return _read(properties, Properties)


def read_pool(properties: dict[str, Any]) -> Pool:
    """The properties of an agent pool. Raises ArmError."""
    return _read(properties, Pool)


def _read(properties: dict[str, Any], shape: type[T]) -> T:
    try:
        return msgspec.convert(properties, shape)
    except (msgspec.ValidationError, RecursionError) as error:
        raise errors.invalid_content(str(error).replace("`$", "`$.properties", 1)) from error


def without_nulls(value: Any) -> Any:
    """*value* without members that are null, which mean the same as absent ones."""
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value
