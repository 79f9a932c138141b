"""Another number of nodes for a cluster that runs: new ones are added, the last ones are drained and leave."""

import asyncio

from podpass.kube import objects
from podpass.kube.client import MERGE_PATCH, ApiError, Client
from podpass.kube.objects import Obj
from podpass.kube.resources import NODES, PODS
from podpass.lab.node_set import NodeSet, resized

DRAIN_SECONDS = 3.0
"""How long evicted pods may take to end; a lab does not wait for programs that do not end when asked."""
_LOOK_SECONDS = 0.1


async def resize(nodes: NodeSet, kube: Client, number: int) -> None:
    """Give the cluster of *nodes* that number of them. Raises PodpassError, ApiError."""
    before = nodes.states()
    wanted = resized(before, number)
    added = [name for name in wanted if name not in before]
    leaving = [name for name, state in wanted.items() if state == "leaving"]
    await asyncio.gather(*(nodes.add(name) for name in added))
    for name in leaving:
        if before[name] == "running":
            await drain(kube, name)
        await nodes.remove(name)


async def drain(kube: Client, node: str) -> None:
    """Cordon the node and evict its pods; returns when they are gone, or after DRAIN_SECONDS."""
    try:
        await kube.patch(NODES, node, {"spec": {"unschedulable": True}}, content_type=MERGE_PATCH)
    except ApiError as error:
        if not error.not_found:
            raise
        return
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while pods := await _pods_on(kube, node):
                await asyncio.gather(*(_evict(kube, pod) for pod in pods if not objects.being_deleted(pod)))
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        return


async def _pods_on(kube: Client, node: str) -> list[Obj]:
    """Those that a drain waits for: not what a DaemonSet would put back there at once."""
    found = await kube.list(PODS, field_selector=f"spec.nodeName={node}")
    return [pod for pod in found.items if not _of_daemon_set(pod)]


def _of_daemon_set(pod: Obj) -> bool:
    owners = objects.metadata(pod).get("ownerReferences") or ()
    return any(owner.get("kind") == "DaemonSet" and owner.get("controller") for owner in owners)


async def _evict(kube: Client, pod: Obj) -> None:
    namespace, name = objects.key(pod)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    try:
        await kube.create_subresource(PODS, name, "eviction", eviction, namespace)
    except ApiError as error:
        # A disruption budget says "not yet", and is asked again.
        if not error.not_found and error.status != 429:
            raise
