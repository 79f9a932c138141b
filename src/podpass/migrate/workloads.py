"""Who uses pod identity: the workloads on top, by their pods and by what they would make pods like. Pure.

Contract: pod identity, section 7.1 (2).
"""

from dataclasses import dataclass

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.migrate.estate import TEMPLATES, Estate, Key, selector_of


@dataclass(frozen=True, slots=True)
class User:
    """A workload whose pods ask for an identity with *selector*."""

    key: Key
    selector: str
    owner: str = ""
    """Who made it, where that is of a kind that nothing is known of: it would undo what is changed here."""


def users(estate: Estate) -> list[User]:
    """Each workload once, in the order of namespace, name and kind."""
    found: dict[Key, User] = {}
    for key, workload in estate.workloads.items():
        selector = selector_of(workload)
        if not selector:
            continue
        top, owner = _top(key, workload, estate)
        # What the top makes its pods like counts more than a pod that is left of an older state.
        own = selector_of(estate.workloads[top])
        if top not in found or own == selector:
            found[top] = User(top, own or selector, owner)
    return sorted(found.values(), key=lambda user: (user.key[1], user.key[2], user.key[0]))


def _top(key: Key, workload: Obj, estate: Estate) -> tuple[Key, str]:
    """The workload that made all others down to *workload*, and who made that one, if somebody unknown did."""
    seen = {key}
    while True:
        owner = next((each for each in objects.owner_references(workload) if each.get("controller")), None)
        if owner is None:
            return key, ""
        above = (str(owner.get("kind")), key[1], str(owner.get("name")))
        if above[0] not in TEMPLATES:
            return key, f"{above[0]} {above[2]}"
        if above not in estate.workloads or above in seen:
            return key, ""
        seen.add(above)
        key, workload = above, estate.workloads[above]
