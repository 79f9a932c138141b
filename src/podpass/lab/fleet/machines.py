"""Which machines of its scale sets the nodes of a cluster are, and the metadata service of each.

A node stays the machine that it was first, as its Node object says, however the scale sets change.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podpass.kube import objects
from podpass.kube.client import Client
from podpass.kube.resources import NODES
from podpass.lab.node.virtual_machine import VirtualMachine, provider_id
from podpass.lab.nodes import node_number
from podpass.serving.asgi import App
from podpass.serving.server import bind_unix, serving

_STOP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Cloud:
    """What is asked of the cloud."""

    machines: Callable[[str], Sequence[str]]
    """From a cluster's guid to the resource ids of its machines."""
    config: Callable[[str], Mapping[str, Any]]
    """From a cluster's guid to what its nodes' `azure.json` says."""
    metadata: Callable[[str], App]
    """From a machine's resource id to its metadata service."""


def machine_of(name: str, machines: Sequence[str], known: Mapping[str, str]) -> str:
    """The resource id of the machine that the node of that name is; *known* are those of all nodes, by their names.

    Empty where there is none: a cluster may have more nodes than machines.
    """
    if known.get(name):
        return known[name]
    taken = {machine.lower() for machine in known.values()}
    return next((machine for machine in machines if machine.lower() not in taken), "")


class Machines:
    """Those of the cluster *guid*. The sockets of the metadata services lie in *directory*."""

    def __init__(self, cloud: Cloud, guid: str, directory: Path) -> None:
        self._cloud, self._guid, self._directory = cloud, guid, directory
        self._given: dict[str, VirtualMachine] = {}
        self._choosing = asyncio.Lock()

    async def of(self, name: str, kube: Client, *, stack: AsyncExitStack) -> VirtualMachine | None:
        """The machine that the node of that name is, None for none. Raises ApiError, Unreachable.

        Its metadata service answers as long as *stack* is open.
        """
        async with self._choosing:
            if name in self._given:
                return self._given[name]
            machines = self._cloud.machines(self._guid)
            if not machines:
                return None
            known = _named((await kube.list(NODES)).items)
            known |= {node: machine.resource_id for node, machine in self._given.items()}
            if not (found := machine_of(name, machines, known)):
                return None
            path = self._socket(name)
            app = self._cloud.metadata(found)
            await stack.enter_async_context(serving(app, [bind_unix(path)], grace_seconds=_STOP_SECONDS))
            stack.callback(path.unlink, missing_ok=True)
            self._given[name] = VirtualMachine(found, path, app, self._cloud.config(self._guid))
            return self._given[name]

    def _socket(self, node: str) -> Path:
        # Short: a unix socket's whole path has room for few characters more.
        return self._directory / f"{self._guid[:8]}-m{node_number(node)}.sock"


def _named(nodes: Iterable[objects.Obj]) -> dict[str, str]:
    prefix = provider_id("")
    return {
        objects.name(node): str(found).removeprefix(prefix)
        for node in nodes
        if str(found := objects.spec(node).get("providerID") or "").startswith(prefix)
    }
