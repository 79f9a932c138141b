"""Agent pools: resources of their own that are kept as members of their cluster."""

from typing import Any

import pytest

from podpass.lab.arm.seeding import Identity
from tests.lab.arm.azure_world import World
from tests.lab.arm.cluster_host import ClusterHost
from tests.lab.arm.test_managed_clusters import CLUSTER, NODES, create, follow, show, update

POOLS = f"{CLUSTER}/agentPools"
SCALE_SETS = f"{NODES}/providers/Microsoft.Compute/virtualMachineScaleSets"


@pytest.fixture
def host(world: World) -> ClusterHost:
    return ClusterHost(world.arm)


def pool(**changes: Any) -> dict[str, Any]:
    return {"properties": {"count": 2, "mode": "User", "osType": "Linux", "orchestratorVersion": "", **changes}}


async def states(world: World) -> dict[str, str]:
    listed = (await world.call("GET", POOLS)).body["value"]
    return {one["name"]: one["properties"]["provisioningState"] for one in listed}


async def capacities(world: World) -> dict[str, int]:
    listed = (await world.call("GET", SCALE_SETS)).body["value"]
    return {one["name"].split("-")[1]: one["sku"]["capacity"] for one in listed}


async def test_a_pool_is_added_scaled_and_taken_away(world: World, host: ClusterHost) -> None:
    await create(world, host)
    added = await world.call("PUT", f"{POOLS}/batch", pool())
    assert (added.status, added.body["properties"]["provisioningState"]) == (201, "Creating")
    assert await states(world) == {"nodepool1": "Succeeded", "batch": "Creating"}
    assert (await show(world))["properties"]["provisioningState"] == "Updating"
    assert [one.node_count for one in host.settle()] == [5]
    assert (await follow(world, added))["status"] == "Succeeded"
    assert await states(world) == {"nodepool1": "Succeeded", "batch": "Succeeded"}
    assert await capacities(world) == {"nodepool1": 3, "batch": 2}
    found = (await world.call("GET", f"{POOLS}/batch")).body
    assert (found["type"], found["id"]) == (
        "Microsoft.ContainerService/managedClusters/agentPools",
        f"{CLUSTER}/agentPools/batch",
    )

    # As az scales: the pool as it was read, with another count.
    scaled = await world.call("PUT", f"{POOLS}/batch", {"properties": {**found["properties"], "count": 4}})
    assert (scaled.status, await states(world)) == (200, {"nodepool1": "Succeeded", "batch": "Updating"})
    assert [one.node_count for one in host.settle()] == [7]
    assert await capacities(world) == {"nodepool1": 3, "batch": 4}

    removed = await world.call("DELETE", f"{POOLS}/batch")
    assert (removed.status, await states(world)) == (202, {"nodepool1": "Succeeded", "batch": "Deleting"})
    assert [one.node_count for one in host.settle()] == [3]
    assert (await follow(world, removed))["status"] == "Succeeded"
    assert await capacities(world) == {"nodepool1": 3}
    assert (await world.call("GET", f"{POOLS}/batch")).status == 404
    assert (await world.call("DELETE", f"{POOLS}/batch")).status == 204


async def test_what_is_nothing_to_the_cluster_ends_by_the_clock(world: World, host: ClusterHost) -> None:
    await create(world, host)
    found = (await world.call("GET", f"{POOLS}/nodepool1")).body["properties"]
    changed = await world.call("PUT", f"{POOLS}/nodepool1", {"properties": {**found, "tags": {"a": "b"}}})
    assert host.settle() == []
    assert (await follow(world, changed))["status"] == "InProgress"
    world.clock.advance(5)
    assert (await follow(world, changed))["status"] == "Succeeded"
    assert (await world.call("GET", f"{POOLS}/nodepool1")).body["properties"]["tags"] == {"a": "b"}


@pytest.mark.parametrize(
    ("method", "name", "content", "code"),
    [
        ("DELETE", "nodepool1", None, "MustDefineAtLeastOneSystemPool"),
        ("PUT", "nodepool1", pool(mode="User"), "MustDefineAtLeastOneSystemPool"),
        ("PUT", "node-pool", pool(), "InvalidParameter"),
        ("PUT", "batch", pool(count=-1), "InvalidParameter"),
        ("PUT", "batch", pool(mode="Sometimes"), "InvalidRequestContent"),
        ("PUT", "batch", pool(osType="Windows"), "NotImplemented"),
        ("PUT", "batch", {}, "InvalidRequestContent"),
        ("PUT", "nodepool1", pool(mode="System", vmSize="Standard_D2s_v3"), "PropertyChangeNotAllowed"),
        ("GET", "nobody", None, "ResourceNotFound"),
    ],
)
async def test_what_can_not_be_is_refused(
    world: World, host: ClusterHost, method: str, name: str, content: Any, code: str
) -> None:
    await create(world, host)
    before = await show(world)
    refused = await world.call(method, f"{POOLS}/{name}", content)
    assert refused.code == code, refused.body
    assert await show(world) == before


async def test_a_pool_of_users_may_be_empty(world: World, host: ClusterHost) -> None:
    await create(world, host)
    assert (await world.call("PUT", f"{POOLS}/batch", pool(count=0))).status == 201
    assert await capacities(world) == {"nodepool1": 3, "batch": 0}


async def test_whoever_writes_pools_need_not_write_the_cluster(world: World, host: ClusterHost) -> None:
    await create(world, host)
    someone: Identity = world.identity("someone")
    world.arm.seed.put_role_assignment(f"{POOLS}/batch", "Contributor", someone.principal_id)
    assert (await world.call("PUT", f"{POOLS}/batch", pool(), who=someone)).status == 201
    host.settle()
    assert (await world.call("PUT", f"{POOLS}/other", pool(), who=someone)).status == 403


async def test_identities_that_others_put_on_a_scale_set_stay(world: World, host: ClusterHost) -> None:
    await create(world, host)
    mine = world.identity("mine")
    (scale_set,) = (await world.call("GET", SCALE_SETS)).body["value"]
    identity = {"type": "UserAssigned", "userAssignedIdentities": {mine.id: {}}}
    assert (await world.call("PATCH", scale_set["id"], {"identity": identity})).status == 200
    found = (await show(world))["properties"]["agentPoolProfiles"]
    await update(world, agentPoolProfiles=[{**found[0], "count": 1}])
    host.settle()
    shown = (await world.call("GET", scale_set["id"])).body
    assert shown["sku"]["capacity"] == 1
    assert mine.id in shown["identity"]["userAssignedIdentities"]
