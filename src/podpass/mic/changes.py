"""What is to be done about one pod: what it is to have beside what it has.

Contract: pod identity, sections 2.4 and 2.5.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from podpass.mic.desired import Wanted, renamed
from podpass.podidentity.objects import AssignedIdentity


@dataclass(frozen=True, slots=True)
class Changes:
    """The objects to create, to write anew in place of others, to assign once more, and to delete."""

    create: tuple[Wanted, ...] = ()
    update: tuple[tuple[Wanted, AssignedIdentity], ...] = ()
    retry: tuple[Wanted, ...] = ()
    delete: tuple[AssignedIdentity, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.create or self.update or self.retry or self.delete)


def changes(
    wanted: Iterable[Wanted],
    present: Iterable[AssignedIdentity],
    *,
    others: Mapping[tuple[str, str], AssignedIdentity] | None = None,
) -> Changes:
    """From *present*, the pod's objects, to *wanted*. *others* are those of other pods under a name that is wanted."""
    held = {(each.namespace, each.name): each for each in present}
    create: list[Wanted] = []
    update: list[tuple[Wanted, AssignedIdentity]] = []
    retry: list[Wanted] = []
    for each in wanted:
        if others and each.key in others and each.key not in held:
            each = renamed(each)
        found = held.pop(each.key, None)
        if found is None:
            create.append(each)
        elif not is_same(each, found):
            update.append((each, found))
        elif found.status == "Created" or found.former:
            retry.append(each)
        elif found.status == "Unassigned":
            # It was on its way out when it was wanted again.
            update.append((each, found))
    return Changes(tuple(create), tuple(update), tuple(retry), tuple(held.values()))


def is_same(wanted: Wanted, present: AssignedIdentity) -> bool:
    """Whether the object says what it should: an edited identity or binding makes it another."""
    return (
        present.binding == (wanted.binding.namespace, wanted.binding.name)
        and present.binding_version == wanted.binding.resource_version
        and present.identity.key == wanted.identity.key
        and present.identity.resource_version == wanted.identity.resource_version
        and present.pod == wanted.pod.key
        and present.node == wanted.pod.node
    )
