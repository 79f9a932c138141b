"""The objects of one resource in memory, as encoded JSON, with the history of their changes.

Bodies are kept without `apiVersion` and `kind`, as items of lists are written; whoever answers a request puts them
in front. So one body serves every version of a resource, and lists and watch events are joined, not re-serialised.
Contract: Kubernetes API surface, sections 2.4 and 2.5.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from podpass.kube.objects import Obj
from podpass.kube.resources import Resource

Key = tuple[str, str]
"""Namespace and name."""
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]

_NEAR = 16
_LAST_TEXT = "\U0010ffff"

_decode = msgspec.json.Decoder().decode


class _Metadata(msgspec.Struct):
    uid: str = ""
    labels: dict[str, str] | None = None
    ownerReferences: list[dict[str, Any]] | None = None  # noqa: N815


class _Head(msgspec.Struct):
    metadata: _Metadata


_decode_head = msgspec.json.Decoder(_Head).decode


class Compacted(Exception):
    """The history no longer reaches back to the resourceVersion asked for."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"resourceVersion {asked} is older than {oldest}")
        self.asked, self.oldest = asked, oldest


class Stored:
    """One state of one object. Never changes; what is parsed out of the body is kept once asked for."""

    __slots__ = ("_fields", "_head", "body", "key", "rv")

    def __init__(self, key: Key, rv: int, body: bytes) -> None:
        self.key, self.rv, self.body = key, rv, body
        self._head: _Metadata | None = None
        self._fields: tuple[object, Mapping[str, str]] | None = None

    def object(self) -> Obj:
        """A fresh copy of the object, without apiVersion and kind; the caller may change it."""
        found: Obj = _decode(self.body)
        return found

    @property
    def head(self) -> _Metadata:
        if self._head is None:
            self._head = _decode_head(self.body).metadata
        return self._head

    @property
    def uid(self) -> str:
        return self.head.uid

    @property
    def labels(self) -> Mapping[str, str]:
        return self.head.labels or {}

    def owner_uids(self) -> Iterator[str]:
        # Most objects have no owner; looking for the word is much cheaper than decoding at every start.
        if b'"ownerReferences"' in self.body:
            for reference in self.head.ownerReferences or ():
                yield str(reference.get("uid", ""))

    def fields(self, compute: Callable[[Obj], Mapping[str, str]]) -> Mapping[str, str]:
        """The values for field selectors; *compute* is the kind's and is called once."""
        if self._fields is None or self._fields[0] != compute:
            self._fields = (compute, compute(self.object()))
        return self._fields[1]


@dataclass(slots=True, eq=False)
class Change:
    """One write: what the object became, and what it was before."""

    rv: int
    type: ChangeType
    resource: Resource
    stored: Stored
    """For DELETED the last state, with the resourceVersion of the deletion."""
    previous: Stored | None
    time: float
    lines: dict[bytes, bytes] = field(default_factory=dict)
    """The encoded watch lines, shared by all watchers, by what stands in front of the object."""


class Collection:
    """The objects of one resource in order of namespace and name, and what happened to them lately."""

    def __init__(self, resource: Resource, compacted: int) -> None:
        self.resource = resource
        self.objects: dict[Key, Stored] = {}
        self.keys: list[Key] = []
        self.history: list[Change] = []
        self.compacted = compacted
        """Changes up to this resourceVersion are forgotten."""
        self.version = 0
        """The resourceVersion of the newest change."""
        self.wakers: set[Callable[[], None]] = set()

    def keys_in(self, namespace: str, after: Key | None = None) -> Iterable[Key]:
        low = bisect_left(self.keys, (namespace, "")) if namespace else 0
        if after is not None:
            low = max(low, bisect_right(self.keys, after))
        high = bisect_right(self.keys, (namespace, _LAST_TEXT)) if namespace else len(self.keys)
        return self.keys[low:high]

    def changes_after(self, rv: int) -> list[Change]:
        """Raises Compacted."""
        if rv < self.compacted:
            raise Compacted(rv, self.compacted)
        history = self.history
        at = len(history)
        # Who keeps up is only a few changes behind.
        for _ in range(_NEAR):
            if not at or history[at - 1].rv <= rv:
                return history[at:]
            at -= 1
        return history[bisect_right(history, rv, hi=at, key=_rv_of) :]

    def as_of(self, rv: int) -> dict[Key, Stored | None]:
        """What differs from now at *rv*: for each key the state then, None where it did not exist. Raises Compacted."""
        then: dict[Key, Stored | None] = {}
        for change in reversed(self.changes_after(rv)):
            then[change.stored.key] = change.previous
        return then

    def put(self, stored: Stored) -> None:
        if stored.key not in self.objects:
            if not self.keys or stored.key > self.keys[-1]:
                self.keys.append(stored.key)
            else:
                insort(self.keys, stored.key)
        self.objects[stored.key] = stored

    def remove(self, key: Key) -> None:
        del self.objects[key]
        del self.keys[bisect_left(self.keys, key)]


def _rv_of(change: Change) -> int:
    return change.rv
