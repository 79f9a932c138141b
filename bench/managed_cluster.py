"""How long a managed cluster of one node takes from the request to ready, in wall time, and how much it adds."""

import asyncio
import statistics
import time

from podpass.lab.demo.client import Operator
from podpass.problems import PodpassError

CLUSTERS = 3
_VERSION = "2026-06-01"


async def median_seconds(operator: Operator) -> float:
    """The median over some clusters, made one after the other. They stay."""
    return statistics.median([await _made(operator, f"bench-{number}") for number in range(CLUSTERS)])


async def _made(operator: Operator, name: str) -> float:
    group = f"/subscriptions/{operator.endpoints.subscription_id}/resourceGroups/bench"
    await operator.arm("PUT", group, "2024-11-01", {"location": "eastus"})
    path = f"{group}/providers/Microsoft.ContainerService/managedClusters/{name}"
    properties = {
        "dnsPrefix": name,
        "agentPoolProfiles": [{"name": "nodepool1", "count": 1, "mode": "System"}],
        "oidcIssuerProfile": {"enabled": True},
        "securityProfile": {"workloadIdentity": {"enabled": True}},
    }
    wanted = {"location": "eastus", "identity": {"type": "SystemAssigned"}, "properties": properties}
    began = time.perf_counter()
    found = await operator.arm("PUT", path, _VERSION, wanted)
    async with asyncio.timeout(30):
        while found["properties"]["provisioningState"] != "Succeeded":
            if found["properties"]["provisioningState"] == "Failed":
                raise PodpassError("PP110", "the cluster was not made", reason=str(found["properties"]), name="bench")
            await asyncio.sleep(0.01)
            found = await operator.arm("GET", path, _VERSION)
    return time.perf_counter() - began
