"""Watches over real sockets."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from podpass.lab.cluster.storage import HistoryLimits
from tests.lab.cluster.core_api import MERGE, Api, on_a_socket, opened

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class Watcher:
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self) -> Any:
        async with asyncio.timeout(5):
            line = await self.answer.content.readline()
        return json.loads(line) if line else None

    async def named(self) -> tuple[str, str]:
        event = await self.next()
        return event["type"], event["object"]["metadata"].get("name", "")


@pytest.fixture
async def api(cluster_keys: Path) -> AsyncIterator[Api]:
    async with opened(cluster_keys) as found:
        yield found


@pytest.fixture
async def address(api: Api) -> AsyncIterator[str]:
    async with on_a_socket(api) as found:
        yield found


@contextlib.asynccontextmanager
async def watching(api: Api, address: str, query: str, *, accept: str = "*/*") -> AsyncIterator[Watcher]:
    headers = {"Authorization": f"Bearer {api.cluster.admin_token}", "Accept": accept}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{address}{MAPS}?watch=true&{query}") as answer,
    ):
        assert answer.status == 200, await answer.text()
        yield Watcher(answer)


def config(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


async def test_a_watch_without_a_version_begins_with_what_there_is(api: Api, address: str) -> None:
    async with watching(api, address, "") as watcher:
        assert await watcher.named() == ("ADDED", "kube-root-ca.crt")
        await api.made(MAPS, config("a"))
        assert await watcher.named() == ("ADDED", "a")


async def test_a_watch_resumes_after_a_version(api: Api, address: str) -> None:
    made = await api.made(MAPS, config("a"))
    await api("PATCH", f"{MAPS}/a", {"data": {"x": "1"}}, content_type=MERGE)
    async with watching(api, address, f"resourceVersion={made['metadata']['resourceVersion']}") as watcher:
        assert await watcher.named() == ("MODIFIED", "a")
        await api("DELETE", f"{MAPS}/a")
        event = await watcher.next()
        assert event["type"] == "DELETED"
        assert event["object"]["kind"] == "ConfigMap"
        assert int(event["object"]["metadata"]["resourceVersion"]) == api.cluster.storage.rv


async def test_a_watch_list_ends_its_first_part_with_a_bookmark(api: Api, address: str) -> None:
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with watching(api, address, query) as watcher:
        assert (await watcher.named())[0] == "ADDED"
        event = await watcher.next()
        assert event["type"] == "BOOKMARK"
        assert event["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert event["object"]["metadata"]["resourceVersion"] == str(api.cluster.storage.rv)


async def test_a_selector_turns_changes_into_comings_and_goings(api: Api, address: str) -> None:
    rv = api.cluster.storage.rv
    async with watching(api, address, f"resourceVersion={rv}&labelSelector=app%3Dx") as watcher:
        await api.made(MAPS, config("a", app="y"))
        await api("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"app": "x"}}}, content_type=MERGE)
        assert await watcher.named() == ("ADDED", "a")
        await api("PATCH", f"{MAPS}/a", {"data": {"x": "1"}}, content_type=MERGE)
        assert await watcher.named() == ("MODIFIED", "a")
        await api("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"app": "y"}}}, content_type=MERGE)
        event = await watcher.next()
        assert event["type"] == "DELETED"
        assert event["object"]["metadata"]["labels"] == {"app": "x"}, "the last state that matched"
        assert event["object"]["metadata"]["resourceVersion"] == str(api.cluster.storage.rv)
        await api("DELETE", f"{MAPS}/a")
        await api.made(MAPS, config("b", app="x"))
        assert await watcher.named() == ("ADDED", "b")


async def test_a_watch_of_one_name(api: Api, address: str) -> None:
    rv = api.cluster.storage.rv
    async with watching(api, address, f"resourceVersion={rv}&fieldSelector=metadata.name%3Db") as watcher:
        await api.made(MAPS, config("a"))
        await api.made(MAPS, config("b"))
        assert await watcher.named() == ("ADDED", "b")


async def test_a_version_that_is_forgotten_ends_in_an_error_event(cluster_keys: Path) -> None:
    limits = HistoryLimits(kept_always=2, kept_at_most=3, age_seconds=0)
    async with opened(cluster_keys, history=limits) as api, on_a_socket(api) as address:
        for number in range(8):
            await api.made(MAPS, config(f"a{number}"))
        async with watching(api, address, "resourceVersion=5") as watcher:
            event = await watcher.next()
            assert event["type"] == "ERROR"
            assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
            assert event["object"]["message"].startswith("too old resource version: 5 (")
            assert await watcher.next() is None


async def test_a_watch_ends_when_its_time_is_over(api: Api, address: str) -> None:
    rv = api.cluster.storage.rv
    async with watching(api, address, f"resourceVersion={rv}&timeoutSeconds=1&allowWatchBookmarks=true") as watcher:
        event = await watcher.next()
        assert event["type"] == "BOOKMARK"
        last = event
        while (event := await watcher.next()) is not None:
            last = event
        assert set(last["object"]["metadata"]) == {"resourceVersion", "creationTimestamp"}


async def test_a_watch_as_tables(api: Api, address: str) -> None:
    async with watching(api, address, "", accept=TABLE) as watcher:
        first = (await watcher.next())["object"]
        assert first["kind"] == "Table"
        assert first["columnDefinitions"][0]["name"] == "Name"
        await api.made(MAPS, config("a"))
        second = (await watcher.next())["object"]
        assert second["columnDefinitions"] is None
        assert second["rows"][0]["cells"][0] == "a"


async def test_closing_ends_every_watch_cleanly(api: Api, address: str) -> None:
    async with watching(api, address, f"resourceVersion={api.cluster.storage.rv}") as watcher:
        await api.cluster.close_watches()
        assert await watcher.next() is None


async def test_a_client_that_leaves_is_forgotten(api: Api, address: str) -> None:
    async with watching(api, address, f"resourceVersion={api.cluster.storage.rv}"):
        assert len(api.cluster.watches) == 1
    for _ in range(10_000):
        await asyncio.sleep(0)
        if not len(api.cluster.watches):
            break
    assert len(api.cluster.watches) == 0


async def test_many_watchers_hear_of_one_change(api: Api, address: str) -> None:
    rv = api.cluster.storage.rv
    async with contextlib.AsyncExitStack() as stack:
        watchers = [await stack.enter_async_context(watching(api, address, f"resourceVersion={rv}")) for _ in range(50)]
        await api.made(MAPS, config("a"))
        assert {await watcher.named() for watcher in watchers} == {("ADDED", "a")}


async def test_a_client_that_does_not_read_is_disconnected(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podpass.lab.cluster.watch.UNREAD_SECONDS", 0.01)
    scope = {
        "type": "http",
        "method": "GET",
        "path": MAPS,
        "raw_path": MAPS.encode(),
        "query_string": b"watch=1",
        "headers": [(b"authorization", f"Bearer {api.cluster.admin_token}".encode())],
    }
    never = asyncio.Event()

    async def receive() -> Any:
        await never.wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await never.wait()

    async with asyncio.timeout(5):
        await api.cluster.app(scope, receive, send)
    assert len(api.cluster.watches) == 0
