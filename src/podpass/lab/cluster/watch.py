"""Watches: a stream of changes to the objects of one kind, one JSON document a line.

A watch has no queue of its own. It remembers how far it has read in the collection's history and is woken by writes,
so a slow client costs nothing but its place; one that falls behind the history, or does not read, is disconnected.
Contract: Kubernetes API surface, section 2.5.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import msgspec

from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.kube.status import StatusError
from podpass.lab.cluster.collection import Change, ChangeType, Collection, Compacted, Stored
from podpass.lab.cluster.extension import Tables
from podpass.lab.cluster.registry import Kind
from podpass.lab.cluster.requests.bodies import Form
from podpass.lab.cluster.requests.options import WatchOptions, check_not_ahead
from podpass.lab.cluster.verbs import Verbs, opening
from podpass.serving.asgi import App, Receive, Scope, Send

DEFAULT_TIMEOUT_SECONDS = (1800, 3600)
BOOKMARK_SECONDS = 60.0
BOOKMARK_BEFORE_END_SECONDS = 2.0
UNREAD_SECONDS = 60.0
"""A client that takes nothing for so long is disconnected."""
CHUNK_BYTES = 256 * 1024
FEW_WATCHES = 20
"""So many are woken by every write; more of them together, after a pause that grows with their number."""
PAUSE_PER_WATCH_SECONDS, LONGEST_PAUSE_SECONDS = 0.000_05, 0.05

_encode = msgspec.json.Encoder().encode
IncludeObject = Literal["None", "Metadata", "Object"]


class Watches:
    """Opens watches, and ends all of them at shutdown, in front of everything else."""

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._open: set[asyncio.Event] = set()
        self._bells: dict[Collection, _Bell] = {}
        self._unread = _Unread()
        self.closing = False

    def close(self) -> None:
        """End every watch cleanly; later ones end after their first events."""
        self.closing = True
        for wake in self._open:
            wake.set()

    def look(self, resource: Resource) -> None:
        """Have every watch of *resource* see whether it is still served as it was, and end where it is not."""
        for waker in tuple(self._verbs.storage.collection(resource).wakers):
            waker()

    def __len__(self) -> int:
        return len(self._open)

    def stream(
        self,
        kind: Kind,
        namespace: str,
        options: WatchOptions,
        *,
        form: Form,
        tables: Tables | None,
        include_object: IncludeObject,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> App:
        """The answer to a watch. Raises StatusError 504 for a resourceVersion that is yet to come."""
        check_not_ahead(options.rv, self._verbs.storage.rv)
        lines = _Lines(self._verbs, kind, namespace, options, _shaper(kind, form, tables, include_object))

        async def app(_: Scope, receive: Receive, send: Send) -> None:
            given = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"Content-Type", b"application/json"), *given],
                }
            )
            wake = asyncio.Event()
            self._open.add(wake)
            bell = self._bells.get(lines.collection)
            if bell is None:
                bell = self._bells[lines.collection] = _Bell(lines.collection)
            bell.watches.add(wake)
            try:
                async with asyncio.TaskGroup() as group:
                    gone = group.create_task(_until_gone(receive, wake))
                    try:
                        await self._run(lines, options, wake, gone, send)
                    finally:
                        gone.cancel()
            finally:
                bell.watches.discard(wake)
                self._open.discard(wake)

        return app

    async def _run(
        self, lines: "_Lines", options: WatchOptions, wake: asyncio.Event, gone: "asyncio.Task[None]", send: Send
    ) -> None:
        loop, sending = asyncio.get_running_loop(), self._unread.sending(send)
        alarm: asyncio.TimerHandle | None = None
        seconds = options.timeout_seconds or random.randint(*DEFAULT_TIMEOUT_SECONDS)  # noqa: S311 no secret
        end = loop.time() + seconds
        next_bookmark = loop.time() + min(BOOKMARK_SECONDS, max(seconds - BOOKMARK_BEFORE_END_SECONDS, 0))
        try:
            for chunk in _chunks(lines.initial()):
                await sending(chunk)
            while not self.closing and not gone.done():
                wake.clear()
                for chunk in _chunks(lines.fresh()):
                    await sending(chunk)
                if wake.is_set():
                    continue
                if not lines.current():
                    break
                until = min(end, next_bookmark) if options.bookmarks else end
                if loop.time() < until:
                    # One timer for many waits: with thousands of watches, timers would cost more than the lines.
                    if alarm is None or alarm.cancelled() or alarm.when() != until:
                        if alarm is not None:
                            alarm.cancel()
                        alarm = loop.call_at(until, wake.set)
                    await wake.wait()
                    continue
                if loop.time() >= end:
                    break
                await sending(lines.bookmark())
                next_bookmark = loop.time() + BOOKMARK_SECONDS
                if next_bookmark > end - BOOKMARK_BEFORE_END_SECONDS > loop.time():
                    next_bookmark = end - BOOKMARK_BEFORE_END_SECONDS
            if not gone.done():
                await sending(b"", more=False)
        except Compacted as error:
            await sending(lines.expired(error))
            await sending(b"", more=False)
        except asyncio.CancelledError:
            if not sending.given_up:
                raise
            # The client does not read. Ending the answer in the middle tells it, when it comes back.
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
        finally:
            if alarm is not None:
                alarm.cancel()


async def _until_gone(receive: Receive, wake: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    wake.set()


class _Bell:
    """Wakes the watches of one collection: few of them at each write, many of them a few times a second.

    So writers are never slower for those who watch, and a burst of writes is sent as one piece.
    """

    def __init__(self, collection: Collection) -> None:
        self.watches: set[asyncio.Event] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._rung = 0.0
        collection.wakers.add(self.ring)

    def ring(self) -> None:
        number = len(self.watches)
        if self._pause is not None or not number:
            return
        if number <= FEW_WATCHES:
            self._wake()
            return
        loop = asyncio.get_running_loop()
        wait = self._rung + min(number * PAUSE_PER_WATCH_SECONDS, LONGEST_PAUSE_SECONDS) - loop.time()
        self._pause = loop.call_later(max(wait, 0), self._wake)

    def _wake(self) -> None:
        if self._pause is not None:
            self._pause = None
            self._rung = asyncio.get_running_loop().time()
        for watch in self.watches:
            watch.set()


class _Unread:
    """Cancels those who have been sending one piece for too long. One look at all of them is cheaper than timers."""

    def __init__(self) -> None:
        self._since: dict[_Sending, float] = {}
        self._next: asyncio.TimerHandle | None = None

    def sending(self, send: Send) -> "_Sending":
        return _Sending(send, self)

    def began(self, sending: "_Sending") -> None:
        loop = asyncio.get_running_loop()
        self._since[sending] = loop.time()
        if self._next is None:
            self._next = loop.call_later(UNREAD_SECONDS / 2, self._look)

    def ended(self, sending: "_Sending") -> None:
        self._since.pop(sending, None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for sending, since in list(self._since.items()):
            if loop.time() - since >= UNREAD_SECONDS:
                sending.give_up()
        self._next = loop.call_later(UNREAD_SECONDS / 2, self._look) if self._since else None


class _Sending:
    """The pieces of one watch's answer, on their way to a client that may not take them."""

    def __init__(self, send: Send, unread: _Unread) -> None:
        self._send, self._unread = send, unread
        self._task = asyncio.current_task()
        self.given_up = False

    async def __call__(self, body: bytes, *, more: bool = True) -> None:
        self._unread.began(self)
        try:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})
        finally:
            self._unread.ended(self)

    def give_up(self) -> None:
        if not self.given_up and self._task is not None:
            self.given_up = True
            self._task.cancel()


