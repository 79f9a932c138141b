"""Providers and preview features of a subscription."""

from typing import Any

import pytest

from tests.lab.arm.azure_world import SUBSCRIPTION, World

SUB = f"/subscriptions/{SUBSCRIPTION}"
FEATURE = f"{SUB}/providers/Microsoft.Features/providers/Microsoft.ContainerService/features/EnablePodIdentityPreview"


async def state(world: World, path: str = FEATURE) -> str:
    found: Any = (await world.call("GET", path)).body
    return str(found["properties"]["state"])


async def test_a_feature_is_registered_after_a_moment_of_the_labs_time(world: World) -> None:
    assert await state(world) == "NotRegistered"
    made = await world.call("POST", f"{FEATURE}/register")
    assert made.status == 200
    assert made.body == {
        "id": FEATURE,
        "name": "Microsoft.ContainerService/EnablePodIdentityPreview",
        "type": "Microsoft.Features/providers/features",
        "properties": {"state": "Registering"},
    }
    assert await state(world, FEATURE.lower()) == "Registering"
    world.clock.advance(5)
    assert await state(world) == "Registered"
    assert (await world.call("POST", f"{FEATURE}/register")).body["properties"]["state"] == "Registered"
    assert (await world.call("POST", f"{FEATURE}/unregister")).body["properties"]["state"] == "Unregistering"
    world.clock.advance(5)
    assert await state(world) == "Unregistered"


async def test_a_feature_that_never_was_registered_stays_so(world: World) -> None:
    assert (await world.call("POST", f"{FEATURE}/unregister")).body["properties"]["state"] == "NotRegistered"


async def test_features_are_listed_by_provider_and_all_together(world: World) -> None:
    await world.call("POST", f"{FEATURE}/register")
    base = f"{SUB}/providers/Microsoft.Features"
    for path, count in (
        (f"{base}/features", 1),
        (f"{base}/providers/Microsoft.ContainerService/features", 1),
        (f"{base}/providers/Microsoft.Compute/features", 0),
    ):
        assert len((await world.call("GET", path)).body["value"]) == count


async def test_a_provider_shows_its_types(world: World) -> None:
    found = (await world.call("GET", f"{SUB}/providers/microsoft.keyvault")).body
    assert (found["namespace"], found["registrationState"]) == ("Microsoft.KeyVault", "Registered")
    vaults = next(one for one in found["resourceTypes"] if one["resourceType"] == "vaults")
    assert "East US" in vaults["locations"]
    assert "2024-11-01" in vaults["apiVersions"]
    listed = (await world.call("GET", f"{SUB}/providers")).body["value"]
    assert {"Microsoft.KeyVault", "Microsoft.ManagedIdentity", "Microsoft.Resources"} <= {
        one["namespace"] for one in listed
    }


async def test_an_unregistered_provider_creates_nothing(world: World) -> None:
    provider, vault = f"{SUB}/providers/Microsoft.KeyVault", f"{SUB}/resourceGroups/shop/providers/Microsoft.KeyVault"
    assert (await world.call("POST", f"{provider}/unregister")).body["registrationState"] == "Unregistered"
    body = {"location": "eastus", "properties": {"sku": {"family": "A", "name": "standard"}, "tenantId": "t"}}
    refused = await world.call("PUT", f"{vault}/vaults/kv-new", body)
    assert (refused.status, refused.code) == (409, "MissingSubscriptionRegistration")
    assert (await world.call("POST", f"{provider}/register")).body["registrationState"] == "Registered"
    world.arm.seed.put_vault(world.group.id, "kv-new")
    in_use = await world.call("POST", f"{provider}/unregister")
    assert (in_use.status, in_use.code) == (400, "CannotUnregisterNamespace")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("providers/Microsoft.Sql", 501),
        ("providers/Microsoft.Sql/register", 501),
        ("providers/Nobody.Knows", 404),
        ("providers/Microsoft.Resources/unregister", 400),
    ],
)
async def test_what_the_lab_has_not_is_not_registered(world: World, path: str, status: int) -> None:
    method = "POST" if "register" in path else "GET"
    assert (await world.call(method, f"{SUB}/{path}")).status == status


async def test_registering_needs_the_right_to_it(world: World) -> None:
    reader = world.identity("reader")
    world.arm.seed.put_role_assignment(SUB, "Reader", reader.principal_id)
    assert (await world.call("GET", FEATURE, who=reader)).status == 200
    assert (await world.call("POST", f"{FEATURE}/register", who=reader)).status == 403
    assert (await world.call("POST", f"{SUB}/providers/Microsoft.KeyVault/register", who=reader)).status == 403
