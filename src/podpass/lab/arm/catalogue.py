"""Every resource type and call that the lab's ARM has, and what it knows of only by name.

A new type is one entry in TYPES; a call that is no plain read or write of a type is one in OPERATIONS.
"""

from podpass.lab.arm import (
    access,
    access_policies,
    compute,
    deleted_vaults,
    features,
    lock_calls,
    managed_identity,
    role_definitions,
    subscriptions,
    vaults,
)
from podpass.lab.arm.model import Operation, ResourceType

TYPES: tuple[ResourceType, ...] = (
    subscriptions.GROUP,
    managed_identity.USER_ASSIGNED_IDENTITY,
    managed_identity.FEDERATED_CREDENTIAL,
    vaults.VAULT,
    vaults.MANAGED_HSM,
    vaults.DELETED_MANAGED_HSM,
    *compute.TYPES,
)

OPERATIONS: tuple[Operation, ...] = (
    *subscriptions.OPERATIONS,
    *access.OPERATIONS,
    *role_definitions.OPERATIONS,
    *lock_calls.OPERATIONS,
    *access_policies.OPERATIONS,
    *vaults.OPERATIONS,
    *deleted_vaults.OPERATIONS,
    *features.OPERATIONS,
    *compute.OPERATIONS,
)


NOT_EMULATED_TYPES: frozenset[str] = frozenset(
    name.lower()
    for name in (
        "Microsoft.Authorization/classicAdministrators",
        "Microsoft.Authorization/denyAssignments",
        "Microsoft.Authorization/permissions",
        "Microsoft.Authorization/policyAssignments",
        "Microsoft.Authorization/policyDefinitions",
        "Microsoft.Authorization/providerOperations",
        "Microsoft.Authorization/roleEligibilityScheduleRequests",
        "Microsoft.Compute/disks",
        "Microsoft.Compute/images",
        "Microsoft.Compute/locations/vmSizes",
        "Microsoft.Compute/operations",
        "Microsoft.Compute/skus",
        "Microsoft.Compute/virtualMachines/extensions",
        "Microsoft.Compute/virtualMachines/instanceView",
        "Microsoft.Compute/virtualMachineScaleSets/extensions",
        "Microsoft.Compute/virtualMachineScaleSets/instanceView",
        "Microsoft.KeyVault/hsmPools",
        "Microsoft.KeyVault/locations/deletedManagedHSMs",
        "Microsoft.KeyVault/operations",
        "Microsoft.KeyVault/vaults/keys",
        "Microsoft.KeyVault/vaults/privateEndpointConnections",
        "Microsoft.KeyVault/vaults/privateLinkResources",
        "Microsoft.KeyVault/vaults/secrets",
        "Microsoft.ManagedIdentity/identities",
        "Microsoft.ManagedIdentity/operations",
        "Microsoft.ManagedIdentity/userAssignedIdentities/associatedResources",
        "Microsoft.ManagedIdentity/userAssignedIdentities/listAssociatedResources",
        "Microsoft.Resources/deployments",
        "Microsoft.Resources/subscriptions/operationresults",
        "Microsoft.Resources/subscriptions/resourceGroups/deployments",
        "Microsoft.Resources/subscriptions/resourceGroups/exportTemplate",
        "Microsoft.Resources/subscriptions/resourceGroups/moveResources",
        "Microsoft.Resources/subscriptions/resourceGroups/validateMoveResources",
        "Microsoft.Resources/subscriptions/tagNames",
        "Microsoft.Resources/tags",
        "Microsoft.Resources/providers",
    )
)