def _chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines joined to pieces that are worth a system call."""
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


Shaper = Callable[[str, Obj], Obj]


def _shaper(kind: Kind, form: Form, tables: Tables | None, include_object: IncludeObject) -> Shaper | None:
    """Turns an object into the form the client asked for; None where it stays what it is."""
    if form.shape == "Table" and tables is not None:
        first = True

        def table(event: str, obj: Obj) -> Obj:
            nonlocal first
            items = [] if event == "BOOKMARK" else [obj]
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            if "annotations" in obj["metadata"] and event == "BOOKMARK":
                metadata["annotations"] = obj["metadata"]["annotations"]
            rendered = tables.render(kind, items, metadata=metadata, include_object=include_object, with_columns=first)
            first = False
            return rendered

        return table
    if form.shape != "object":
        return lambda _, obj: partial_metadata(obj)
    return None


def partial_metadata(obj: Obj) -> Obj:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


class _Lines:
    """What one watch sends: decides which changes concern it, and as what."""

    def __init__(self, verbs: Verbs, kind: Kind, namespace: str, options: WatchOptions, shaper: Shaper | None) -> None:
        self._verbs = verbs
        self._kind = kind
        self._namespace = namespace
        self._options = options
        self._accepts = options.selection.accepts(kind)
        self._shaper = shaper
        self._read = options.rv
        self.collection: Collection = verbs.storage.collection(kind.storage)

    def current(self) -> bool:
        """Whether the kind is still served as it was when the watch began."""
        resource = self._kind.resource
        found = self._verbs.registry.find(resource.group, resource.version, resource.plural)
        return found is self._kind or (found is not None and found.looks_like(self._kind))

    def initial(self) -> Iterator[bytes]:
        if not self._options.initial_events:
            if self._options.rv == 0:
                self._read = self._verbs.storage.rv
            return
        page = self._verbs.storage.page(self._kind.storage, self._namespace, accepts=self._accepts)
        self._read = page.rv
        for stored in page.items:
            yield self._line("ADDED", stored)
        if self._options.initial_bookmark:
            yield self.bookmark(page.rv, initial=True)

    def fresh(self) -> Iterator[bytes]:
        """Raises Compacted before the first line when the history does not reach back."""
        changes = self.collection.changes_after(self._read)
        return self._of(changes)

    def _of(self, changes: list[Change]) -> Iterator[bytes]:
        for change in changes:
            self._read = change.rv
            if self._namespace and change.stored.key[0] != self._namespace:
                continue
            if self._accepts is None:
                yield self._shared(change)
            elif (line := self._selected(change)) is not None:
                yield line

    def _shared(self, change: Change) -> bytes:
        if self._shaper is not None or self._kind.converts(change.rv):
            return self._line(change.type, change.stored)
        start = opening(self._kind)
        line = change.lines.get(start)
        if line is None:
            line = change.lines[start] = self._line(change.type, change.stored)
        return line

    def _selected(self, change: Change) -> bytes | None:
        assert self._accepts is not None
        before = change.previous is not None and self._accepts(change.previous)
        now = change.type != "DELETED" and self._accepts(change.stored)
        if now:
            return self._line("MODIFIED" if before else "ADDED", change.stored)
        if not before:
            return None
        if change.type == "DELETED":
            return self._line("DELETED", change.stored)
        # It no longer matches: to this watch it is gone, in the last state that matched.
        assert change.previous is not None
        obj = self._verbs.present(self._kind, change.previous)
        obj["metadata"]["resourceVersion"] = str(change.rv)
        return self._encoded("DELETED", obj)

    def _line(self, event: ChangeType, stored: Stored) -> bytes:
        if self._shaper is not None:
            return self._encoded(event, self._verbs.present(self._kind, stored))
        return b'{"type":"%b","object":%b}\n' % (event.encode(), self._verbs.encoded(self._kind, stored))

    def _encoded(self, event: str, obj: Obj) -> bytes:
        shaped = obj if self._shaper is None else self._shaper(event, obj)
        return _encode({"type": event, "object": shaped}) + b"\n"

    def bookmark(self, rv: int | None = None, *, initial: bool = False) -> bytes:
        metadata: Obj = {
            "resourceVersion": str(self._verbs.storage.rv if rv is None else rv),
            "creationTimestamp": None,
        }
        if initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        resource = self._kind.resource
        return self._encoded(
            "BOOKMARK", {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        )

    @staticmethod
    def expired(error: Compacted) -> bytes:
        status = StatusError.expired(f"too old resource version: {error.asked} ({error.oldest})")
        return _encode({"type": "ERROR", "object": status.to_dict()}) + b"\n"
