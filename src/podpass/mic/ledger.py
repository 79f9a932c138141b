"""What every pod is to have at the moment, and which identities machines need because of it."""

from collections.abc import Iterable

from podpass.mic.desired import PodKey, Wanted
from podpass.mic.targets import Target


class Ledger:
    """Kept from change to change, so that one pod's change costs what that pod is worth."""

    def __init__(self) -> None:
        self._wanted: dict[PodKey, tuple[Target | None, tuple[Wanted, ...]]] = {}
        self._users: dict[tuple[Target, str], set[PodKey]] = {}

    def put(self, pod: PodKey, target: Target | None, wanted: Iterable[Wanted]) -> None:
        """What *pod* is to have from now on, on *target*; nothing when *wanted* is empty."""
        self._forget(pod)
        kept = tuple(wanted)
        if not kept:
            return
        self._wanted[pod] = (target, kept)
        if target is not None:
            for resource_id in _ids(kept):
                self._users.setdefault((target, resource_id), set()).add(pod)

    def wanted(self, pod: PodKey) -> tuple[Wanted, ...]:
        return self._wanted.get(pod, (None, ()))[1]

    def is_needed(self, target: Target, resource_id: str) -> bool:
        """Whether any pod on *target* is to have the managed identity."""
        return bool(self._users.get((target, resource_id.lower())))

    def _forget(self, pod: PodKey) -> None:
        target, wanted = self._wanted.pop(pod, (None, ()))
        if target is None:
            return
        for resource_id in _ids(wanted):
            users = self._users.get((target, resource_id))
            if users is not None:
                users.discard(pod)
                if not users:
                    del self._users[target, resource_id]


def _ids(wanted: Iterable[Wanted]) -> set[str]:
    return {each.identity.managed_id for each in wanted if each.identity.managed_id}
