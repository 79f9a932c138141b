"""Users and groups of each tenant, and what belongs to what: members to groups, owners to objects.

Nobody signs in as a user here, so no password is kept. An object id is found whatever its letter case; a user's
principal name too. What belongs to a group may be a user, another group or a service principal.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

from podpass.lab.store import Recollection, Store

SERVICE = "people"

Relation = Literal["member", "owner", "directory-role"]
"""A member of a group, an owner of an object, a holder of a directory role."""


@dataclass(frozen=True, slots=True)
class User:
    """A person of a tenant."""

    tenant_id: str
    object_id: str
    principal_name: str
    display_name: str
    mail_nickname: str
    created: float
    """Seconds since the epoch."""
    enabled: bool = True
    members: dict[str, Any] | None = None
    """What Graph keeps of a user and nobody else here reads."""


@dataclass(frozen=True, slots=True)
class Group:
    """A security group of a tenant."""

    tenant_id: str
    object_id: str
    display_name: str
    mail_nickname: str
    created: float
    """Seconds since the epoch."""
    description: str | None = None


class People:
    """The users and groups of every tenant of the lab."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = Recollection(store, SERVICE)

    def transaction(self) -> AbstractContextManager[object]:
        """Changes made inside are kept together or not at all."""
        return self._store.transaction()

    # Users

    def user(self, tenant_id: str, object_id: str) -> User | None:
        document = self._store.get(SERVICE, "user", _key(tenant_id, object_id))
        return None if document is None else User(**document)

    def user_by_name(self, tenant_id: str, principal_name: str) -> User | None:
        object_id = self._store.get(SERVICE, "user-name", _key(tenant_id, principal_name))
        return None if object_id is None else self.user(tenant_id, object_id)

    def users(self, tenant_id: str) -> tuple[User, ...]:
        return tuple(User(**one) for _, one in self._store.items(SERVICE, "user", _key(tenant_id, "")))

    def put_user(self, user: User) -> None:
        """Create the user, or change it."""
        with self._store.transaction():
            before = self.user(user.tenant_id, user.object_id)
            if before is not None:
                self._store.delete(SERVICE, "user-name", _key(before.tenant_id, before.principal_name))
            self._store.put(SERVICE, "user", _key(user.tenant_id, user.object_id), user)
            self._store.put(SERVICE, "user-name", _key(user.tenant_id, user.principal_name), user.object_id.lower())

    def delete_user(self, user: User) -> None:
        with self._store.transaction():
            self._store.delete(SERVICE, "user", _key(user.tenant_id, user.object_id))
            self._store.delete(SERVICE, "user-name", _key(user.tenant_id, user.principal_name))
            self.forget(user.object_id)

    # Groups

    def group(self, tenant_id: str, object_id: str) -> Group | None:
        document = self._store.get(SERVICE, "group", _key(tenant_id, object_id))
        return None if document is None else Group(**document)

    def groups(self, tenant_id: str) -> tuple[Group, ...]:
        return tuple(Group(**one) for _, one in self._store.items(SERVICE, "group", _key(tenant_id, "")))

    def put_group(self, group: Group) -> None:
        self._store.put(SERVICE, "group", _key(group.tenant_id, group.object_id), group)

    def delete_group(self, group: Group) -> None:
        with self._store.transaction():
            self._store.delete(SERVICE, "group", _key(group.tenant_id, group.object_id))
            self.forget(group.object_id)

    def groups_of(self, object_id: str) -> frozenset[str]:
        """The ids of the groups it is in, by itself or through other groups."""
        return self._known.get("groups-of", object_id.lower(), self._read_groups_of)

    def _read_groups_of(self, object_id: str) -> frozenset[str]:
        found: set[str] = set()
        unseen = [object_id]
        while unseen:
            for group in self.holders("member", unseen.pop()):
                if group not in found:
                    found.add(group)
                    unseen.append(group)
        return frozenset(found)

    # What belongs to what

    def belonging(self, relation: Relation, holder: str) -> tuple[str, ...]:
        """The ids of what belongs to *holder*: a group's members, an object's owners, a role's principals."""
        return self._linked(f"{relation}-of", holder)

    def holders(self, relation: Relation, object_id: str) -> tuple[str, ...]:
        """The ids of what *object_id* belongs to."""
        return self._linked(f"has-{relation}", object_id)

    def add(self, relation: Relation, holder: str, object_id: str) -> bool:
        """Let *object_id* belong to *holder*; False when it did."""
        if object_id.lower() in self.belonging(relation, holder):
            return False
        with self._store.transaction():
            self._store.put(SERVICE, f"{relation}-of", _key(holder, object_id), True)
            self._store.put(SERVICE, f"has-{relation}", _key(object_id, holder), True)
        return True

    def remove(self, relation: Relation, holder: str, object_id: str) -> bool:
        """Let *object_id* belong to *holder* no more; False when it did not."""
        with self._store.transaction():
            self._store.delete(SERVICE, f"has-{relation}", _key(object_id, holder))
            return self._store.delete(SERVICE, f"{relation}-of", _key(holder, object_id))

    def forget(self, object_id: str) -> None:
        """Take an object that is gone out of everything it belonged to or that belonged to it."""
        relations: tuple[Relation, ...] = ("member", "owner", "directory-role")
        with self._store.transaction():
            for relation in relations:
                for holder in self.holders(relation, object_id):
                    self.remove(relation, holder, object_id)
                for one in self.belonging(relation, object_id):
                    self.remove(relation, object_id, one)

    def _linked(self, kind: str, object_id: str) -> tuple[str, ...]:
        prefix = _key(object_id, "")
        return tuple(key[len(prefix) :] for key, _ in self._store.items(SERVICE, kind, prefix))


def _key(one: str, other: str) -> str:
    return f"{one}/{other}".lower()
