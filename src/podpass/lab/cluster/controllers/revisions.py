"""Past templates of StatefulSets and DaemonSets, kept as ControllerRevisions, from which `rollout undo` takes them."""

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import CONTROLLERREVISIONS, Resource
from podpass.kube.status import StatusError
from podpass.lab.cluster.collection import Change
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.controllers.owned import OwnedObjects
from podpass.lab.cluster.controllers.writes import Gone, Writer
from podpass.lab.cluster.kinds.templates import selector_of
from podpass.lab.cluster.workloads.pods import reference_to
from podpass.lab.cluster.workloads.revisions import next_number, template_hash

HASH_LABEL = "controller.kubernetes.io/hash"
_NOT_COPIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Past:
    """The revision of the present template, and all there are, the oldest first."""

    update: Obj
    all: tuple[Obj, ...]
    collisions: int

    def named(self, name: str) -> Obj | None:
        return next((each for each in self.all if objects.name(each) == name), None)


class Revisions:
    """The ControllerRevisions of the workloads of one kind, *owner*; *label* is what they carry their hash in."""

    def __init__(self, writer: Writer, owner: Resource, label: str) -> None:
        self._writer = writer
        self._owner = owner
        self._label = label
        self._owned = OwnedObjects(writer, owner, CONTROLLERREVISIONS)

    def notice(self, change: Change) -> None:
        self._owned.notice(change)

    def owners_of(self, change: Change) -> Iterator[Task]:
        return self._owned.owners_of(change)

    async def sync(self, owner: Obj) -> Past:
        """Raises StatusError."""
        found = await self._owned.claim(owner, selector_of(objects.spec(owner)))
        ordered = sorted(found, key=lambda each: (int(each.get("revision") or 0), objects.name(each)))
        data = _data(owner)
        number = next_number(int(each.get("revision") or 0) for each in ordered)
        collisions = int(objects.status(owner).get("collisionCount") or 0)
        equal = [each for each in ordered if each.get("data") == data]
        if not equal:
            made, collisions = await self._create(owner, data, number, collisions)
            return Past(made, (*ordered, made), collisions)
        newest = equal[-1]
        if newest is not ordered[-1]:
            # Gone back to: it is the newest now.
            with contextlib.suppress(Gone):
                newest = await self._writer.change(
                    CONTROLLERREVISIONS, newest, lambda current: {**current, "revision": number}
                )
            others = [each for each in ordered if objects.name(each) != objects.name(newest)]
            return Past(newest, (*others, newest), collisions)
        return Past(newest, tuple(ordered), collisions)

    async def _create(self, owner: Obj, data: Obj, number: int, collisions: int) -> tuple[Obj, int]:
        template = objects.spec(owner).get("template") or {}
        while True:
            hashed = template_hash(template, collisions)
            labels = {**objects.labels(template), self._label: hashed}
            annotations = {key: value for key, value in objects.annotations(owner).items() if key != _NOT_COPIED}
            revision: Obj = {
                "metadata": {
                    "name": f"{objects.name(owner)[: 253 - len(hashed) - 1]}-{hashed}",
                    "namespace": objects.namespace(owner),
                    "labels": labels,
                    **({"annotations": annotations} if annotations else {}),
                    "ownerReferences": [reference_to(owner, self._owner)],
                },
                "data": data,
                "revision": number,
            }
            try:
                return await self._writer.create(CONTROLLERREVISIONS, revision), collisions
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
            collisions += 1

    async def trim(self, owner: Obj, past: Past, live: Collection[str]) -> None:
        """Forget the oldest beyond the limit of the history; *live* are the names that pods still have."""
        limit = objects.spec(owner).get("revisionHistoryLimit")
        old = [each for each in past.all if objects.name(each) not in live and each is not past.update]
        if limit is None:
            return
        for each in old[: max(len(old) - limit, 0)]:
            try:
                await self._writer.delete(
                    CONTROLLERREVISIONS, objects.namespace(each), objects.name(each), objects.uid(each)
                )
            except Gone:
                continue


def _data(owner: Obj) -> Obj:
    """The template as the strategic merge patch that `rollout undo` sends."""
    template = objects.spec(owner).get("template") or {}
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def template_in(revision: Obj) -> Obj:
    template = objects.spec(revision.get("data") or {}).get("template") or {}
    return {name: value for name, value in template.items() if name != "$patch"}
