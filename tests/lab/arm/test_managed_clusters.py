"""Managed clusters: from the request to a cluster that runs, through changes, to its end."""

import base64
import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from podpass.lab.arm import Allowed
from podpass.lab.arm.estate import parsed_id
from podpass.lab.cluster.discovery import VERSION
from podpass.lab.store import Store
from podpass.tokens.keys import SigningKey
from tests.lab.arm.azure_world import SUBSCRIPTION, TENANT, Reply, World
from tests.lab.arm.cluster_host import ClusterHost

SUB = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{SUB}/resourceGroups/shop"
CLUSTERS = f"{GROUP}/providers/Microsoft.ContainerService/managedClusters"
CLUSTER = f"{CLUSTERS}/vote"
NODES = f"{SUB}/resourceGroups/MC_shop_vote_eastus"
ARM = "https://management.azure.com"


def body(**more: Any) -> dict[str, Any]:
    """What az sends for `az aks create`, with empty strings where the service is to choose."""
    properties = {
        "kubernetesVersion": "",
        "dnsPrefix": "vote-shop-aaaaaa",
        "enableRBAC": True,
        "disableLocalAccounts": False,
        "agentPoolProfiles": [
            {
                "name": "nodepool1",
                "count": 3,
                "vmSize": "",
                "osType": "Linux",
                "type": "VirtualMachineScaleSets",
                "mode": "System",
                "orchestratorVersion": "",
                "osDiskSizeGB": 0,
            }
        ],
        "networkProfile": {"networkPlugin": "azure", "loadBalancerSku": "standard", "outboundType": "loadBalancer"},
        "oidcIssuerProfile": {"enabled": True},
        "addonProfiles": {},
        **more,
    }
    return {
        "location": "eastus",
        "identity": {"type": "SystemAssigned"},
        "sku": {"name": "Base", "tier": "Free"},
        "properties": properties,
    }


@pytest.fixture
def host(world: World) -> ClusterHost:
    return ClusterHost(world.arm)


async def create(world: World, host: ClusterHost, **more: Any) -> dict[str, Any]:
    made = await world.call("PUT", CLUSTER, body(**more))
    assert made.status == 201, made.body
    host.settle()
    return await show(world)


async def show(world: World) -> dict[str, Any]:
    found = await world.call("GET", CLUSTER)
    assert found.status == 200, found.body
    assert isinstance(found.body, dict)
    return found.body


async def update(world: World, **properties: Any) -> Reply:
    """As az does it: the whole object again, with something changed."""
    present = await show(world)
    return await world.call("PUT", CLUSTER, {**present, "properties": {**present["properties"], **properties}})


async def follow(world: World, reply: Reply) -> dict[str, Any]:
    url = reply.headers["azure-asyncoperation"].removeprefix(ARM).partition("?")[0]
    answer = await world.call("GET", url)
    assert answer.status == 200, answer.body
    assert isinstance(answer.body, dict)
    return answer.body


async def state(world: World) -> str:
    return str((await show(world))["properties"]["provisioningState"])


async def test_a_creation_ends_when_the_cluster_runs_and_not_before(world: World, host: ClusterHost) -> None:
    made = await world.call("PUT", CLUSTER, body())
    assert (made.status, made.body["properties"]["provisioningState"]) == (201, "Creating")
    assert host.told == 1
    assert (await follow(world, made))["status"] == "InProgress"
    world.clock.advance(3_600)
    assert (await follow(world, made))["status"] == "InProgress"
    assert await state(world) == "Creating"
    (wanted,) = host.settle()
    assert (wanted.name, wanted.node_count, wanted.tenant_id, wanted.location) == ("vote", 3, TENANT, "eastus")
    assert (await follow(world, made))["status"] == "Succeeded"
    assert await state(world) == "Succeeded"


