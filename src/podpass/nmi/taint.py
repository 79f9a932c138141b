"""The taint that keeps pods off a new node until this agent answers there.

Without it a pod may start first, and ask the machine's own metadata service. Contract: pod identity, section 9 (20).
"""

import asyncio
from typing import Any

from podpass.kube import objects
from podpass.kube.client import CALL_FAILURES, Client
from podpass.kube.objects import Obj
from podpass.kube.patch import JSON_PATCH
from podpass.kube.resources import NODES
from podpass.telemetry.logging import Logger

AGAIN_SECONDS = 5.0


def removal(node: Obj, key: str) -> list[dict[str, Any]] | None:
    """The JSON patch that takes the taints with *key* from the node, and no others; None where there are none.

    It fails where somebody changed the taints in between.
    """
    taints = objects.spec(node).get("taints") or []
    kept = [taint for taint in taints if taint.get("key") != key]
    if len(kept) == len(taints):
        return None
    path = "/spec/taints"
    change = {"op": "replace", "path": path, "value": kept} if kept else {"op": "remove", "path": path}
    return [{"op": "test", "path": path, "value": taints}, change]


async def remove(client: Client, node: str, key: str, log: Logger, *, again_seconds: float = AGAIN_SECONDS) -> None:
    """Take the taint away, however often that has to be tried."""
    while True:
        try:
            patch = removal(await client.get(NODES, node), key)
            if patch is not None:
                await client.patch(NODES, node, patch, content_type=JSON_PATCH)
                log.info("taint.removed", node=node, key=key)
        except CALL_FAILURES as error:
            log.warning("taint.kept", node=node, key=key, reason=str(error))
            await asyncio.sleep(again_seconds)
        else:
            return
