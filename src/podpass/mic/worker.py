"""One turn of work on one machine: its pods' objects written, its identities changed, the objects' states told.

Contract: pod identity, sections 2.5 to 2.8 and 9 (12, 13, 14).
"""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from podpass.kube.client import CALL_FAILURES
from podpass.kube.events import EventRecorder, EventType
from podpass.kube.objects import Obj
from podpass.mic.assigned import AssignedIdentities
from podpass.mic.assignment import Present, difference, erroneous, patches
from podpass.mic.backoff import Backoff
from podpass.mic.changes import Changes, changes
from podpass.mic.client import CloudFailed, Compute
from podpass.mic.copies import Copies
from podpass.mic.desired import PodKey, Wanted
from podpass.mic.ledger import Ledger
from podpass.mic.metrics import MicMetrics
from podpass.mic.targets import Target, target_of
from podpass.podidentity.objects import AssignedIdentity
from podpass.podidentity.resources import ASSIGNED_IDENTITIES, BINDINGS
from podpass.telemetry.logging import Logger


@dataclass(slots=True)
class Turn:
    """What one turn has to do, over all its pods."""

    applied: list[tuple[Wanted, AssignedIdentity]] = field(default_factory=list)
    """Written as `Created`, to become `Assigned`."""
    leaving: list[AssignedIdentity] = field(default_factory=list)
    failed: bool = False
    """Whether an object could not be written."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a turn ended: *again_seconds* is when the next is due, None when there is nothing left to do."""

    again_seconds: float | None = None
    why: str = ""


