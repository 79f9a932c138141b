"""The profile of pod identities on a managed cluster."""

from typing import Any

import pytest

from podpass.lab.arm.seeding import Identity
from tests.lab.arm.azure_world import SUBSCRIPTION, Reply, World
from tests.lab.arm.cluster_host import ClusterHost
from tests.lab.arm.test_managed_clusters import CLUSTER, NODES, body, create, follow, show, update

FEATURE = (
    f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Features/providers/Microsoft.ContainerService"
    "/features/EnablePodIdentityPreview"
)
SCALE_SETS = f"{NODES}/providers/Microsoft.Compute/virtualMachineScaleSets"


@pytest.fixture
async def host(world: World) -> ClusterHost:
    await world.call("POST", f"{FEATURE}/register")
    world.clock.advance(5)
    return ClusterHost(world.arm)


def entry(identity: Identity | str, **more: Any) -> dict[str, Any]:
    resource_id = identity if isinstance(identity, str) else identity.id
    return {"name": "vote", "namespace": "default", "identity": {"resourceId": resource_id}, **more}


def exception(**more: Any) -> dict[str, Any]:
    return {"name": "none", "namespace": "default", "podLabels": {"app": "none"}, **more}


async def enabled(world: World, host: ClusterHost) -> str:
    """Make a cluster with the add-on; the object id by which it acts."""
    found = await create(world, host, podIdentityProfile={"enabled": True})
    return str(found["identity"]["principalId"])


async def keep(world: World, host: ClusterHost, **profile: Any) -> Reply:
    """Send the profile in the whole object, and let time pass and the host do what it means for the cluster."""
    answer = await update(world, podIdentityProfile={"enabled": True, **profile})
    world.clock.advance(5)
    host.settle()
    return answer


async def profile(world: World) -> dict[str, Any]:
    found = (await show(world))["properties"]["podIdentityProfile"]
    assert isinstance(found, dict)
    return found


async def test_it_needs_the_feature(world: World) -> None:
    ClusterHost(world.arm)
    for _ in range(2):
        refused = await world.call("PUT", CLUSTER, body(podIdentityProfile={"enabled": True}))
        assert refused.status == 400
        text = "PodIdentity addon is not allowed since feature 'Microsoft.ContainerService/EnablePodIdentityPreview'"
        assert refused.message.startswith(f"{text} is not enabled.")
        # Registering is not registered.
        await world.call("POST", f"{FEATURE}/register")
    world.clock.advance(5)
    assert (await world.call("PUT", CLUSTER, body(podIdentityProfile={"enabled": True}))).status == 201


async def test_kubenet_needs_consent(world: World, host: ClusterHost) -> None:
    kubenet = {"networkPlugin": "kubenet"}
    refused = await world.call("PUT", CLUSTER, body(podIdentityProfile={"enabled": True}, networkProfile=kubenet))
    assert (refused.status, refused.message) == (
        400,
        "Network plugin kubenet is not supported to use with PodIdentity addon.",
    )
    await create(world, host, networkProfile=kubenet)
    assert (await update(world, podIdentityProfile={"enabled": True})).status == 400
    assert (await keep(world, host, allowNetworkPluginKubenet=True)).status == 200
    # Consent is remembered.
    assert (await keep(world, host)).status == 200
    assert await profile(world) == {"enabled": True, "allowNetworkPluginKubenet": True}


async def test_it_needs_a_managed_identity(world: World, host: ClusterHost) -> None:
    principal = {"clientId": world.application("cluster").client_id}
    content = body(podIdentityProfile={"enabled": True}, servicePrincipalProfile=principal)
    refused = await world.call("PUT", CLUSTER, {**content, "identity": None})
    assert (refused.status, refused.message) == (400, "PodIdentity addon requires managed identity.")


