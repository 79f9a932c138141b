"""What keeps definitions in order: their names and conditions, and the end of their instances when they go.

Contract: Kubernetes API surface, section 5.
"""

import contextlib
from collections.abc import Iterator

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import CUSTOMRESOURCEDEFINITIONS, Resource
from podpass.kube.status import StatusError
from podpass.lab.clock import rfc3339
from podpass.lab.cluster.collection import Change
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.controllers.writes import Gone, controller_user, delete
from podpass.lab.cluster.customresources import naming
from podpass.lab.cluster.customresources.definitions import CLEANUP_FINALIZER
from podpass.lab.cluster.deletion import DeleteOptions
from podpass.lab.cluster.registry import Kind
from podpass.lab.cluster.verbs import Verbs

_DEFINITIONS = (CUSTOMRESOURCEDEFINITIONS.group, CUSTOMRESOURCEDEFINITIONS.plural)


class DefinitionController:
    """Gives definitions their names and conditions; empties and lets go those that are deleted."""

    name = "custom-resource-definitions"

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._user = controller_user("custom-resource-definition-controller")

    def concerns(self, change: Change) -> Iterator[Task]:
        place = (change.resource.group, change.resource.plural)
        name = change.stored.key[1]
        if place == _DEFINITIONS:
            if change.type == "DELETED":
                # It gave names back, which others of its group may have waited for.
                yield ("group", name.partition(".")[2])
            else:
                yield ("definition", name)
        elif change.type == "DELETED":
            definition = self._verbs.storage.get(CUSTOMRESOURCEDEFINITIONS, "", f"{place[1]}.{place[0]}")
            if definition is not None and b'"deletionTimestamp"' in definition.body:
                yield ("definition", definition.key[1])

    def everything(self) -> Iterator[Task]:
        for _, name in self._verbs.storage.collection(CUSTOMRESOURCEDEFINITIONS).keys:
            yield ("definition", name)

    async def reconcile(self, task: Task) -> None:
        match task:
            case ("group", group):
                for _, name in tuple(self._verbs.storage.collection(CUSTOMRESOURCEDEFINITIONS).keys):
                    if name.partition(".")[2] == group:
                        await self._definition(name)
            case ("definition", name):
                await self._definition(name)

    async def _definition(self, name: str) -> None:
        definition = self._verbs.find(CUSTOMRESOURCEDEFINITIONS, name)
        if definition is None:
            return
        if objects.being_deleted(definition):
            await self._clean_up(definition)
            return
        settled = naming.settle(definition, self._taken(definition))
        status = objects.status(definition)
        same = status.get("acceptedNames") == settled.accepted and all(
            each.same_as(naming.condition(definition, each.type)) for each in settled.conditions
        )
        if not same:
            # One write for both conditions: by the time anybody sees Established, the kind is in discovery.
            status = {**status, "acceptedNames": settled.accepted}
            await self._write_status(definition, status, settled.conditions)

    def _taken(self, definition: Obj) -> naming.Taken:
        group, own = objects.spec(definition).get("group"), objects.name(definition)
        stored = self._verbs.storage.collection(CUSTOMRESOURCEDEFINITIONS).objects.values()
        others = [each.object() for each in stored if each.key[1] != own and each.key[1].partition(".")[2] == group]
        built_in = [kind.resource for kind in self._verbs.registry if kind.built_in and kind.resource.group == group]
        return naming.taken(others + [naming.of_resource(each) for each in built_in])

    async def _write_status(self, definition: Obj, status: Obj, conditions: tuple[naming.Condition, ...]) -> Obj:
        status = naming.with_conditions(status, conditions, rfc3339(self._verbs.clock.now()))
        return await self._verbs.update(
            CUSTOMRESOURCEDEFINITIONS, {**definition, "status": status}, subresource="status", user=self._user
        )

    # The end

    async def _clean_up(self, definition: Obj) -> None:
        if CLEANUP_FINALIZER not in objects.finalizers(definition):
            return
        kind = self._kind(definition)
        if kind is None and not self._unserved(definition):
            done = naming.Condition(naming.TERMINATING, "False", "NeverEstablished", "resource was never established")
        else:
            text = "CustomResource deletion is in progress"
            progress = naming.Condition(naming.TERMINATING, "True", "InstanceDeletionInProgress", text)
            if not progress.same_as(naming.condition(definition, naming.TERMINATING)):
                definition = await self._write_status(definition, objects.status(definition), (progress,))
            if kind is not None and not await self._emptied(kind):
                # Finalizers hold some; whoever takes the last one off brings us here again.
                return
            done = naming.Condition(naming.TERMINATING, "False", "InstanceDeletionCompleted", "removed all instances")
        kept = [each for each in objects.finalizers(definition) if each != CLEANUP_FINALIZER]
        if kept:
            definition = await self._write_status(definition, objects.status(definition), (done,))
        body = {**definition, "metadata": {**definition["metadata"], "finalizers": kept}}
        await self._verbs.update(CUSTOMRESOURCEDEFINITIONS, body, user=self._user)

    def _unserved(self, definition: Obj) -> bool:
        """Remove what is left of versions that nobody can ask for; whether there was something."""
        place = Resource(
            objects.spec(definition).get("group") or "", "", objects.name(definition).partition(".")[0], "", False
        )
        left = tuple(self._verbs.storage.collection(place).objects.values())
        for stored in left:
            self._verbs.storage.delete(place, stored.object(), stored)
        return bool(left)

    def _kind(self, definition: Obj) -> Kind | None:
        """The served kind that the definition's objects are kept by."""
        names = objects.status(definition).get("acceptedNames") or {}
        place = (objects.spec(definition).get("group"), names.get("plural"))
        for kind in self._verbs.registry:
            if not kind.built_in and kind.stored_as is None and (kind.resource.group, kind.resource.plural) == place:
                return kind
        return None

    async def _emptied(self, kind: Kind) -> bool:
        collection = self._verbs.storage.collection(kind.storage)
        for stored in tuple(collection.objects.values()):
            with contextlib.suppress(Gone, StatusError):
                await delete(self._verbs, kind, stored, DeleteOptions(uid=stored.uid), self._user)
        return not collection.objects
