"""How controllers write: in a name of their own, to objects that may have gone in the meantime."""

from collections.abc import Awaitable

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.status import StatusError
from podpass.lab.cluster.collection import Stored
from podpass.lab.cluster.deletion import DeleteOptions
from podpass.lab.cluster.extension import SYSTEM, User
from podpass.lab.cluster.options import Write
from podpass.lab.cluster.registry import Kind
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


async def _if_there(action: Awaitable[object]) -> None:
    try:
        await action
    except StatusError as error:
        if error.code == 404 or "Precondition failed: UID" in error.message:
            raise Gone from error
        raise


def controller_user(name: str) -> User:
    return User(f"system:serviceaccount:kube-system:{name}", groups=SYSTEM.groups)
