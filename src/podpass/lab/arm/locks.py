"""Management locks: what must not be deleted, or not be changed at all, whoever may do so otherwise.

A lock counts at its scope and everything below it, for Resource Manager only: the data of a vault is not its business.
What deletes a scope deletes what lies below, so a lock there counts too. Reads always pass, and so do the calls on
locks themselves.
Contract: Azure HTTP surface, section 1.1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from podpass.lab.arm.authorization import covers
from podpass.lab.arm.errors import ArmError
from podpass.lab.store import Recollection, Store

TYPE = "Microsoft.Authorization/locks"
SERVICE = "arm-locks"
_KIND = "lock"

Level = Literal["CanNotDelete", "ReadOnly"]


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock as it is kept. *scope* has the letter case of what it is on."""

    name: str
    scope: str
    level: Level
    notes: str | None = None
    owners: tuple[str, ...] = ()
    """Client ids of applications."""

    @property
    def id(self) -> str:
        return f"{self.scope}/providers/{TYPE}/{self.name}"

    def to_dict(self) -> dict[str, Any]:
        properties: dict[str, Any] = {"level": self.level}
        if self.notes is not None:
            properties["notes"] = self.notes
        if self.owners:
            properties["owners"] = [{"applicationId": one} for one in self.owners]
        return {"id": self.id, "name": self.name, "type": TYPE, "properties": properties}


def verb_of(action: str) -> Literal["write", "delete", None]:
    """What an action is to a lock. Every call that is no read or delete counts as a write, listing keys included."""
    wanted = action.lower()
    if not wanted or wanted.endswith("/read") or wanted.startswith(f"{TYPE.lower()}/"):
        return None
    return "delete" if wanted.endswith("/delete") else "write"


def blocking(locks: Iterable[Lock], action: str, scope: str) -> tuple[Lock, ...]:
    """The locks that stand against *action* at *scope*."""
    match verb_of(action):
        case "write":
            return tuple(one for one in locks if one.level == "ReadOnly" and covers(one.scope, scope))
        case "delete":
            return tuple(one for one in locks if covers(one.scope, scope) or covers(scope, one.scope))
    return ()


class ScopeLocked(ArmError):
    """A lock stands against a call."""

    def __init__(self, action: str, scope: str, locks: Sequence[Lock]) -> None:
        locked = ", ".join(f"'{one}'" for one in dict.fromkeys(lock.scope for lock in locks))
        super().__init__(
            409,
            "ScopeLocked",
            f"The scope '{scope}' cannot perform {verb_of(action)} operation because following scope(s) are "
            f"locked: {locked}. Please remove the lock and try again.",
        )
        self.locks = tuple(locks)

    @property
    def values(self) -> dict[str, str]:
        """What the remedy needs to know."""
        first = self.locks[0]
        return {"lock": first.id, "level": first.level, "locked": first.scope}


class Locks:
    """The locks of every subscription."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = Recollection(store, SERVICE)

    def all(self) -> tuple[Lock, ...]:
        """All of them; few, and asked for with every write."""
        return self._known.get("all", "", self._read_all)

    def _read_all(self, key: str) -> tuple[Lock, ...]:
        del key
        found = (document for _, document in self._store.items(SERVICE, _KIND))
        return tuple(Lock(**{**one, "owners": tuple(one["owners"])}) for one in found)

    def get(self, lock_id: str) -> Lock | None:
        return next((one for one in self.all() if one.id.lower() == lock_id.lower()), None)

    def put(self, lock: Lock) -> None:
        self._store.put(SERVICE, _KIND, lock.id.lower(), lock)

    def delete(self, lock: Lock) -> None:
        self._store.delete(SERVICE, _KIND, lock.id.lower())

    def delete_below(self, scope: str) -> None:
        """Remove those at *scope* and below it, which is gone."""
        for lock in self.all():
            if covers(scope, lock.scope):
                self.delete(lock)

    def check(self, action: str, scope: str) -> None:
        """Raises ArmError when a lock stands against *action* at *scope*."""
        found = blocking(self.all(), action, scope)
        if found:
            raise ScopeLocked(action, scope, found)
