"""What a managed cluster can't be: the code, the words, and nothing left behind."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podpass.lab.arm.estate import parsed_id
from podpass.lab.arm.managed_clusters import gaps
from podpass.lab.arm.managed_clusters.bodies import Pool, Properties
from podpass.lab.cluster.discovery import VERSION
from tests.lab.arm.azure_world import SUBSCRIPTION, World
from tests.lab.arm.cluster_host import ClusterHost
from tests.lab.arm.test_managed_clusters import CLUSTER, CLUSTERS, GROUP, body, create, show, update

POOL = body()["properties"]["agentPoolProfiles"][0]
MINOR = f"{VERSION['major']}.{VERSION['minor']}"


def pools(**changes: Any) -> dict[str, Any]:
    return {"agentPoolProfiles": [{**POOL, **changes}]}


@pytest.fixture
def host(world: World) -> ClusterHost:
    return ClusterHost(world.arm)


@pytest.mark.parametrize(
    ("properties", "status", "code", "words"),
    [
        pytest.param({"dnsPrefix": None}, 400, "InvalidParameter", "between 1 and 54 characters", id="no-dns-prefix"),
        pytest.param({"dnsPrefix": "a" * 55}, 400, "InvalidParameter", "between 1 and 54", id="long-dns-prefix"),
        pytest.param({"dnsPrefix": "a_b"}, 400, "InvalidParameter", "hyphens only", id="odd-dns-prefix"),
        pytest.param(
            {"kubernetesVersion": "1.20.7"}, 400, "K8sVersionNotSupported", "vote is on version 1.20.7", id="version"
        ),
        pytest.param(
            pools(name="node-pool"), 400, "InvalidParameter", "agentPoolProfile.name is invalid", id="pool-hyphen"
        ),
        pytest.param(pools(name="Pool"), 400, "InvalidParameter", "aks-naming-rules", id="pool-capital"),
        pytest.param(pools(name="a" * 13), 400, "InvalidParameter", "agentPoolProfile.name", id="pool-long"),
        pytest.param(
            pools(mode="User"), 400, "MustDefineAtLeastOneSystemPool", "at least one system pool", id="user-pool"
        ),
        pytest.param({"agentPoolProfiles": []}, 400, "InvalidParameter", "agentPoolProfiles is missing", id="no-pool"),
        pytest.param({"agentPoolProfiles": [POOL, POOL]}, 400, "InvalidParameter", "unique", id="pool-twice"),
        pytest.param(pools(count=0), 400, "InvalidParameter", "from 1 to 1000", id="empty-system-pool"),
        pytest.param(pools(count=1001), 400, "InvalidParameter", "from 1 to 1000", id="large-pool"),
        pytest.param(pools(maxPods=5), 400, "InvalidParameter", "from 10 to 250", id="few-pods"),
        pytest.param(
            pools(orchestratorVersion="1.20.7"), 400, "AgentPoolK8sVersionNotSupported", "1.20.7", id="pool-version"
        ),
        pytest.param(
            pools(count="three"), 400, "InvalidRequestContent", "$.properties.agentPoolProfiles[0].count", id="type"
        ),
        pytest.param(
            {"networkProfile": {"networkPlugin": "flannel"}}, 400, "InvalidRequestContent", "networkPlugin", id="plugin"
        ),
        pytest.param(
            {"nodeResourceGroup": "shop"}, 400, "NodeResourceGroupSameAsResourceGroup", "'shop'", id="own-group"
        ),
        pytest.param(
            {"nodeResourceGroup": "taken"}, 400, "NodeResourceGroupAlreadyExists", "'taken'", id="taken-group"
        ),
        pytest.param(
            {"oidcIssuerProfile": {"enabled": False}, "securityProfile": {"workloadIdentity": {"enabled": True}}},
            400,
            "BadRequest",
            "requires the OIDC issuer",
            id="workload-identity-without-issuer",
        ),
        pytest.param(pools(osType="Windows"), 501, "NotImplemented", "Windows node pools", id="windows"),
        pytest.param(pools(type="AvailabilitySet"), 501, "NotImplemented", "scale sets", id="availability-set"),
        pytest.param(pools(enableAutoScaling=True), 501, "NotImplemented", "autoscaler", id="autoscaler"),
        pytest.param(pools(scaleSetPriority="Spot"), 501, "NotImplemented", "spot", id="spot"),
        pytest.param(pools(vnetSubnetID="/x"), 501, "NotImplemented", "virtual network", id="vnet"),
        pytest.param({"aadProfile": {"managed": True}}, 501, "NotImplemented", "Entra integration", id="entra"),
        pytest.param(
            {"addonProfiles": {"omsagent": {"enabled": True}}}, 501, "NotImplemented", "omsagent", id="add-on"
        ),
        pytest.param(
            {"apiServerAccessProfile": {"enablePrivateCluster": True}}, 501, "NotImplemented", "private", id="private"
        ),
    ],
)
async def test_what_can_not_be_is_refused(
    world: World, host: ClusterHost, properties: dict[str, Any], status: int, code: str, words: str
) -> None:
    world.arm.seed.put_group(SUBSCRIPTION, "taken")
    before = len(world.arm.estate.assignments.all())
    refused = await world.call("PUT", CLUSTER, body(**properties))
    assert (refused.status, refused.code) == (status, code), refused.body
    assert words in refused.message
    assert (await world.call("GET", CLUSTER)).status == 404
    assert (host.arm.hosted.wanted(), host.told) == ([], 0)
    assert len(world.arm.estate.assignments.all()) == before


@pytest.mark.parametrize("properties", [{"addonProfiles": {"omsagent": {"enabled": False}}}, {"fqdnSubdomain": None}])
async def test_what_is_switched_off_is_no_gap(world: World, host: ClusterHost, properties: dict[str, Any]) -> None:
    assert (await world.call("PUT", CLUSTER, body(**properties))).status == 201


@pytest.mark.parametrize("name", ["-vote", "vote-", "a" * 64, "vo.te"])
async def test_names_have_letters_digits_hyphens_and_underscores(world: World, host: ClusterHost, name: str) -> None:
    refused = await world.call("PUT", f"{CLUSTERS}/{name}", body())
    assert (refused.status, refused.code) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        ({"identity": None, "properties": {"servicePrincipalProfile": None}}, 400, "InvalidParameter"),
        (
            {"identity": None, "properties": {"servicePrincipalProfile": {"clientId": "nobody"}}},
            400,
            "ServicePrincipalNotFound",
        ),
        (
            {"identity": {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {"first": {}}}},
            400,
            "InvalidIdentityType",
        ),
        (
            {"identity": {"type": "UserAssigned", "userAssignedIdentities": {"first": {}, "second": {}}}},
            400,
            "InvalidIdentityType",
        ),
        ({"location": None}, 400, "LocationRequired"),
        ({"location": "mars"}, 400, "LocationNotAvailableForResourceType"),
        ({"sku": {"name": "Automatic", "tier": "Standard"}}, 501, "NotImplemented"),
    ],
)
async def test_who_it_is_and_where_it_is(
    world: World, host: ClusterHost, content: dict[str, Any], status: int, code: str
) -> None:
    ids = {name: world.identity(name).id for name in ("first", "second")}
    wanted = {**body(), **content}
    wanted["properties"] = {**body()["properties"], **content.get("properties", {})}
    identity = wanted["identity"] or {}
    if "userAssignedIdentities" in identity:
        wanted["identity"] = {
            **identity,
            "userAssignedIdentities": {ids[one]: {} for one in identity["userAssignedIdentities"]},
        }
    refused = await world.call("PUT", CLUSTER, wanted)
    assert (refused.status, refused.code) == (status, code), refused.body


async def test_a_service_principal_can_take_the_place_of_a_managed_identity(world: World, host: ClusterHost) -> None:
    client_id = world.application("cluster").client_id
    content = body(servicePrincipalProfile={"clientId": client_id, "secret": "never shown"})
    assert (await world.call("PUT", CLUSTER, {**content, "identity": None})).status == 201
    found = await show(world)
    assert found["properties"]["servicePrincipalProfile"] == {"clientId": client_id}
    assert "identity" not in found


async def test_passwords_are_never_shown(world: World, host: ClusterHost) -> None:
    windows = {"adminUsername": "azureuser", "adminPassword": "never shown"}
    made = await world.call("PUT", CLUSTER, body(windowsProfile=windows))
    assert made.body["properties"]["windowsProfile"] == {"adminUsername": "azureuser"}
    assert "never shown" not in "".join(world.store.connection.iterdump())


async def test_one_user_assigned_identity_is_the_clusters_own(world: World, host: ClusterHost) -> None:
    control, kubelet = world.identity("control"), world.identity("kubelet")
    content = {**body(), "identity": {"type": "UserAssigned", "userAssignedIdentities": {control.id: {}}}}
    content["properties"]["identityProfile"] = {"kubeletidentity": {"resourceId": kubelet.id}}
    refused = await world.call("PUT", CLUSTER, content)
    assert (refused.status, refused.code) == (400, "CustomKubeletIdentityMissingPermissionError")
    world.arm.seed.put_role_assignment(kubelet.id, "Managed Identity Operator", control.principal_id)
    assert (await world.call("PUT", CLUSTER, content)).status == 201
    host.settle()
    found = await show(world)
    assert found["identity"]["userAssignedIdentities"] == {
        control.id: {"clientId": control.client_id, "principalId": control.principal_id}
    }
    assert found["properties"]["identityProfile"]["kubeletidentity"]["clientId"] == kubelet.client_id
    (scale_set,) = (
        await world.call(
            "GET",
            f"{GROUP.replace('/shop', '/MC_shop_vote_eastus')}/providers/Microsoft.Compute/virtualMachineScaleSets",
        )
    ).body["value"]
    assert list(scale_set["identity"]["userAssignedIdentities"]) == [kubelet.id]
    # As a cluster with an identity of its own it could not be given one.
    other = body(identityProfile={"kubeletidentity": {"resourceId": kubelet.id}})
    refused = await world.call("PUT", f"{CLUSTERS}/other", other)
    assert refused.code == "CustomKubeletIdentityOnlySupportedOnUserAssignedMSICluster"


async def test_assigning_it_an_identity_needs_the_right_to_that(world: World, host: ClusterHost) -> None:
    control, someone = world.identity("control"), world.identity("someone")
    world.arm.seed.put_role_assignment(GROUP, "Azure Kubernetes Service Contributor Role", someone.principal_id)
    content = {**body(), "identity": {"type": "UserAssigned", "userAssignedIdentities": {control.id: {}}}}
    refused = await world.call("PUT", CLUSTER, content, who=someone)
    assert (refused.status, refused.code) == (403, "LinkedAuthorizationFailed")
    world.arm.seed.put_role_assignment(control.id, "Managed Identity Operator", someone.principal_id)
    # What the service makes for the cluster needs no right of the caller's.
    assert (await world.call("PUT", CLUSTER, content, who=someone)).status == 201


@pytest.mark.parametrize(
    ("properties", "target"),
    [
        ({"dnsPrefix": "other"}, "dnsPrefix"),
        ({"nodeResourceGroup": "other"}, "nodeResourceGroup"),
        ({"networkProfile": {"networkPlugin": "kubenet"}}, "networkProfile.networkPlugin"),
        (pools(vmSize="Standard_D2s_v3"), "agentPoolProfile.vmSize"),
        (pools(maxPods=50), "agentPoolProfile.maxPods"),
    ],
)
async def test_some_things_stay_as_they_were_made(
    world: World, host: ClusterHost, properties: dict[str, Any], target: str
) -> None:
    await create(world, host)
    refused = await update(world, **properties)
    assert (refused.status, refused.code) == (400, "PropertyChangeNotAllowed")
    assert refused.body["error"]["target"] == target
    assert refused.message == f"Changing property '{target}' is not allowed."


async def test_a_pool_comes_by_a_call_of_its_own(world: World, host: ClusterHost) -> None:
    await create(world, host)
    refused = await update(world, agentPoolProfiles=[POOL, {**POOL, "name": "more"}])
    assert (refused.status, refused.code) == (400, "BadRequest")
    assert "A new agent pool was introduced" in refused.message


@pytest.mark.parametrize("wanted", [MINOR, str(VERSION["gitVersion"])[1:]])
async def test_the_version_can_be_named_in_part(world: World, host: ClusterHost, wanted: str) -> None:
    found = await create(world, host, kubernetesVersion=wanted)
    assert found["properties"]["kubernetesVersion"] == wanted
    assert f"v{found['properties']['currentKubernetesVersion']}" == VERSION["gitVersion"]


async def test_the_network_plugin_decides_how_many_pods_a_node_has(world: World, host: ClusterHost) -> None:
    for number, (profile, most, has_pod_range) in enumerate(
        [
            ({"networkPlugin": "azure"}, 30, False),
            ({"networkPlugin": "kubenet"}, 110, True),
            ({"networkPlugin": "azure", "networkPluginMode": "overlay"}, 250, True),
            ({}, 250, True),
        ]
    ):
        path = f"{CLUSTERS}/c{number}"
        await world.call("PUT", path, body(networkProfile=profile))
        found = (await world.call("GET", path)).body["properties"]
        assert found["agentPoolProfiles"][0]["maxPods"] == most
        assert ("podCidr" in found["networkProfile"]) is has_pod_range


@pytest.mark.parametrize("verb", ["rotateClusterCertificates", "runCommand", "abort"])
async def test_what_there_is_not_is_said_openly(world: World, host: ClusterHost, verb: str) -> None:
    await create(world, host)
    assert (await world.call("POST", f"{CLUSTER}/{verb}")).status == 501
    assert (await world.call("GET", f"{CLUSTERS.replace('managedClusters', 'inventions')}")).status == 404


async def test_nothing_is_created_for_a_provider_that_is_not_registered(world: World, host: ClusterHost) -> None:
    await world.call("POST", f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ContainerService/unregister")
    refused = await world.call("PUT", CLUSTER, body())
    assert (refused.status, refused.code) == (409, "MissingSubscriptionRegistration")


NAMES = st.sampled_from(
    sorted(
        {
            *Properties.__struct_encode_fields__,
            *Pool.__struct_encode_fields__,
            *(part for path in gaps.SWITCHES for part in path.split(".")),
            "enabled",
            "mode",
            "code",
            "resourceId",
            "userAssignedIdentities",
            "userAssignedIdentityExceptions",
            "workloadIdentity",
            "kubeletidentity",
            "linuxProfile",
            "nodeProvisioningProfile",
            "scaleSetPriority",
        }
    )
)
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(member=NAMES, value=VALUES, pool=st.booleans())
def test_nothing_in_a_body_breaks_the_service(world: World, member: str, value: Any, pool: bool) -> None:
    content = body()
    (content["properties"]["agentPoolProfiles"][0] if pool else content["properties"])[member] = value
    answer = asyncio.run(world.call("PUT", CLUSTER, content))
    assert answer.status in (200, 201, 400, 409, 501), answer.body
    world.arm.estate.delete(parsed_id(CLUSTER))
