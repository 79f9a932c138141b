"""The stock ContainerServiceClient, unmodified, through a cluster's whole life."""

import asyncio
from pathlib import Path

from podpass.lab.cluster.discovery import VERSION
from tests.lab.arm.azure_doors import run_client
from tests.lab.arm.azure_world import SUBSCRIPTION, World
from tests.lab.arm.cluster_host import ClusterHost

PROGRAM = Path(__file__).with_name("container_service_client.py")


class WillingHost(ClusterHost):
    """Does what is wanted as soon as it is told."""

    def changed(self) -> None:
        super().changed()
        asyncio.get_running_loop().call_soon(self.settle)


async def test_the_client_does_all_it_can_do(world: World, tmp_path: Path) -> None:
    host = WillingHost(world.arm)
    seen = await run_client(world, tmp_path, PROGRAM, SUBSCRIPTION, "shop", token=world.token())
    assert seen["created"] == ["Succeeded", "Running", 2]
    assert seen["issuer"].startswith("https://eastus.oic.prod-aks.azure.com/")
    assert seen["kubelet"].endswith("/vote-agentpool")
    assert seen["changed"] == [True, {"a": "b"}]
    assert seen["refused"] == [400, "PodIdentityAddonFeatureFlagNotEnabled"]
    assert seen["pool"] == ["Succeeded", 1, "User"]
    assert (seen["credentials"], seen["kubeconfig"]) == (["clusterUser"], True)
    assert (seen["versions"], seen["upgrades"]) == ([f"{VERSION['major']}.{VERSION['minor']}"], [])
    assert (seen["listed"], seen["pools"]) == (["vote"], ["nodepool1", "batch"])
    assert (seen["stopped"], seen["left"]) == ("Stopped", [])
    assert (host.arm.hosted.wanted(), host.running) == ([], {})
