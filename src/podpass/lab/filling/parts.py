"""Every section of a scenario, in the order in which they are made so and looked at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from podpass.lab.filling import access, clusters, directory, people, resources, tenancy, vaults
from podpass.lab.filling.clouds import Made, Making
from podpass.lab.filling.finding import Finding, Found


@dataclass(frozen=True, slots=True)
class Part:
    """One section."""

    section: str
    """As the file spells it."""
    says: str
    """What one of its entries is called in a sentence."""
    put: Callable[[Making, Any], Made]
    there: Callable[[Finding], Iterator[Found]]
    principal: str = ""
    """The member by which others name an entry as somebody who is allowed something."""
    later: Callable[[Making, Any], Made] | None = None
    """Puts of an entry what refers to others, once all are there."""


PARTS = (
    Part("tenants", "tenant", tenancy.put_tenant, tenancy.tenants_there),
    Part("subscriptions", "subscription", tenancy.put_subscription, tenancy.subscriptions_there),
    Part("users", "user", people.put_user, people.users_there, "user"),
    Part("groups", "group", people.put_group, people.groups_there, "group", people.put_members),
    Part("resourceGroups", "resource group", tenancy.put_group, tenancy.groups_there),
    Part(
        "applications",
        "application",
        directory.put_application,
        directory.applications_there,
        "application",
        directory.put_trust,
    ),
    Part(
        "identities",
        "identity",
        resources.put_identity,
        resources.identities_there,
        "identity",
        resources.put_trust,
    ),
    Part(
        "virtualMachines",
        "virtual machine",
        resources.put_machine,
        resources.machines_there,
        "virtual_machine",
    ),
    Part(
        "virtualMachineScaleSets",
        "scale set",
        resources.put_scale_set,
        resources.scale_sets_there,
        "scale_set",
    ),
    Part("resources", "resource", resources.put_other, resources.others_there),
    Part("clusters", "cluster", clusters.put_cluster, clusters.clusters_there),
    Part(
        "managedClusters",
        "managed cluster",
        clusters.put_managed_cluster,
        clusters.managed_clusters_there,
        "managed_cluster",
    ),
    Part("vaults", "vault", vaults.put_vault, vaults.vaults_there),
    Part("roles", "role", access.put_role, access.roles_there),
    Part("roleAssignments", "role assignment", access.put_role_assignment, access.role_assignments_there),
    Part("locks", "lock", access.put_lock, access.locks_there),
)
