"""Looks after nodes: silent ones are marked and tainted, and the pods on them leave when their patience ends."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import LEASES, NODES, PODS
from podpass.kube.status import StatusError
from podpass.lab.clock import rfc3339, seconds_of
from podpass.lab.cluster.access.default_roles import NODE_LEASE_NAMESPACE
from podpass.lab.cluster.collection import Change, Stored
from podpass.lab.cluster.controllers import node_health
from podpass.lab.cluster.controllers.writes import Gone, controller_user, delete
from podpass.lab.cluster.deletion import DeleteOptions
from podpass.lab.cluster.verbs import Verbs

LOOK_SECONDS = 1.0
SETTLE_SECONDS = 3.0
"""After the lab's clock jumped, and at the start, nodes get this long, of real time, to be heard of."""
_JUMP_SECONDS = 5.0


class NodeLifecycle:
    """`run` looks at every node once a second, and at once when one changed; `look` is one such look."""

    name = "node-lifecycle"

    def __init__(self, verbs: Verbs, *, settle_seconds: float = SETTLE_SECONDS) -> None:
        self._verbs = verbs
        self._user = controller_user("node-controller")
        self._settle_seconds = settle_seconds
        self._settled_at = 0.0
        self._offset = 0.0
        self._changed = asyncio.Event()
        self._seen: dict[tuple[str, str, str], float] = {}
        """When taints without a time of their own were first seen."""

    async def run(self) -> None:
        self._offset = self._verbs.clock.now() - time.monotonic()
        self._settled_at = time.monotonic() + self._settle_seconds
        while True:
            with contextlib.suppress(StatusError):
                await self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._changed.wait()
            self._changed.clear()

    def notice(self, change: Change) -> None:
        # What a person changed, a cordon for one, should not take a second to be seen.
        if (change.resource.group, change.resource.plural) == (NODES.group, NODES.plural):
            self._changed.set()

    async def look(self) -> None:
        now = self._verbs.clock.now()
        offset = now - time.monotonic()
        if abs(offset - self._offset) > _JUMP_SECONDS:
            self._offset, self._settled_at = offset, time.monotonic() + self._settle_seconds
        settled = time.monotonic() >= self._settled_at
        names = set()
        evicting: dict[str, list[tuple[Obj, float]]] = {}
        for node in [dict(each) for each in self._verbs.list(NODES)]:
            name = objects.name(node)
            names.add(name)
            lease = self._verbs.find(LEASES, name, NODE_LEASE_NAMESPACE)
            if settled and node_health.is_silent(lease, now):
                await self._mark_silent(node, now)
                node = self._verbs.find(NODES, name) or node
            if (wanted := node_health.taints(node, now)) is not None:
                node = await self._change_taints(node, wanted)
            if found := self._evicting(node, now):
                evicting[name] = found
        await self._look_at_pods(names, evicting, now, orphans=settled)

    def _evicting(self, node: Obj, now: float) -> list[tuple[Obj, float]]:
        found = []
        for taint in objects.spec(node).get("taints") or ():
            if taint.get("effect") == "NoExecute":
                place = (objects.uid(node), str(taint.get("key")), str(taint.get("value") or ""))
                since = seconds_of(taint.get("timeAdded"))
                found.append((taint, self._seen.setdefault(place, now) if since is None else since))
        return found

    async def _mark_silent(self, node: Obj, now: float) -> None:
        status = node_health.gone_silent(node, now)
        if status is None:
            return
        await self._verbs.update(NODES, {**node, "status": status}, subresource="status", user=self._user)
        # The pods may run on, but nobody knows: no traffic is sent to them.
        for stored in self._pods_on({objects.name(node)}):
            await self._quietly(self._unready(stored, now))

    async def _unready(self, stored: Stored, now: float) -> None:
        pod = self._verbs.present(self._verbs.registry.of(PODS), stored)
        status = objects.status(pod)
        conditions = [
            {**each, "status": "False", "lastTransitionTime": rfc3339(now)}
            if each.get("type") == "Ready" and each.get("status") == "True"
            else each
            for each in status.get("conditions") or ()
        ]
        if conditions != status.get("conditions"):
            body = {**pod, "status": {**status, "conditions": conditions}}
            await self._verbs.update(PODS, body, subresource="status", user=self._user)

    async def _change_taints(self, node: Obj, wanted: list[Obj]) -> Obj:
        spec = {**objects.spec(node), "taints": wanted}
        if not wanted:
            del spec["taints"]
        return await self._verbs.update(NODES, {**node, "spec": spec}, user=self._user)

    async def _look_at_pods(
        self, names: set[str], evicting: dict[str, list[tuple[Obj, float]]], now: float, *, orphans: bool
    ) -> None:
        kind = self._verbs.registry.of(PODS)
        for stored in self._pods_on(set(evicting)):
            pod = self._verbs.present(kind, stored)
            if objects.being_deleted(pod):
                continue
            due = node_health.evicted_at(pod, evicting[objects.spec(pod)["nodeName"]])
            if due is not None and now >= due:
                await self._quietly(delete(self._verbs, kind, stored, DeleteOptions(uid=stored.uid), self._user))
        for stored in self._pods_on(names, outside=True) if orphans else ():
            # Its node is gone for good, and with it whoever would end it.
            options = DeleteOptions(uid=stored.uid, grace_period_seconds=0)
            await self._quietly(delete(self._verbs, kind, stored, options, self._user))

    def _pods_on(self, names: set[str], *, outside: bool = False) -> list[Stored]:
        """The pods bound to one of *names*, or, *outside*, to a node that is none of them."""
        if not names and not outside:
            return []
        kind = self._verbs.registry.of(PODS)
        found = []
        for stored in list(self._verbs.storage.collection(PODS).objects.values()):
            node = stored.fields(kind.fields).get("spec.nodeName")
            if node and (node in names) is not outside:
                found.append(stored)
        return found

    async def _quietly(self, action: Awaitable[None]) -> None:
        with contextlib.suppress(Gone, StatusError):
            await action