async def test_the_service_fills_in_what_it_knows_better(world: World, host: ClusterHost) -> None:
    found = await create(world, host)
    properties, guid = found["properties"], host.arm.hosted.wanted()[0].guid
    version = str(VERSION["gitVersion"])[1:]
    assert (properties["kubernetesVersion"], properties["currentKubernetesVersion"]) == (version, version)
    assert properties["oidcIssuerProfile"] == {
        "enabled": True,
        "issuerURL": f"https://eastus.oic.prod-aks.azure.com/{TENANT}/{guid}/",
    }
    assert properties["fqdn"] == f"vote-shop-aaaaaa-{guid[:8]}.hcp.eastus.azmk8s.io"
    assert properties["nodeResourceGroup"] == "MC_shop_vote_eastus"
    assert (properties["powerState"], properties["maxAgentPools"]) == ({"code": "Running"}, 100)
    assert properties["servicePrincipalProfile"] == {"clientId": "msi"}
    (pool,) = properties["agentPoolProfiles"]
    assert (pool["vmSize"], pool["maxPods"], pool["osDiskSizeGB"]) == ("Standard_D8ds_v5", 30, 128)
    assert (pool["currentOrchestratorVersion"], pool["provisioningState"]) == (version, "Succeeded")
    assert host.arm.hosted.wanted()[0].issuer == properties["oidcIssuerProfile"]["issuerURL"]
    application = world.directory.application_by_object_id(TENANT, found["identity"]["principalId"])
    assert application is not None
    assert (application.display_name, application.resource_id) == ("vote", CLUSTER)


async def test_its_nodes_have_a_group_with_a_scale_set_and_an_identity(world: World, host: ClusterHost) -> None:
    found = await create(world, host)
    group = (await world.call("GET", NODES)).body
    assert (group["managedBy"], group["location"]) == (CLUSTER, "eastus")
    kubelet = found["properties"]["identityProfile"]["kubeletidentity"]
    identity = (await world.call("GET", kubelet["resourceId"])).body
    assert kubelet["resourceId"].endswith(
        "/MC_shop_vote_eastus/providers/Microsoft.ManagedIdentity/userAssignedIdentities/vote-agentpool"
    )
    assert identity["properties"]["clientId"] == kubelet["clientId"]
    listed = await world.call("GET", f"{NODES}/providers/Microsoft.Compute/virtualMachineScaleSets")
    (scale_set,) = listed.body["value"]
    assert scale_set["name"].startswith("aks-nodepool1-")
    assert scale_set["sku"] == {"name": "Standard_D8ds_v5", "tier": "Standard", "capacity": 3}
    assert list(scale_set["identity"]["userAssignedIdentities"]) == [kubelet["resourceId"]]
    decision = world.arm.decide(
        principal_id=found["identity"]["principalId"],
        action="Microsoft.Compute/virtualMachineScaleSets/write",
        scope=scale_set["id"],
        is_data_action=False,
    )
    assert isinstance(decision, Allowed)


async def test_the_whole_object_can_be_sent_again(world: World, host: ClusterHost) -> None:
    before = await create(world, host)
    answer = await update(world)
    assert answer.status == 200
    assert answer.body["properties"]["provisioningState"] == "Updating"
    # Nothing to the cluster itself, so it ends by the clock.
    assert host.settle() == []
    world.clock.advance(5)
    assert (await follow(world, answer))["status"] == "Succeeded"
    after = await show(world)
    assert {**after, "systemData": None} == {**before, "systemData": None}


async def test_an_absent_profile_is_unchanged(world: World, host: ClusterHost) -> None:
    await create(world, host, securityProfile={"workloadIdentity": {"enabled": True}})
    present = await show(world)
    answer = await world.call("PUT", CLUSTER, {"location": "eastus", "properties": {}, "tags": {"a": "b"}})
    assert answer.status == 200
    world.clock.advance(5)
    found = await show(world)
    assert found["tags"] == {"a": "b"}
    assert found["properties"] == present["properties"]
    assert (found["identity"], found["sku"]) == (present["identity"], present["sku"])


async def test_workload_identity_is_turned_on_and_off(world: World, host: ClusterHost) -> None:
    await create(world, host)
    for enabled in (True, False):
        answer = await update(world, securityProfile={"workloadIdentity": {"enabled": enabled}})
        assert await state(world) == "Updating"
        (wanted,) = host.settle()
        assert wanted.workload_identity is enabled
        assert (await follow(world, answer))["status"] == "Succeeded"
        shown = (await show(world))["properties"]["securityProfile"]
        assert shown == ({"workloadIdentity": {"enabled": True}} if enabled else {})