@pytest.mark.parametrize("change", [{"osType": "Windows"}, {"type": "AvailabilitySet"}])
async def test_it_is_for_linux_on_scale_sets(world: World, host: ClusterHost, change: dict[str, str]) -> None:
    content = body(podIdentityProfile={"enabled": True})
    content["properties"]["agentPoolProfiles"].append({"name": "other", "mode": "User", "count": 1, **change})
    refused = await world.call("PUT", CLUSTER, content)
    assert (refused.status, "only supported with Linux node pools" in refused.message) == (400, True)
    await enabled(world, host)
    refused = await world.call("PUT", f"{CLUSTER}/agentPools/other", {"properties": {"count": 1, **change}})
    assert (refused.status, "only supported with Linux node pools" in refused.message) == (400, True)


async def test_identities_come_after_the_cluster(world: World, host: ClusterHost) -> None:
    listed = {"enabled": True, "userAssignedIdentities": [entry(world.identity("vote"))]}
    refused = await world.call("PUT", CLUSTER, body(podIdentityProfile=listed))
    assert (refused.status, refused.code) == (400, "PodIdentityAddonUserAssignedIdentitiesNotAllowedInCreation")


async def test_an_identity_that_the_cluster_may_assign_is_on_every_scale_set(world: World, host: ClusterHost) -> None:
    identity, principal = world.identity("vote"), await enabled(world, host)
    world.arm.seed.put_role_assignment(identity.id, "Managed Identity Operator", principal)
    answer = await keep(world, host, userAssignedIdentities=[entry(identity, bindingSelector="votes")])
    assert (await follow(world, answer))["status"] == "Succeeded"
    (shown,) = (await profile(world))["userAssignedIdentities"]
    assert shown == {
        "name": "vote",
        "namespace": "default",
        "bindingSelector": "votes",
        "identity": {
            "resourceId": identity.id,
            "clientId": identity.client_id,
            "objectId": identity.principal_id,
        },
        "provisioningState": "Assigned",
    }
    added = await world.call("PUT", f"{CLUSTER}/agentPools/batch", {"properties": {"count": 1, "mode": "User"}})
    assert added.status == 201
    host.settle()
    scale_sets = (await world.call("GET", SCALE_SETS)).body["value"]
    assert len(scale_sets) == 2
    assert all(identity.id in one["identity"]["userAssignedIdentities"] for one in scale_sets)
    assert (await keep(world, host, userAssignedIdentities=[])).status == 200
    scale_sets = (await world.call("GET", SCALE_SETS)).body["value"]
    assert not any(identity.id in one["identity"]["userAssignedIdentities"] for one in scale_sets)
    assert await profile(world) == {"enabled": True, "allowNetworkPluginKubenet": False}


async def test_without_the_role_the_change_fails_until_it_is_given(world: World, host: ClusterHost) -> None:
    identity, principal = world.identity("vote"), await enabled(world, host)
    answer = await keep(world, host, userAssignedIdentities=[entry(identity)])
    assert answer.status == 200
    ended = await follow(world, answer)
    assert (ended["status"], ended["error"]["code"]) == ("Failed", "PodIdentityAddonIdentitiesAssignmentError")
    assert "Managed Identity Operator" in ended["error"]["message"]
    found = (await show(world))["properties"]
    assert found["provisioningState"] == "Failed"
    (shown,) = found["podIdentityProfile"]["userAssignedIdentities"]
    assert shown["provisioningState"] == "Failed"
    assert shown["provisioningInfo"] == {"error": {"error": ended["error"]}}
    (scale_set,) = (await world.call("GET", SCALE_SETS)).body["value"]
    assert identity.id not in scale_set["identity"]["userAssignedIdentities"]
    world.arm.seed.put_role_assignment(identity.id, "Managed Identity Operator", principal)
    again = await update(world)
    world.clock.advance(5)
    host.settle()
    assert (await follow(world, again))["status"] == "Succeeded"
    (shown,) = (await profile(world))["userAssignedIdentities"]
    assert shown["provisioningState"] == "Assigned"


