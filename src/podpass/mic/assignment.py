"""Which identities are to be added to a machine's and removed from it, and the requests that do so.

Contract: pod identity, sections 2.5, 2.7 and 9 (2, 3, 11, 24).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_IN_ONE_REQUEST = 150
"""What Resource Manager takes in one PATCH."""
_ID = re.compile(
    r"/subscriptions/[^'/,\s]+/resourcegroups/[^'/,\s]+/providers/Microsoft\.ManagedIdentity"
    r"/userAssignedIdentities/[^'/,\s]+",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"'([^']*)'")
_ERRONEOUS = ("LinkedAuthorizationFailed", "FailedIdentityOperation")


@dataclass(frozen=True, slots=True)
class Present:
    """The identity member of a machine as it is."""

    type: str
    ids: frozenset[str]
    """User-assigned identities, in lower case."""
    provisioning_state: str = ""

    @classmethod
    def of(cls, resource: Mapping[str, Any]) -> "Present":
        identity = resource.get("identity") or {}
        assigned = identity.get("userAssignedIdentities") or {}
        state = (resource.get("properties") or {}).get("provisioningState")
        return cls(
            str(identity.get("type") or "None"), frozenset(str(each).lower() for each in assigned), str(state or "")
        )

    @property
    def has_own(self) -> bool:
        """Whether it has a system-assigned identity."""
        return "systemassigned" in self.type.lower().replace(" ", "")


@dataclass(frozen=True, slots=True)
class Difference:
    """Ids in lower case, sorted."""

    add: tuple[str, ...]
    remove: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)


def difference(present: Present, add: Iterable[str], remove: Iterable[str]) -> Difference:
    """What has to change; an id that is in both stays."""
    wanted = {each.lower() for each in add}
    unwanted = {each.lower() for each in remove} - wanted
    return Difference(tuple(sorted(wanted - present.ids)), tuple(sorted(unwanted & present.ids)))


def patches(present: Present, wanted: Difference) -> list[dict[str, Any]]:
    """The bodies of the PATCHes, one after the other, that make the difference."""
    changed: list[tuple[str, dict[str, Any] | None]] = [
        *((each, None) for each in wanted.remove),
        *((each, {}) for each in wanted.add),
    ]
    ids = set(present.ids)
    bodies = []
    for start in range(0, len(changed), MOST_IN_ONE_REQUEST):
        part = dict(changed[start : start + MOST_IN_ONE_REQUEST])
        ids = (ids | {each for each, value in part.items() if value is not None}) - {
            each for each, value in part.items() if value is None
        }
        bodies.append({"identity": _identity(present, part, left=bool(ids))})
    return bodies


def _identity(present: Present, part: Mapping[str, Any], *, left: bool) -> dict[str, Any]:
    if not left:
        return {"type": "SystemAssigned" if present.has_own else "None"}
    return {
        "type": "SystemAssigned, UserAssigned" if present.has_own else "UserAssigned",
        "userAssignedIdentities": dict(part),
    }


def erroneous(error: str, among: Sequence[str]) -> tuple[str, ...]:
    """Those ids of *among* that Resource Manager names as the ones it can't assign; none where it names none."""
    if not any(code in error for code in _ERRONEOUS):
        return ()
    for quoted in _QUOTED.findall(error):
        named = {each.lower() for each in _ID.findall(quoted)}
        if named:
            return tuple(each for each in among if each in named)
    return ()
