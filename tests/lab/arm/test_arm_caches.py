"""Caches as Resource Manager has them: what is accepted, how they are shown, their keys and their names."""

from typing import Any

import pytest

from podpass.lab.arm.caches.sizes import NotASize, Size
from tests.lab.arm.azure_world import SUBSCRIPTION, TENANT, Reply, World

SUB = f"/subscriptions/{SUBSCRIPTION}"
CACHE = f"{SUB}/resourceGroups/shop/providers/Microsoft.Cache/redis/votes"
BASIC = {"name": "Basic", "family": "C", "capacity": 0}


def body(**properties: Any) -> dict[str, Any]:
    return {"location": "eastus", "properties": {"sku": BASIC, **properties}}


async def create(world: World, **properties: Any) -> Reply:
    made = await world.call("PUT", CACHE, body(**properties))
    assert made.status == 201, made.body
    world.clock.advance(5)
    return made


async def test_a_cache_is_created_and_shown(world: World) -> None:
    made = await world.call("PUT", CACHE, body(enableNonSslPort=True, redisVersion="6"))
    assert (made.status, made.body["properties"]["provisioningState"]) == (201, "Creating")
    operation = made.headers["azure-asyncoperation"].removeprefix("https://management.azure.com").partition("?")[0]
    assert (await world.call("GET", operation)).body["status"] == "InProgress"
    world.clock.advance(5)
    assert (await world.call("GET", operation)).body["status"] == "Succeeded"
    found = (await world.call("GET", CACHE)).body
    assert found["type"] == "Microsoft.Cache/Redis"
    assert {
        "provisioningState": "Succeeded",
        "hostName": "votes.redis.cache.windows.net",
        "port": 6379,
        "sslPort": 6380,
        "redisVersion": "6.0",
        "enableNonSslPort": True,
        "minimumTlsVersion": "1.2",
        "publicNetworkAccess": "Enabled",
        "sku": BASIC,
        "accessKeys": None,
    }.items() <= found["properties"].items()
    for scope in (SUB, f"{SUB}/resourceGroups/shop"):
        listed = (await world.call("GET", f"{scope}/providers/Microsoft.Cache/redis")).body["value"]
        assert [one["name"] for one in listed] == ["votes"]


async def test_keys_are_told_to_those_who_ask_for_them_alone(world: World) -> None:
    made = await create(world)
    keys = (await world.call("POST", f"{CACHE}/listKeys")).body
    assert set(keys) == {"primaryKey", "secondaryKey"}
    for key in keys.values():
        assert len(key) == 44
        assert key not in str(made.body) + str((await world.call("GET", CACHE)).body) + repr(world.hops)
    reader = world.identity("reader")
    world.arm.seed.put_role_assignment(world.group.id, "Reader", reader.principal_id)
    assert (await world.call("GET", CACHE, who=reader)).status == 200
    refused = await world.call("POST", f"{CACHE}/listKeys", who=reader)
    assert (refused.status, refused.code) == (403, "AuthorizationFailed")
    assert keys["primaryKey"] not in repr(world.arm.caches())


@pytest.mark.parametrize(("kind", "changed"), [("Primary", "primaryKey"), ("Secondary", "secondaryKey")])
async def test_a_key_is_made_anew_and_the_other_stays(world: World, kind: str, changed: str) -> None:
    await create(world)
    told: list[int] = []
    world.arm.on_caches_changed(lambda: told.append(1))
    before = (await world.call("POST", f"{CACHE}/listKeys")).body
    after = (await world.call("POST", f"{CACHE}/regenerateKey", {"keyType": kind})).body
    assert [name for name in before if before[name] != after[name]] == [changed]
    assert world.arm.caches()[0].keys == (after["primaryKey"], after["secondaryKey"])
    assert told
    for wrong in ({"keyType": "Third"}, {}, []):
        assert (await world.call("POST", f"{CACHE}/regenerateKey", wrong)).status == 400


async def test_names_are_unique_in_all_of_azure(world: World) -> None:
    await create(world)
    other = world.arm.seed.put_subscription(TENANT, "other")
    group = world.arm.seed.put_group(other.id, "elsewhere", "eastus")
    world.arm.seed.put_role_assignment(f"/subscriptions/{other.id}", "Owner", world.owner.object_id)
    path = f"{group.id}/providers/Microsoft.Cache/redis/VOTES"
    refused = await world.call("PUT", path, body())
    assert (refused.status, refused.code) == (409, "NameNotAvailable")
    check = f"{SUB}/providers/Microsoft.Cache/CheckNameAvailability"
    asked = {"name": "votes", "type": "Microsoft.Cache/Redis"}
    assert (await world.call("POST", check, asked)).status == 409
    assert (await world.call("POST", check, {**asked, "name": "other"})).status == 200
    await world.call("DELETE", CACHE)
    assert world.arm.caches() == []
    assert world.arm.cache_exists("votes")
    world.clock.advance(5)
    assert (await world.call("GET", CACHE)).status == 404
    assert not world.arm.cache_exists("votes")
    assert (await world.call("PUT", path, body())).status == 201


async def test_a_new_cache_under_an_old_name_is_another_cache(world: World) -> None:
    await create(world)
    (before,) = world.arm.caches()
    await world.call("DELETE", CACHE)
    world.clock.advance(5)
    await create(world)
    (after,) = world.arm.caches()
    assert before.guid != after.guid
    assert not set(before.keys) & set(after.keys)


