"""Tags: of a group or resource, as an object of their own, and as what a list is filtered by."""

import pytest

from podpass.lab.arm.tags import changed
from tests.lab.arm.azure_world import SUBSCRIPTION, World

SUB = f"/subscriptions/{SUBSCRIPTION}"
TAGS = f"{SUB}/resourceGroups/shop/providers/Microsoft.Resources/tags/default"


@pytest.mark.parametrize(
    ("operation", "given", "left"),
    [
        ("merge", {"b": "2"}, {"Env": "lab", "b": "2"}),
        ("merge", {"env": "prod"}, {"Env": "prod"}),
        ("replace", {"b": "2"}, {"b": "2"}),
        ("delete", {"env": "lab"}, {}),
        ("delete", {"env": ""}, {}),
        ("delete", {"env": "prod"}, {"Env": "lab"}),
        ("delete", {"b": "2"}, {"Env": "lab"}),
    ],
)
def test_tags_after_an_operation(operation: str, given: dict[str, str], left: dict[str, str]) -> None:
    assert changed({"Env": "lab"}, operation, given) == left


async def test_tags_are_written_read_and_deleted(world: World) -> None:
    made = await world.call("PUT", TAGS, {"properties": {"tags": {"a": "1"}}})
    assert made.body["id"].endswith("/resourceGroups/shop/providers/Microsoft.Resources/tags/default")
    change = {"operation": "Merge", "properties": {"tags": {"b": "2"}}}
    assert (await world.call("PATCH", TAGS, change)).body["properties"] == {"tags": {"a": "1", "b": "2"}}
    assert (await world.call("GET", f"{SUB}/resourceGroups/shop")).body["tags"] == {"a": "1", "b": "2"}
    assert (await world.call("DELETE", TAGS)).status == 200
    assert (await world.call("GET", TAGS)).body["properties"] == {"tags": {}}


@pytest.mark.parametrize(
    ("method", "path", "content", "code"),
    [
        ("PATCH", TAGS, {"operation": "Shuffle", "properties": {"tags": {}}}, "InvalidRequestContent"),
        ("PUT", TAGS, {"properties": {"tags": {"a": 1}}}, "InvalidRequestContent"),
        ("PUT", TAGS, {"properties": {"tags": {str(n): "" for n in range(51)}}}, "TooManyTags"),
        ("GET", TAGS.replace("default", "other"), None, "BadRequest"),
        ("GET", TAGS.replace("shop", "nowhere"), None, "ResourceGroupNotFound"),
        ("GET", f"{SUB}/providers/Microsoft.Resources/tags/default", None, "NotImplemented"),
    ],
)
async def test_what_no_tags_can_be(world: World, method: str, path: str, content: object, code: str) -> None:
    assert (await world.call(method, path, content)).code == code


async def test_groups_are_listed_by_tag(world: World) -> None:
    await world.call("PUT", TAGS, {"properties": {"tags": {"env": "lab"}}})

    async def listed(filters: str) -> list[str]:
        found = await world.call("GET", f"{SUB}/resourcegroups?$filter={filters}")
        return [one["name"] for one in found.body["value"]]

    assert await listed("tagName eq 'ENV' and tagValue eq 'lab'") == ["shop"]
    assert await listed("tagName eq 'env' and tagValue eq 'prod'") == []
    assert await listed("tagName eq 'env'") == ["shop"]
