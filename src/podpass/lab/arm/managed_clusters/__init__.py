"""Managed Kubernetes clusters: Microsoft.ContainerService/managedClusters and their agent pools.

What is wanted of a cluster is kept here; whoever runs it is asked through `lab/arm/hosting.py`, and a change ends
when the cluster is as it was wanted. Azure's own REST reference is the model; any api-version is taken.

Missing: add-ons, Microsoft Entra integration of clusters, private clusters, Windows and spot pools, the autoscaler,
virtual networks of one's own (each refused with 501), upgrades (there is one version), run-command, maintenance
configurations, snapshots, and the objects that pod identities stand for in the cluster.
Contract: Azure HTTP surface, section 4.2; pod identity, section 6.
"""

from podpass.lab.arm import long_running, resource_identity
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.managed_clusters import actions, agent_pools, cluster, hosted, node_group, versions
from podpass.lab.arm.managed_clusters.bodies import ClusterBody
from podpass.lab.arm.managed_clusters.cluster import READ_ONLY
from podpass.lab.arm.managed_clusters.names import CLUSTER_NAME, NAMESPACE, TYPE, dns_prefix
from podpass.lab.arm.model import NameRule, Resource, ResourceType

__all__ = ["MANAGED_CLUSTER", "OPERATIONS", "READ_ONLY", "TYPE", "dns_prefix"]


def _written(estate: Estate, resource: Resource, before: Resource | None) -> None:
    resource_identity.enter_directory(estate, resource, before)
    estate.keep(node_group.settle(estate, resource, before))
    hosted.want(estate, resource)


def _removed(estate: Estate, resource: Resource) -> None:
    hosted.removed(estate, resource)
    resource_identity.leave_directory(estate, resource)


MANAGED_CLUSTER = ResourceType(
    name=TYPE,
    api_versions=("2026-06-01", "2025-10-01", "2024-09-01", "2023-08-01", "2021-05-01"),
    body=ClusterBody,
    shape=cluster.shape,
    name_rule=NameRule(
        CLUSTER_NAME,
        "InvalidParameter",
        "The value of parameter resourceName is invalid. Error details: '{name}' must have 1 to 63 characters, start "
        "and end with a letter or number, and hold letters, numbers, hyphens and underscores only. Please see "
        "https://aka.ms/aks-naming-rules for more details.",
    ),
    writing=hosted.seconds_to_write,
    deleting=hosted.begin_to_leave,
    tagged=True,
    shown=cluster.shown,
    written=_written,
    removed=_removed,
)

OPERATIONS = (
    *long_running.operations(NAMESPACE),
    *versions.OPERATIONS,
    *actions.OPERATIONS,
    *agent_pools.OPERATIONS,
)