async def test_an_identity_that_was_deleted_keeps_its_entry_and_fails(world: World, host: ClusterHost) -> None:
    identity, principal = world.identity("vote"), await enabled(world, host)
    world.arm.seed.put_role_assignment(identity.id, "Managed Identity Operator", principal)
    await keep(world, host, userAssignedIdentities=[entry(identity)])
    await world.call("DELETE", identity.id)
    answer = await update(world)
    world.clock.advance(5)
    host.settle()
    assert (await follow(world, answer))["error"]["code"] == "PodIdentityAddonIdentitiesAssignmentError"
    assert (await keep(world, host, userAssignedIdentities=[])).status == 200
    assert (await show(world))["properties"]["provisioningState"] == "Succeeded"


async def test_what_is_not_named_is_kept_and_disabling_drops_all(world: World, host: ClusterHost) -> None:
    identity, principal = world.identity("vote"), await enabled(world, host)
    world.arm.seed.put_role_assignment(identity.id, "Managed Identity Operator", principal)
    await keep(world, host, userAssignedIdentities=[entry(identity)], userAssignedIdentityExceptions=[exception()])
    before = await profile(world)
    await keep(world, host)
    assert await profile(world) == before
    await update(world, podIdentityProfile={"enabled": False})
    host.settle()
    assert await profile(world) == {"enabled": False}
    (scale_set,) = (await world.call("GET", SCALE_SETS)).body["value"]
    assert identity.id not in scale_set["identity"]["userAssignedIdentities"]


async def test_an_entry_without_a_name_gets_one(world: World, host: ClusterHost) -> None:
    identity, principal = world.identity("Vote_1"), await enabled(world, host)
    world.arm.seed.put_role_assignment(identity.id, "Managed Identity Operator", principal)
    for _ in range(2):
        await keep(world, host, userAssignedIdentities=[entry(identity, name="")])
        (shown,) = (await profile(world))["userAssignedIdentities"]
        assert shown["name"].startswith("vote-1-")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"userAssignedIdentities": [{"name": "My_Identity"}]}, "InvalidParameter"),
        ({"userAssignedIdentities": [{"namespace": "a.b"}]}, "InvalidParameter"),
        ({"userAssignedIdentities": [{"bindingSelector": "not a label"}]}, "InvalidParameter"),
        ({"userAssignedIdentities": [{"identity": {"resourceId": "vote"}}]}, "LinkedInvalidPropertyId"),
        ({"userAssignedIdentities": [{"identity": {"resourceId": "/subscriptions/x"}}]}, "BadRequest"),
        ({"userAssignedIdentities": [{"identity": None}]}, "InvalidRequestContent"),
        ({"userAssignedIdentities": [{}, {}]}, "BadRequest"),
        ({"userAssignedIdentities": [{"name": f"i{n}"} for n in range(201)]}, "BadRequest"),
        ({"userAssignedIdentityExceptions": [{"name": "_"}]}, "InvalidParameter"),
        ({"userAssignedIdentityExceptions": [{"podLabels": None}]}, "InvalidRequestContent"),
        ({"userAssignedIdentityExceptions": [{"name": f"e{n}"} for n in range(201)]}, "BadRequest"),
    ],
)
async def test_what_is_no_profile_is_refused(
    world: World, host: ClusterHost, change: dict[str, list[dict[str, Any]]], code: str
) -> None:
    identity, principal = world.identity("vote"), await enabled(world, host)
    world.arm.seed.put_role_assignment(identity.id, "Managed Identity Operator", principal)
    ((member, changes),) = change.items()
    whole = entry(identity) if member == "userAssignedIdentities" else exception()
    refused = await keep(world, host, **{member: [{**whole, **one} for one in changes]})
    assert (refused.status, refused.code) == (400, code), refused.body
    assert "userAssignedIdentities" not in await profile(world)


async def test_two_hundred_are_not_too_many(world: World, host: ClusterHost) -> None:
    identity, principal = world.identity("vote"), await enabled(world, host)
    world.arm.seed.put_role_assignment(identity.id, "Managed Identity Operator", principal)
    answer = await keep(
        world,
        host,
        userAssignedIdentities=[entry(identity, name=f"i{n}") for n in range(200)],
        userAssignedIdentityExceptions=[exception(name=f"e{n}") for n in range(200)],
    )
    assert answer.status == 200
    assert len((await profile(world))["userAssignedIdentities"]) == 200