async def test_the_issuer_can_be_turned_on_later_and_never_off(world: World, host: ClusterHost) -> None:
    found = await create(world, host, oidcIssuerProfile={"enabled": False})
    assert found["properties"]["oidcIssuerProfile"] == {"enabled": False}
    refused = await update(world, securityProfile={"workloadIdentity": {"enabled": True}})
    assert (refused.status, refused.code) == (400, "BadRequest")
    await update(world, oidcIssuerProfile={"enabled": True})
    world.clock.advance(5)
    assert (await show(world))["properties"]["oidcIssuerProfile"]["issuerURL"].startswith("https://eastus.oic.")
    refused = await update(world, oidcIssuerProfile={"enabled": False})
    assert (refused.status, refused.code) == (400, "OIDCIssuerFeatureCannotBeDisabled")


async def test_lists_of_all_resources_say_how_far_it_has_come(world: World, host: ClusterHost) -> None:
    await world.call("PUT", CLUSTER, body())
    for wanted in ("Creating", "Succeeded"):
        (found,) = (await world.call("GET", f"{GROUP}/resources?$expand=provisioningState")).body["value"]
        assert (found["name"], found["provisioningState"], found["kind"]) == ("vote", wanted, "Base")
        assert found["identity"]["type"] == "SystemAssigned"
        host.settle()


async def test_a_second_writer_has_to_wait(world: World, host: ClusterHost) -> None:
    await world.call("PUT", CLUSTER, body())
    for method, path, content in (
        ("PUT", CLUSTER, body()),
        ("PATCH", CLUSTER, {"tags": {"a": "b"}}),
        ("POST", f"{CLUSTER}/stop", None),
        ("POST", f"{CLUSTER}/rotateServiceAccountSigningKeys", None),
        ("PUT", f"{CLUSTER}/agentPools/more", {"properties": {}}),
        ("DELETE", f"{CLUSTER}/agentPools/nodepool1", None),
    ):
        refused = await world.call(method, path, content)
        assert (refused.status, refused.code) == (409, "OperationNotAllowed"), path
        assert "Another operation (Creating) is in progress" in refused.message
    assert len(host.settle()) == 1


async def test_a_writer_can_make_sure_of_what_it_changes(world: World, host: ClusterHost) -> None:
    refused = await world.call("PUT", CLUSTER, body(), headers={"If-Match": '"any"'})
    assert (refused.status, refused.code) == (412, "EtagMismatch")
    assert (await world.call("PUT", CLUSTER, body(), headers={"If-None-Match": "*"})).status == 201
    host.settle()
    before = await show(world)
    pool = f"{CLUSTER}/agentPools/nodepool1"
    pool_tag = (await world.call("GET", pool)).body["properties"]["eTag"]
    tag = before["eTag"]
    changed = {**before, "tags": {"a": "b"}}
    for condition in ({"If-None-Match": "*"}, {"If-None-Match": f'"{tag}"'}, {"If-Match": '"other"'}):
        assert (await world.call("PUT", CLUSTER, changed, headers=condition)).status == 412
        assert (await world.call("DELETE", CLUSTER, headers=condition)).status == 412
    assert (await world.call("PUT", CLUSTER, changed, headers={"If-Match": f'"{tag}"'})).status == 200
    world.clock.advance(5)
    assert (await show(world))["eTag"] != tag
    assert (await world.call("PUT", CLUSTER, changed, headers={"If-Match": tag})).status == 412
    # A pool's tag is its own.
    assert (await world.call("DELETE", pool, headers={"If-Match": "other"})).status == 412
    found = (await world.call("GET", pool)).body["properties"]
    assert found["eTag"] == pool_tag
    content = {"properties": {**found, "count": 1}}
    assert (await world.call("PUT", pool, content, headers={"If-Match": f'"{pool_tag}"'})).status == 200
    host.settle()
    assert (await world.call("GET", pool)).body["properties"]["eTag"] != pool_tag


async def test_a_creation_that_fails_says_why_and_can_be_tried_again(world: World, host: ClusterHost) -> None:
    made = await world.call("PUT", CLUSTER, body())
    host.settle(refused="There is no room for 3 nodes.")
    ended = await follow(world, made)
    assert (ended["status"], ended["error"]["message"]) == ("Failed", "There is no room for 3 nodes.")
    assert await state(world) == "Failed"
    assert (await show(world))["properties"]["status"] == {"provisioningError": ended["error"]}
    again = await world.call("PUT", CLUSTER, body())
    assert await state(world) == "Updating"
    host.settle()
    assert (await follow(world, again))["status"] == "Succeeded"
    assert await state(world) == "Succeeded"


