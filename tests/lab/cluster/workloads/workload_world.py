"""A cluster with its controllers running, and nodes that only say that their pods run.

What a pod does is up to the test: by default it is ready at once, and stops when it is deleted.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import EVENTS, NODES, PODS, Resource
from podpass.lab.clock import rfc3339
from podpass.lab.cluster import Cluster
from podpass.lab.cluster.collection import Change
from podpass.lab.cluster.controllers.loop import Loop, Task
from podpass.lab.scheduler.decide import Bind, schedule
from podpass.lab.scheduler.model import node_state
from tests.lab.cluster.api_server import ApiServer, Ran, api_server

Behaviour = Callable[[Obj], str]
"""What becomes of a pod: `ready`, `running` (not ready), `pending`, `succeeded`, or `failed` with an exit code."""


def ready(_: Obj) -> str:
    return "ready"


class Nodes:
    """Binds pods to nodes by the lab's own rule, and writes what a node would write of them."""

    name = "nodes"

    def __init__(self, cluster: Cluster, behaviour: Behaviour) -> None:
        self._verbs = cluster.verbs
        self.behaviour = behaviour

    def concerns(self, change: Change) -> Iterator[Task]:
        if change.resource.plural in ("pods", "nodes"):
            yield (change.resource.plural, *change.stored.key)

    def everything(self) -> Iterator[Task]:
        for key in self._verbs.storage.collection(PODS).keys:
            yield ("pods", *key)

    async def reconcile(self, task: Task) -> None:
        what, namespace, name = task
        if what == "nodes":
            for pod in self._verbs.list(PODS):
                if not objects.spec(pod).get("nodeName"):
                    await self.look_at(objects.namespace(pod), objects.name(pod))
        else:
            await self.look_at(namespace, name)

    async def look_at(self, namespace: str, name: str) -> None:
        pod = self._verbs.find(PODS, name, namespace)
        if pod is None:
            return
        if objects.being_deleted(pod):
            if objects.metadata(pod).get("deletionGracePeriodSeconds"):
                await self._verbs.delete(PODS, name, namespace, options={"gracePeriodSeconds": 0})
            return
        if not objects.spec(pod).get("nodeName"):
            node = self._choose(pod)
            if node:
                await self._verbs.update(
                    PODS, {**pod, "spec": {**pod["spec"], "nodeName": node}}, subresource="binding"
                )
            return
        status = self._status(pod, self.behaviour(pod))
        if status != objects.status(pod):
            await self._verbs.update(PODS, {**pod, "status": status}, subresource="status")

    def _choose(self, pod: Obj) -> str:
        found = schedule(pod, [node_state(node) for node in self._verbs.list(NODES)])
        return found.node if isinstance(found, Bind) else ""

    def _status(self, pod: Obj, what: str) -> Obj:
        old = objects.status(pod)
        if old.get("phase") in ("Succeeded", "Failed") or what == "pending":
            return old
        now = rfc3339(self._verbs.clock.now())
        is_ready = "True" if what == "ready" else "False"
        conditions = [each for each in old.get("conditions") or () if each["type"] != "Ready"]
        before = next((each for each in old.get("conditions") or () if each["type"] == "Ready"), {})
        since = before.get("lastTransitionTime") if before.get("status") == is_ready else now
        conditions.append({"type": "Ready", "status": is_ready, "lastTransitionTime": since})
        word, _, code = what.partition(" ")
        phase = {"succeeded": "Succeeded", "failed": "Failed"}.get(word, "Running")
        status = {**old, "phase": phase, "conditions": conditions}
        if phase in ("Succeeded", "Failed"):
            state = {"terminated": {"exitCode": int(code or 0), "finishedAt": now, "startedAt": now}}
            status["containerStatuses"] = [
                {
                    "name": each["name"],
                    "image": each["image"],
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": state,
                }
                for each in objects.spec(pod)["containers"]
            ]
        return status


class World:
    def __init__(self, server: ApiServer, binary: str, nodes: Nodes, loop: Loop) -> None:
        self.server, self.cluster, self.nodes = server, server.cluster, nodes
        self._binary = binary
        self._loop = loop

    async def run(self, line: str, stdin: str | Obj = "") -> Ran:
        return await self.server.kubectl(self._binary, *line.split(), stdin=stdin)

    async def kubectl(self, line: str, stdin: str | Obj = "") -> str:
        found = await self.run(line, stdin)
        assert found.code == 0, f"kubectl {line}: {found.err}"
        return found.out

    async def fails(self, line: str, stdin: str | Obj = "") -> str:
        found = await self.run(line, stdin)
        assert found.code != 0, f"kubectl {line}: {found.out}"
        return found.err + found.out

    async def add_node(self, name: str, **spec: Any) -> None:
        labels = {"kubernetes.io/hostname": name}
        ready = {"type": "Ready", "status": "True"}
        status = {"conditions": [ready], "allocatable": {"pods": "110"}, "capacity": {"pods": "110"}}
        node = {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}
        await self.cluster.verbs.create(NODES, node)

    def behave(self, behaviour: Behaviour) -> None:
        """From now on pods do this; those that are there as well."""
        self.nodes.behaviour = behaviour
        for key in self.cluster.storage.collection(PODS).keys:
            self._loop.add(("pods", *key))

    def pods(self, namespace: str = "shop") -> list[Obj]:
        return [pod for pod in self.cluster.verbs.list(PODS) if objects.namespace(pod) == namespace]

    def get(self, resource: Resource, name: str, namespace: str = "shop") -> Obj:
        return self.cluster.verbs.get(resource, name, namespace)

    def events(self, reason: str) -> list[str]:
        return [event["message"] for event in self.cluster.verbs.list(EVENTS) if event["reason"] == reason]

    async def until(self, holds: Callable[[], Any], seconds: float = 20) -> Any:
        """Wait for writes until *holds* gives something."""
        changed = asyncio.Event()

        def notice(_: Change) -> None:
            changed.set()

        self.cluster.storage.listen(notice)
        async with asyncio.timeout(seconds):
            while not (found := holds()):
                await changed.wait()
                changed.clear()
        return found


@contextlib.asynccontextmanager
async def world(directory: Path, binary: str = "", behaviour: Behaviour = ready) -> AsyncIterator[World]:
    """A cluster with one node, `lab-node`."""
    async with api_server(directory) as server, asyncio.TaskGroup() as tasks:
        nodes = Nodes(server.cluster, behaviour)
        loop = Loop(nodes)
        server.cluster.storage.listen(loop.notice)
        running = [tasks.create_task(server.cluster.run()), tasks.create_task(loop.run())]
        made = World(server, binary, nodes, loop)
        await made.add_node("lab-node")
        try:
            yield made
            assert not server.cluster.fault, server.cluster.fault
            assert not loop.fault, loop.fault
        finally:
            for task in running:
                task.cancel()
