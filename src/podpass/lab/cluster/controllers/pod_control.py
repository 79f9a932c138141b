"""How the workload controllers make, delete, adopt and release pods, and what they say of it in events."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import PODS, Resource
from podpass.kube.selectors import LabelSelector
from podpass.kube.status import StatusError
from podpass.lab.cluster.controllers.pod_index import PodIndex
from podpass.lab.cluster.controllers.recorder import Recorder
from podpass.lab.cluster.controllers.writes import Gone, Writer
from podpass.lab.cluster.workloads.pods import Pod, reference_to

FIRST_BATCH = 1
LARGEST_BATCH = 32


@dataclass(frozen=True, slots=True)
class Wording:
    """What events say, with the names of `{pod}` and `{owner}`, and the `{error}`."""

    created: str = "Created pod: {pod}"
    deleted: str = "Deleted pod: {pod}"
    not_created: str = "Error creating: {error}"
    not_deleted: str = "Error deleting: {error}"


_WORDING = Wording()


class PodControl:
    """The pods of the workloads of one kind, *resource*."""

    def __init__(
        self,
        writer: Writer,
        index: PodIndex,
        recorder: Recorder,
        resource: Resource,
        wording: Wording = _WORDING,
    ) -> None:
        self._writer = writer
        self._index = index
        self._recorder = recorder
        self._resource = resource
        self._wording = wording

    async def claim(self, owner: Obj, selector: LabelSelector | None) -> list[Pod]:
        """The pods of *owner*, after taking in what matches and has no owner and letting go what no longer matches.

        Raises StatusError.
        """
        kept: list[Pod] = []
        leaving = objects.being_deleted(owner)
        for pod in self._index.owned_by(objects.uid(owner)):
            if leaving or (selector and selector.matches(pod.labels)):
                kept.append(pod)
            else:
                await self._release(owner, pod)
        if leaving or not selector:
            return kept
        for pod in self._index.orphans(objects.namespace(owner), selector):
            if pod.active and await self._adopt(owner, pod):
                kept.append(pod)
        return kept

    async def _adopt(self, owner: Obj, pod: Pod) -> bool:
        def adopted(current: Obj) -> Obj:
            if any(each.get("controller") for each in objects.owner_references(current)):
                raise Gone
            references = [*objects.owner_references(current), reference_to(owner, self._resource)]
            return {**current, "metadata": {**current["metadata"], "ownerReferences": references}}

        return await self._changed(pod, adopted)

    async def _release(self, owner: Obj, pod: Pod) -> None:
        def released(current: Obj) -> Obj:
            others = [each for each in objects.owner_references(current) if each.get("uid") != objects.uid(owner)]
            return {**current, "metadata": {**current["metadata"], "ownerReferences": others or None}}

        await self._changed(pod, released)

    async def _changed(self, pod: Pod, make: Callable[[Obj], Obj]) -> bool:
        target = {"metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid}}
        try:
            await self._writer.change(PODS, target, make)
        except Gone:
            return False
        return True

    async def create(self, owner: Obj, pods: Iterable[Obj]) -> None:
        """Make *pods*: one, then two, then four at a time, so that one refusal stands for all.

        Raises the StatusError of the first that failed; the others of its batch were tried.
        """
        waiting = list(pods)
        batch = FIRST_BATCH
        while waiting:
            now, waiting = waiting[:batch], waiting[batch:]
            refusals = [each for each in await asyncio.gather(*(self._create(owner, pod) for pod in now)) if each]
            if refusals:
                raise refusals[0]
            batch = min(batch * 2, LARGEST_BATCH)

    async def _create(self, owner: Obj, pod: Obj) -> StatusError | None:
        try:
            made = await self._writer.create(PODS, pod)
        except StatusError as error:
            if not any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes):
                await self._say(owner, "FailedCreate", self._wording.not_created, objects.name(pod), error)
            return error
        await self._say(owner, "SuccessfulCreate", self._wording.created, objects.name(made))
        return None

    async def delete(self, owner: Obj, pod: Pod) -> None:
        """Raises StatusError."""
        try:
            await self._writer.delete(PODS, pod.namespace, pod.name, pod.uid)
        except Gone:
            return
        except StatusError as error:
            await self._say(owner, "FailedDelete", self._wording.not_deleted, pod.name, error)
            raise
        await self._say(owner, "SuccessfulDelete", self._wording.deleted, pod.name)

    async def _say(self, owner: Obj, reason: str, text: str, pod: str, error: StatusError | None = None) -> None:
        message = text.format(pod=pod, owner=objects.name(owner), error=error)
        await self._recorder.record(owner, "Normal" if error is None else "Warning", reason, message)
