"""What is to be done in vaults without being asked, and when: keys rotated, certificates renewed, people told.

It is done when somebody next calls the vault, dated at the time it was due: nobody can tell the difference, and a
lab that was off, or whose clock jumped, catches up.
"""

from dataclasses import dataclass

from podpass.lab.arm import Vault
from podpass.lab.keyvault.shelves import SERVICE
from podpass.lab.store import Recollection, Store

_KIND = "due"
MOST_AT_ONCE = 24
"""Of one object in one go: a clock that jumps a century must not make keys for an hour."""


@dataclass(frozen=True, slots=True)
class Due:
    """One thing to be done."""

    at: float
    """In seconds since the epoch, of the lab's time."""
    what: str
    name: str
    """Of the object, in lower case."""


class Agenda:
    """What is due, by vault, kind and name."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read = Recollection(store, SERVICE)

    def plan(self, vault: Vault, what: str, name: str, at: float | None) -> None:
        """Do *what* at that time instead of any other; None: not at all."""
        key = f"{vault.instance}/{what}/{name.lower()}"
        if at is not None:
            self._store.put(SERVICE, _KIND, key, at)
        elif self._store.get(SERVICE, _KIND, key) is not None:
            self._store.delete(SERVICE, _KIND, key)

    def due(self, vault: Vault, kinds: frozenset[str], now: float) -> Due | None:
        """What of these *kinds* is to be done next, when its time has come."""
        for one in self._read.get(_KIND, vault.instance, self._of_vault):
            if one.at > now:
                break
            if one.what in kinds:
                return one
        return None

    def drop(self, instance: str) -> None:
        """Forget everything of a purged vault."""
        for key, _ in self._store.items(SERVICE, _KIND, f"{instance}/"):
            self._store.delete(SERVICE, _KIND, key)

    def _of_vault(self, instance: str) -> tuple[Due, ...]:
        found = []
        for key, at in self._store.items(SERVICE, _KIND, f"{instance}/"):
            _, what, name = key.split("/", 2)
            found.append(Due(at, what, name))
        return tuple(sorted(found, key=lambda one: (one.at, one.what, one.name)))
