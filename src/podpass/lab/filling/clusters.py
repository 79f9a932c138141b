"""The lab's own cluster, and managed clusters. What is in them is not said: `kubectl` reads and writes that."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from podpass.lab.arm import managed_clusters
from podpass.lab.arm.estate import parsed_id
from podpass.lab.arm.model import Resource
from podpass.lab.filling import resources
from podpass.lab.filling.clouds import Made, Making
from podpass.lab.filling.finding import Finding, Found
from podpass.lab.scenario.entries.clusters import ClusterEntry, ManagedClusterEntry, NodePoolEntry

_POOL = NodePoolEntry(name="nodepool1")
_SAID = frozenset({"agentPoolProfiles", "oidcIssuerProfile"})
_MADE_BY_THE_SERVICE = frozenset({*managed_clusters.READ_ONLY, "identityProfile", "servicePrincipalProfile"})
_POOL_SAID = frozenset({"name", "count", "mode", "provisioningState", "powerState", "currentOrchestratorVersion"})


def put_cluster(making: Making, entry: ClusterEntry) -> Made:
    """The cluster itself is there before anything is put; it may be shown in a group."""
    clouds = making.clouds
    if not entry.resource_group:
        return Made(issuer=clouds.issuer_of(entry.name))
    made = clouds.arm.seed.put_managed_cluster(
        making.find(entry.resource_group, "resourceGroups").id,
        entry.name,
        guid=clouds.remembered.guid(f"cluster/{entry.name}"),
        location=entry.region,
        node_count=entry.nodes or 1,
    )
    return _made(making, made.id)


def clusters_there(finding: Finding) -> Iterator[Found]:
    remembered = finding.clouds.remembered
    applied = remembered.scenario
    for kept in applied.clusters if applied is not None else ():
        nodes = remembered.nodes
        entry = replace(
            kept,
            id=remembered.guid(f"cluster/{kept.name}"),
            nodes=len(nodes or ()) or kept.nodes,
            # As a managed cluster it has an entry of its own, which says more.
            resource_group="",
        )
        yield Found(path=(kept.name,), issuer=finding.clouds.issuer_of(kept.name), entry=partial(_same, entry))


def _same(entry: ClusterEntry) -> ClusterEntry:
    return entry


def put_managed_cluster(making: Making, entry: ManagedClusterEntry) -> Made:
    given = dict(entry.properties)
    properties: dict[str, Any] = {
        "dnsPrefix": managed_clusters.dns_prefix(entry.name),
        **given,
        "oidcIssuerProfile": {"enabled": entry.oidc_issuer},
        "securityProfile": {
            **given.get("securityProfile", {}),
            "workloadIdentity": {"enabled": entry.workload_identity},
        },
        "agentPoolProfiles": [_profile(pool) for pool in entry.node_pools or (_POOL,)],
    }
    identity: dict[str, Any] = {"type": "SystemAssigned"}
    if entry.identity:
        assigned = making.find(entry.identity, "identities").id
        identity = {"type": "UserAssigned", "userAssignedIdentities": {assigned: {}}}
    stated = {"guid": entry.id, "principalId": entry.principal_id}
    content = {"identity": identity, "properties": properties}
    made = resources.put_placed(making, entry, managed_clusters.TYPE, content, stated)
    return _made(making, made.id)


def _made(making: Making, identifier: str) -> Made:
    # Its nodes have their identity only once the cluster was put.
    return made_of(making.clouds.arm.estate.require(parsed_id(identifier)))


def made_of(cluster: Resource) -> Made:
    kubelet: Mapping[str, Any] = cluster.properties["identityProfile"].get("kubeletidentity") or {}
    return Made(
        id=cluster.id,
        principal_id=str((cluster.extra.get("identity") or {}).get("principalId") or ""),
        issuer=str(cluster.properties["oidcIssuerProfile"].get("issuerURL") or ""),
        kubelet_id=str(kubelet.get("objectId") or ""),
    )


def _profile(pool: NodePoolEntry) -> dict[str, Any]:
    return {**pool.properties, "name": pool.name, "count": pool.count, "mode": pool.mode}


def managed_clusters_there(finding: Finding) -> Iterator[Found]:
    for cluster in finding.resources(managed_clusters.TYPE):
        made = made_of(cluster)
        text = f"{cluster.name}: what is in the cluster is not said, and its nodes get an identity of new ids."
        finding.note("managedClusters", text)
        yield Found(
            path=finding.place(cluster),
            id=cluster.id,
            principal_id=made.principal_id,
            kubelet_id=made.kubelet_id,
            issuer=made.issuer,
            entry=partial(_managed_cluster, finding, cluster),
        )


def _managed_cluster(finding: Finding, cluster: Resource) -> ManagedClusterEntry:
    identity = cluster.extra.get("identity") or {}
    assigned = list(identity.get("userAssignedIdentities") or {})
    security = dict(cluster.properties.get("securityProfile") or {})
    workload_identity = bool((security.pop("workloadIdentity", None) or {}).get("enabled"))
    properties = {
        name: value
        for name, value in cluster.properties.items()
        if name not in _SAID | _MADE_BY_THE_SERVICE | {"securityProfile"}
    }
    return ManagedClusterEntry(
        **finding.placed(cluster),
        id=cluster.hidden["guid"],
        node_pools=tuple(_pool(pool) for pool in cluster.properties["agentPoolProfiles"]),
        oidc_issuer=bool(cluster.properties["oidcIssuerProfile"]["enabled"]),
        workload_identity=workload_identity,
        identity=finding.reference("identities", assigned[0]) if assigned else "",
        principal_id="" if assigned else str(identity.get("principalId") or ""),
        properties={**properties, **({"securityProfile": security} if security else {})},
    )


def _pool(pool: Mapping[str, Any]) -> NodePoolEntry:
    rest = {name: value for name, value in pool.items() if name not in _POOL_SAID}
    return NodePoolEntry(name=pool["name"], count=pool["count"], mode=pool["mode"], properties=rest)
