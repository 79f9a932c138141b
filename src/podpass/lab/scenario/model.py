"""What a scenario says, as values. Names refer to other entries of the same scenario."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from podpass.lab.scenario.entries.access import LockEntry, RoleAssignmentEntry, RoleEntry
from podpass.lab.scenario.entries.clusters import ClusterEntry, ManagedClusterEntry
from podpass.lab.scenario.entries.directory import ApplicationEntry
from podpass.lab.scenario.entries.people import GroupEntry, UserEntry
from podpass.lab.scenario.entries.resources import IdentityEntry, ResourceEntry, ScaleSetEntry, VirtualMachineEntry
from podpass.lab.scenario.entries.tenancy import ResourceGroupEntry, SubscriptionEntry, TenantEntry
from podpass.lab.scenario.entries.vaults import VaultEntry
from podpass.lab.scenario.fields import Between

_YEAR_SECONDS = 366 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultsEntry:
    """What goes wrong on purpose, as `podpass lab fault` sets it. What is not named is off."""

    issuer_unreachable: Annotated[bool, "the cluster's issuer answers nobody"] = False
    propagation_delay_seconds: Annotated[
        float, Between(0, _YEAR_SECONDS), "how long a changed federated credential stays unseen at the token endpoint"
    ] = 0.0
    negative_cache_seconds: Annotated[
        float, Between(0, _YEAR_SECONDS), "how long the token endpoint goes on saying that there is no such credential"
    ] = 0.0
    vault_calls_per_10_seconds: Annotated[
        float, Between(0, _YEAR_SECONDS), "how many calls of a kind each vault takes before it answers 429; 0: all"
    ] = 0.0
    authority_unavailable: Annotated[bool, "the token endpoint answers 503 to everybody"] = False
    tokens_per_10_seconds: Annotated[
        float, Between(0, _YEAR_SECONDS), "how many token requests a tenant makes before it is answered 429"
    ] = 0.0
    cluster_skew_seconds: Annotated[
        float, Between(-_YEAR_SECONDS, _YEAR_SECONDS), "how far the cluster's clock is ahead of the clouds'"
    ] = 0.0
    metadata_limited: Annotated[bool, "the metadata service keeps its limits"] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a lab is filled with."""

    tenants: tuple[TenantEntry, ...]
    subscriptions: tuple[SubscriptionEntry, ...]
    clusters: tuple[ClusterEntry, ...]
    resource_groups: tuple[ResourceGroupEntry, ...] = ()
    users: tuple[UserEntry, ...] = ()
    groups: tuple[GroupEntry, ...] = ()
    applications: tuple[ApplicationEntry, ...] = ()
    identities: tuple[IdentityEntry, ...] = ()
    managed_clusters: tuple[ManagedClusterEntry, ...] = ()
    virtual_machines: tuple[VirtualMachineEntry, ...] = ()
    virtual_machine_scale_sets: tuple[ScaleSetEntry, ...] = ()
    resources: tuple[ResourceEntry, ...] = ()
    vaults: tuple[VaultEntry, ...] = ()
    roles: tuple[RoleEntry, ...] = ()
    role_assignments: tuple[RoleAssignmentEntry, ...] = ()
    locks: tuple[LockEntry, ...] = ()
    faults: FaultsEntry | None = None

    def check(self) -> Iterator[tuple[str, str]]:
        if len(self.clusters) > 1:
            yield "clusters", "a lab has one cluster so far"
        if sum(machine.host for machine in self.virtual_machines) > 1:
            yield "virtualMachines", "only one machine can be the host"


DEFAULT = Scenario(
    tenants=(TenantEntry(name="lab", domain="podpass.onmicrosoft.com"),),
    subscriptions=(SubscriptionEntry(name="lab", tenant="lab"),),
    clusters=(ClusterEntry(name="lab", tenant="lab"),),
)
"""One tenant, one subscription, one cluster; everything else is made by the user through the APIs."""
