"""Virtual machines and scale sets: their identities, and operations that take a moment."""

from typing import Any

import pytest

from podpass.lab.arm.seeding import Identity
from tests.lab.arm.azure_world import SUBSCRIPTION, TENANT, Reply, World, send

SUB = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{SUB}/resourceGroups/shop"
SCALE_SET = f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/pool"
MACHINE = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/vm-1"


def body(**more: Any) -> dict[str, Any]:
    return {"location": "eastus", "sku": {"name": "Standard_D2s_v3", "capacity": 2}, "properties": {}, **more}


async def create(world: World, path: str = SCALE_SET, **more: Any) -> Reply:
    made = await world.call("PUT", path, body(**more))
    assert made.status == 201, made.body
    world.clock.advance(5)
    return made


def user_assigned(*identities: Identity, remove: tuple[Identity, ...] = ()) -> dict[str, Any]:
    # MIC writes them in lower case.
    wanted: dict[str, Any] = {one.id.lower(): {} for one in identities} | {one.id.lower(): None for one in remove}
    return {"identity": {"type": "UserAssigned", "userAssignedIdentities": wanted}}


async def ids(world: World) -> list[str]:
    found = (await world.call("GET", SCALE_SET)).body
    return sorted(found.get("identity", {}).get("userAssignedIdentities", {}))


async def test_a_write_is_followed_to_its_end(world: World) -> None:
    made = await world.call("PUT", SCALE_SET, body())
    assert (made.status, made.body["properties"]["provisioningState"]) == (201, "Creating")
    assert made.headers["retry-after"] == "1"
    operation = made.headers["azure-asyncoperation"]
    assert operation.startswith(f"https://management.azure.com{SUB}/providers/Microsoft.Compute/locations/eastus/")
    path = operation.removeprefix("https://management.azure.com").partition("?")[0]
    assert (await world.call("GET", path)).body["status"] == "InProgress"
    assert (await world.call("GET", path.replace("/operations/", "/operationresults/"))).status == 202
    world.clock.advance(5)
    assert (await world.call("GET", path)).body["status"] == "Succeeded"
    assert (await world.call("GET", path.replace("/operations/", "/operationresults/"))).status == 200
    found = (await world.call("GET", SCALE_SET.upper().replace("/SUBSCRIPTIONS", "/subscriptions"))).body
    assert found["properties"]["provisioningState"] == "Succeeded"
    assert found["sku"] == {"name": "Standard_D2s_v3", "tier": "Standard", "capacity": 2}


async def test_a_delete_is_seen_while_it_goes_on(world: World) -> None:
    await create(world)
    gone = await world.call("DELETE", SCALE_SET)
    assert (gone.status, gone.body) == (202, None)
    assert (await world.call("GET", SCALE_SET)).body["properties"]["provisioningState"] == "Deleting"
    again = await world.call("PUT", SCALE_SET, body())
    assert (again.status, again.code) == (409, "ResourceIsBeingDeleted")
    location = gone.headers["location"].removeprefix("https://management.azure.com").partition("?")[0]
    world.clock.advance(5)
    assert (await world.call("GET", location)).status == 204
    assert (await world.call("GET", SCALE_SET)).code == "ResourceNotFound"
    assert (await world.call("DELETE", SCALE_SET)).status == 204


async def test_an_operation_of_another_subscription_is_not_found(world: World) -> None:
    other = world.arm.seed.put_subscription(TENANT, "other")
    world.arm.seed.put_role_assignment(f"/subscriptions/{other.id}", "Owner", world.owner.object_id)
    made = await world.call("PUT", SCALE_SET, body())
    path = made.headers["azure-asyncoperation"].removeprefix("https://management.azure.com").partition("?")[0]
    assert (await world.call("GET", path.replace(SUBSCRIPTION, other.id))).code == "OperationNotFound"


async def test_identities_are_added_and_taken_away_one_by_one(world: World) -> None:
    first, second = world.identity("first"), world.identity("second")
    await create(world)
    assert (await world.call("PATCH", SCALE_SET, user_assigned(first))).status == 200
    assert await ids(world) == [first.id]
    await world.call("PATCH", SCALE_SET, user_assigned(second))
    assert await ids(world) == sorted([first.id, second.id])
    shown = (await world.call("GET", SCALE_SET)).body["identity"]
    assert shown["userAssignedIdentities"][first.id] == {
        "principalId": first.principal_id,
        "clientId": first.client_id,
    }
    await world.call("PATCH", SCALE_SET, user_assigned(second, remove=(first,)))
    assert await ids(world) == [second.id]
    # Tags alone leave identities as they are.
    await world.call("PATCH", SCALE_SET, {"tags": {"a": "b"}})
    assert await ids(world) == [second.id]
    await world.call("PATCH", SCALE_SET, {"identity": {"type": "None"}})
    assert "identity" not in (await world.call("GET", SCALE_SET)).body