class Worker:
    """Does turns. Any number of them may run at a time, for different machines."""

    def __init__(
        self,
        copies: Copies,
        ledger: Ledger,
        assigned: AssignedIdentities,
        compute: Compute,
        events: EventRecorder,
        metrics: MicMetrics,
        log: Logger,
        *,
        immutable: Callable[[], Collection[str]],
        at_once: int,
        max_retries: int,
        retry_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._copies, self._ledger, self._assigned, self._compute = copies, ledger, assigned, compute
        self._events, self._metrics, self._log = events, metrics, log
        self._immutable = immutable
        self._at_once, self._max_retries, self._retry_seconds = at_once, max_retries, retry_seconds
        self._backoff = Backoff(clock)

    async def turn(self, target: Target, pods: Iterable[PodKey], *, restore: bool = False) -> Ended:
        """Bring *pods*, which all belong to *target*, to what the ledger says.

        *restore* adds what the machine lost of what all its pods are to have.
        """
        started = time.perf_counter()
        turn = Turn()
        await self._write(turn, [self.changes_of(target, pod) for pod in pods])
        ended = await self._assign(target, turn, restore=restore)
        self._metrics.worked(time.perf_counter() - started)
        if turn.failed and ended.again_seconds is None:
            return Ended(self._retry_seconds, "objects could not be written")
        return ended

    def changes_of(self, target: Target, pod: PodKey) -> Changes:
        """What is to be done on *target* about a pod; what it had on another machine is that one's to take away."""
        present = self._assigned.of(pod)
        here = [each for each in present if self.target_of(each.node) == target]
        elsewhere = {each.key for each in present if self.target_of(each.node) != target}
        wanted = [each for each in self._ledger.wanted(pod) if self.target_of(each.pod.node) == target]
        # An object of that name is there until the other machine has let go of it.
        wanted = [each for each in wanted if each.key not in elsewhere]
        return changes(wanted, here, others=self._assigned.others(wanted))

    def target_of(self, node: str) -> Target:
        """Where the identities of the node's pods belong; a machine that was never seen is one by itself."""
        return self._copies.target(node) or target_of(node, "")

    # The objects before

    async def _write(self, turn: Turn, found: Iterable[Changes]) -> None:
        async def create(wanted: Wanted) -> None:
            made = await self._assigned.create(wanted)
            if made is not None:
                turn.applied.append((wanted, made))

        async def update(wanted: Wanted, present: AssignedIdentity) -> None:
            made = await self._assigned.update(wanted, present, self._former(wanted, present))
            if made is not None:
                turn.applied.append((wanted, made))

        work = []
        for each in found:
            work += [self._tried(turn, wanted, create(wanted)) for wanted in each.create]
            work += [self._tried(turn, wanted, update(wanted, present)) for wanted, present in each.update]
            for wanted in each.retry:
                present = next(one for one in self._assigned.of(wanted.pod.key) if one.key == wanted.key)
                turn.applied.append((wanted, present))
            turn.leaving += each.delete
        await self._bounded(work)

    def _former(self, wanted: Wanted, present: AssignedIdentity) -> set[str]:
        """What the machine may have because of *present*, and not because of *wanted*."""
        held = set() if self._is_immutable(present) else {present.identity.managed_id}
        return {*held, *present.former} - {wanted.identity.managed_id, ""}

    async def _tried(self, turn: Turn, wanted: Wanted, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except CALL_FAILURES as error:
            turn.failed = True
            self._metrics.api_errors.labels("assigned_identity_addition").inc()
            self._say(
                wanted.binding.key,
                "Warning",
                "binding apply error",
                f"the assigned identity {wanted.name} was not written: {error}",
            )

    # The machine

    async def _assign(self, target: Target, turn: Turn, *, restore: bool) -> Ended:
        add = {wanted.identity.managed_id: None for wanted, _ in turn.applied if wanted.identity.managed_id}
        remove = list(dict.fromkeys(id_ for each in turn.leaving for id_ in self._going(target, each)))
        remove += [id_ for wanted, made in turn.applied for id_ in self._former_going(target, wanted, made)]
        if restore:
            add |= dict.fromkeys(self._lasting(target))
        due = [each for each in add if not self._backoff.waits_seconds((target, each))]
        waiting = set(add) - set(due)
        error: CloudFailed | None = None
        present: Present | None = None
        if due or remove:
            try:
                present = await self._changed(target, due, remove)
            except CloudFailed as failed:
                error = failed
                self._log.warning("target.failed", target=str(target), reason=str(failed), add=len(due))
                present = await self._as_it_is(target)
        return await self._told(target, turn, waiting, present, error)

    def _going(self, target: Target, each: AssignedIdentity) -> list[str]:
        """What the machine is to lose with an object that is to be deleted.

        One that says `Created` counts: MIC may have been killed after the machine was changed and before it said so.
        """
        held = [] if self._is_immutable(each) or each.status == "Unassigned" else [each.identity.managed_id]
        return [id_ for id_ in (*held, *each.former) if self._may_go(target, each.node, id_)]

    def _former_going(self, target: Target, wanted: Wanted, made: AssignedIdentity) -> list[str]:
        return [id_ for id_ in made.former if self._may_go(target, wanted.pod.node, id_)]

    def _may_go(self, target: Target, node: str, managed_id: str) -> bool:
        """Whether no pod on the machine is to have the identity, and the machine is there."""
        return (
            bool(managed_id)
            and not self._ledger.is_needed(target, managed_id)
            and (target.kind == "vmss" or self._copies.node_is_there(node))
        )

    def _is_immutable(self, each: AssignedIdentity) -> bool:
        return each.identity.client_id.lower() in self._immutable()

    def _lasting(self, target: Target) -> list[str]:
        """What pods on the machine were told to have, and are still to have."""
        return [
            each.identity.managed_id
            for each in self._copies.assigned_on(target)
            # One that is on its way out says so only at the end: to add it now would undo its removal.
            if each.status == "Assigned" and self._ledger.is_needed(target, each.identity.managed_id)
        ]

    async def _changed(self, target: Target, add: list[str], remove: list[str]) -> Present | None:
        """The machine after the change. An identity that can't be assigned keeps no other from being so."""
        left = list(add)
        first: CloudFailed | None = None
        for _ in range(self._max_retries + 1):
            present = Present.of(await self._compute.read(target))
            if present.provisioning_state.lower() == "deleting":
                raise CloudFailed(f"{target} is being deleted")
            try:
                for body in patches(present, difference(present, left, remove)):
                    await self._compute.write(target, body)
            except CloudFailed as error:
                first = first or error
                bad = erroneous(str(error), left)
                for each in bad:
                    self._backoff.failed((target, each))
                if not bad or len(bad) == len(left):
                    break
                left = [each for each in left if each not in bad]
                await asyncio.sleep(self._retry_seconds)
                continue
            for each in left:
                self._backoff.succeeded((target, each))
            break
        if first is not None:
            raise first
        return None

    async def _as_it_is(self, target: Target) -> Present | None:
        try:
            return Present.of(await self._compute.read(target))
        except CloudFailed:
            return None

    # The objects after

    async def _told(
        self, target: Target, turn: Turn, waiting: set[str], present: Present | None, error: CloudFailed | None
    ) -> Ended:
        """*present* is the machine after a failure; None after success, and where it can't be read."""
        work = []
        for wanted, made in turn.applied:
            resource_id = wanted.identity.managed_id
            has = not resource_id or (present is not None and resource_id in present.ids)
            if has or (error is None and resource_id not in waiting):
                left = [] if error is None else self._still_there(self._former_going(target, wanted, made), present)
                turn.failed = turn.failed or bool(left)
                if not left or made.status != "Assigned":
                    work.append(self._applied(turn, target, wanted, made, former_are_off=not left))
            else:
                reason = str(error) if error is not None else "it failed lately and is tried again later"
                text = f"Applying binding {wanted.binding.name} node {wanted.pod.node} for pod {wanted.pod.name}"
                self._say(wanted.binding.key, "Warning", "binding apply error", f"{text} resulted in error {reason}")
        for each in turn.leaving:
            if error is not None and self._still_there(self._going(target, each), present):
                turn.failed = True
                continue
            work.append(self._removed(turn, each))
        await self._bounded(work)
        again = [
            self._backoff.waits_seconds((target, wanted.identity.managed_id))
            for wanted, _ in turn.applied
            if wanted.identity.managed_id in waiting or error is not None
        ]
        if error is not None:
            shortest = min((each for each in again if each), default=0.0)
            return Ended(max(error.retry_seconds, shortest), str(error))
        return Ended(min(again), "an identity that failed lately is tried again") if again else Ended()

    @staticmethod
    def _still_there(going: Iterable[str], present: Present | None) -> list[str]:
        """What the machine should have lost, and has or may have after the change failed."""
        return [each for each in going if present is None or each in present.ids]

    async def _applied(
        self, turn: Turn, target: Target, wanted: Wanted, made: AssignedIdentity, *, former_are_off: bool
    ) -> None:
        try:
            await self._assigned.set_status(made, "Assigned", former_are_off=former_are_off)
        except CALL_FAILURES as error:
            turn.failed = True
            self._metrics.api_errors.labels("update_azure_assigned_identity_status").inc()
            self._log.warning("status.failed", object=made.name, reason=str(error))
            involved = {
                "apiVersion": ASSIGNED_IDENTITIES.api_version,
                "kind": ASSIGNED_IDENTITIES.kind,
                "namespace": made.namespace,
                "name": made.name,
            }
            text = f"Updating assigned identity {made.name} status to Assigned failed: {error}"
            self._events.record(involved, "Warning", "status update error", text)
            return
        self._say(
            wanted.binding.key,
            "Normal",
            "binding applied",
            f"Binding {wanted.binding.name} applied on node {wanted.pod.node} for assigned identity {made.name}",
        )
        self._log.info("identity.assigned", pod="/".join(wanted.pod.key), target=str(target), object=made.name)

    async def _removed(self, turn: Turn, each: AssignedIdentity) -> None:
        # Pods come and go; that a machine did, people hear of.
        is_gone = not self._copies.node_is_there(each.node)
        text = f"Binding {each.binding[1]} removed from node {each.node} for pod {each.pod[1]}"
        try:
            await self._assigned.delete(each)
        except CALL_FAILURES as error:
            turn.failed = True
            self._metrics.api_errors.labels("assigned_identity_deletion").inc()
            self._log.warning("deletion.failed", object=each.name, reason=str(error))
            if is_gone:
                self._say(each.binding, "Warning", "binding remove error", f"{text} resulted in error {error}")
            return
        if is_gone:
            self._say(each.binding, "Normal", "binding removed", text)
        self._log.info("identity.released", pod="/".join(each.pod), object=each.name)

    async def _bounded(self, work: list[Coroutine[Any, Any, None]]) -> None:
        slots = asyncio.Semaphore(self._at_once)

        async def one(each: Coroutine[Any, Any, None]) -> None:
            async with slots:
                await each

        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(one(each))

    def _say(self, binding: tuple[str, str], kind: EventType, reason: str, message: str) -> None:
        namespace, name = binding
        found: Obj = self._copies.binding_object(namespace, name) or {
            "apiVersion": BINDINGS.api_version,
            "kind": BINDINGS.kind,
            "namespace": namespace,
            "name": name,
        }
        self._events.record(found, kind, reason, message)
