"""What owners leave behind: dependents that go with them, wait for them, or are let go."""

import contextlib
from collections.abc import Iterator

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.cluster.collection import Change, Key, Stored
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.controllers.writes import Gone, controller_user, delete, update
from podpass.lab.cluster.deletion import FOREGROUND, ORPHAN, DeleteOptions
from podpass.lab.cluster.registry import Kind
from podpass.lab.cluster.verbs import Verbs


class GarbageCollector:
    """Objects whose owners are all gone go too; finalizers `foregroundDeletion` and `orphan` are seen to."""

    name = "garbage-collector"

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._user = controller_user("generic-garbage-collector")

    def concerns(self, change: Change) -> Iterator[Task]:
        stored, resource = change.stored, change.resource
        if change.type == "DELETED":
            for collection, dependent in self._verbs.storage.dependents(stored.uid):
                yield ("dependent", collection.resource.group, collection.resource.plural, *dependent.key)
            for owner in stored.owner_uids():
                yield ("owner", owner)
            return
        if b'"ownerReferences"' in stored.body:
            yield ("dependent", resource.group, resource.plural, *stored.key)
        if b'"deletionTimestamp"' in stored.body and (b'"orphan"' in stored.body or FOREGROUND.encode() in stored.body):
            yield ("deleted", resource.group, resource.plural, *stored.key)

    def everything(self) -> Iterator[Task]:
        for collection in self._verbs.storage.collections():
            place = (collection.resource.group, collection.resource.plural)
            for stored in collection.objects.values():
                if b'"ownerReferences"' in stored.body:
                    yield ("dependent", *place, *stored.key)
                if b'"deletionTimestamp"' in stored.body:
                    yield ("deleted", *place, *stored.key)

    async def reconcile(self, task: Task) -> None:
        match task:
            case ("owner", uid):
                await self._owner(uid)
            case ("dependent" | "deleted" as what, group, plural, namespace, name):
                kind = self._kind(group, plural)
                stored = kind and self._verbs.storage.get(kind.storage, namespace, name)
                if not kind or not stored:
                    return
                with contextlib.suppress(Gone):
                    if what == "dependent":
                        await self._dependent(kind, stored)
                    else:
                        await self._deleted(kind, stored)

    def _kind(self, group: str, plural: str) -> Kind | None:
        for kind in self._verbs.registry:
            if (kind.resource.group, kind.resource.plural) == (group, plural) and kind.stored_as is None:
                return kind
        return None

    async def _owner(self, uid: str) -> None:
        """A dependent went: its owner may be waiting for that."""
        for collection in self._verbs.storage.collections():
            kind = self._kind(collection.resource.group, collection.resource.plural)
            for stored in list(collection.objects.values()):
                if kind and b'"deletionTimestamp"' in stored.body and stored.uid == uid:
                    with contextlib.suppress(Gone):
                        await self._deleted(kind, stored)

    async def _dependent(self, kind: Kind, stored: Stored) -> None:
        obj = self._verbs.present(kind, stored)
        references = objects.owner_references(obj)
        alive, unknown = [], False
        for reference in references:
            owner = self._verbs.registry.find_kind(reference.get("apiVersion", ""), reference.get("kind", ""))
            if owner is None:
                # Its kind is not served (yet): nobody can say that the owner is gone.
                unknown = True
                continue
            place = stored.key[0] if owner.resource.namespaced else ""
            found = self._verbs.storage.get(owner.storage, place, reference.get("name", ""))
            if found is not None and found.uid == reference.get("uid"):
                alive.append(reference)
        if not references or unknown or len(alive) == len(references):
            return
        if alive:
            await update(self._verbs, kind, _owned_by(obj, alive), self._user)
        elif not objects.being_deleted(obj):
            options = DeleteOptions(uid=stored.uid, propagation="Background")
            await delete(self._verbs, kind, stored, options, self._user)

    async def _deleted(self, kind: Kind, stored: Stored) -> None:
        obj = self._verbs.present(kind, stored)
        finalizers = objects.finalizers(obj)
        if not objects.being_deleted(obj):
            return
        if ORPHAN in finalizers:
            for collection, dependent in self._verbs.storage.dependents(stored.uid):
                below = self._kind(collection.resource.group, collection.resource.plural)
                if below is not None:
                    body = self._verbs.present(below, dependent)
                    others = [each for each in objects.owner_references(body) if each.get("uid") != stored.uid]
                    with contextlib.suppress(Gone):
                        await update(self._verbs, below, _owned_by(body, others), self._user)
            await self._without(kind, stored.key, ORPHAN)
        elif FOREGROUND in finalizers and not await self._delete_dependents(stored):
            await self._without(kind, stored.key, FOREGROUND)

    async def _delete_dependents(self, owner: Stored) -> bool:
        """Whether there are still dependents that the owner waits for."""
        for collection, dependent in self._verbs.storage.dependents(owner.uid):
            kind = self._kind(collection.resource.group, collection.resource.plural)
            if kind is not None and b'"deletionTimestamp"' not in dependent.body:
                options = DeleteOptions(
                    uid=dependent.uid, propagation="Foreground" if _blocks(dependent, owner) else ""
                )
                with contextlib.suppress(Gone):
                    await delete(self._verbs, kind, dependent, options, self._user)
        return any(_blocks(dependent, owner) for _, dependent in self._verbs.storage.dependents(owner.uid))

    async def _without(self, kind: Kind, key: Key, finalizer: str) -> None:
        found = self._verbs.storage.get(kind.storage, *key)
        if found is None:
            return
        obj = self._verbs.present(kind, found)
        kept = [each for each in objects.finalizers(obj) if each != finalizer]
        await update(self._verbs, kind, {**obj, "metadata": {**obj["metadata"], "finalizers": kept}}, self._user)


def _owned_by(obj: Obj, references: list[Obj]) -> Obj:
    return {**obj, "metadata": {**obj["metadata"], "ownerReferences": references or None}}


def _blocks(dependent: Stored, owner: Stored) -> bool:
    return any(
        reference.get("uid") == owner.uid and reference.get("blockOwnerDeletion")
        for reference in dependent.head.ownerReferences or ()
    )