async def test_what_settles_too_late_counts_for_nothing(world: World, host: ClusterHost) -> None:
    await create(world, host)
    (before,) = host.arm.hosted.wanted()
    answer = await update(world, securityProfile={"workloadIdentity": {"enabled": True}})
    host.arm.hosted.settled(before)
    assert (await follow(world, answer))["status"] == "InProgress"
    host.settle()
    host.arm.hosted.settled(before, refused="late")
    assert await state(world) == "Succeeded"


async def test_it_goes_with_all_it_had_once_the_host_has_removed_it(world: World, host: ClusterHost) -> None:
    found = await create(world, host)
    gone = await world.call("DELETE", CLUSTER)
    assert (gone.status, gone.body) == (202, None)
    assert await state(world) == "Deleting"
    assert (await world.call("GET", NODES)).status == 200
    again = await world.call("PUT", CLUSTER, body())
    assert (again.status, again.code) == (409, "ResourceIsBeingDeleted")
    (leaving,) = host.settle()
    assert leaving.leaving
    assert (await follow(world, gone))["status"] == "Succeeded"
    assert (await world.call("GET", CLUSTER)).code == "ResourceNotFound"
    assert (await world.call("GET", NODES)).code == "ResourceGroupNotFound"
    kubelet = found["properties"]["identityProfile"]["kubeletidentity"]
    for principal in (found["identity"]["principalId"], kubelet["objectId"]):
        assert world.directory.application_by_object_id(TENANT, principal) is None
    assert [one for one in world.arm.estate.assignments.all() if "MC_shop" in one.scope] == []
    assert host.arm.hosted.wanted() == []
    assert (await world.call("DELETE", CLUSTER)).status == 204


async def test_a_lock_on_the_group_of_its_nodes_keeps_it(world: World, host: ClusterHost) -> None:
    await create(world, host)
    lock = f"{NODES}/providers/Microsoft.Authorization/locks/keep"
    await world.call("PUT", lock, {"properties": {"level": "CanNotDelete"}})
    for path in (CLUSTER, GROUP):
        refused = await world.call("DELETE", path)
        assert (refused.status, refused.code) == (409, "ScopeLocked")
    assert (await state(world), host.settle()) == ("Succeeded", [])
    await world.call("DELETE", lock)
    assert (await world.call("DELETE", CLUSTER)).status == 202


async def test_a_cluster_of_an_older_version_becomes_what_it_is_now(world: World, host: ClusterHost) -> None:
    await create(world, host)
    kept = world.arm.estate.require(parsed_id(CLUSTER))
    pools = [{**pool, "orchestratorVersion": "1.36.0"} for pool in kept.properties["agentPoolProfiles"]]
    older = {**kept.properties, "kubernetesVersion": "1.36.0", "agentPoolProfiles": pools}
    world.arm.estate.keep(replace(kept, properties=older))
    assert (await update(world)).status == 200
    found = (await show(world))["properties"]
    for version in (found["kubernetesVersion"], found["agentPoolProfiles"][0]["orchestratorVersion"]):
        assert f"v{version}" == VERSION["gitVersion"]


async def test_a_deletion_ends_a_creation(world: World, host: ClusterHost) -> None:
    made = await world.call("PUT", CLUSTER, body())
    gone = await world.call("DELETE", CLUSTER)
    assert gone.status == 202
    ended = await follow(world, made)
    assert (ended["status"], ended["error"]["code"]) == ("Canceled", "OperationPreempted")
    (leaving,) = host.settle()
    assert leaving.leaving
    assert (await world.call("GET", CLUSTER)).status == 404


async def test_a_deletion_that_fails_is_tried_again(world: World, host: ClusterHost) -> None:
    await create(world, host)
    gone = await world.call("DELETE", CLUSTER)
    host.settle(refused="A pod does not end.")
    ended = await follow(world, gone)
    assert (ended["status"], ended["error"]["message"]) == ("Failed", "A pod does not end.")
    assert await state(world) == "Failed"
    assert not host.arm.hosted.wanted()[0].leaving
    host.settle()
    assert await state(world) == "Failed"
    assert (await world.call("DELETE", CLUSTER)).status == 202
    host.settle()
    assert (await world.call("GET", CLUSTER)).status == 404


