"""What a scenario says, as values. Names refer to other entries of the same scenario."""

from dataclasses import dataclass, field
from typing import Literal

from podpass.azure.clouds import PUBLIC


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantEntry:
    name: str
    id: str = ""
    """A GUID; empty lets the lab choose one and keep it."""
    domain: str = ""
    flexible_issuers: Literal["supported", "any"] = "supported"
    """Which issuers flexible federated credentials may name: those that the vendor supports, or any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionEntry:
    name: str
    tenant: str
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceGroupEntry:
    name: str
    subscription: str
    location: str = "eastus"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEntry:
    name: str
    tenant: str
    region: str = "eastus"
    host_paths: tuple[str, ...] = ()
    """Directories of this machine that hostPath volumes may show."""
    nodes: int = 0
    """How many nodes it has at least; 0 says nothing about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedCredentialEntry:
    name: str
    subject: str = ""
    expression: str = ""
    """The claims matching expression of a flexible one, which has no subject."""
    issuer: str = ""
    """An issuer URL; empty stands for the issuer of *cluster*."""
    cluster: str = ""
    audience: str = PUBLIC.token_exchange_audience


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityEntry:
    name: str
    resource_group: str
    federated_credentials: tuple[FederatedCredentialEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualMachineEntry:
    name: str
    resource_group: str
    system_assigned: bool = False
    identities: tuple[str, ...] = ()
    host: bool = False
    """Programs on this machine run on it: the metadata service answers them in its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretEntry:
    name: str
    value: str | None = field(default=None, repr=False)
    """None makes a random value: a scenario file needs to hold no secret."""
    content_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPolicyEntry:
    identity: str
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultEntry:
    name: str
    resource_group: str
    authorization: Literal["rbac", "accessPolicies"] = "rbac"
    secrets: tuple[SecretEntry, ...] = ()
    access_policies: tuple[AccessPolicyEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleAssignmentEntry:
    identity: str
    role: str
    scope_kind: Literal["vault", "resourceGroup", "subscription"]
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    tenants: tuple[TenantEntry, ...]
    subscriptions: tuple[SubscriptionEntry, ...]
    clusters: tuple[ClusterEntry, ...]
    resource_groups: tuple[ResourceGroupEntry, ...] = ()
    identities: tuple[IdentityEntry, ...] = ()
    vaults: tuple[VaultEntry, ...] = ()
    role_assignments: tuple[RoleAssignmentEntry, ...] = ()
    virtual_machines: tuple[VirtualMachineEntry, ...] = ()


DEFAULT = Scenario(
    tenants=(TenantEntry(name="lab", domain="podpass.onmicrosoft.com"),),
    subscriptions=(SubscriptionEntry(name="lab", tenant="lab"),),
    clusters=(ClusterEntry(name="lab", tenant="lab"),),
)
"""One tenant, one subscription, one cluster; everything else is made by the user through the APIs."""
