"""The objects of one kind that belong to workloads of another: ReplicaSets, ControllerRevisions, Jobs."""

from collections.abc import Iterator
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.kube.selectors import LabelSelector
from podpass.lab.cluster.collection import Change
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.controllers.selector_index import SelectorIndex
from podpass.lab.cluster.controllers.writes import Gone, Writer
from podpass.lab.cluster.workloads.pods import reference_to


class OwnedObjects:
    """Objects of *resource* controlled by objects of *owner*."""

    def __init__(self, writer: Writer, owner: Resource, resource: Resource) -> None:
        self._writer = writer
        self._owner = owner
        self._resource = resource
        self._selectors = SelectorIndex(writer.verbs.storage, owner)

    def notice(self, change: Change) -> None:
        """Keep up with the selectors of the owners."""
        self._selectors.notice(change)

    def owners_of(self, change: Change) -> Iterator[Task]:
        """Whose the changed object is, or was; without a controller, those that may adopt it."""
        for stored in (change.previous, change.stored):
            if stored is None:
                continue
            controller = _controller(stored.head.ownerReferences or ())
            if controller is None:
                for name in self._selectors.selecting(stored.key[0], stored.labels):
                    yield (stored.key[0], name)
            elif controller.get("kind") == self._owner.kind:
                yield (stored.key[0], controller.get("name", ""))

    def of(self, owner: Obj) -> list[Obj]:
        """What *owner* controls now, in no order."""
        verbs = self._writer.verbs
        kind = verbs.registry.of(self._resource)
        place = (self._resource.group, self._resource.plural)
        found = []
        for collection, stored in verbs.storage.dependents(objects.uid(owner)):
            if (collection.resource.group, collection.resource.plural) != place:
                continue
            controller = _controller(stored.head.ownerReferences or ())
            if controller is not None and controller.get("uid") == objects.uid(owner):
                found.append(verbs.present(kind, stored))
        return found

    async def claim(self, owner: Obj, selector: LabelSelector | None) -> list[Obj]:
        """What *owner* controls after taking in what matches and has no controller, and letting go what does not match.

        Raises StatusError.
        """
        kept: list[Obj] = []
        leaving = objects.being_deleted(owner)
        for each in self.of(owner):
            if leaving or (selector and selector.matches(objects.labels(each))):
                kept.append(each)
            else:
                await self._change(each, lambda current: _without(current, owner))
        if leaving or not selector:
            return kept
        verbs = self._writer.verbs
        kind = verbs.registry.of(self._resource)
        for stored in verbs.storage.page(self._resource, objects.namespace(owner)).items:
            if selector.matches(stored.labels) and _controller(stored.head.ownerReferences or ()) is None:
                each = verbs.present(kind, stored)
                if not objects.being_deleted(each) and (adopted := await self._change(each, self._adopting(owner))):
                    kept.append(adopted)
        return kept

    def _adopting(self, owner: Obj) -> Any:
        def adopted(current: Obj) -> Obj:
            if _controller(objects.owner_references(current)) is not None:
                raise Gone
            references = [*objects.owner_references(current), reference_to(owner, self._owner)]
            return {**current, "metadata": {**current["metadata"], "ownerReferences": references}}

        return adopted

    async def _change(self, obj: Obj, make: Any) -> Obj | None:
        try:
            return await self._writer.change(self._resource, obj, make)
        except Gone:
            return None


def _controller(references: Any) -> Obj | None:
    return next((each for each in references if each.get("controller")), None)


def _without(current: Obj, owner: Obj) -> Obj:
    others = [each for each in objects.owner_references(current) if each.get("uid") != objects.uid(owner)]
    return {**current, "metadata": {**current["metadata"], "ownerReferences": others or None}}
