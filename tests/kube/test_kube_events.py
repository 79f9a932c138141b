"""Events: counted when they are the same, dropped rather than in the way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
from loopback_api import Answer, LoopbackApi, loopback_api, pod, status

from podpass.kube.client import Client
from podpass.kube.config import Access
from podpass.kube.events import MAX_WAITING, EventRecorder

POD = {"apiVersion": "v1", "kind": "Pod", **pod("orders", "7", uid="u-1")}


@contextlib.asynccontextmanager
async def recording(answer, **options) -> AsyncIterator[tuple[LoopbackApi, EventRecorder]]:
    async with loopback_api(answer) as api, Client(Access(api.url)) as client:
        recorder = EventRecorder(client, "podpass-node", host="node-1", **options)
        running = asyncio.create_task(recorder.run())
        try:
            yield api, recorder
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def test_the_first_is_created_and_the_next_are_counted():
    time = 1_700_000_000.0
    async with recording(lambda _: Answer(body={}), now=lambda: time) as (api, recorder):
        recorder.record(POD, "Warning", "FailedMount", "no such volume")
        await recorder.drain()
        time += 60
        changed = {**POD, "metadata": {**POD["metadata"], "resourceVersion": "8"}}
        recorder.record(changed, "Warning", "FailedMount", "no such volume")
        recorder.record(POD, "Warning", "FailedMount", "another volume")
        await recorder.drain()
    first, second, third = [(r.method, msgspec.json.decode(r.body)) for r in api.seen]
    assert first[0] == "POST"
    assert api.seen[0].path == "/api/v1/namespaces/shop/events"
    event = first[1]
    assert event["involvedObject"] == {
        "apiVersion": "v1", "kind": "Pod", "name": "orders", "namespace": "shop", "uid": "u-1"
    }  # fmt: skip
    assert (event["type"], event["reason"], event["message"], event["count"]) == (
        "Warning", "FailedMount", "no such volume", 1
    )  # fmt: skip
    assert event["source"] == {"component": "podpass-node", "host": "node-1"}
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2023-11-14T22:13:20Z"
    assert second == ("PATCH", {"count": 2, "lastTimestamp": "2023-11-14T22:14:20Z"})
    assert third[0] == "POST"


async def test_an_event_that_expired_is_news_again():
    def answer(request):
        return Answer(404, status(404, "NotFound", "gone")) if request.method == "PATCH" else Answer(body={})

    async with recording(answer) as (api, recorder):
        for _ in range(2):
            recorder.record(POD, "Normal", "Started", "x")
        await recorder.drain()
    assert [request.method for request in api.seen] == ["POST", "PATCH", "POST"]


async def test_what_the_server_refuses_is_dropped_and_counted():
    dropped = []
    async with recording(
        lambda _: Answer(403, status(403, "Forbidden", "no")), on_drop=lambda o, why: dropped.append((o.reason, why))
    ) as (_, recorder):
        recorder.record(POD, "Normal", "Started", "x")
        await recorder.drain()
    assert recorder.dropped == 1
    assert dropped == [("Started", "Forbidden: no")]


async def test_a_flood_is_cut_and_never_blocks():
    async with loopback_api(lambda _: Answer(body={})) as api, Client(Access(api.url)) as client:
        recorder = EventRecorder(client, "x")
        for number in range(MAX_WAITING + 5):
            recorder.record(POD, "Normal", "Started", str(number))
        assert recorder.dropped == 5


async def test_an_event_about_a_cluster_object_lives_in_the_default_namespace():
    async with recording(lambda _: Answer(body={})) as (api, recorder):
        recorder.record({"kind": "Node", "name": "node-1"}, "Normal", "Ready", "x")
        await recorder.drain()
    assert api.seen[0].path == "/api/v1/namespaces/default/events"
