"""Virtual networks and subnets: what fits, and that a network and its subnets say the same."""

from typing import Any

import pytest

from tests.lab.arm.azure_world import SUBSCRIPTION, Reply, World

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shop"
NETWORK = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/net"


def network(*subnets: tuple[str, str], space: str = "10.0.0.0/8", **more: Any) -> dict[str, Any]:
    shown = [{"name": name, "properties": {"addressPrefix": prefix}} for name, prefix in subnets]
    properties = {"addressSpace": {"addressPrefixes": [space]}, "subnets": shown, **more}
    return {"location": "eastus", "properties": properties}


async def subnet(world: World, name: str, prefix: str | None, **more: Any) -> Reply:
    properties = {**({} if prefix is None else {"addressPrefix": prefix}), **more}
    return await world.call("PUT", f"{NETWORK}/subnets/{name}", {"properties": properties})


async def names(world: World) -> list[str]:
    """The subnets that there are, by the network's word and by their own, which must agree."""
    shown = [one["name"] for one in (await world.call("GET", NETWORK)).body["properties"]["subnets"]]
    listed = [one["name"] for one in (await world.call("GET", f"{NETWORK}/subnets")).body["value"]]
    assert sorted(shown) == sorted(listed)
    return sorted(shown)


async def test_a_network_shows_its_subnets_and_they_are_resources_of_their_own(world: World) -> None:
    made = await world.call("PUT", NETWORK, network(("one", "10.240.0.0/16")))
    assert (made.status, made.body["properties"]["provisioningState"]) == (201, "Succeeded")
    one = (await world.call("GET", f"{NETWORK}/subnets/one")).body
    assert one == made.body["properties"]["subnets"][0]
    assert (one["id"], one["properties"]["addressPrefix"]) == (f"{NETWORK}/subnets/one", "10.240.0.0/16")
    assert (await subnet(world, "two", "10.241.0.0/16")).status == 201
    assert await names(world) == ["one", "two"]
    listed = (await world.call("GET", f"{GROUP}/providers/Microsoft.Network/virtualNetworks")).body["value"]
    assert [len(found["properties"]["subnets"]) for found in listed] == [2]


async def test_subnets_come_and_go_either_way(world: World) -> None:
    await world.call("PUT", NETWORK, network(("one", "10.240.0.0/16"), ("two", "10.241.0.0/16")))
    guid = (await world.call("GET", NETWORK)).body["properties"]["resourceGuid"]
    assert (await world.call("DELETE", f"{NETWORK}/subnets/one")).status == 200
    assert await names(world) == ["two"]
    assert (await world.call("PUT", NETWORK, network(("three", "10.242.0.0/16")))).status == 200
    assert await names(world) == ["three"]
    assert (await world.call("GET", NETWORK)).body["properties"]["resourceGuid"] == guid
    tagged = await world.call("PATCH", NETWORK, {"tags": {"a": "b"}})
    assert tagged.body["tags"] == {"a": "b"}
    assert await names(world) == ["three"]
    assert (await world.call("DELETE", NETWORK)).status == 200
    assert (await world.call("GET", f"{NETWORK}/subnets/three")).status == 404


async def test_a_changed_subnet_is_changed_in_its_network(world: World) -> None:
    await world.call("PUT", NETWORK, network(("one", "10.240.0.0/16")))
    endpoints = [{"service": "Microsoft.KeyVault"}]
    assert (await subnet(world, "ONE", "10.240.0.0/17", serviceEndpoints=endpoints)).status == 200
    (shown,) = (await world.call("GET", NETWORK)).body["properties"]["subnets"]
    assert (shown["name"], shown["properties"]["addressPrefix"]) == ("one", "10.240.0.0/17")
    assert shown["properties"]["serviceEndpoints"] == endpoints


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(network(("a", "10.0.0.0/16"), ("b", "10.0.128.0/17")), "NetcfgSubnetRangesOverlap", id="overlap"),
        pytest.param(network(("a", "192.168.0.0/16")), "NetcfgSubnetRangeOutsideVnet", id="outside"),
        pytest.param(network(("a", "10.0.1.0/16")), "InvalidAddressPrefixFormat", id="bits-beyond-the-mask"),
        pytest.param(network(("a", "10.0.0.0")), "InvalidAddressPrefixFormat", id="no-mask"),
        pytest.param(network(space="nonsense"), "InvalidAddressPrefixFormat", id="no-space"),
        pytest.param(network(("a", "10.1.0.0/16"), ("A", "10.2.0.0/16")), "DuplicateResourceName", id="two-of-a-name"),
        pytest.param(network(("-", "10.1.0.0/16")), "InvalidResourceName", id="no-name"),
        pytest.param({"location": "eastus", "properties": {}}, "InvalidRequestContent", id="no-properties"),
    ],
)
async def test_what_does_not_fit_is_refused(world: World, body: dict[str, Any], code: str) -> None:
    refused = await world.call("PUT", NETWORK, body)
    assert (refused.status, refused.code) == (400, code)
    assert (await world.call("GET", NETWORK)).status == 404


@pytest.mark.parametrize(
    ("prefix", "code"),
    [
        ("10.240.1.0/24", "NetcfgSubnetRangesOverlap"),
        ("172.16.0.0/24", "NetcfgSubnetRangeOutsideVnet"),
        (None, "MissingAddressPrefixOrPrefixes"),
    ],
)
async def test_a_subnet_that_does_not_fit_changes_nothing(world: World, prefix: str | None, code: str) -> None:
    await world.call("PUT", NETWORK, network(("one", "10.240.0.0/16")))
    assert (await subnet(world, "two", prefix)).code == code
    assert await names(world) == ["one"]


async def test_a_subnet_needs_its_network(world: World) -> None:
    assert (await subnet(world, "one", "10.240.0.0/16")).status == 404


@pytest.mark.parametrize("other", ["networkInterfaces", "publicIPAddresses", "networkSecurityGroups"])
async def test_the_rest_of_the_provider_is_said_to_be_missing(world: World, other: str) -> None:
    reply = await world.call("GET", f"{GROUP}/providers/Microsoft.Network/{other}")
    assert (reply.status, reply.code) == (501, "NotImplemented")