async def test_what_is_changed_stays_changed(world: World) -> None:
    await create(world, redisConfiguration={"maxmemory-policy": "allkeys-lru"})
    patch = {"properties": {"enableNonSslPort": True, "sku": {"name": "Standard", "family": "C", "capacity": 1}}}
    changed = await world.call("PATCH", CACHE, patch)
    assert (changed.status, changed.body["properties"]["provisioningState"]) == (200, "Updating")
    (cache,) = world.arm.caches()
    assert (cache.plain, cache.eviction, cache.memory_bytes) == (True, "allkeys-lru", 1024**3)
    found = (await world.call("GET", CACHE)).body["properties"]
    assert found["redisConfiguration"] == {"maxmemory-policy": "allkeys-lru", "maxclients": "1000"}
    keys = (await world.call("POST", f"{CACHE}/listKeys")).body
    await world.call("PATCH", CACHE, {"tags": {"a": "b"}})
    assert (await world.call("POST", f"{CACHE}/listKeys")).body == keys


@pytest.mark.parametrize(
    ("properties", "status", "code"),
    [
        ({"sku": {"name": "Free", "family": "C", "capacity": 0}}, 400, "InvalidParameter"),
        ({"sku": {"name": "Basic", "family": "P", "capacity": 1}}, 400, "InvalidParameter"),
        ({"sku": {"name": "Basic", "family": "C", "capacity": 7}}, 400, "InvalidParameter"),
        ({"sku": {"name": "Premium", "family": "P", "capacity": 0}}, 400, "InvalidParameter"),
        ({"sku": {"name": "Basic"}}, 400, "InvalidRequestContent"),
        ({"redisVersion": "3"}, 400, "InvalidParameter"),
        ({"minimumTlsVersion": "0.9"}, 400, "InvalidParameter"),
        ({"publicNetworkAccess": "Perhaps"}, 400, "InvalidParameter"),
        ({"shardCount": 2}, 400, "InvalidParameter"),
        ({"sku": {"name": "Premium", "family": "P", "capacity": 1}, "shardCount": 2}, 501, "NotImplemented"),
        ({"redisConfiguration": {"maxmemory-policy": "perhaps"}}, 400, "InvalidParameter"),
        ({"redisConfiguration": {"aad-enabled": "true"}}, 501, "NotImplemented"),
        ({"disableAccessKeyAuthentication": True}, 501, "NotImplemented"),
    ],
)
async def test_what_makes_no_cache_is_refused(world: World, properties: dict[str, Any], status: int, code: str) -> None:
    refused = await world.call("PUT", CACHE, body(**properties))
    assert (refused.status, refused.code) == (status, code)
    assert world.arm.caches() == []


@pytest.mark.parametrize("name", ["a--b", "-a", "a-", "a_b", "x" * 64])
async def test_what_is_no_name_is_refused(world: World, name: str) -> None:
    refused = await world.call("PUT", CACHE.replace("votes", name), body())
    assert (refused.status, refused.code) == (400, "InvalidResourceName")


@pytest.mark.parametrize("call", ["firewallRules", "patchSchedules/default", "linkedServers", "accessPolicies"])
async def test_what_is_not_emulated_is_said_openly(world: World, call: str) -> None:
    await create(world)
    assert (await world.call("GET", f"{CACHE}/{call}")).status == 501


async def test_a_lab_that_can_run_none_makes_none(world: World) -> None:
    world.arm.refuse_caches("redis-server is not installed")
    refused = await world.call("PUT", CACHE, body())
    assert (refused.status, refused.code) == (501, "NotImplemented")
    assert "redis-server is not installed" in refused.message


async def test_a_flush_takes_its_time_and_is_told(world: World) -> None:
    await create(world)
    flushed = await world.call("POST", f"{CACHE}/flush")
    assert flushed.status == 202
    assert world.arm.caches()[0].flushed == 1
    operation = flushed.headers["azure-asyncoperation"].removeprefix("https://management.azure.com").partition("?")[0]
    world.clock.advance(5)
    assert (await world.call("GET", operation)).body["status"] == "Succeeded"


async def test_a_group_takes_its_caches_along(world: World) -> None:
    await create(world)
    assert (await world.call("DELETE", world.group.id)).status in (200, 202)
    world.clock.advance(5)
    await world.call("GET", world.group.id)
    assert not world.arm.cache_exists("votes")


@pytest.mark.parametrize(
    ("before", "after", "fits"),
    [
        (("Basic", "C", 0), ("Basic", "C", 1), True),
        (("Basic", "C", 1), ("Standard", "C", 1), True),
        (("Standard", "C", 1), ("Premium", "P", 1), True),
        (("Standard", "C", 2), ("Standard", "C", 1), True),
        (("Standard", "C", 1), ("Basic", "C", 1), False),
        (("Basic", "C", 1), ("Basic", "C", 0), False),
        (("Basic", "C", 1), ("Premium", "P", 1), False),
        (("Premium", "P", 1), ("Standard", "C", 1), False),
    ],
)
def test_caches_are_scaled_as_azure_scales_them(
    before: tuple[str, str, int], after: tuple[str, str, int], fits: bool
) -> None:
    if fits:
        Size.of(*after).check_follows(Size.of(*before))
    else:
        with pytest.raises(NotASize):
            Size.of(*after).check_follows(Size.of(*before))
