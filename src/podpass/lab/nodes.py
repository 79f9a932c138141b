"""The lab's nodes: begun, stopped and found by the pods on them."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from podpass.lab.cluster import NODE_NAME
from podpass.lab.node.addresses import MOST_NODES, NodeNetwork
from podpass.lab.node.driver import FabricFailed
from podpass.lab.node.logs import LogOptions
from podpass.lab.node.loop import Node, NoLog
from podpass.lab.node.streams import Connection, NoContainer, RunningContainer
from podpass.lab.supervision import Supervision

MakeNode = Callable[[str, NodeNetwork], Awaitable[Node]]


def node_name(number: int) -> str:
    """lab-node, lab-node-2, lab-node-3 and so on, by numbers from 0."""
    return NODE_NAME if number == 0 else f"{NODE_NAME}-{number + 1}"


def node_number(name: str) -> int:
    """The other way round. Raises ValueError for a name that no node of a lab has."""
    _, dash, number = name.removeprefix(NODE_NAME).partition("-")
    found = 0 if name == NODE_NAME else int(number) - 1 if dash and number.isdigit() else -1
    if not 0 <= found < MOST_NODES or node_name(found) != name:
        raise ValueError(f"{name!r} is no node of a lab: they are called {NODE_NAME}, {NODE_NAME}-2 and so on")
    return found


@dataclass(slots=True)
class Nodes:
    """The nodes that run, by name; also the cluster's way to their logs and programs."""

    make: MakeNode
    supervision: Supervision
    by_name: dict[str, Node] = field(default_factory=dict)

    async def start(self, number: int) -> Node:
        """Begin a node, unless it runs. Raises FabricFailed."""
        name = node_name(number)
        if name in self.by_name:
            return self.by_name[name]
        node = self.by_name[name] = await self.make(name, NodeNetwork(number))
        self.supervision.start(name, node.run)
        return node

    async def stop(self, name: str) -> bool:
        """End a node and its containers, as when a machine is switched off; whether it ran."""
        if (node := self.by_name.pop(name, None)) is None:
            return False
        await self.supervision.stop(name)
        # What is lost has no network either.
        with contextlib.suppress(FabricFailed):
            await node.disconnect()
        return True

    def containers(self, name: str) -> int:
        """How many containers run on the node of that name."""
        node = self.by_name.get(name)
        return 0 if node is None else len(node.images_in_use())

    def logs(
        self, namespace: str, pod: str, container: str = "", options: LogOptions | None = None
    ) -> AsyncIterator[bytes]:
        node = self._of(namespace, pod)
        if node is None:
            raise NoLog(f'pods "{pod}" not found on any node that runs', 404)
        return node.logs(namespace, pod, container, options)

    def running(self, namespace: str, pod: str, container: str) -> RunningContainer:
        node = self._of(namespace, pod)
        if node is None:
            raise NoContainer("pod does not exist", 404)
        return node.running(namespace, pod, container)

    async def dial(self, namespace: str, pod: str, port: int) -> Connection:
        node = self._of(namespace, pod)
        if node is None:
            raise NoContainer("pod does not exist", 404)
        return await node.dial(namespace, pod, port)

    def _of(self, namespace: str, pod: str) -> Node | None:
        return next((node for node in self.by_name.values() if node.has(namespace, pod)), None)
