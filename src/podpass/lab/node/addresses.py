"""The addresses inside the lab's own network: the nodes', their pods', and those of Services.

The nodes are joined by one network, in which the lab itself has the first address; each has a range of its own for
its pods. An address tells the node it belongs to.
"""

from collections.abc import Collection
from dataclasses import dataclass

DOORS = "172.18.0.1"
"""The lab's own: the names of the clouds lead here."""
NODES_PREFIX = 16
NODES_RANGE = "172.18.0.0/16"
CLOUDS_RANGE = "172.18.1.0/24"
"""The lab's own, too: of what the clouds give an address of its own, because its protocol names no host."""
PODS_RANGE = "10.244.0.0/16"
POD_PREFIX = 24
SERVICES_RANGE = "10.96.0.0/16"
API_ADDRESS = "10.96.0.1"
"""Of the API server's Service."""
DNS_ADDRESS = "10.96.0.10"
"""Where the pods' name server answers; no Service gets it."""
METADATA_ADDRESS, METADATA_PORT = "169.254.169.254", 80
"""Where the metadata service of a node's machine answers, within that node's network."""
API_PORT = 6443
"""Where the API server answers on DOORS, as the endpoint of its Service."""
MOST_NODES = 250


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """The addresses of one node, by its *number*."""

    number: int

    @property
    def address(self) -> str:
        return f"172.18.0.{self.number + 2}"

    @property
    def gateway(self) -> str:
        """The node as its pods see it."""
        return f"{self._network}.1"

    @property
    def pods_range(self) -> str:
        return f"{self._network}.0/{POD_PREFIX}"

    @property
    def pods(self) -> tuple[str, ...]:
        return tuple(f"{self._network}.{number}" for number in range(2, 255))

    @property
    def tried_first(self) -> str:
        """Of the pod that is made and removed before any other, to see whether this machine allows it."""
        return f"{self._network}.254"

    @property
    def _network(self) -> str:
        return f"10.244.{self.number}"

    def free_address(self, taken: Collection[str], wanted: str = "") -> str | None:
        """An address for a pod: *wanted*, the one it had before, where that is free; None when none is."""
        pods = self.pods
        if wanted in pods and wanted not in taken:
            return wanted
        return next((address for address in pods if address not in taken), None)


FIRST = NodeNetwork(0)


def node_of(address: str) -> NodeNetwork:
    """The node of a pod's address, or of the node's own. Raises ValueError for another address."""
    parts = address.split(".")
    if parts[:2] == ["10", "244"]:
        return NodeNetwork(int(parts[2]))
    if parts[:3] == ["172", "18", "0"] and address != DOORS:
        return NodeNetwork(int(parts[3]) - 2)
    raise ValueError(f"{address} belongs to no node")