async def test_a_group_waits_for_its_clusters(world: World, host: ClusterHost) -> None:
    await create(world, host)
    gone = await world.call("DELETE", GROUP)
    assert gone.status == 202
    location = gone.headers["location"].removeprefix(ARM).partition("?")[0]
    assert (await world.call("GET", location)).status == 202
    assert (await world.call("GET", GROUP)).body["properties"]["provisioningState"] == "Deleting"
    refused = await world.call("PUT", f"{CLUSTERS}/other", body())
    assert (refused.status, refused.code) == (409, "ResourceGroupBeingDeleted")
    host.settle()
    assert (await world.call("GET", location)).status == 204
    assert (await world.call("HEAD", GROUP)).status == 404
    assert (await world.call("HEAD", NODES)).status == 404


async def test_a_group_that_can_not_be_emptied_stays(world: World, host: ClusterHost) -> None:
    await create(world, host)
    gone = await world.call("DELETE", GROUP)
    host.settle(refused="A pod does not end.")
    location = gone.headers["location"].removeprefix(ARM).partition("?")[0]
    refused = await world.call("GET", location)
    assert (refused.status, refused.code) == (409, "ResourceGroupDeletionBlocked")
    assert CLUSTER in refused.message
    assert (await world.call("GET", GROUP)).body["properties"]["provisioningState"] == "Succeeded"
    assert (await world.call("DELETE", GROUP)).status == 202
    host.settle()
    assert (await world.call("HEAD", GROUP)).status == 404


async def test_what_will_not_stop_runs_on(world: World, host: ClusterHost) -> None:
    await create(world, host)
    stopped = await world.call("POST", f"{CLUSTER}/stop")
    host.settle(refused="It is the lab's own.")
    assert (await follow(world, stopped))["status"] == "Failed"
    found = (await show(world))["properties"]
    assert (found["provisioningState"], found["powerState"]) == ("Failed", {"code": "Running"})
    assert host.arm.hosted.wanted()[0].running
    assert (await world.call("POST", f"{CLUSTER}/stop")).status == 202


async def test_it_stops_and_starts(world: World, host: ClusterHost) -> None:
    await create(world, host)
    stopped = await world.call("POST", f"{CLUSTER}/stop")
    assert (stopped.status, await state(world)) == (202, "Stopping")
    (wanted,) = host.settle()
    assert not wanted.running
    assert (await follow(world, stopped))["status"] == "Succeeded"
    assert (await show(world))["properties"]["powerState"] == {"code": "Stopped"}
    for reply in (await world.call("POST", f"{CLUSTER}/stop"), await update(world)):
        assert (reply.status, reply.code) == (409, "OperationNotAllowed")
        assert "Power State(Stopped)" in reply.message
    assert (await world.call("POST", f"{CLUSTER}/start")).status == 202
    assert await state(world) == "Starting"
    host.settle()
    assert (await show(world))["properties"]["powerState"] == {"code": "Running"}


async def test_signing_keys_are_rotated_by_the_host(world: World, host: ClusterHost) -> None:
    await create(world, host)
    rotated = await world.call("POST", f"{CLUSTER}/rotateServiceAccountSigningKeys")
    assert rotated.status == 202
    (wanted,) = host.settle()
    assert wanted.key_generation == 1
    assert (await follow(world, rotated))["status"] == "Succeeded"


async def test_credentials_are_those_of_the_host(world: World, host: ClusterHost) -> None:
    await create(world, host)
    for verb, name in (("User", "clusterUser"), ("Admin", "clusterAdmin")):
        answer = await world.call("POST", f"{CLUSTER}/listCluster{verb}Credential")
        (found,) = answer.body["kubeconfigs"]
        assert found["name"] == name
        config = yaml.safe_load(base64.b64decode(found["value"]))
        user = f"{name}_shop_vote"
        assert config["contexts"] == [{"name": "vote", "context": {"cluster": "vote", "user": user}}]
        assert config["users"] == [{"name": user, "user": {"token": f"{verb.lower()}-of-vote"}}]
        assert config["clusters"][0]["cluster"]["server"].endswith(".hcp.eastus.azmk8s.io:443")


