"""What Azure Resource Manager and whoever runs the managed clusters say to each other.

Resource Manager keeps what is wanted; the host makes it so, at its own pace and again after a restart, and says when a
cluster has settled. Neither calls the other within a transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedCluster:
    """A managed cluster as it should run."""

    guid: str
    """Its own for life: in its issuer's URL and its server's name."""
    resource_id: str
    name: str
    tenant_id: str
    location: str
    issuer: str
    fqdn: str
    """The name of its API server, which answers on 443."""
    node_count: int
    workload_identity: bool
    """Whether the webhook that projects tokens into labelled pods is installed."""
    pod_identity: Mapping[str, Any] | None = None
    """The profile of pod identities as Resource Manager shows it; None where the add-on is not installed."""
    kubenet: bool = False
    """Whether the pods of a node share a segment, on which one can pose as another."""
    key_generation: int = 0
    """Raised by each rotation of the keys that sign service account tokens."""
    running: bool = True
    """False after it was stopped: state is kept, nothing answers."""
    leaving: bool = False
    """It is to be removed with everything it holds."""


class HostedClusters(Protocol):
    """What the host asks of Resource Manager."""

    def wanted(self) -> Sequence[HostedCluster]: ...

    def settled(self, cluster: HostedCluster, *, refused: str = "") -> None:
        """*cluster* is as it was wanted, or is gone when it was leaving; *refused* says why it could not be so."""
        ...


class ClusterHost(Protocol):
    """What Resource Manager asks of the host."""

    def changed(self) -> None:
        """Look again at what is wanted; returns at once."""
        ...

    def kubeconfig(self, guid: str, *, admin: bool) -> str:
        """The file with which kubectl uses the cluster. Raises KeyError when it does not run.

        Cluster and context are called like the cluster, the user `clusterUser_<group>_<cluster>` or
        `clusterAdmin_<group>_<cluster>`: by the latter az tells that it has to rename the context.
        The server is one that whoever asks can reach: call it while their request is answered, as the door by which
        that came tells a pod from a program on the host.
        """
        ...


class NoHost:
    """Where nobody runs clusters: what is wanted waits."""

    def changed(self) -> None:
        pass

    def kubeconfig(self, guid: str, *, admin: bool) -> str:
        raise KeyError(guid)
