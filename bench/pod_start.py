"""How long a pod takes from its creation to Running, in wall time: the scheduler, the node and the sandbox together."""

import asyncio
import statistics
import time

from podpass.kube import objects
from podpass.kube.client import Client
from podpass.kube.resources import PODS

PODS_STARTED = 10


async def median_seconds(kube: Client) -> float:
    """The median over some pods without a webhook, started one after the other."""
    await _start(kube, "bench-warm")
    return statistics.median([await _start(kube, f"bench-{number}") for number in range(PODS_STARTED)])


async def _start(kube: Client, name: str) -> float:
    container = {"name": "app", "image": "busybox", "command": ["sleep", "300"]}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    began = time.perf_counter()
    made = await kube.create(PODS, {"metadata": {"name": name}, "spec": spec}, "default")
    version = objects.metadata(made)["resourceVersion"]
    seconds = 0.0
    async with asyncio.timeout(30):
        async for event in kube.watch(
            PODS, "default", resource_version=version, field_selector=f"metadata.name={name}"
        ):
            if not seconds and event.object and objects.status(event.object).get("phase") == "Running":
                seconds = time.perf_counter() - began
                await kube.delete(PODS, name, "default", grace_period_seconds=0)
            if event.type == "DELETED":
                break
    # The next pod is not to share the machine with the end of this one.
    await asyncio.sleep(0.2)
    return seconds
