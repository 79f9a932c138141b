"""The resource group of a cluster's nodes, and what is in it: the kubelet's identity, a scale set per pool.

It is the service that makes them, not the caller, whose rights end at the cluster.
Contract: Azure HTTP surface, section 4.2; pod identity, section 6.3.
"""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from podpass.azure.resourceids import USER_ASSIGNED_IDENTITIES, ResourceId, resource_group
from podpass.lab.arm import access, compute
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.managed_clusters import names, pod_identity
from podpass.lab.arm.managed_clusters.identities import KUBELET, kubelet, principal
from podpass.lab.arm.model import Actor, Resource

SERVICE_APPLICATION = Actor("7319c514-987d-4e9b-ac3d-d38c4f427f4c")
"""As which the container service acts in every tenant."""
_CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
_API_VERSION = "2024-11-01"
_POOL_TAG = "aks-managed-poolName"


def settle(estate: Estate, cluster: Resource, before: Resource | None) -> Resource:
    """Bring the group to what the cluster says; the cluster with its kubelet's identity."""
    group = group_of(estate, cluster)
    if estate.get(group) is None:
        _put(estate, group, {"location": cluster.location, "managedBy": cluster.id, "tags": dict(cluster.tags or {})})
        _let_cluster_in(estate, group, cluster)
    profile = cluster.properties["identityProfile"] or {KUBELET: _own_kubelet(estate, group, cluster)}
    cluster = replace(cluster, properties={**cluster.properties, "identityProfile": profile})
    assigned = [profile[KUBELET]["resourceId"], *_pod_identities(cluster)]
    dropped = set(_pod_identities(before)) - set(assigned) if before else set()
    wanted = {}
    for pool in cluster.properties["agentPoolProfiles"]:
        scale_set = scale_set_of(estate, cluster, pool)
        wanted[scale_set.key] = scale_set
        _settle_scale_set(estate, scale_set, cluster, pool, assigned, dropped)
    for present in estate.below(group, compute.SCALE_SET):
        if (present.tags or {}).get(_POOL_TAG) and present.id.lower() not in wanted:
            estate.delete(_resource(group, compute.SCALE_SET, present.name))
    return cluster


def remove(estate: Estate, cluster: Resource) -> None:
    """Remove the group with all that is in it."""
    group = estate.get(group_of(estate, cluster))
    if group is not None and group.extra.get("managedBy") == cluster.id:
        estate.delete(group_of(estate, cluster))


def group_of(estate: Estate, cluster: Resource) -> ResourceId:
    return resource_group(estate.subscription_of(cluster).id, cluster.properties["nodeResourceGroup"])


def scale_set_of(estate: Estate, cluster: Resource, pool: Mapping[str, Any]) -> ResourceId:
    """The id of the scale set of one of the cluster's pools."""
    name = names.scale_set(pool["name"], cluster.hidden["guid"])
    return _resource(group_of(estate, cluster), compute.SCALE_SET, name)


def _own_kubelet(estate: Estate, group: ResourceId, cluster: Resource) -> dict[str, str]:
    wanted = _resource(group, USER_ASSIGNED_IDENTITIES, names.kubelet_identity(cluster.name))
    return kubelet(_put(estate, wanted, {"location": cluster.location}))


def _let_cluster_in(estate: Estate, group: ResourceId, cluster: Resource) -> None:
    """The cluster's own identity works with what is in the group."""
    holder = principal(cluster.extra.get("identity"))
    if holder:
        wanted = access.AssignmentProperties(role_definition_id=_CONTRIBUTOR, principal_id=holder)
        access.assign(estate, group, str(uuid.uuid4()), wanted, by=SERVICE_APPLICATION.id)


def _settle_scale_set(
    estate: Estate,
    wanted: ResourceId,
    cluster: Resource,
    pool: Mapping[str, Any],
    assigned: list[str],
    dropped: set[str],
) -> None:
    present = estate.get(wanted)
    # Identities that others have put there stay.
    changes: dict[str, Any] = {one: {} for one in assigned} | dict.fromkeys(dropped)
    identity = {"type": "UserAssigned", "userAssignedIdentities": changes}
    sku = {"name": pool["vmSize"], "tier": "Standard", "capacity": pool["count"]}
    if present is None:
        tags = {**(pool.get("tags") or {}), _POOL_TAG: pool["name"], "aks-managed-orchestrator": "Kubernetes"}
        content = {"location": cluster.location, "tags": tags, "sku": sku, "identity": identity}
        _put(estate, wanted, content)
        return
    held = {one.lower() for one in (present.extra.get("identity") or {}).get("userAssignedIdentities") or {}}
    if present.extra["sku"] == sku and all(
        (one.lower() in held) == (value is not None) for one, value in changes.items()
    ):
        return
    content = {"sku": sku, "identity": identity}
    estate.patch(wanted, content, actor=SERVICE_APPLICATION, api_version=_API_VERSION)


def _pod_identities(cluster: Resource) -> list[str]:
    return pod_identity.assigned(cluster.properties.get("podIdentityProfile"))


def _put(estate: Estate, wanted: ResourceId, content: Mapping[str, Any]) -> Resource:
    return estate.put(wanted, content, actor=SERVICE_APPLICATION, api_version=_API_VERSION).resource


def _resource(group: ResourceId, resource_type: str, name: str) -> ResourceId:
    namespace, _, kind = resource_type.partition("/")
    return group.extension(namespace, kind, name)
