"""Which pods of which machine are to be worked on, and turns of work as they become due.

Each machine has its own turn: one that is slow, throttled or broken holds up no other.
Contract: pod identity, sections 2.1, 2.9 and 9 (12).
"""

import asyncio
from collections.abc import Callable
from typing import NoReturn

from podpass.kube.reflector import WorkQueue
from podpass.mic.assigned import AssignedIdentities
from podpass.mic.copies import Copies
from podpass.mic.desired import PodKey, Rules, desired
from podpass.mic.ledger import Ledger
from podpass.mic.metrics import MicMetrics
from podpass.mic.settings import Settings
from podpass.mic.targets import Target
from podpass.mic.worker import Worker
from podpass.telemetry.logging import Logger

GATHER_SECONDS = 0.05
"""A turn begins once its machine's pods have been quiet for that long, so that one write serves many pods."""
MOST_GATHERINGS = 10


class Controller:
    """Hears of pods that may need work, and has it done; `run` is the caller's to own."""

    def __init__(
        self,
        settings: Settings,
        copies: Copies,
        ledger: Ledger,
        assigned: AssignedIdentities,
        worker: Worker,
        metrics: MicMetrics,
        log: Logger,
        *,
        gather_seconds: float = GATHER_SECONDS,
    ) -> None:
        self._settings, self._copies, self._ledger = settings, copies, ledger
        self._assigned, self._worker, self._metrics, self._log = assigned, worker, metrics, log
        self._gather_seconds = gather_seconds
        self._rules = Rules(settings.forced_namespaced, settings.keep_for_ended_pods)
        self._queue: WorkQueue[Target] = WorkQueue(first_wait_seconds=1.0)
        self._due: dict[Target, dict[PodKey, None]] = {}
        self._restore: set[Target] = set()

    def concerned(self, pod: PodKey) -> None:
        """Something changed that may matter to *pod*."""
        self._enter(pod)
        self._have_done(pod)

    def _enter(self, pod: PodKey) -> None:
        """Write into the ledger what *pod* is to have."""
        found = self._copies.pod(pod)
        wanted = []
        if found is not None and self._copies.node_is_there(found.node):
            wanted = desired(found, self._copies.bindings(found.binding_label), self._copies.identity, self._rules)
        self._ledger.put(pod, self._worker.target_of(found.node) if found is not None else None, wanted)

    def _have_done(self, pod: PodKey) -> None:
        """Have the machines worked on that *pod* means work for."""
        nodes = {each.node for each in self._assigned.of(pod)}
        nodes |= {each.pod.node for each in self._ledger.wanted(pod)}
        for target in {self._worker.target_of(node) for node in nodes}:
            if self._worker.changes_of(target, pod):
                self._due.setdefault(target, {})[pod] = None
                self._queue.add(target)

    async def run(self) -> None:
        """Begin with everything there is, and go on until cancelled."""
        await self._copies.complete()
        self._copies.follow(self.concerned)
        # All of them first: what a machine may lose is known once every pod is in the ledger.
        pods = list(self._copies.every_pod())
        for pod in pods:
            self._enter(pod)
        for pod in pods:
            self._have_done(pod)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._every(self._settings.resync_seconds, self._look_at_all))
                group.create_task(self._every(self._settings.reconcile_seconds, self._look_at_machines))
                while True:
                    target = await self._queue.next()
                    group.create_task(self._turn(target))
        finally:
            self._queue.close()

    async def _turn(self, target: Target) -> None:
        await self._gathered(target)
        pods, restore = self._due.pop(target, {}), target in self._restore
        self._restore.discard(target)
        try:
            ended = await self._worker.turn(target, pods, restore=restore)
        except Exception as error:  # noqa: BLE001 - one machine's turn must not take the others' down
            self._metrics.failed_turns.labels("turn").inc()
            self._log.exception("turn.failed", target=str(target), reason=type(error).__name__)
            self._again(target, pods, 0.0)
            return
        if ended.again_seconds is None:
            self._queue.done(target)
        else:
            self._again(target, pods, ended.again_seconds)

    def _again(self, target: Target, pods: dict[PodKey, None], seconds: float) -> None:
        self._due[target] = {**pods, **self._due.get(target, {})}
        if seconds:
            self._queue.done(target)
            self._queue.add_after(target, seconds)
        else:
            self._queue.failed(target)

    async def _gathered(self, target: Target) -> None:
        for _ in range(MOST_GATHERINGS):
            count = len(self._due.get(target, {}))
            await asyncio.sleep(self._gather_seconds)
            if len(self._due.get(target, {})) == count:
                return

    async def _every(self, seconds: float, look: Callable[[], None]) -> NoReturn:
        while True:
            await asyncio.sleep(seconds)
            look()

    def _look_at_all(self) -> None:
        for pod in list(self._copies.every_pod()):
            self.concerned(pod)

    def _look_at_machines(self) -> None:
        """Have each machine get back what it lost of what its pods have."""
        for target in {self._worker.target_of(each.node) for each in self._copies.every_assigned()}:
            self._restore.add(target)
            self._queue.add(target)
