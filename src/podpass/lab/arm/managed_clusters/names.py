"""What managed clusters and all that comes with them are called.

Contract: Azure HTTP surface, section 4.2.
"""

import re
import uuid

NAMESPACE = "Microsoft.ContainerService"
TYPE = f"{NAMESPACE}/managedClusters"
POOLS = f"{TYPE}/agentPools"
MAX_GROUP_NAME = 80

CLUSTER_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?")
DNS_PREFIX = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,52}[a-zA-Z0-9])?")
POOL_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")


def issuer(location: str, tenant_id: str, guid: str) -> str:
    """The issuer of a cluster's service account tokens."""
    return f"https://{location}.oic.prod-aks.azure.com/{tenant_id}/{guid}/"


def host(dns_prefix: str, guid: str, location: str) -> str:
    """The name of a cluster's API server."""
    return f"{dns_prefix.lower()}-{guid[:8]}.hcp.{location}.azmk8s.io"


def portal_host(dns_prefix: str, guid: str, location: str) -> str:
    return f"{dns_prefix.lower()}-{guid[:8]}.portal.hcp.{location}.azmk8s.io"


def node_group(group: str, cluster: str, location: str) -> str:
    """The resource group of a cluster's nodes, where its owner gave it no name."""
    return f"MC_{group}_{cluster}_{location}"[:MAX_GROUP_NAME]


def scale_set(pool: str, guid: str) -> str:
    """The scale set of a pool: the number is the cluster's."""
    return f"aks-{pool}-{uuid.UUID(guid).int % 10**8:08d}-vmss"


def kubelet_identity(cluster: str) -> str:
    return f"{cluster}-agentpool"


def dns_prefix(cluster: str) -> str:
    """How the server of a cluster is called where its owner does not say so."""
    return re.sub(r"[^a-z0-9-]", "-", cluster.lower())[:54].strip("-") or "cluster"
