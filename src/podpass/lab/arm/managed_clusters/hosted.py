"""The clusters that should run, and how they go on: what Resource Manager and the host of clusters say to each other.

Of each cluster the store keeps what is wanted and what has been reached; a change to it ends when they are the same.
Contract: Azure HTTP surface, sections 1.2 and 4.2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from podpass.azure.resourceids import GROUP_TYPE
from podpass.lab.arm import compute, long_running
from podpass.lab.arm.estate import DELETING, SERVICE, Estate, parsed_id
from podpass.lab.arm.hosting import HostedCluster
from podpass.lab.arm.managed_clusters import names, node_group
from podpass.lab.arm.managed_clusters.identities import KUBELET
from podpass.lab.arm.managed_clusters.names import TYPE
from podpass.lab.arm.model import Resource

_KIND = "hosted-cluster"
SECONDS = 1.0
"""How long a change takes that is nothing to the cluster itself, in the lab's time."""


class Hosted:
    """`HostedClusters` over the estate."""

    def __init__(self, estate: Estate) -> None:
        self._estate = estate

    def wanted(self) -> Sequence[HostedCluster]:
        """Every cluster that is to run, to rest, or to go, by GUID."""
        return [HostedCluster(**document["wanted"]) for _, document in self._estate.store.items(SERVICE, _KIND)]

    def machines(self, guid: str) -> list[str]:
        """The resource ids of the machines in the cluster's scale sets; none where it is not known."""
        resource = self._known(guid)
        if resource is None:
            return []
        sets = [(node_group.scale_set_of(self._estate, resource, pool), pool["count"]) for pool in _pools(resource)]
        return [compute.instance_id(str(found), number) for found, count in sets for number in range(count)]

    def cloud_config(self, guid: str) -> dict[str, Any]:
        """What the cluster's nodes have in `azure.json`; nothing where it is not known."""
        resource = self._known(guid)
        if resource is None:
            return {}
        kubelet = (resource.properties.get("identityProfile") or {}).get(KUBELET) or {}
        group = node_group.group_of(self._estate, resource)
        return {
            "cloud": "AzurePublicCloud",
            "tenantId": self._estate.subscription_of(resource).tenant_id,
            "subscriptionId": group.subscription,
            "resourceGroup": group.group,
            "location": resource.location,
            "vmType": "vmss",
            "aadClientId": "msi",
            "aadClientSecret": "msi",
            "useManagedIdentityExtension": True,
            "userAssignedIdentityID": kubelet.get("clientId", ""),
        }

    def _known(self, guid: str) -> Resource | None:
        document = self._estate.store.get(SERVICE, _KIND, guid)
        return self._resource(HostedCluster(**document["wanted"])) if document is not None else None

    def settled(self, cluster: HostedCluster, *, refused: str = "") -> None:
        """*cluster* is as it was wanted, or gone; what has been wanted since makes it count for nothing."""
        with self._estate.store.transaction():
            document = self._estate.store.get(SERVICE, _KIND, cluster.guid)
            if document is None or HostedCluster(**document["wanted"]) != cluster:
                return
            resource = self._resource(cluster)
            if refused:
                self._refused(cluster, document, resource, {"code": "InternalOperationError", "message": refused})
            elif cluster.leaving:
                self._gone(cluster, resource)
            else:
                self._estate.store.put(SERVICE, _KIND, cluster.guid, {**document, "reached": asdict(cluster)})
                if resource is not None:
                    self._ended(resource, resource.failure)

    def _ended(self, resource: Resource, failure: Mapping[str, str] | None) -> None:
        if resource.busy and resource.busy_until is None:
            long_running.end(self._estate, resource, "Failed" if failure else "Succeeded", failure)
            self._estate.keep(replace(resource, busy="", busy_until=0.0, failure=failure))

    def _refused(
        self, cluster: HostedCluster, document: Mapping[str, Any], resource: Resource | None, error: Mapping[str, str]
    ) -> None:
        """It stays what it was, as far as being there and running go; the rest is still wanted."""
        if resource is None:
            return
        reached = document["reached"]
        running = cluster.running if reached is None else reached["running"]
        wanted = replace(cluster, running=running, leaving=False)
        if wanted != cluster:
            power = {"code": "Running" if running else "Stopped"}
            resource = replace(resource, properties={**resource.properties, "powerState": power})
            self._estate.store.put(SERVICE, _KIND, cluster.guid, {**document, "wanted": asdict(wanted)})
            self._estate.store.after_commit(self._estate.cluster_host.changed)
        self._ended(resource, error)
        group = self._leaving_group(cluster)
        if cluster.leaving and group is not None:
            blocked = {
                "code": "ResourceGroupDeletionBlocked",
                "message": f"Deletion of resource group '{group.name}' failed as resources with identifiers "
                f"'{resource.id}' could not be deleted. The provisioning state of the resource group will be rolled "
                "back.",
            }
            long_running.end(self._estate, group, "Failed", blocked)
            self._estate.keep(replace(group, busy="", busy_until=0.0))

    def _resource(self, cluster: HostedCluster) -> Resource | None:
        """The cluster's resource, unless it is gone, or another has taken its name."""
        found = self._estate.get(parsed_id(cluster.resource_id))
        return found if found is not None and found.hidden.get("guid") == cluster.guid else None

    def _gone(self, cluster: HostedCluster, resource: Resource | None) -> None:
        estate = self._estate
        if resource is not None:
            long_running.end(estate, resource, "Succeeded")
            estate.delete(parsed_id(resource.id))
        estate.store.delete(SERVICE, _KIND, cluster.guid)
        group = self._leaving_group(cluster)
        if group is not None and not _clusters_of(estate, group):
            long_running.end(estate, group, "Succeeded")
            estate.delete(parsed_id(group.id))

    def _leaving_group(self, cluster: HostedCluster) -> Resource | None:
        """The group of the cluster where it is being deleted."""
        group = self._estate.get(parsed_id(cluster.resource_id).group_id)
        return group if group is not None and group.busy == DELETING else None


