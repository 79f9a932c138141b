"""Deletion: finalizers, grace periods, owners, namespaces, and what controllers put right."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from podpass.lab.cluster.controllers.expiry import Expiry
from tests.lab.cluster.core_api import MERGE, Api, opened

CORE = "/api/v1/namespaces/default"
MAPS, PODS = f"{CORE}/configmaps", f"{CORE}/pods"


@pytest.fixture
async def api(cluster_keys: Path) -> AsyncIterator[Api]:
    """A cluster with its controllers at work."""
    async with opened(cluster_keys) as found:
        running = asyncio.ensure_future(found.cluster.run())
        try:
            yield found
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def until(api: Api, path: str, holds: Callable[[int, Any], bool]) -> Any:
    """Ask until the answer is as it should be; each turn lets the controllers work."""
    async with asyncio.timeout(5):
        while True:
            answer = await api("GET", path)
            if holds(answer.status, answer.body):
                return answer.body
            await asyncio.sleep(0)


async def gone(api: Api, path: str) -> None:
    await until(api, path, lambda status, _: status == 404)


def owned(name: str, owner: Any, **more: Any) -> dict[str, Any]:
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], **more}
    return {"metadata": {"name": name, "ownerReferences": [{"uid": owner["metadata"]["uid"], **reference}]}}


async def running_pod(api: Api, name: str = "p") -> Any:
    await api.made(PODS, {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "b:1"}]}})
    binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": "lab-node"}}
    assert (await api("POST", f"{PODS}/{name}/binding", binding)).status == 201
    return (await api("GET", f"{PODS}/{name}")).body


async def test_most_kinds_go_at_once_and_answer_a_status(api: Api) -> None:
    made = await api.made(MAPS, {"metadata": {"name": "a"}})
    answer = await api("DELETE", f"{MAPS}/a", {"propagationPolicy": "Background"})
    assert answer.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]},
    }
    assert (await api("DELETE", f"{MAPS}/a")).status == 404


async def test_pods_and_accounts_answer_the_object(api: Api) -> None:
    await api.made(f"{CORE}/serviceaccounts", {"metadata": {"name": "a"}})
    assert (await api("DELETE", f"{CORE}/serviceaccounts/a")).body["kind"] == "ServiceAccount"
    await api.made(PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "b:1"}]}})
    assert (await api("DELETE", f"{PODS}/p")).body["kind"] == "Pod"
    assert (await api("GET", f"{PODS}/p")).status == 404, "no node runs it: nothing to wait for"


async def test_a_finalizer_keeps_the_object_until_it_is_taken_off(api: Api) -> None:
    await api.made(MAPS, {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}})
    marked = await api("DELETE", f"{MAPS}/a")
    assert marked.body["metadata"]["deletionTimestamp"]
    assert marked.body["metadata"]["deletionGracePeriodSeconds"] == 0
    again = await api("DELETE", f"{MAPS}/a")
    assert again.body["metadata"]["resourceVersion"] == marked.body["metadata"]["resourceVersion"]
    more = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    refused = await api("PATCH", f"{MAPS}/a", more, content_type=MERGE)
    assert refused.status == 422
    assert "no new finalizers can be added if the object is being deleted" in refused.body["message"]
    freed = await api("PATCH", f"{MAPS}/a", {"metadata": {"finalizers": None}}, content_type=MERGE)
    assert freed.status == 200
    assert (await api("GET", f"{MAPS}/a")).status == 404


async def test_a_running_pod_gets_its_grace_period(api: Api) -> None:
    await running_pod(api)
    marked = (await api("DELETE", f"{PODS}/p")).body["metadata"]
    assert marked["deletionGracePeriodSeconds"] == 30
    longer = (await api("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 60})).body["metadata"]
    assert longer["deletionTimestamp"] == marked["deletionTimestamp"]
    shorter = (await api("DELETE", f"{PODS}/p?gracePeriodSeconds=5")).body["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 5
    assert shorter["deletionTimestamp"] < marked["deletionTimestamp"]
    await api("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 0})
    assert (await api("GET", f"{PODS}/p")).status == 404


async def test_a_pod_that_ended_goes_at_once(api: Api) -> None:
    await running_pod(api)
    await api("PATCH", f"{PODS}/p/status", {"status": {"phase": "Succeeded"}}, content_type=MERGE)
    await api("DELETE", f"{PODS}/p")
    assert (await api("GET", f"{PODS}/p")).status == 404


async def test_a_pod_is_bound_once(api: Api) -> None:
    pod = await running_pod(api)
    assert pod["spec"]["nodeName"] == "lab-node"
    assert {"PodScheduled"} == {condition["type"] for condition in pod["status"]["conditions"]}
    again = await api("POST", f"{PODS}/p/binding", {"target": {"name": "other"}})
    assert again.status == 409


async def test_eviction_deletes(api: Api) -> None:
    await running_pod(api)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    assert (await api("POST", f"{PODS}/p/eviction", body)).body["status"] == "Success"
    assert (await api("GET", f"{PODS}/p")).body["metadata"]["deletionTimestamp"]


@pytest.mark.parametrize("member", ["uid", "resourceVersion"])
async def test_preconditions(api: Api, member: str) -> None:
    made = await api.made(MAPS, {"metadata": {"name": "a"}})
    refused = await api("DELETE", f"{MAPS}/a", {"preconditions": {member: "7777"}})
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")
    assert "in the precondition (7777) does not match" in refused.body["message"]
    assert (await api("DELETE", f"{MAPS}/a", {"preconditions": {member: made["metadata"][member]}})).status == 200


async def test_a_collection_is_deleted_by_selector(api: Api) -> None:
    for name, label in (("a", "x"), ("b", "y"), ("c", "x")):
        await api.made(MAPS, {"metadata": {"name": name, "labels": {"l": label}}})
    answer = await api("DELETE", f"{MAPS}?labelSelector=l%3Dx")
    assert [item["metadata"]["name"] for item in answer.body["items"]] == ["a", "c"]
    assert [i["metadata"]["name"] for i in (await api("GET", MAPS)).body["items"]] == ["b", "kube-root-ca.crt"]


async def test_dependents_go_after_their_owner(api: Api) -> None:
    owner = await api.made(MAPS, {"metadata": {"name": "owner"}})
    child = await api.made(MAPS, owned("child", owner))
    await api.made(MAPS, owned("grandchild", child))
    await api("DELETE", f"{MAPS}/owner")
    await gone(api, f"{MAPS}/grandchild")
    assert (await api("GET", f"{MAPS}/child")).status == 404


async def test_a_dependent_of_an_owner_that_was_made_anew_goes_too(api: Api) -> None:
    owner = await api.made(MAPS, {"metadata": {"name": "owner"}})
    await api("DELETE", f"{MAPS}/owner")
    await api.made(MAPS, {"metadata": {"name": "owner"}})
    await api.made(MAPS, owned("child", owner))
    await gone(api, f"{MAPS}/child")


async def test_orphans_stay(api: Api) -> None:
    owner = await api.made(MAPS, {"metadata": {"name": "owner"}})
    await api.made(MAPS, owned("child", owner))
    await api("DELETE", f"{MAPS}/owner", {"propagationPolicy": "Orphan"})
    await gone(api, f"{MAPS}/owner")
    assert "ownerReferences" not in (await api("GET", f"{MAPS}/child")).body["metadata"]


async def test_foreground_deletion_waits_for_dependents(api: Api) -> None:
    owner = await api.made(MAPS, {"metadata": {"name": "owner"}})
    child = owned("child", owner, blockOwnerDeletion=True)
    child["metadata"]["finalizers"] = ["example.com/hold"]
    await api.made(MAPS, child)
    answer = await api("DELETE", f"{MAPS}/owner", {"propagationPolicy": "Foreground"})
    assert answer.body["metadata"]["finalizers"] == ["foregroundDeletion"]
    await until(api, f"{MAPS}/child", lambda _, body: "deletionTimestamp" in body["metadata"])
    assert (await api("GET", f"{MAPS}/owner")).status == 200
    await api("PATCH", f"{MAPS}/child", {"metadata": {"finalizers": None}}, content_type=MERGE)
    await gone(api, f"{MAPS}/owner")


async def test_a_second_controller_is_refused(api: Api) -> None:
    owner = await api.made(MAPS, {"metadata": {"name": "owner"}})
    body = owned("child", owner, controller=True)
    body["metadata"]["ownerReferences"] *= 2
    answer = await api("POST", MAPS, body)
    assert "Only one reference can have Controller set to true" in answer.body["message"]


async def test_a_namespace_is_furnished_and_emptied(api: Api) -> None:
    await api.made("/api/v1/namespaces", {"metadata": {"name": "shop"}})
    place = "/api/v1/namespaces/shop"
    await until(api, f"{place}/serviceaccounts/default", lambda status, _: status == 200)
    await until(api, f"{place}/configmaps/kube-root-ca.crt", lambda status, _: status == 200)
    await api("DELETE", f"{place}/configmaps/kube-root-ca.crt")
    await until(api, f"{place}/configmaps/kube-root-ca.crt", lambda status, _: status == 200)
    held = {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    await api.made(f"{place}/configmaps", held)
    answer = await api("DELETE", place)
    assert answer.body["status"]["phase"] == "Terminating"
    refused = await api("POST", f"{place}/configmaps", {"metadata": {"name": "late"}})
    assert (refused.status, refused.body["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    await until(api, f"{place}/configmaps/held", lambda _, body: "deletionTimestamp" in body["metadata"])
    assert (await api("GET", place)).status == 200
    await api("PATCH", f"{place}/configmaps/held", {"metadata": {"finalizers": None}}, content_type=MERGE)
    await gone(api, place)
    assert (await api("GET", f"{place}/serviceaccounts")).body["items"] == []


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_some_namespaces_stay(api: Api, name: str) -> None:
    assert (await api("DELETE", f"/api/v1/namespaces/{name}")).status == 403


async def test_events_go_when_their_hour_is_over(api: Api) -> None:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Started",
        "type": "Normal",
    }
    await api.made(f"{CORE}/events", event)
    await Expiry(api.cluster.verbs).sweep()
    assert (await api("GET", f"{CORE}/events/e")).status == 200
    api.clock.advance(3700)
    await Expiry(api.cluster.verbs).sweep()
    assert (await api("GET", f"{CORE}/events/e")).status == 404
