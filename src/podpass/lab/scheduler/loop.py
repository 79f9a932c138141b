"""Carries the scheduler's decisions out: bindings, conditions, events; and looks again when something changed."""

import asyncio
from collections.abc import Callable

import structlog

from podpass.kube import objects
from podpass.kube.client import CALL_FAILURES, MERGE_PATCH, ApiError, Client
from podpass.kube.events import EventRecorder
from podpass.kube.objects import Obj
from podpass.kube.reflector import Change, Reflector
from podpass.kube.resources import NODES, PODS
from podpass.lab.clock import Clock, rfc3339
from podpass.lab.scheduler import filters
from podpass.lab.scheduler.decide import Bind, Unschedulable, binding, is_over, schedule
from podpass.lab.scheduler.model import NodeState, PlacedPod, node_state, placed

_log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
_NEED_OTHERS = (filters.POD_AFFINITY, filters.SPREAD)
"""What the arrival of another pod may change."""


class Scheduler:
    """Binds pods to nodes. `run` is to be owned by the caller's TaskGroup."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._events = EventRecorder(client, "default-scheduler", now=clock.now)
        self._pods: Reflector[Obj] = Reflector(client, PODS, on_change=self._pod_changed, first_wait_seconds=0.1)
        self._nodes: Reflector[Obj] = Reflector(client, NODES, on_change=self._node_changed, first_wait_seconds=0.1)
        self._states: dict[str, NodeState] = {}
        self._placed: dict[str, tuple[str, PlacedPod]] = {}
        """The node of each pod that has one, by the pod's uid."""
        self._waiting: dict[str, Obj] = {}
        self._work = asyncio.Event()
        self._said: dict[str, str] = {}
        """What was said of the pods that fit nowhere, by uid."""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._events.run())
            tasks.create_task(self._pods.run())
            tasks.create_task(self._nodes.run())
            await self._nodes.synced.wait()
            await self._pods.synced.wait()
            await self._repeat()

    # What changed

    def _pod_changed(self, change: Change[Obj]) -> None:
        before, after = change.before, change.after
        if before is not None and (after is None or objects.uid(after) != objects.uid(before)):
            self._said.pop(objects.uid(before), None)
            self._waiting.pop(objects.uid(before), None)
            self._take_off(objects.uid(before))
        if after is None:
            return
        uid, node = objects.uid(after), objects.spec(after).get("nodeName") or ""
        if is_over(after):
            self._take_off(uid)
        elif node:
            self._put_on(node, placed(after))
        elif before is None or _asks_differently(before, after):
            self._look_at(after)

    def _node_changed(self, change: Change[Obj]) -> None:
        name = change.key[1]
        known = self._states.pop(name, None)
        if change.after is None:
            return
        there = {uid: pod for uid, (node, pod) in self._placed.items() if node == name}
        state = self._states[name] = node_state(change.after, there)
        if known is None or _offers(known) != _offers(state):
            self._look_again()

    def _put_on(self, node: str, pod: PlacedPod) -> None:
        self._said.pop(pod.uid, None)
        self._waiting.pop(pod.uid, None)
        known = self._placed.get(pod.uid)
        if known is not None and known[0] != node:
            self._take_off(pod.uid)
        self._placed[pod.uid] = (node, pod)
        if node in self._states:
            self._states[node].pods[pod.uid] = pod
        if known is None:
            self._look_again(_NEED_OTHERS)

    def _take_off(self, uid: str) -> None:
        """A pod's place is free again: those that found none are looked at anew."""
        node, _ = self._placed.pop(uid, ("", None))
        if node in self._states:
            self._states[node].pods.pop(uid, None)
        if node:
            self._look_again()

    def _look_again(self, reasons: tuple[str, ...] = ("",)) -> None:
        """At what fits nowhere, for one of *reasons*."""
        for pod in self._pods.items() if self._said else ():
            said = self._said.get(objects.uid(pod))
            if said is not None and any(reason in said for reason in reasons):
                self._look_at(pod)

    def _look_at(self, pod: Obj) -> None:
        self._waiting[objects.uid(pod)] = pod
        self._work.set()

    # Decisions

    async def _repeat(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                uid = next(iter(self._waiting))
                waiting = self._waiting.pop(uid)
                pod = self._pods.get(*objects.key(waiting))
                if pod is None or objects.uid(pod) != uid or uid in self._placed:
                    continue
                await self._try(pod)

    async def _try(self, pod: Obj) -> None:
        decision = schedule(pod, [self._states[name] for name in sorted(self._states)])
        try:
            match decision:
                case Bind():
                    await self._bind(pod, decision.node)
                case Unschedulable():
                    await self._refuse(pod, decision.message)
        except CALL_FAILURES as error:
            if isinstance(error, ApiError) and (error.not_found or error.conflict):
                return
            _log.warning("scheduler.failed", pod=objects.name(pod), error=str(error))
            self._later(lambda: self._retry(pod))

    def _later(self, action: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(RETRY_SECONDS, action)

    def _retry(self, pod: Obj) -> None:
        latest = self._pods.get(*objects.key(pod))
        if latest is not None:
            self._look_at(latest)

    async def _bind(self, pod: Obj, node: str) -> None:
        name, namespace = objects.name(pod), objects.namespace(pod)
        await self._client.create_subresource(PODS, name, "binding", binding(pod, node), namespace)
        # Counted before the watch shows it: the next decision comes first.
        present = self._pods.get(namespace, name)
        if present is not None and objects.uid(present) == objects.uid(pod) and not is_over(present):
            self._put_on(node, placed(present))
        self._events.record(_as_pod(pod), "Normal", "Scheduled", f"Successfully assigned {namespace}/{name} to {node}")

    async def _refuse(self, pod: Obj, message: str) -> None:
        if self._said.get(objects.uid(pod)) == message:
            return
        self._said[objects.uid(pod)] = message
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": None,
            "lastTransitionTime": rfc3339(self._clock.now()),
            "reason": "Unschedulable",
            "message": message,
        }
        # The uid makes sure that it is not the status of a later pod of the same name.
        patch = {"metadata": {"uid": objects.uid(pod)}, "status": {"conditions": [condition]}}
        await self._client.patch(
            PODS, objects.name(pod), patch, objects.namespace(pod), subresource="status", content_type=MERGE_PATCH
        )
        self._events.record(_as_pod(pod), "Warning", "FailedScheduling", message)


def _asks_differently(before: Obj, after: Obj) -> bool:
    """Whether a change of a pod that waits may let it fit now."""
    return objects.spec(before) != objects.spec(after) or objects.labels(before) != objects.labels(after)


def _offers(state: NodeState) -> tuple[object, ...]:
    return dict(state.labels), state.taints, state.unschedulable, dict(state.allocatable)


def _as_pod(pod: Obj) -> Obj:
    return {"apiVersion": "v1", "kind": "Pod", **pod}
