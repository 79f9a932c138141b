"""A live copy of one collection: list, then watch, for ever.

Contract: Kubernetes API surface, sections 2.4, 2.5 and 8.3.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar, cast

import msgspec

from podpass.kube import objects
from podpass.kube.client import CALL_FAILURES, PAGE_SIZE, AnswerUnusable, ApiError, Client
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource

FIRST_WAIT_SECONDS = 0.8
LONGEST_WAIT_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A watch that held this long earns the shortest wait again."""

_START_OVER = frozenset({400, 404, 422, 504})
"""Refusals of a watch that asking again with the same resourceVersion would only repeat."""

T = TypeVar("T")
Key = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


class Metadata(msgspec.Struct, rename="camel"):
    """The metadata that every projected struct needs: `class Seen(msgspec.Struct): metadata: Metadata; …`."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """*before* is None when the object is new, *after* when it is gone."""

    type: ChangeType
    key: Key
    before: T | None
    after: T | None


class Failures(Protocol):
    """Told of each failed turn; it logs and counts."""

    def __call__(self, resource: Resource, error: Exception, wait_seconds: float) -> None: ...


class Reflector(Generic[T]):
    """A cache of a collection that follows its changes; `run` is to be owned by the caller's TaskGroup.

    With *project*, a msgspec.Struct with a `metadata: Metadata` member, only its members are decoded and kept. Without
    it objects are dicts, less their managedFields. *indexers* map an index's name to a function from an object to
    its values there. Change callbacks are called in order, one by one, and must not block.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        project: type[T] | None = None,
        indexers: Mapping[str, Callable[[T], Iterable[str]]] | None = None,
        on_change: Callable[[Change[T]], None] | None = None,
        on_failure: Failures | None = None,
        page_size: int = PAGE_SIZE,
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        """Set once the first list is complete."""
        self._client = client
        self._namespace = namespace
        self._label_selector, self._field_selector = label_selector, field_selector
        self._item_type: type[Any] = project if project is not None else cast("type[Any]", Obj)
        self._raw = project is None
        self._indexers = dict(indexers or {})
        self._callbacks: list[Callable[[Change[T]], None]] = [on_change] if on_change else []
        self._on_failure = on_failure
        self._page_size = page_size
        self._first_wait_seconds = first_wait_seconds
        self._items: dict[Key, T] = {}
        self._versions: dict[Key, str] = {}
        self._indexes: dict[str, dict[str, set[Key]]] = {name: {} for name in self._indexers}
        self._resource_version = ""

    @property
    def resource_version(self) -> str:
        """The version up to which the copy is known to be complete."""
        return self._resource_version

    def on_change(self, callback: Callable[[Change[T]], None]) -> None:
        """Call *callback* for each later change, and now for every object that is already here."""
        self._callbacks.append(callback)
        for key, item in self._items.items():
            callback(Change("ADDED", key, None, item))

    def get(self, namespace: str, name: str) -> T | None:
        return self._items.get((namespace, name))

    def items(self) -> list[T]:
        return list(self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def indexed(self, index: str, value: str) -> list[T]:
        """The objects for which the indexer *index* gave *value*. Raises KeyError for an unknown index."""
        return [self._items[key] for key in self._indexes[index].get(value, ())]

    async def run(self) -> None:
        """Keep the copy current until cancelled."""
        wait = self._first_wait_seconds
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            listed = not self._resource_version
            try:
                if listed:
                    await self._list()
                await self._watch()
                wait = self._first_wait_seconds
                # A server that accepts and at once closes each watch must not be asked in a tight loop.
                pause = 0.0 if loop.time() - started > 1.0 else self._first_wait_seconds * random.uniform(0.5, 1.0)  # noqa: S311
                await asyncio.sleep(pause)
            except CALL_FAILURES as error:
                if isinstance(error, ApiError) and error.expired and self._resource_version:
                    self._resource_version = ""
                    if not listed:
                        # Our place in the history is gone; that is ordinary and needs no wait.
                        continue
                if isinstance(error, AnswerUnusable) or (isinstance(error, ApiError) and error.status in _START_OVER):
                    self._resource_version = ""
                if loop.time() - started > STEADY_SECONDS:
                    wait = self._first_wait_seconds
                # Half of the wait is random, so that a thousand clients of one server do not return together.
                pause = wait * random.uniform(0.5, 1.0)  # noqa: S311
                if isinstance(error, ApiError) and error.retry_after_seconds:
                    pause = max(pause, min(error.retry_after_seconds, LONGEST_WAIT_SECONDS))
                if self._on_failure is not None:
                    self._on_failure(self.resource, error, pause)
                await asyncio.sleep(pause)
                wait = min(wait * 2, LONGEST_WAIT_SECONDS)

    async def _list(self) -> None:
        seen: dict[Key, T] = {}
        version = ""
        pages = self._client.pages(
            self.resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            limit=self._page_size,
            item_type=self._item_type,
        )
        async with contextlib.aclosing(pages):
            async for page in pages:
                version = page.resource_version
                for item in page.items:
                    self._trim(item)
                    seen[_key(item)] = item
        for key in [key for key in self._items if key not in seen]:
            self._forget(key)
        for key, item in seen.items():
            if self._versions.get(key) != _version(item) or not _version(item):
                self._remember(key, item)
        self._resource_version = version
        self.synced.set()

    async def _watch(self) -> None:
        events = self._client.watch(
            self.resource,
            self._namespace,
            resource_version=self._resource_version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            item_type=self._item_type,
        )
        async with contextlib.aclosing(events):
            async for event in events:
                item = cast("T | None", event.object)
                if item is not None:
                    self._trim(item)
                    if event.type == "DELETED":
                        self._forget(_key(item), last=item)
                    else:
                        self._remember(_key(item), item)
                if event.resource_version:
                    self._resource_version = event.resource_version

    def _trim(self, item: T) -> None:
        if self._raw:
            obj = cast("Obj", item)
            obj.setdefault("apiVersion", self.resource.api_version)
            obj.setdefault("kind", self.resource.kind)
            objects.metadata(obj).pop("managedFields", None)

    def _remember(self, key: Key, item: T) -> None:
        before = self._items.get(key)
        self._unindex(key, before)
        self._items[key] = item
        self._versions[key] = _version(item)
        for name, indexer in self._indexers.items():
            for value in indexer(item):
                self._indexes[name].setdefault(value, set()).add(key)
        self._tell(Change("ADDED" if before is None else "MODIFIED", key, before, item))

    def _forget(self, key: Key, *, last: T | None = None) -> None:
        before = self._items.pop(key, None)
        self._versions.pop(key, None)
        self._unindex(key, before)
        if before is not None or last is not None:
            self._tell(Change("DELETED", key, last if last is not None else before, None))

    def _unindex(self, key: Key, item: T | None) -> None:
        if item is None:
            return
        for name, indexer in self._indexers.items():
            for value in indexer(item):
                keys = self._indexes[name].get(value)
                if keys is not None:
                    keys.discard(key)
                    if not keys:
                        del self._indexes[name][value]

    def _tell(self, change: Change[T]) -> None:
        for callback in self._callbacks:
            callback(change)


class WorkQueue(Generic[T]):
    """Keys that wait for work: each is queued once, never worked on twice at a time, and comes back after a failure.

    `done` ends the work on a key that `next` handed out; a key added meanwhile is then handed out again.
    """

    def __init__(self, *, first_wait_seconds: float = 0.2, longest_wait_seconds: float = 60.0) -> None:
        self._first_wait_seconds, self._longest_wait_seconds = first_wait_seconds, longest_wait_seconds
        self._waiting: dict[T, None] = {}
        self._working: set[T] = set()
        self._again: set[T] = set()
        self._failures: dict[T, int] = {}
        self._timers: dict[T, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._again)

    def add(self, key: T) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._working:
            self._again.add(key)
        else:
            self._waiting[key] = None
            self._wake.set()

    def add_after(self, key: T, seconds: float) -> None:
        """Queue *key* later, unless it is queued sooner in another way."""
        if key in self._waiting or key in self._timers:
            return
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, self.add, key)

    async def next(self) -> T:
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._working.add(key)
        return key

    def done(self, key: T) -> None:
        self._failures.pop(key, None)
        self._finish(key)

    def failed(self, key: T) -> float:
        """End the work on *key* and queue it again after the seconds returned, which double with each failure."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        wait = min(self._first_wait_seconds * 2.0 ** min(count, 30), self._longest_wait_seconds)
        self._finish(key)
        self.add_after(key, wait)
        return wait

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _finish(self, key: T) -> None:
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)


def _key(item: object) -> Key:
    if isinstance(item, dict):
        found = objects.key(item)
        if not found[1]:
            raise AnswerUnusable("an object without a name")
        return found
    metadata = cast("Any", item).metadata
    return metadata.namespace, metadata.name


def _version(item: object) -> str:
    if isinstance(item, dict):
        return objects.resource_version(item)
    return str(cast("Any", item).metadata.resource_version)
