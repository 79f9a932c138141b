"""The machine of the cloud that a node is, and the files that every node's machine has."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podpass.lab.private_files import replace_file
from podpass.serving.asgi import App

_DIRECTORIES = ("run", "etc/default", "etc/kubernetes")


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """A machine of a scale set."""

    resource_id: str
    metadata: Path
    """The unix socket on which its metadata service answers."""
    service: App
    """That service itself."""

    cloud_config: Mapping[str, Any] = field(default_factory=dict)
    """What the node's programs use the cloud with: the content of `/etc/kubernetes/azure.json`."""

    @property
    def provider_id(self) -> str:
        """As the node names it to the cluster."""
        return provider_id(self.resource_id)


def provider_id(resource_id: str) -> str:
    return f"azure://{resource_id}"


def furnish(root: Path, machine: VirtualMachine | None) -> None:
    """Make what is on a node's disk, below *root*: the files and directories that hostPath volumes count on."""
    for directory in _DIRECTORIES:
        (root / directory).mkdir(mode=0o755, parents=True, exist_ok=True)
    if machine is not None and machine.cloud_config:
        replace_file(root / "etc/kubernetes/azure.json", json.dumps(machine.cloud_config, indent=2).encode())
