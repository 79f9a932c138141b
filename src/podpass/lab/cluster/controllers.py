"""The controllers that every cluster needs: accounts and root certificate, namespaces, garbage, old events.

Each is level-triggered: a change only says where to look; `reconcile` compares what is with what should be, and may
run as often as it likes. Contract: kubernetes surface, sections 2.8, 4.6, 7.5.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Iterator
from typing import Protocol

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import CONFIGMAPS, NAMESPACES, SERVICEACCOUNTS
from podpass.kube.status import StatusError
from podpass.lab.cluster.deletion import FOREGROUND, ORPHAN, DeleteOptions
from podpass.lab.cluster.extension import SYSTEM, User
from podpass.lab.cluster.options import Write
from podpass.lab.cluster.registry import Kind
from podpass.lab.cluster.storage import Change, Key, Stored
from podpass.lab.cluster.tables import seconds_of
from podpass.lab.cluster.verbs import Verbs

FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 30.0
SWEEP_SECONDS = 30.0
ROOT_CA_CONFIGMAP = "kube-root-ca.crt"
DEFAULT_ACCOUNT = "default"

_log = logging.getLogger(__name__)

Task = tuple[str, ...]
"""What to look at; each controller has its own spelling."""


class Controller(Protocol):
    name: str

    def concerns(self, change: Change) -> Iterator[Task]:
        """Where to look after a change. Called inside the write: quick, and without writing."""
        ...

    def everything(self) -> Iterator[Task]:
        """Where to look at the start."""
        ...

    async def reconcile(self, task: Task) -> None:
        """Make it as it should be. Raises StatusError to be called again later."""
        ...


class Loop:
    """Runs one controller: a queue without duplicates, one task at a time, failures again after a growing pause."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.fault = ""
        """What broke in the newest run; empty when it did well."""
        self._waiting: dict[Task, None] = {}
        self._failures: dict[Task, int] = {}
        self._work = asyncio.Event()

    def notice(self, change: Change) -> None:
        for task in self.controller.concerns(change):
            self.add(task)

    def add(self, task: Task) -> None:
        self._waiting[task] = None
        self._work.set()

    async def run(self) -> None:
        for task in self.controller.everything():
            self.add(task)
        async with asyncio.TaskGroup() as group:
            while True:
                await self._work.wait()
                self._work.clear()
                while self._waiting:
                    task = next(iter(self._waiting))
                    del self._waiting[task]
                    if pause := await self._turn(task):
                        group.create_task(self._again(task, pause))

    async def _turn(self, task: Task) -> float:
        """Reconcile; the seconds to wait before the next try, 0 when all is well."""
        try:
            await self.controller.reconcile(task)
        except StatusError as error:
            # Somebody refused, or was quicker: not a fault of this loop, and tried again.
            _log.info("controller.refused name=%s task=%s why=%s", self.controller.name, task, error)
        except Exception as error:  # noqa: BLE001
            # The loop's outermost turn: a fault in one task must not end the care for all others.
            self.fault = f"{self.controller.name}: {type(error).__name__}"
            _log.exception("controller.failed name=%s task=%s", self.controller.name, task)
        else:
            self.fault = ""
            self._failures.pop(task, None)
            return 0.0
        failures = self._failures[task] = self._failures.get(task, 0) + 1
        return float(min(FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 16), LAST_RETRY_SECONDS))

    async def _again(self, task: Task, pause: float) -> None:
        await asyncio.sleep(pause)
        self.add(task)


def _controller_user(name: str) -> User:
    return User(f"system:serviceaccount:kube-system:{name}", groups=SYSTEM.groups)


class NamespaceFurniture:
    """Each namespace has the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`."""

    name = "namespace-furniture"

    def __init__(self, verbs: Verbs, ca_pem: bytes) -> None:
        self._verbs = verbs
        self._certificate = ca_pem.decode()
        self._user = _controller_user("root-ca-cert-publisher")

    def concerns(self, change: Change) -> Iterator[Task]:
        place, (namespace, name) = (change.resource.group, change.resource.plural), change.stored.key
        if place == ("", "namespaces") and change.type == "ADDED":
            yield (name,)
        elif (place == ("", "serviceaccounts") and name == DEFAULT_ACCOUNT and change.type == "DELETED") or (
            place == ("", "configmaps") and name == ROOT_CA_CONFIGMAP and change.type != "ADDED"
        ):
            yield (namespace,)

    def everything(self) -> Iterator[Task]:
        for _, name in self._verbs.storage.collection(NAMESPACES).keys:
            yield (name,)

    async def reconcile(self, task: Task) -> None:
        (name,) = task
        namespace = self._verbs.find(NAMESPACES, name)
        if namespace is None or objects.being_deleted(namespace):
            return
        try:
            await self._account(name)
            await self._root_certificate(name)
        except StatusError as error:
            # Made by somebody else, or the namespace went, in the meantime: the change that did it comes by again.
            if error.reason not in ("AlreadyExists", "NotFound") and "terminated" not in error.message:
                raise

    async def _account(self, namespace: str) -> None:
        if self._verbs.find(SERVICEACCOUNTS, DEFAULT_ACCOUNT, namespace) is None:
            body: Obj = {"metadata": {"name": DEFAULT_ACCOUNT, "namespace": namespace}}
            await self._verbs.create(SERVICEACCOUNTS, body, namespace, user=self._user)

    async def _root_certificate(self, namespace: str) -> None:
        wanted = {"ca.crt": self._certificate}
        found = self._verbs.find(CONFIGMAPS, ROOT_CA_CONFIGMAP, namespace)
        if found is None:
            note = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints."
            body: Obj = {
                "metadata": {
                    "name": ROOT_CA_CONFIGMAP,
                    "namespace": namespace,
                    "annotations": {"kubernetes.io/description": note},
                },
                "data": wanted,
            }
            await self._verbs.create(CONFIGMAPS, body, namespace, user=self._user)
        elif found.get("data") != wanted:
            await self._verbs.update(CONFIGMAPS, {**found, "data": wanted}, user=self._user)