# What happens to a resource, carried to the host


def seconds_to_write(estate: Estate, resource: Resource) -> float | None:
    """How long a write takes that leaves *resource*: until the host says so, where it is something to the host."""
    document = estate.store.get(SERVICE, _KIND, resource.hidden["guid"])
    return SECONDS if document is not None and document["reached"] == asdict(_wanted(estate, resource)) else None


def want(estate: Estate, resource: Resource) -> None:
    """Keep what is wanted of the cluster, and have the host look."""
    guid = resource.hidden["guid"]
    document: Mapping[str, Any] = estate.store.get(SERVICE, _KIND, guid) or {"reached": None}
    estate.store.put(SERVICE, _KIND, guid, {**document, "wanted": asdict(_wanted(estate, resource))})
    estate.store.after_commit(estate.cluster_host.changed)


def begin_to_leave(estate: Estate, resource: Resource) -> float | None:
    """Have the host remove the cluster; the delete takes until it has. Raises ArmError where a lock is in the way."""
    estate.locks.check(f"{GROUP_TYPE}/delete", str(node_group.group_of(estate, resource)))
    # Whatever else went on with it ends here.
    long_running.end(
        estate,
        resource,
        "Canceled",
        {"code": "OperationPreempted", "message": "The operation was preempted by the deletion of the cluster."},
    )
    leave(estate, resource)
    return None


def leave(estate: Estate, resource: Resource) -> None:
    guid = resource.hidden["guid"]
    document = estate.store.get(SERVICE, _KIND, guid)
    if document is not None and not document["wanted"]["leaving"]:
        leaving = {**document["wanted"], "leaving": True}
        estate.store.put(SERVICE, _KIND, guid, {**document, "wanted": leaving})
        estate.store.after_commit(estate.cluster_host.changed)


def removed(estate: Estate, resource: Resource) -> None:
    """What goes with a cluster's resource, whoever removes it."""
    node_group.remove(estate, resource)
    leave(estate, resource)


def begin_group_delete(estate: Estate, group: Resource) -> float | None:
    """Have every cluster of a group removed before the group; at once when there is none."""
    assert group.type == GROUP_TYPE
    clusters = _clusters_of(estate, group)
    for cluster in clusters:
        estate.begin_delete(parsed_id(cluster.id))
    return None if clusters else 0.0


def _clusters_of(estate: Estate, group: Resource) -> list[Resource]:
    return estate.below(parsed_id(group.id), TYPE)


def _pools(resource: Resource) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = resource.properties["agentPoolProfiles"]
    return found


def _wanted(estate: Estate, resource: Resource) -> HostedCluster:
    tenant_id, guid = estate.subscription_of(resource).tenant_id, resource.hidden["guid"]
    properties = resource.properties
    security = properties["securityProfile"].get("workloadIdentity") or {}
    profile = properties.get("podIdentityProfile") or {}
    return HostedCluster(
        guid=guid,
        resource_id=resource.id,
        name=resource.name,
        tenant_id=tenant_id,
        location=resource.location,
        issuer=names.issuer(resource.location, tenant_id, guid),
        fqdn=properties["fqdn"],
        node_count=sum(pool["count"] for pool in _pools(resource)),
        workload_identity=bool(security.get("enabled")),
        pod_identity=profile if profile.get("enabled") else None,
        kubenet=properties["networkProfile"]["networkPlugin"] == "kubenet",
        key_generation=resource.hidden["key_generation"],
        running=properties["powerState"]["code"] == "Running",
    )
