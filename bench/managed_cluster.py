"""How long a managed cluster of one node takes from the request to ready, in wall time, and how much it adds."""

import asyncio
import statistics
import time

from podpass.lab.demo.client import Operator
from podpass.problems import PodpassError

CLUSTERS = 3
VERSION = "2026-06-01"


async def median_seconds(operator: Operator) -> float:
    """The median over some clusters, made one after the other. They stay."""
    return statistics.median([await made(operator, f"bench-{number}") for number in range(CLUSTERS)])


def group(operator: Operator) -> str:
    return f"/subscriptions/{operator.endpoints.subscription_id}/resourceGroups/bench"


def path(operator: Operator, name: str) -> str:
    return f"{group(operator)}/providers/Microsoft.ContainerService/managedClusters/{name}"


async def made(operator: Operator, name: str) -> float:
    """Make the cluster; the seconds that it took."""
    await operator.arm("PUT", group(operator), "2024-11-01", {"location": "eastus"})
    place = path(operator, name)
    properties = {
        "dnsPrefix": name,
        "agentPoolProfiles": [{"name": "nodepool1", "count": 1, "mode": "System"}],
        "oidcIssuerProfile": {"enabled": True},
        "securityProfile": {"workloadIdentity": {"enabled": True}},
    }
    wanted = {"location": "eastus", "identity": {"type": "SystemAssigned"}, "properties": properties}
    began = time.perf_counter()
    found = await operator.arm("PUT", place, VERSION, wanted)
    async with asyncio.timeout(30):
        while found["properties"]["provisioningState"] != "Succeeded":
            if found["properties"]["provisioningState"] == "Failed":
                raise PodpassError("PP110", "the cluster was not made", reason=str(found["properties"]), name="bench")
            await asyncio.sleep(0.01)
            found = await operator.arm("GET", place, VERSION)
    return time.perf_counter() - began