class NamespaceLifecycle:
    """A namespace that is deleted is emptied, pods gracefully, and then goes."""

    name = "namespace-lifecycle"

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._user = _controller_user("namespace-controller")

    def concerns(self, change: Change) -> Iterator[Task]:
        namespace, name = change.stored.key
        if (change.resource.group, change.resource.plural) == ("", "namespaces"):
            if b'"deletionTimestamp"' in change.stored.body and change.type != "DELETED":
                yield (name,)
        elif change.type == "DELETED" and self._terminating(namespace):
            yield (namespace,)

    def _terminating(self, name: str) -> bool:
        found = self._verbs.storage.get(NAMESPACES, "", name)
        return found is not None and b'"deletionTimestamp"' in found.body

    def everything(self) -> Iterator[Task]:
        for _, name in self._verbs.storage.collection(NAMESPACES).keys:
            if self._terminating(name):
                yield (name,)

    async def reconcile(self, task: Task) -> None:
        (name,) = task
        namespace = self._verbs.find(NAMESPACES, name)
        if namespace is None or not objects.being_deleted(namespace):
            return
        left = 0
        # Pods first: what they still use while they stop goes after them.
        for kind in sorted(self._kinds(), key=lambda kind: kind.resource.plural != "pods"):
            for stored in self._verbs.storage.page(kind.storage, name).items:
                with contextlib.suppress(_Gone):
                    await _delete(self._verbs, kind, stored, DeleteOptions(uid=stored.uid), self._user)
            left += len(self._verbs.storage.page(kind.storage, name).items)
            if left and kind.resource.plural == "pods":
                return
        if not left:
            spec = {**objects.spec(namespace), "finalizers": []}
            with contextlib.suppress(StatusError):
                await self._verbs.update(
                    NAMESPACES, {**namespace, "spec": spec}, subresource="finalize", user=self._user
                )

    def _kinds(self) -> Iterator[Kind]:
        for kind in self._verbs.registry:
            if kind.resource.namespaced and kind.stored_as is None and "delete" in kind.verbs:
                yield kind


class GarbageCollector:
    """Objects whose owners are all gone go too; finalizers `foregroundDeletion` and `orphan` are seen to."""

    name = "garbage-collector"

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._user = _controller_user("generic-garbage-collector")

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
                with contextlib.suppress(_Gone):
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
                    with contextlib.suppress(_Gone):
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
            await _update(self._verbs, kind, _owned_by(obj, alive), self._user)
        elif not objects.being_deleted(obj):
            options = DeleteOptions(uid=stored.uid, propagation="Background")
            await _delete(self._verbs, kind, stored, options, self._user)

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
                    with contextlib.suppress(_Gone):
                        await _update(self._verbs, below, _owned_by(body, others), self._user)
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
                with contextlib.suppress(_Gone):
                    await _delete(self._verbs, kind, dependent, options, self._user)
        return any(_blocks(dependent, owner) for _, dependent in self._verbs.storage.dependents(owner.uid))

    async def _without(self, kind: Kind, key: Key, finalizer: str) -> None:
        found = self._verbs.storage.get(kind.storage, *key)
        if found is None:
            return
        obj = self._verbs.present(kind, found)
        kept = [each for each in objects.finalizers(obj) if each != finalizer]
        await _update(self._verbs, kind, {**obj, "metadata": {**obj["metadata"], "finalizers": kept}}, self._user)


class Expiry:
    """Objects with a time to live, which events are, go when it is over. Looks every SWEEP_SECONDS."""

    name = "expiry"

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._user = _controller_user("ttl-controller")

    async def run(self) -> None:
        while True:
            await self.sweep()
            await asyncio.sleep(SWEEP_SECONDS)

    async def sweep(self) -> None:
        now = self._verbs.clock.now()
        for kind in list(self._verbs.registry):
            if kind.time_to_live_seconds is None or kind.stored_as is not None:
                continue
            for stored in self._verbs.storage.page(kind.storage).items:
                obj = stored.object()
                times = (obj["metadata"].get("creationTimestamp"), obj.get("lastTimestamp"))
                newest = max((seconds_of(time) or 0.0 for time in times if time), default=now)
                if now - newest > kind.time_to_live_seconds:
                    with contextlib.suppress(_Gone, StatusError):
                        await _delete(self._verbs, kind, stored, DeleteOptions(uid=stored.uid), self._user)


class _Gone(Exception):
    """The object went, or became another one, before it could be changed."""


async def _delete(verbs: Verbs, kind: Kind, stored: Stored, options: DeleteOptions, user: User) -> None:
    await _if_there(verbs.delete_object(kind, *stored.key, options, Write(user=user)))


async def _update(verbs: Verbs, kind: Kind, obj: Obj, user: User) -> None:
    namespace, name = objects.key(obj)
    await _if_there(verbs.change(kind, namespace, name, lambda _: dict(obj), Write(user=user)))


async def _if_there(action: Awaitable[object]) -> None:
    try:
        await action
    except StatusError as error:
        if error.code == 404 or "Precondition failed: UID" in error.message:
            raise _Gone from error
        raise


def _owned_by(obj: Obj, references: list[Obj]) -> Obj:
    return {**obj, "metadata": {**obj["metadata"], "ownerReferences": references or None}}


def _blocks(dependent: Stored, owner: Stored) -> bool:
    return any(
        reference.get("uid") == owner.uid and reference.get("blockOwnerDeletion")
        for reference in dependent.head.ownerReferences or ()
    )
