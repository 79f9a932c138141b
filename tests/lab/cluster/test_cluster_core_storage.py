"""The storage: what survives, what is forgotten, and in which order."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from podpass.kube.resources import CONFIGMAPS
from podpass.lab.clock import LabClock
from podpass.lab.cluster.collection import Compacted
from podpass.lab.cluster.storage import Changed, HistoryLimits, Storage
from podpass.lab.store import Store
from tests.lab.cluster.core_api import MERGE, Api, opened

MAPS = "/api/v1/namespaces/default/configmaps"
SHORT = HistoryLimits(kept_always=5, kept_at_most=10, age_seconds=60)


def made(name: str, **data: str) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "n", "uid": f"uid-{name}"}, "data": data}


@pytest.fixture
def clock() -> LabClock:
    return LabClock()


@pytest.fixture
async def api(cluster_keys: Path) -> AsyncIterator[Api]:
    async with opened(cluster_keys) as found:
        yield found


async def test_a_restart_keeps_objects_versions_tokens_and_history(cluster_keys: Path, tmp_path: Path) -> None:
    database = tmp_path / "state.db"
    async with opened(cluster_keys, database=database) as api:
        first = await api.made(MAPS, {"metadata": {"name": "a"}, "data": {"x": "1"}})
        await api("PATCH", f"{MAPS}/a", {"data": {"x": "2"}}, content_type=MERGE)
        await api.made(MAPS, {"metadata": {"name": "b"}})
        await api("DELETE", f"{MAPS}/b")
        rv, token = api.cluster.storage.rv, api.cluster.admin_token
        account = (await api("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {})).body
    async with opened(cluster_keys, database=database) as api:
        assert api.cluster.admin_token == token
        assert api.cluster.storage.rv == rv, "starting again writes nothing"
        found = (await api("GET", f"{MAPS}/a")).body
        assert found["data"] == {"x": "2"}
        assert found["metadata"]["uid"] == first["metadata"]["uid"]
        later = await api.made(MAPS, {"metadata": {"name": "c"}})
        assert int(later["metadata"]["resourceVersion"]) == rv + 1
        changes = api.cluster.storage.collection(CONFIGMAPS).changes_after(int(first["metadata"]["resourceVersion"]))
        assert [(change.type, change.stored.key[1]) for change in changes] == [
            ("MODIFIED", "a"),
            ("ADDED", "b"),
            ("DELETED", "b"),
            ("ADDED", "c"),
        ]
        whoami = await api(
            "POST",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
            token=account["status"]["token"],
        )
        assert whoami.body["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"


def test_two_clusters_share_a_store_without_meeting(clock: LabClock) -> None:
    store = Store.open(None)
    one, two = Storage(store, clock, cluster="one"), Storage(store, clock, cluster="two")
    one.create(CONFIGMAPS, ("n", "a"), made("a"))
    assert two.get(CONFIGMAPS, "n", "a") is None
    assert (one.rv, two.rv) == (1, 0)


def test_a_write_computed_from_an_older_state_is_refused(clock: LabClock) -> None:
    storage = Storage(Store.open(None), clock, cluster="c")
    old = storage.create(CONFIGMAPS, ("n", "a"), made("a"))
    storage.update(CONFIGMAPS, made("a", x="1"), old)
    for write in (storage.update, storage.delete):
        with pytest.raises(Changed):
            write(CONFIGMAPS, made("a"), old)
    with pytest.raises(Changed):
        storage.create(CONFIGMAPS, ("n", "a"), made("a"))


def test_a_failed_transaction_leaves_memory_as_it_was(clock: LabClock) -> None:
    store = Store.open(None)
    storage = Storage(store, clock, cluster="c")
    store.connection.execute("DROP TABLE cluster_events")
    with pytest.raises(Exception, match="no such table"):
        storage.create(CONFIGMAPS, ("n", "a"), made("a"))
    assert storage.rv == 0
    assert storage.get(CONFIGMAPS, "n", "a") is None


def test_the_history_is_bounded_by_count_and_age(clock: LabClock) -> None:
    storage = Storage(Store.open(None), clock, cluster="c", limits=SHORT)
    for number in range(8):
        storage.create(CONFIGMAPS, ("n", str(number)), made(str(number)))
    collection = storage.collection(CONFIGMAPS)
    assert len(collection.changes_after(0)) == 8, "young enough"
    clock.advance(61)
    storage.create(CONFIGMAPS, ("n", "8"), made("8"))
    assert len(collection.history) == 5
    with pytest.raises(Compacted):
        collection.changes_after(3)
    for number in range(9, 40):
        storage.create(CONFIGMAPS, ("n", f"{number}"), made(str(number)))
    assert len(collection.history) <= 10
    with pytest.raises(Compacted):
        storage.page(CONFIGMAPS, at=20)


def test_a_page_of_the_past(clock: LabClock) -> None:
    storage = Storage(Store.open(None), clock, cluster="c")
    first = storage.create(CONFIGMAPS, ("n", "b"), made("b"))
    then = storage.rv
    storage.create(CONFIGMAPS, ("n", "a"), made("a"))
    storage.delete(CONFIGMAPS, made("b"), first)
    assert [stored.key[1] for stored in storage.page(CONFIGMAPS).items] == ["a"]
    assert [stored.key[1] for stored in storage.page(CONFIGMAPS, "n", at=then).items] == ["b"]


async def test_an_expired_continue_token_is_410(cluster_keys: Path) -> None:
    async with opened(cluster_keys, history=SHORT) as api:
        for name in "ab":
            await api.made(MAPS, {"metadata": {"name": name}})
        token = (await api("GET", f"{MAPS}?limit=1")).body["metadata"]["continue"]
        for number in range(30):
            await api("PATCH", f"{MAPS}/b", {"data": {"x": str(number)}}, content_type=MERGE)
        answer = await api("GET", f"{MAPS}?limit=1&continue={token}")
        assert (answer.status, answer.body["reason"]) == (410, "Expired")
        going_on = answer.body["metadata"]["continue"]
        rest = (await api("GET", f"{MAPS}?continue={going_on}")).body
        assert [item["metadata"]["name"] for item in rest["items"]] == ["b", "kube-root-ca.crt"]
        assert rest["metadata"]["resourceVersion"] == str(api.cluster.storage.rv)


async def test_the_static_tokens_are_in_files_of_their_owner_only(cluster_keys: Path) -> None:
    async with opened(cluster_keys) as api:
        assert api.cluster.admin_token != api.cluster.node_token
    assert _modes(cluster_keys) == {"admin.token": 0o600, "node.token": 0o600}


def _modes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in directory.glob("*.token")}
