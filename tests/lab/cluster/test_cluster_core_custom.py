"""What differs for resources that are not built in, as custom ones will be."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from podpass.kube.resources import Resource
from podpass.lab.cluster.registry import Kind
from tests.lab.cluster.core_api import APPLY, MERGE, STRATEGIC, Api, opened

GADGETS = Resource("example.com", "v1", "gadgets", "Gadget", True, short_names=("gd",))
OLDER = Resource("example.com", "v1beta1", "gadgets", "Gadget", True)
PATH = GADGETS.path("default")


@pytest.fixture
async def api(cluster_keys: Path) -> AsyncIterator[Api]:
    async with opened(cluster_keys) as found:
        found.cluster.registry.add(Kind(resource=GADGETS, built_in=False, has_generation=True, has_status=True))
        found.cluster.registry.add(Kind(resource=OLDER, built_in=False, has_generation=True, stored_as=GADGETS))
        yield found


def gadget(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "a"}, "spec": spec}


async def test_strategic_merge_is_refused(api: Api) -> None:
    await api.made(PATH, gadget(x=1))
    answer = await api("PATCH", f"{PATH}/a", {"spec": {"x": 2}}, content_type=STRATEGIC)
    assert answer.status == 415
    assert (await api("PATCH", f"{PATH}/a", {"spec": {"x": 2}}, content_type=MERGE)).body["spec"] == {"x": 2}


async def test_an_update_needs_the_version_it_replaces(api: Api) -> None:
    made = await api.made(PATH, gadget(x=1))
    blind = await api("PUT", f"{PATH}/a", gadget(x=2))
    assert blind.status == 422
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in blind.body["message"]
    made["spec"]["x"] = 2
    put = await api("PUT", f"{PATH}/a", made)
    assert put.body["metadata"]["generation"] == 2


async def test_items_of_a_list_carry_their_kind(api: Api) -> None:
    await api.made(PATH, gadget(x=1))
    listed = (await api("GET", PATH)).body
    assert listed["kind"] == "GadgetList"
    assert (listed["items"][0]["kind"], listed["items"][0]["apiVersion"]) == ("Gadget", "example.com/v1")


async def test_another_version_shows_the_same_object(api: Api) -> None:
    made = await api.made(PATH, gadget(x=1))
    older = (await api("GET", OLDER.path("default", "a"))).body
    assert older["apiVersion"] == "example.com/v1beta1"
    assert older["metadata"]["uid"] == made["metadata"]["uid"]
    applied = {**gadget(x=1, y=2), "apiVersion": "example.com/v1beta1"}
    answer = await api("PATCH", f"{OLDER.path('default', 'a')}?fieldManager=m", applied, content_type=APPLY)
    assert answer.body["spec"] == {"x": 1, "y": 2}
    assert (await api("GET", f"{PATH}/a")).body["spec"] == {"x": 1, "y": 2}


async def test_a_kind_that_is_added_and_removed_is_so_in_discovery(api: Api) -> None:
    found = (await api("GET", "/apis/example.com/v1")).body
    assert [entry["name"] for entry in found["resources"]] == ["gadgets", "gadgets/status"]
    api.cluster.registry.remove(GADGETS)
    api.cluster.registry.remove(OLDER)
    assert (await api("GET", "/apis/example.com/v1")).status == 404
    assert (await api("GET", PATH)).status == 404
