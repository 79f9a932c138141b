"""The machine of the cloud that a node is, and the files that every node's machine has."""

from dataclasses import dataclass
from pathlib import Path

_DIRECTORIES = ("run", "etc/default", "etc/kubernetes")


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """A machine of a scale set."""

    resource_id: str
    metadata: Path | None
    """The unix socket on which its metadata service answers; None where its network can't be told from others."""

    @property
    def provider_id(self) -> str:
        """As the node names it to the cluster."""
        return provider_id(self.resource_id)


def provider_id(resource_id: str) -> str:
    return f"azure://{resource_id}"


def furnish(root: Path) -> None:
    """Make what is on any node's disk, below *root*: the directories that its agents' hostPath volumes count on."""
    for directory in _DIRECTORIES:
        (root / directory).mkdir(mode=0o755, parents=True, exist_ok=True)
