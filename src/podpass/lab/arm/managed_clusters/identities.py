"""The identities of a cluster: its own, by which it acts, and the one that its nodes have.

Contract: Azure HTTP surface, section 4.2.
"""

from collections.abc import Mapping
from typing import Any

from podpass.azure.resourceids import USER_ASSIGNED_IDENTITIES
from podpass.lab.arm.authorization import Allowed
from podpass.lab.arm.errors import invalid_request
from podpass.lab.arm.estate import Estate, parsed_id
from podpass.lab.arm.managed_clusters import refusals
from podpass.lab.arm.managed_clusters.bodies import Properties
from podpass.lab.arm.model import Draft, Resource
from podpass.lab.arm.resource_identity import ASSIGN

KUBELET = "kubeletidentity"


def principal(identity: Mapping[str, Any] | None) -> str:
    """The object id by which the cluster itself acts; empty when it has no managed identity."""
    if not identity:
        return ""
    own = str(identity.get("principalId") or "")
    assigned = identity.get("userAssignedIdentities") or {}
    return next((str(one["principalId"]) for one in assigned.values()), own)


def check(estate: Estate, draft: Draft, given: Properties, identity: Mapping[str, Any] | None) -> str:
    """The type of the cluster's managed identity, empty when a service principal takes its place. Raises ArmError."""
    kind = str((identity or {}).get("type") or "")
    if "," in kind or len((identity or {}).get("userAssignedIdentities") or {}) > 1:
        raise invalid_request(
            "A managed cluster has either a system assigned identity or exactly one user assigned identity.",
            "InvalidIdentityType",
        )
    if kind or draft.existing is not None:
        return kind
    if given.service_principal_profile is None:
        raise refusals.missing("servicePrincipalProfile")
    client_id, tenant_id = given.service_principal_profile.client_id, draft.subscription.tenant_id
    if estate.directory.application(tenant_id, client_id) is None:
        raise refusals.principal_not_found(client_id, tenant_id)
    return ""


def client_of_nodes(given: Properties, before: Mapping[str, Any], identity_type: str) -> str:
    if identity_type:
        return "msi"
    kept = (before.get("servicePrincipalProfile") or {}).get("clientId")
    return str(kept or (given.service_principal_profile.client_id if given.service_principal_profile else "msi"))


def given_kubelet(
    estate: Estate, draft: Draft, given: Properties, identity: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """The identity that the nodes are to have, where its owner made one. Raises ArmError."""
    wanted = (given.identity_profile or {}).get(KUBELET)
    if wanted is None or not wanted.resource_id:
        return {}
    if not (identity or {}).get("userAssignedIdentities"):
        raise invalid_request(
            "Custom kubelet identity only supported on user assigned MSI cluster.",
            "CustomKubeletIdentityOnlySupportedOnUserAssignedMSICluster",
        )
    found = estate.get(parsed_id(wanted.resource_id))
    if found is None or found.type != USER_ASSIGNED_IDENTITIES:
        raise invalid_request(f"The kubelet identity '{wanted.resource_id}' was not found.", "ResourceNotFound")
    decision = estate.decide(principal_id=principal(identity), action=ASSIGN, scope=found.id)
    if not isinstance(decision, Allowed):
        raise invalid_request(
            f"The cluster user assigned identity must be given permission to assign kubelet identity {found.id}. Check "
            f"access result not allowed for action {ASSIGN}. Please refer to "
            "https://aka.ms/aks/custom-kubelet-identity",
            "CustomKubeletIdentityMissingPermissionError",
        )
    return {KUBELET: kubelet(found)}


def kubelet(resource: Resource) -> dict[str, str]:
    """A managed identity as `identityProfile` shows it."""
    return {
        "resourceId": resource.id,
        "clientId": resource.properties["clientId"],
        "objectId": resource.properties["principalId"],
    }
