"""The reflector against a scripted server: list, watch, resume, start over."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest
from loopback_api import Answer, loopback_api, pod, status

from podpass.kube.client import Client
from podpass.kube.config import Access
from podpass.kube.reflector import Change, Metadata, Reflector, WorkQueue
from podpass.kube.resources import PODS


class Script:
    """Lists and watches in the order in which they are to be answered; the last watch stays open."""

    def __init__(self, lists: list[Answer], watches: list[Answer]) -> None:
        self.lists, self.watches = lists, watches
        self.asked_from: list[str] = []
        self.idle = asyncio.Event()
        self.end = asyncio.Event()

    def __call__(self, request):
        if request.query.get("watch") != "true":
            return self.lists.pop(0)
        self.asked_from.append(request.query["resourceVersion"])
        if self.watches:
            return self.watches.pop(0)
        self.idle.set()
        return Answer(events=[], hold=self.end)


@contextlib.asynccontextmanager
async def following(script: Script, **options) -> AsyncIterator[Reflector]:
    """A running reflector, once it has gone through the whole script."""
    async with loopback_api(script) as api, Client(Access(api.url)) as client:
        reflector = Reflector(client, PODS, first_wait_seconds=0.001, **options)
        running = asyncio.create_task(reflector.run())
        try:
            async with asyncio.timeout(10):
                await script.idle.wait()
            yield reflector
        finally:
            running.cancel()
            script.end.set()
            with contextlib.suppress(asyncio.CancelledError):
                await running


def listing(version: str, *pods, more: str = "") -> Answer:
    return Answer(body={"metadata": {"resourceVersion": version, "continue": more}, "items": list(pods)})


def event(kind: str, obj) -> dict:
    return {"type": kind, "object": obj}


async def test_the_copy_holds_what_was_listed_and_then_changed():
    script = Script(
        [listing("3", pod("a", "1"), more="x"), listing("3", pod("b", "2", managedFields=[{"manager": "m"}]))],
        [
            Answer(
                events=[
                    event("MODIFIED", pod("a", "4")),
                    event("DELETED", pod("b", "5")),
                    event("ADDED", pod("c", "6")),
                ]
            )
        ],
    )
    changes: list[Change] = []
    async with following(script, on_change=changes.append) as reflector:
        assert reflector.synced.is_set()
        assert sorted(item["metadata"]["name"] for item in reflector.items()) == ["a", "c"]
        assert reflector.get("shop", "a")["metadata"]["resourceVersion"] == "4"
        assert reflector.get("shop", "b") is None
    assert [(change.type, change.key[1]) for change in changes] == [
        ("ADDED", "a"),
        ("ADDED", "b"),
        ("MODIFIED", "a"),
        ("DELETED", "b"),
        ("ADDED", "c"),
    ]
    assert "managedFields" not in changes[1].after["metadata"]


async def test_a_watch_that_ends_is_resumed_after_the_last_event_or_bookmark():
    script = Script(
        [listing("3")],
        [
            Answer(events=[event("ADDED", pod("a", "5"))]),
            Answer(events=[event("BOOKMARK", {"metadata": {"resourceVersion": "20"}})]),
        ],
    )
    async with following(script):
        assert script.asked_from == ["3", "5", "20"]


async def test_a_cut_stream_is_resumed_without_losing_or_repeating():
    script = Script([listing("3")], [Answer(events=[event("ADDED", pod("a", "5")), b'{"type":"ADD'], cut=True)])
    async with following(script) as reflector:
        assert script.asked_from == ["3", "5"]
        assert len(reflector) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(Answer(410, status(410, "Expired", "too old")), id="410-at-the-start"),
        pytest.param(
            Answer(events=[event("ERROR", status(410, "Expired", "too old resource version"))]), id="410-in-the-stream"
        ),
        pytest.param(Answer(504, status(504, "Timeout", "Too large resource version")), id="504-too-large"),
    ],
)
async def test_a_place_in_history_that_is_gone_means_listing_again(refusal: Answer):
    script = Script(
        [listing("3", pod("a", "1"), pod("b", "2")), listing("30", pod("b", "2"), pod("c", "29"))], [refusal]
    )
    changes: list[Change] = []
    async with following(script, on_change=changes.append):
        assert script.asked_from == ["3", "30"]
    assert [(change.type, change.key[1]) for change in changes[2:]] == [("DELETED", "a"), ("ADDED", "c")]


async def test_a_server_that_fails_is_asked_again_with_the_failure_reported():
    script = Script([Answer(500, b"no"), Answer(503, b"no"), listing("3", pod("a", "1"))], [])
    waits: list[float] = []
    async with following(script, on_failure=lambda _, error, wait: waits.append(wait)) as reflector:
        assert len(reflector) == 1
    assert len(waits) == 2


async def test_a_projected_copy_keeps_only_the_named_members():
    class Spec(msgspec.Struct, rename="camel"):
        node_name: str = ""

    class Seen(msgspec.Struct):
        metadata: Metadata
        spec: Spec = msgspec.field(default_factory=Spec)

    script = Script([listing("3", {**pod("a", "1"), "spec": {"nodeName": "n1", "containers": []}})], [])
    async with following(script, project=Seen) as reflector:
        assert reflector.get("shop", "a").spec.node_name == "n1"


async def test_an_index_follows_the_objects():
    script = Script(
        [listing("3", pod("a", "1", labels={"app": "x"}), pod("b", "2", labels={"app": "x"}))],
        [Answer(events=[event("MODIFIED", pod("a", "4", labels={"app": "y"})), event("DELETED", pod("b", "5"))])],
    )
    async with following(script, indexers={"app": lambda item: [item["metadata"]["labels"]["app"]]}) as reflector:
        assert reflector.indexed("app", "x") == []
        assert [item["metadata"]["name"] for item in reflector.indexed("app", "y")] == ["a"]


async def test_a_key_is_queued_once_and_worked_on_once_at_a_time():
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.add("a")
    queue.add("b")
    assert [await queue.next(), await queue.next()] == ["a", "b"]
    queue.add("a")
    queue.add("a")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await queue.next()
    queue.done("a")
    assert await queue.next() == "a"
    assert len(queue) == 0


async def test_a_failing_key_waits_twice_as_long_each_time():
    queue: WorkQueue[str] = WorkQueue(first_wait_seconds=0.001, longest_wait_seconds=0.003)
    waits = []
    queue.add("a")
    for _ in range(3):
        waits.append(queue.failed(await queue.next()))
    assert waits == [0.001, 0.002, 0.003]
    assert await queue.next() == "a"
    queue.done("a")
    queue.close()


@pytest.mark.parametrize(
    ("watches", "failures"),
    [
        pytest.param([Answer(410, status(410, "Expired", "too old"))], 1, id="right-after-the-list"),
        pytest.param(
            [Answer(events=[event("ADDED", pod("a", "5"))]), Answer(410, status(410, "Expired", "too old"))],
            0,
            id="after-a-watch-that-worked",
        ),
    ],
)
async def test_a_server_that_forgets_at_once_is_not_asked_in_a_tight_loop(watches: list[Answer], failures: int):
    waits: list[float] = []
    script = Script([listing("3"), listing("30")], watches)
    async with following(script, on_failure=lambda _, error, wait: waits.append(wait)):
        assert len(waits) == failures
