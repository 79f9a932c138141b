"""The cluster's objects: durable in the lab's store, indexed in memory.

Contract: Kubernetes API surface, sections 2.1, 2.4, 2.5, 8.4.
"""

import contextlib
import gc
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.lab.clock import Clock
from podpass.lab.cluster.collection import Change, ChangeType, Collection, Key, Stored
from podpass.lab.store import Store

_SCHEMA = """
CREATE TABLE IF NOT EXISTS cluster_objects (
    cluster   TEXT NOT NULL,
    api_group TEXT NOT NULL,
    resource  TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    rv        INTEGER NOT NULL,
    body      BLOB NOT NULL,
    PRIMARY KEY (cluster, api_group, resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cluster_events (
    cluster   TEXT NOT NULL,
    rv        INTEGER NOT NULL,
    api_group TEXT NOT NULL,
    resource  TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    type      TEXT NOT NULL,
    time      REAL NOT NULL,
    body      BLOB NOT NULL,
    prev_rv   INTEGER NOT NULL,
    prev_body BLOB,
    PRIMARY KEY (cluster, rv)
) WITHOUT ROWID;
"""
_TRIM_EVERY = 500

_encode = msgspec.json.Encoder().encode


class Changed(Exception):
    """The object is no longer the one the write was computed from (or exists already, or is gone)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLimits:
    """How much of each resource's past is kept for watches and paged lists."""

    kept_always: int = 1_000
    """Changes that are kept however old they are."""
    kept_at_most: int = 10_000
    """Changes that are kept however young they are."""
    age_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a collection, as of resourceVersion *rv*."""

    items: list[Stored]
    rv: int
    remaining: int
    """How many more there are; 0 also means that there is no next page."""
    more: bool


class Storage:
    """Reads and writes objects. Every write is one transaction and gets the next resourceVersion."""

    def __init__(self, store: Store, clock: Clock, *, cluster: str, limits: HistoryLimits | None = None) -> None:
        self._store = store
        self._clock = clock
        self._cluster = cluster
        self._limits = limits or HistoryLimits()
        self._collections: dict[tuple[str, str], Collection] = {}
        self._listeners: list[Callable[[Change], None]] = []
        self._dependents: dict[str, set[tuple[tuple[str, str], Key]]] = {}
        self._writes = 0
        self.rv = 0
        store.connection.executescript(_SCHEMA)
        self._load()

    # Reading

    def collection(self, resource: Resource) -> Collection:
        place = (resource.group, resource.plural)
        found = self._collections.get(place)
        if found is None:
            found = self._collections[place] = Collection(resource, self._compacted_at_start)
        elif not found.resource.kind:
            found.resource = resource
        return found

    def get(self, resource: Resource, namespace: str, name: str) -> Stored | None:
        return self.collection(resource).objects.get((namespace, name))

    def version(self, resource: Resource) -> int:
        return self.collection(resource).version

    def collections(self) -> list[Collection]:
        return list(self._collections.values())

    def dependents(self, owner_uid: str) -> list[tuple[Collection, Stored]]:
        """The objects that name *owner_uid* among their owners."""
        found = []
        for place, key in self._dependents.get(owner_uid, ()):
            collection = self._collections[place]
            if (stored := collection.objects.get(key)) is not None:
                found.append((collection, stored))
        return found

    def owner_uids(self) -> list[str]:
        return list(self._dependents)

    def page(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        at: int | None = None,
        after: Key | None = None,
        limit: int = 0,
        accepts: Callable[[Stored], bool] | None = None,
    ) -> Page:
        """Objects in order, at most *limit* (0: all), as they were at *at* (None: now). Raises Compacted."""
        collection = self.collection(resource)
        rv = self.rv if at is None else at
        if at is None or at >= collection.version:
            objects = collection.objects
            candidates = [objects[key] for key in collection.keys_in(namespace, after)]
        else:
            then = collection.as_of(at)
            keys = {key for key in collection.keys_in(namespace, after) if key not in then}
            keys.update(
                key
                for key, stored in then.items()
                if stored is not None and (not namespace or key[0] == namespace) and (after is None or key > after)
            )
            candidates = [then.get(key) or collection.objects[key] for key in sorted(keys)]
        if accepts is None:
            if not limit or len(candidates) <= limit:
                return Page(candidates, rv, 0, False)
            return Page(candidates[:limit], rv, len(candidates) - limit, True)
        matching: list[Stored] = []
        for stored in candidates:
            if accepts(stored):
                if limit and len(matching) == limit:
                    return Page(matching, rv, 0, True)
                matching.append(stored)
        return Page(matching, rv, 0, False)

    # Writing

    def create(self, resource: Resource, key: Key, obj: Obj) -> Stored:
        """Store a new object. Raises Changed when the key is taken."""
        collection = self.collection(resource)
        if key in collection.objects:
            raise Changed
        return self._write(collection, "ADDED", key, obj, None)

    def update(self, resource: Resource, obj: Obj, expected: Stored) -> Stored:
        """Replace *expected*. Raises Changed when it is no longer the stored one."""
        collection = self.collection(resource)
        if collection.objects.get(expected.key) is not expected:
            raise Changed
        return self._write(collection, "MODIFIED", expected.key, obj, expected)

    def delete(self, resource: Resource, obj: Obj, expected: Stored) -> Stored:
        """Remove *expected*; *obj* is its final state. Raises Changed."""
        collection = self.collection(resource)
        if collection.objects.get(expected.key) is not expected:
            raise Changed
        return self._write(collection, "DELETED", expected.key, obj, expected)

    def _write(self, collection: Collection, kind: ChangeType, key: Key, obj: Obj, previous: Stored | None) -> Stored:
        rv = self.rv + 1
        bare = {name: value for name, value in obj.items() if name not in ("apiVersion", "kind")}
        bare["metadata"] = {**obj["metadata"], "resourceVersion": str(rv)}
        stored = Stored(key, rv, _encode(bare))
        now = self._clock.now()
        resource = collection.resource
        place = (self._cluster, resource.group, resource.plural, *key)
        with self._store.transaction() as connection:
            if kind == "DELETED":
                connection.execute(
                    "DELETE FROM cluster_objects"
                    " WHERE cluster=? AND api_group=? AND resource=? AND namespace=? AND name=?",
                    place,
                )
            else:
                connection.execute(
                    "INSERT INTO cluster_objects VALUES (?, ?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET rv = excluded.rv, body = excluded.body",
                    (*place, rv, stored.body),
                )
            connection.execute(
                "INSERT INTO cluster_events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    self._cluster,
                    rv,
                    *place[1:],
                    kind,
                    now,
                    stored.body,
                    previous.rv if previous else 0,
                    previous.body if previous else None,
                ),
            )
            self._writes += 1
            if self._writes % _TRIM_EVERY == 0:
                self._trim_table(connection, now)
        self.rv = rv
        self._index(collection, kind, stored, previous)
        change = Change(rv, kind, resource, stored, previous, now)
        collection.history.append(change)
        collection.version = rv
        self._trim(collection, now)
        for waker in tuple(collection.wakers):
            waker()
        for listener in self._listeners:
            listener(change)
        return stored

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call *listener* after every write, in order. It must not write itself."""
        self._listeners.append(listener)

    def _index(self, collection: Collection, kind: ChangeType, stored: Stored, previous: Stored | None) -> None:
        entry = ((collection.resource.group, collection.resource.plural), stored.key)
        if previous is not None:
            for owner in previous.owner_uids():
                known = self._dependents.get(owner)
                if known is not None:
                    known.discard(entry)
                    if not known:
                        del self._dependents[owner]
        if kind == "DELETED":
            collection.remove(stored.key)
            return
        collection.put(stored)
        for owner in stored.owner_uids():
            self._dependents.setdefault(owner, set()).add(entry)

    def _trim(self, collection: Collection, now: float) -> None:
        history, limits = collection.history, self._limits
        excess = len(history) - limits.kept_always
        # Trimmed in batches: removing from the front of a list moves the rest.
        if excess < max(limits.kept_always // 10, 1):
            return
        too_old = bisect_right(history, now - limits.age_seconds, key=lambda change: change.time)
        drop = max(min(excess, too_old), len(history) - limits.kept_at_most)
        if drop > 0:
            collection.compacted = history[drop - 1].rv
            del history[:drop]

    def _trim_table(self, connection: Any, now: float) -> None:
        """Forget on disk what no collection needs any more. The newest row stays: the counter starts from it."""
        limits = self._limits
        connection.execute(
            "DELETE FROM cluster_events WHERE cluster=? AND rv<=? AND (time<? OR rv<=?)",
            (
                self._cluster,
                self.rv - limits.kept_always,
                now - limits.age_seconds,
                self.rv - limits.kept_at_most,
            ),
        )

    def _load(self) -> None:
        connection = self._store.connection
        oldest, newest = connection.execute(
            "SELECT min(rv), max(rv) FROM cluster_events WHERE cluster=?", (self._cluster,)
        ).fetchone()
        self.rv = newest or 0
        self._compacted_at_start = max((oldest or 1) - 1, 0)
        with _no_collections():
            self._load_objects(connection)
            self._load_history(connection)

    def _load_objects(self, connection: Any) -> None:
        rows = connection.execute(
            "SELECT api_group, resource, namespace, name, rv, body FROM cluster_objects WHERE cluster=?"
            " ORDER BY api_group, resource, namespace, name",
            (self._cluster,),
        )
        dependents = self._dependents
        for place, found in groupby(rows, key=itemgetter(0, 1)):
            collection = self._collection_at(*place)
            objects, keys, newest = collection.objects, collection.keys, 0
            # They come in the order of their keys, so nothing is to be sorted or looked up.
            for _, _, namespace, name, rv, body in found:
                key = (namespace, name)
                stored = objects[key] = Stored(key, rv, body)
                keys.append(key)
                if rv > newest:
                    newest = rv
                for owner in stored.owner_uids():
                    dependents.setdefault(owner, set()).add((place, key))
            collection.version = max(collection.version, newest)
            self.rv = max(self.rv, newest)

    def _load_history(self, connection: Any) -> None:
        rows = connection.execute(
            "SELECT rv, api_group, resource, namespace, name, type, time, body, prev_rv, prev_body FROM cluster_events"
            " WHERE cluster=? ORDER BY rv",
            (self._cluster,),
        )
        collections: dict[tuple[str, str], Collection] = {}
        for rv, group, plural, namespace, name, kind, time, body, prev_rv, prev_body in rows:
            collection = collections.get((group, plural))
            if collection is None:
                collection = collections[group, plural] = self._collection_at(group, plural)
            key = (namespace, name)
            stored = collection.objects.get(key)
            if stored is None or stored.rv != rv:
                stored = Stored(key, rv, body)
            previous = Stored(key, prev_rv, prev_body) if prev_body is not None else None
            collection.history.append(Change(rv, kind, collection.resource, stored, previous, time))
            collection.version = rv

    def _collection_at(self, group: str, plural: str) -> Collection:
        # The resource's other members are not stored; they arrive with the first request for it.
        return self.collection(Resource(group, "", plural, "", False))


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """Objects that all stay are no reason for the garbage collector to look through them again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