async def test_an_identity_that_was_deleted_stays_until_it_is_taken_away(world: World) -> None:
    first, second = world.identity("first"), world.identity("second")
    await create(world, **user_assigned(first))
    await world.call("DELETE", first.id)
    assert (await world.call("PATCH", SCALE_SET, user_assigned(second))).status == 200
    assert await ids(world) == sorted([first.id, second.id])
    await world.call("PATCH", SCALE_SET, user_assigned(second, remove=(first,)))
    refused = await world.call("PATCH", SCALE_SET, user_assigned(first))
    assert (refused.status, refused.code) == (400, "FailedIdentityOperation")
    assert f"'{first.id.lower()}'" in refused.message
    assert await ids(world) == [second.id]


async def test_assigning_an_identity_needs_the_right_to_it(world: World) -> None:
    identity, writer = world.identity("first"), world.identity("writer")
    await create(world)
    world.arm.seed.put_role_assignment(world.group.id, "Virtual Machine Contributor", writer.principal_id)
    refused = await world.call("PATCH", SCALE_SET, user_assigned(identity), who=writer)
    assert (refused.status, refused.code) == (403, "LinkedAuthorizationFailed")
    assert f"'{identity.id}'" in refused.message
    world.arm.seed.put_role_assignment(identity.id, "Managed Identity Operator", writer.principal_id)
    assert (await world.call("PATCH", SCALE_SET, user_assigned(identity), who=writer)).status == 200
    assert await ids(world) == [identity.id]


async def test_a_machine_has_an_identity_of_its_own(world: World) -> None:
    await create(world, MACHINE, identity={"type": "SystemAssigned"})
    found = (await world.call("GET", MACHINE)).body["identity"]
    assert (found["type"], found["tenantId"]) == ("SystemAssigned", TENANT)
    application = world.directory.application_by_object_id(TENANT, found["principalId"])
    assert application is not None
    assert (application.kind, application.resource_id) == ("managed-identity", MACHINE)
    both = {"identity": {"type": "SystemAssigned, UserAssigned", **user_assigned(world.identity("shared"))["identity"]}}
    both["identity"]["type"] = "SystemAssigned, UserAssigned"
    assert (await world.call("PATCH", MACHINE, both)).status == 200
    assert (await world.call("GET", MACHINE)).body["identity"]["principalId"] == found["principalId"]
    await world.call("DELETE", MACHINE)
    world.clock.advance(5)
    await world.call("GET", MACHINE)
    assert world.directory.application_by_object_id(TENANT, found["principalId"]) is None


@pytest.mark.parametrize(
    ("identity", "code"),
    [
        ({"type": "UserAssigned"}, "InvalidIdentityType"),
        ({"type": "Nonsense"}, "InvalidIdentityType"),
        ({"type": "SystemAssigned", "userAssignedIdentities": {"/x": {}}}, "InvalidIdentityType"),
        ({"type": "UserAssigned", "userAssignedIdentities": {"x": {}}}, "LinkedInvalidPropertyId"),
        ({"type": "UserAssigned", "userAssignedIdentities": {GROUP: {}}}, "FailedIdentityOperation"),
        ({"type": "UserAssigned", "userAssignedIdentities": {f"/x{n}": {} for n in range(151)}}, "BadRequest"),
        ("x", "InvalidRequestContent"),
    ],
)
async def test_what_is_no_identity_is_refused(world: World, identity: Any, code: str) -> None:
    refused = await world.call("PUT", SCALE_SET, body(identity=identity))
    assert (refused.status, refused.code) == (400, code)
    assert (await world.call("GET", SCALE_SET)).status == 404


async def test_scale_sets_are_listed_with_their_machines(world: World) -> None:
    await create(world)
    await create(world, MACHINE)
    for path, count in (
        (f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets", 1),
        (f"{SUB}/providers/Microsoft.Compute/virtualMachines", 1),
        (f"{SCALE_SET}/virtualMachines", 2),
    ):
        assert len((await world.call("GET", path, version="2019-12-01")).body["value"]) == count


async def test_a_group_takes_its_machines_along(world: World) -> None:
    await create(world, MACHINE, identity={"type": "SystemAssigned"})
    assert (await world.call("DELETE", GROUP)).status == 200
    assert [one for one in world.directory.applications(TENANT) if one.resource_id == MACHINE] == []


async def test_links_lead_to_the_host_that_was_called(world: World) -> None:
    url = f"https://arm.example:8443{SCALE_SET}?api-version=2024-11-01"
    made = await send(world.arm.app, "PUT", url, token=world.token(), content=body())
    assert made.headers["location"].startswith("https://arm.example:8443/subscriptions/")


async def test_machines_say_how_they_are(world: World) -> None:
    await create(world, MACHINE)
    await create(world)
    assert "instanceView" not in (await world.call("GET", MACHINE)).body["properties"]
    expanded = (await world.call("GET", f"{MACHINE}?$expand=instanceView")).body["properties"]["instanceView"]
    assert expanded == (await world.call("GET", f"{MACHINE}/instanceView")).body
    assert [one["code"] for one in expanded["statuses"]] == ["ProvisioningState/succeeded", "PowerState/running"]
    of_set = (await world.call("GET", f"{SCALE_SET}/instanceView")).body
    assert of_set["virtualMachine"]["statusesSummary"] == [{"code": "ProvisioningState/succeeded", "count": 2}]
