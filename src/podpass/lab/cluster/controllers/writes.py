"""How controllers write: in a name of their own, to objects that may have gone in the meantime."""

from collections.abc import Awaitable, Callable

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.kube.status import StatusError
from podpass.lab.cluster.collection import Stored
from podpass.lab.cluster.deletion import DeleteOptions
from podpass.lab.cluster.extension import SYSTEM, User
from podpass.lab.cluster.registry import Kind
from podpass.lab.cluster.requests.options import Write
from podpass.lab.cluster.verbs import Verbs


class Gone(Exception):
    """The object went, or became another one, before it could be changed."""


async def delete(verbs: Verbs, kind: Kind, stored: Stored, options: DeleteOptions, user: User) -> None:
    """Raises Gone, StatusError."""
    await _if_there(verbs.delete_object(kind, *stored.key, options, Write(user=user)))


async def update(verbs: Verbs, kind: Kind, obj: Obj, user: User) -> None:
    """Replace the object of that name. Raises Gone, StatusError."""
    namespace, name = objects.key(obj)
    await _if_there(verbs.change(kind, namespace, name, lambda _: dict(obj), Write(user=user)))


_ANOTHER_UID = ("the UID in the precondition", "Precondition failed: UID")
"""What a DELETE and an update of an object with another uid are refused with."""


async def _if_there(action: Awaitable[object]) -> None:
    try:
        await action
    except StatusError as error:
        if error.code == 404 or any(text in error.message for text in _ANOTHER_UID):
            raise Gone from error
        raise


def controller_user(name: str) -> User:
    return User(f"system:serviceaccount:kube-system:{name}", groups=SYSTEM.groups)


class Writer:
    """Writes as one controller: its account, and the name under which managedFields know it."""

    MANAGER = "kube-controller-manager"

    def __init__(self, verbs: Verbs, name: str) -> None:
        self.verbs = verbs
        self.name = name
        self.user = controller_user(name)

    def _write(self, subresource: str = "") -> Write:
        return Write(user=self.user, manager=self.MANAGER, subresource=subresource)

    def read(self, resource: Resource, namespace: str, name: str, uid: str = "") -> Obj | None:
        """The object; None when it is gone, or is another one than *uid*."""
        found = self.verbs.find(resource, name, namespace)
        return found if found is not None and uid in ("", objects.uid(found)) else None

    async def create(self, resource: Resource, obj: Obj) -> Obj:
        """Raises StatusError."""
        kind = self.verbs.registry.of(resource)
        return self.verbs.present(
            kind, await self.verbs.create_object(kind, obj, objects.namespace(obj), self._write())
        )

    async def change(self, resource: Resource, obj: Obj, make: Callable[[Obj], Obj], subresource: str = "") -> Obj:
        """What *make* turns the stored state of *obj* into. Raises Gone, also for another of that name; StatusError."""
        kind = self.verbs.registry.of(resource)
        namespace, name = objects.key(obj)
        uid = objects.uid(obj)

        def checked(current: Obj) -> Obj:
            if uid and objects.uid(current) != uid:
                raise Gone
            return make(current)

        write = self._write(subresource)
        try:
            return self.verbs.present(kind, await self.verbs.change(kind, namespace, name, checked, write))
        except StatusError as error:
            if error.code == 404:
                raise Gone from error
            raise

    async def write_status(self, resource: Resource, obj: Obj, status: Obj) -> Obj:
        """Raises Gone, StatusError. Nothing is written when the status is that already."""
        if objects.status(obj) == status:
            return obj
        return await self.change(resource, obj, lambda current: {**current, "status": status}, "status")

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str, propagation: str = "") -> None:
        """Raises Gone, StatusError."""
        kind = self.verbs.registry.of(resource)
        options = DeleteOptions(uid=uid, propagation=propagation)
        await _if_there(self.verbs.delete_object(kind, namespace, name, options, self._write()))
