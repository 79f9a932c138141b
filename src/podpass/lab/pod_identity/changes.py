"""What is to be done so that a cluster has the wanted objects, as they are wanted. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.podidentity.resources import IDENTITIES

Key = tuple[str, str, str]
"""Kind, namespace and name."""


@dataclass(frozen=True, slots=True)
class Create:
    obj: Obj

    def __str__(self) -> str:
        return f"create {_words(self.obj)}"


@dataclass(frozen=True, slots=True)
class Restore:
    """Put back what somebody has changed, or what is wanted otherwise now; *obj* is what takes its place."""

    obj: Obj

    def __str__(self) -> str:
        return f"restore {_words(self.obj)}"


@dataclass(frozen=True, slots=True)
class Delete:
    obj: Obj

    def __str__(self) -> str:
        return f"delete {_words(self.obj)}"


Change = Create | Restore | Delete


def changes(wanted: Iterable[Obj], present: Iterable[Obj], *, owned: Iterable[Obj]) -> list[Change]:
    """What makes *present* hold all that is *wanted*; of the *owned* objects none is to stay that is not wanted.

    An object of somebody else that has the name of a wanted one becomes that.
    """
    by_key = {_key(each): each for each in present}
    wanted_by_key = {_key(each): each for each in wanted}
    found: list[Change] = [
        Delete(each) for each in owned if _key(each) not in wanted_by_key and not objects.being_deleted(each)
    ]
    for key, each in wanted_by_key.items():
        if key not in by_key:
            found.append(Create(each))
        elif not _is_as_wanted(by_key[key], each) and not objects.being_deleted(by_key[key]):
            found.append(Restore(_replaced(by_key[key], each)))
    return found


def includes(actual: Any, wanted: Any) -> bool:
    """Whether *actual* says all that *wanted* says; a server adds defaults and its own members."""
    if isinstance(wanted, Mapping):
        return isinstance(actual, Mapping) and all(
            name in actual and includes(actual[name], value) if value not in ({}, []) else not actual.get(name)
            for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(wanted)
            and all(includes(one, other) for one, other in zip(actual, wanted, strict=True))
        )
    return bool(actual == wanted)


def _is_as_wanted(actual: Obj, wanted: Obj) -> bool:
    # What a server adds nothing to is as wanted only when nobody else has added to it either.
    if wanted["apiVersion"] == IDENTITIES.api_version and objects.spec(actual) != objects.spec(wanted):
        return False
    return includes(actual, wanted)


def _replaced(actual: Obj, wanted: Obj) -> Obj:
    """*wanted* in the place of *actual*, whose identity and foreign labels it keeps."""
    before, after = objects.metadata(actual), objects.metadata(wanted)
    metadata = {
        **before,
        **after,
        "labels": {**objects.labels(actual), **objects.labels(wanted)},
        "annotations": {**objects.annotations(actual), **objects.annotations(wanted)},
    }
    return {**wanted, "metadata": metadata}


def _key(obj: Obj) -> Key:
    return obj["kind"], objects.namespace(obj), objects.name(obj)


def _words(obj: Obj) -> str:
    return "/".join(part for part in _key(obj) if part)
