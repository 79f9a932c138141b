"""How clusters were made last, kept with what they keep."""

from typing import TYPE_CHECKING

import msgspec

from podpass.lab.store import Store

if TYPE_CHECKING:
    from podpass.lab.fleet.plan import Applied

_SERVICE, _KIND = "fleet", "applied"


class AppliedRecords:
    """In *store*, by guid."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, guid: str) -> "Applied | None":
        kept = self._store.get(_SERVICE, _KIND, guid)
        if kept is None:
            return None
        from podpass.lab.fleet.plan import Applied

        return msgspec.convert(kept, Applied)

    def put(self, guid: str, applied: "Applied") -> None:
        self._store.put(_SERVICE, _KIND, guid, applied)
