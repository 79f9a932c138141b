"""Every section of a scenario, in the order in which they are made so."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from podpass.lab.filling import access, directory, resources, tenancy, vaults
from podpass.lab.filling.clouds import Made, Making


@dataclass(frozen=True, slots=True)
class Part:
    """One section."""

    section: str
    """As the file spells it."""
    says: str
    """What one of its entries is called in a sentence."""
    put: Callable[[Making, Any], Made]


PARTS = (
    Part("tenants", "tenant", tenancy.put_tenant),
    Part("subscriptions", "subscription", tenancy.put_subscription),
    Part("clusters", "cluster", tenancy.put_cluster),
    Part("resourceGroups", "resource group", tenancy.put_group),
    Part("applications", "application", directory.put_application),
    Part("identities", "identity", resources.put_identity),
    Part("virtualMachines", "virtual machine", resources.put_machine),
    Part("virtualMachineScaleSets", "scale set", resources.put_scale_set),
    Part("resources", "resource", resources.put_other),
    Part("vaults", "vault", vaults.put_vault),
    Part("roleAssignments", "role assignment", access.put_role_assignment),
)
