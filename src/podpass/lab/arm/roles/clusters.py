"""The built-in roles of Azure Kubernetes Service.

The data actions of the four RBAC roles are for clusters that leave authorization to Azure, which the lab has not: they
can be assigned, and what they hold of actions counts. Contract: Azure HTTP surface, section 4.4.
"""

from collections.abc import Iterable

from podpass.lab.arm.authorization import RoleDefinition
from podpass.lab.arm.roles.made import SHARED, role

_CLUSTERS = "Microsoft.ContainerService/managedClusters"
_RBAC = (
    "Microsoft.Authorization/*/read",
    "Microsoft.Resources/subscriptions/operationresults/read",
    "Microsoft.Resources/subscriptions/read",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
)
_USER_CREDENTIAL = f"{_CLUSTERS}/listClusterUserCredential/action"


def _of_clusters(verb: str, kinds: str) -> Iterable[str]:
    return (f"{_CLUSTERS}/{kind}/{verb}" for kind in kinds.split())


_SEEN = """apps/controllerrevisions discovery.k8s.io/endpointslices events.k8s.io/events limitranges metrics.k8s.io/pods
    metrics.k8s.io/nodes namespaces resourcequotas"""
"""Kinds that the Writer may only read, as the Reader may."""
_WRITTEN = """apps/daemonsets apps/deployments apps/replicasets apps/statefulsets autoscaling/horizontalpodautoscalers
    batch/cronjobs batch/jobs configmaps endpoints events extensions/daemonsets extensions/deployments
    extensions/ingresses extensions/networkpolicies extensions/replicasets networking.k8s.io/ingresses
    networking.k8s.io/networkpolicies persistentvolumeclaims pods policy/poddisruptionbudgets replicationcontrollers
    serviceaccounts services"""

ROLES: tuple[RoleDefinition, ...] = (
    role(
        "ed7f3fbd-7b88-4dd4-9017-9adb7ce333f8",
        "Azure Kubernetes Service Contributor Role",
        "Grants access to read and write Azure Kubernetes Service clusters",
        actions=(
            "Microsoft.ContainerService/locations/*",
            f"{_CLUSTERS}/*",
            "Microsoft.ContainerService/managedclustersnapshots/*",
            "Microsoft.ContainerService/snapshots/*",
            *SHARED,
        ),
    ),
    role(
        "4abbcc35-e782-43d8-92c5-2d3f1bd2253f",
        "Azure Kubernetes Service Cluster User Role",
        "List cluster user credential action.",
        actions=(_USER_CREDENTIAL, f"{_CLUSTERS}/read"),
    ),
    role(
        "0ab0b1a8-8aac-4efd-b8c2-3ee1fb270be8",
        "Azure Kubernetes Service Cluster Admin Role",
        "List cluster admin credential action.",
        actions=(
            f"{_CLUSTERS}/listClusterAdminCredential/action",
            f"{_CLUSTERS}/accessProfiles/listCredential/action",
            f"{_CLUSTERS}/read",
            f"{_CLUSTERS}/runcommand/action",
        ),
    ),
    role(
        "1afdec4b-e479-420e-99e7-f82237c7c5e6",
        "Azure Kubernetes Service Cluster Monitoring User",
        "List cluster monitoring user credential action.",
        actions=(f"{_CLUSTERS}/listClusterMonitoringUserCredential/action", f"{_CLUSTERS}/read"),
    ),
    role(
        "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b",
        "Azure Kubernetes Service RBAC Cluster Admin",
        "Lets you manage all resources in the cluster.",
        actions=(*_RBAC, _USER_CREDENTIAL),
        data_actions=(f"{_CLUSTERS}/*",),
    ),
    role(
        "3498e952-d568-435e-9b2c-8d77e338d7f7",
        "Azure Kubernetes Service RBAC Admin",
        "Lets you manage all resources under cluster/namespace, except update or delete resource quotas and "
        "namespaces.",
        actions=(*_RBAC, _USER_CREDENTIAL),
        data_actions=(f"{_CLUSTERS}/*",),
        not_data_actions=(
            *_of_clusters("write", "resourcequotas namespaces"),
            *_of_clusters("delete", "resourcequotas namespaces"),
        ),
    ),
    role(
        "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb",
        "Azure Kubernetes Service RBAC Writer",
        "Allows read/write access to most objects in a namespace. It does not allow viewing or modifying roles or role "
        "bindings, but gives access to Secrets and so to what any service account of the namespace may do.",
        actions=_RBAC,
        data_actions=(
            *_of_clusters("read", _SEEN),
            *_of_clusters("*", _WRITTEN),
            f"{_CLUSTERS}/secrets/*",
            *(f"{_CLUSTERS}/coordination.k8s.io/leases/{verb}" for verb in ("read", "write", "delete")),
        ),
    ),
    role(
        "7f6c6a51-bcf8-42ba-9220-52d62157d7db",
        "Azure Kubernetes Service RBAC Reader",
        "Allows read-only access to see most objects in a namespace, without roles, role bindings and Secrets.",
        actions=_RBAC,
        data_actions=tuple(_of_clusters("read", f"{_SEEN} {_WRITTEN}")),
    ),
)
