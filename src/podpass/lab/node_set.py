"""Which nodes a lab has, and which of them are switched off: changed while it runs, and kept over restarts.

A node is a machine. `stop` switches it off: its containers end, its Lease grows old, and the cluster finds out by
itself, as it does of any machine. What is kept is written before it is so; a removal that was cut short is finished
at the next start.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from podpass.kube import objects
from podpass.kube.client import ApiError, Client
from podpass.kube.objects import Obj
from podpass.kube.resources import LEASES, NODES, Resource
from podpass.lab.node.addresses import MOST_NODES
from podpass.lab.node.loop import PARTS, Node
from podpass.lab.node.registration import LEASE_NAMESPACE
from podpass.lab.nodes import Nodes, node_name, node_number
from podpass.problems import PodpassError

State = Literal["running", "stopped", "leaving"]
Kept = Mapping[str, State]
READY_SECONDS = 30.0


def wanted_nodes(kept: Kept | None, *, asked: int, scenario: int, applied: bool) -> dict[str, State]:
    """The nodes of a lab that starts; *kept* are those it had, None of a new one, and 0 is no number.

    Who *asked* for a number gets that one: nodes are added, or the last ones leave. A *scenario* that is *applied*
    adds what is missing, and takes nothing away.
    """
    if kept is None:
        return resized({}, asked or scenario or 1)
    if asked:
        return resized(kept, asked)
    return resized(kept, max(scenario if applied else 0, len(_staying(kept))))


def resized(kept: Kept, number: int) -> dict[str, State]:
    """*kept* with *number* nodes that stay: the first free names are added, or the last ones leave."""
    staying = _staying(kept)
    leaving = [name for name in kept if name not in staying]
    while len(staying) > number:
        leaving.append(staying.pop())
    nodes: dict[str, State] = {name: kept[name] for name in staying} | dict.fromkeys(leaving, "leaving")
    for _ in range(number - len(staying)):
        nodes[free_name(nodes)] = "running"
    return dict(sorted(nodes.items(), key=lambda entry: node_number(entry[0])))


def free_name(kept: Kept) -> str:
    """The first name that no node has. Raises ValueError when there are as many as there can be."""
    free = next((number for number in range(MOST_NODES) if node_name(number) not in kept), None)
    if free is None:
        raise ValueError(f"a lab has at most {MOST_NODES} nodes")
    return node_name(free)


def _staying(kept: Kept) -> list[str]:
    return sorted((name for name, state in kept.items() if state != "leaving"), key=node_number)


class NodeSet:
    """The nodes of one running lab, called *lab*, beginning with those of *states*.

    *keep* makes a set durable before it returns; *directory_of* is where a node keeps its files. All calls that
    change something raise PodpassError.
    """

    def __init__(
        self,
        lab: str,
        nodes: Nodes,
        kube: Client,
        states: Kept,
        *,
        keep: Callable[[dict[str, State]], None],
        directory_of: Callable[[str], Path],
    ) -> None:
        self._lab = lab
        self._nodes = nodes
        self._kube = kube
        self._states = dict(states)
        self._keep = keep
        self._directory_of = directory_of
        self._changing = asyncio.Lock()

    async def begin(self) -> list[Node]:
        """Start the nodes that are not switched off, without waiting until they are ready."""
        self._keep(self._states)
        for name in self.names("leaving"):
            # One that may not be deleted, as a webhook refuses it say, goes on leaving.
            with contextlib.suppress(PodpassError):
                await self._forget(name)
        return [await self._nodes.start(node_number(name)) for name in self.names("running")]

    def states(self) -> dict[str, State]:
        """Each node's, in their order."""
        return dict(self._states)

    def names(self, state: State) -> list[str]:
        """The nodes of that state, in their order."""
        return [name for name, found in self._states.items() if found == state]

    async def listed(self) -> list[dict[str, Any]]:
        """Each node with its state and what the cluster says of it."""
        return [await self._described(name) for name in self._states]

    async def add(self, name: str = "") -> dict[str, Any]:
        """Add a node, by default under the first free name; returns when it is ready."""
        async with self._changing:
            try:
                name = name or free_name(self._states)
                node_number(name)
            except ValueError as error:
                raise self._refused(str(error)) from error
            if name in self._states:
                raise self._refused(f"{name} is there already")
            self._change({**self._states, name: "running"})
            return await self._begin(name)

    async def start(self, name: str) -> dict[str, Any]:
        """Switch a node on; returns when it is ready."""
        async with self._changing:
            self._change({**self._states, self._known(name): "running"})
            return await self._begin(name)

    async def stop(self, name: str) -> dict[str, Any]:
        """Switch a node off; returns when its containers have ended."""
        async with self._changing:
            self._change({**self._states, self._known(name): "stopped"})
            await self._nodes.stop(name)
            return await self._described(name)

    async def remove(self, name: str) -> dict[str, Any]:
        """Switch a node off for good, and delete its Node object and its Lease."""
        async with self._changing:
            gone = {**await self._described(self._known(name)), "state": "removed"}
            self._change({**self._states, name: "leaving"})
            await self._nodes.stop(name)
            await self._forget(name)
            return gone

    def _change(self, states: dict[str, State]) -> None:
        states = dict(sorted(states.items(), key=lambda entry: node_number(entry[0])))
        self._keep(states)
        self._states = states

    def _known(self, name: str) -> str:
        if name not in self._states:
            raise PodpassError("PP140", name=name, have=", ".join(self._states) or "none", lab=self._lab)
        return name

    async def _begin(self, name: str) -> dict[str, Any]:
        node = await self._nodes.start(node_number(name))
        try:
            async with asyncio.timeout(READY_SECONDS):
                await node.ready.wait()
        except TimeoutError as error:
            reason = f"{name} did not get ready within {READY_SECONDS:.0f} s; it is tried again and again"
            raise self._refused(reason) from error
        return await self._described(name)

    async def _forget(self, name: str) -> None:
        for resource, namespace in ((NODES, None), (LEASES, LEASE_NAMESPACE)):
            try:
                await self._kube.delete(resource, name, namespace)
            except ApiError as error:
                if not error.not_found:
                    raise self._refused(f"the {resource.kind} of {name} can't be deleted: {error}") from error
        for part in PARTS:
            await asyncio.to_thread(shutil.rmtree, self._directory_of(name) / part, ignore_errors=True)
        self._change({each: state for each, state in self._states.items() if each != name})

    async def _described(self, name: str) -> dict[str, Any]:
        node = await self._find(NODES, name) or {}
        conditions = objects.status(node).get("conditions") or ()
        ready = next((each["status"] for each in conditions if each.get("type") == "Ready"), "Unknown")
        addresses = objects.status(node).get("addresses") or ()
        return {
            "name": name,
            "state": self._states[name],
            "ready": ready,
            "address": next((each["address"] for each in addresses if each.get("type") == "InternalIP"), ""),
            "pods_range": objects.spec(node).get("podCIDR") or "",
            "containers": self._nodes.containers(name),
        }

    async def _find(self, resource: Resource, name: str) -> Obj | None:
        try:
            return await self._kube.get(resource, name)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    def _refused(self, reason: str) -> PodpassError:
        return PodpassError("PP141", reason=reason, lab=self._lab)