async def test_there_are_no_credentials_of_what_does_not_run(world: World, host: ClusterHost) -> None:
    await world.call("PUT", CLUSTER, body())
    refused = await world.call("POST", f"{CLUSTER}/listClusterUserCredential")
    assert (refused.status, refused.code) == (404, "ControlPlaneNotFound")
    host.settle()
    await update(world, disableLocalAccounts=True)
    refused = await world.call("POST", f"{CLUSTER}/listClusterAdminCredential")
    assert (refused.status, refused.code) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("Azure Kubernetes Service Cluster User Role", {"user"}),
        ("Azure Kubernetes Service Cluster Admin Role", {"admin"}),
        ("Contributor", {"user", "admin", "stop"}),
        ("Reader", set()),
    ],
)
async def test_each_role_opens_its_own_doors(world: World, host: ClusterHost, role: str, allowed: set[str]) -> None:
    await create(world, host)
    someone = world.identity("someone")
    world.arm.seed.put_role_assignment(CLUSTER, role, someone.principal_id)
    assert (await world.call("GET", CLUSTER, who=someone)).status == 200
    for name, verb in (
        ("user", "listClusterUserCredential"),
        ("admin", "listClusterAdminCredential"),
        ("stop", "stop"),
    ):
        answer = await world.call("POST", f"{CLUSTER}/{verb}", who=someone)
        assert (answer.status == 403) is (name not in allowed), (name, answer.body)


async def test_there_is_one_version_and_none_to_go_to(world: World, host: ClusterHost) -> None:
    await create(world, host)
    path = f"{SUB}/providers/Microsoft.ContainerService/locations/eastus/kubernetesVersions"
    (version,) = (await world.call("GET", path)).body["values"]
    (patch,) = version["patchVersions"]
    assert f"v{patch}" == VERSION["gitVersion"]
    upgrades = (await world.call("GET", f"{CLUSTER}/upgradeProfiles/default")).body["properties"]
    assert upgrades["controlPlaneProfile"]["kubernetesVersion"] == patch
    assert upgrades["controlPlaneProfile"]["upgrades"] == []


async def test_a_restart_in_the_middle_loses_nothing(signing_key: SigningKey, tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with contextlib.closing(Store.open(path)) as store:
        world = World(signing_key, store=store)
        made = await world.call("PUT", CLUSTER, body())
        (wanted,) = world.arm.hosted.wanted()
    with contextlib.closing(Store.open(path)) as store:
        world = World(signing_key, store=store)
        host = ClusterHost(world.arm)
        assert host.arm.hosted.wanted() == [wanted]
        assert (await follow(world, made))["status"] == "InProgress"
        host.settle()
        assert (await follow(world, made))["status"] == "Succeeded"


async def test_several_clusters_are_listed_where_they_are(world: World, host: ClusterHost) -> None:
    world.arm.seed.put_group(SUBSCRIPTION, "other")
    for path in (CLUSTER, f"{CLUSTERS}/second", CLUSTER.replace("/shop/", "/other/")):
        assert (await world.call("PUT", path, body())).status == 201
    host.settle()
    assert len({cluster.issuer for cluster in host.running.values()}) == 3
    for path, count in ((CLUSTERS, 2), (f"{SUB}/providers/Microsoft.ContainerService/managedClusters", 3)):
        assert len((await world.call("GET", path)).body["value"]) == count


async def test_a_seeded_cluster_has_the_guid_it_is_given(world: World, host: ClusterHost) -> None:
    guid = "0e0f1a2b-0000-4000-8000-000000000001"
    for _ in range(2):
        world.arm.seed.put_managed_cluster(world.group.id, "vote", guid=guid, node_count=2)
    (wanted,) = host.settle()
    assert (wanted.guid, wanted.node_count, wanted.workload_identity) == (guid, 2, True)
    assert (await show(world))["properties"]["oidcIssuerProfile"]["issuerURL"].endswith(f"/{guid}/")
    world.arm.seed.put_managed_cluster(world.group.id, "vote", guid=guid, node_count=1)
    assert [one.node_count for one in host.settle()] == [1]
    # Another of its name is another cluster.
    await world.call("DELETE", CLUSTER)
    host.settle()
    await create(world, host)
    assert host.arm.hosted.wanted()[0].guid != guid
