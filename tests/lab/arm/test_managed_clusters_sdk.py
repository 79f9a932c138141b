"""The stock ContainerServiceClient, unmodified, through a cluster's whole life."""

import asyncio
import json
import os
import sys
from pathlib import Path

from podpass.lab.cluster.discovery import VERSION
from tests.lab.arm.azure_doors import open_doors
from tests.lab.arm.azure_world import SUBSCRIPTION, World
from tests.lab.arm.cluster_host import ClusterHost

PROGRAM = Path(__file__).with_name("container_service_client.py")
SECONDS = 60


class WillingHost(ClusterHost):
    """Does what is wanted as soon as it is told."""

    def changed(self) -> None:
        super().changed()
        asyncio.get_running_loop().call_soon(self.settle)


async def test_the_client_does_all_it_can_do(world: World, tmp_path: Path) -> None:
    host = WillingHost(world.arm)
    token = tmp_path / "token"
    token.write_text(world.token())
    async with open_doors(world, tmp_path) as doors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROGRAM),
            SUBSCRIPTION,
            "shop",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PODPASS_TEST_TOKEN": str(token), **doors.environ},
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 0, err.decode()[-2_000:]
    seen = json.loads(out)
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
