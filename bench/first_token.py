"""How long a pod with a pod identity takes from its creation to its first token: scheduler, node, agent, cloud.

On a managed cluster with the add-on; the agent has no token of the identity yet when the first pod asks.
"""

import asyncio
import base64
import statistics
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from bench import managed_cluster
from podpass.kube.client import Client
from podpass.kube.config import load
from podpass.kube.resources import NAMESPACES, PODS
from podpass.lab.demo.client import Operator

PODS_STARTED = 10
NAME = "bench-identity"
OPERATOR_ROLE = "f1a07417-d97a-45cb-824c-7a7467783830"
URL = (
    "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01"
    "&resource=https%3A%2F%2Fmanagement.azure.com%2F"
)
ASK = f"curl -sf -o /dev/null -H Metadata:true '{URL}' && date +%s.%N"
"""Says when the token came; this machine's clock is the pod's."""


async def median_seconds(operator: Operator) -> float:
    """The median over some pods, started one after the other."""
    await managed_cluster.made(operator, NAME)
    await _enable(operator)
    answer = await operator.arm(
        "POST", f"{managed_cluster.path(operator, NAME)}/listClusterAdminCredential", managed_cluster.VERSION
    )
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "kubeconfig"
        file.write_bytes(base64.b64decode(answer["kubeconfigs"][0]["value"]))
        async with Client(load({}, path=file), user_agent="bench") as kube:
            await _agent_runs(kube)
            return statistics.median([await _first_token(kube, f"bench-{number}") for number in range(PODS_STARTED)])


async def _enable(operator: Operator) -> None:
    """The add-on, with one identity for pods labelled `bench`."""
    group = managed_cluster.group(operator)
    feature = f"{group.partition('/resourceGroups')[0]}/providers/Microsoft.Features/providers/{_FEATURE}"
    await operator.arm("POST", f"{feature}/register", "2021-07-01")
    await _until(operator, feature, "2021-07-01", "state", "Registered")
    place = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{NAME}"
    identity = await operator.arm("PUT", place, "2023-01-31", {"location": "eastus"})
    path = managed_cluster.path(operator, NAME)
    cluster = await operator.arm("GET", path, managed_cluster.VERSION)
    role = f"{group.partition('/resourceGroups')[0]}/providers/Microsoft.Authorization/roleDefinitions/{OPERATOR_ROLE}"
    properties = {
        "roleDefinitionId": role,
        "principalId": cluster["identity"]["principalId"],
        "principalType": "ServicePrincipal",
    }
    assignment = f"{identity['id']}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    await operator.arm("PUT", assignment, "2022-04-01", {"properties": properties})
    entry = {"name": "bench", "namespace": "bench", "identity": {"resourceId": identity["id"]}}
    for entries in ([], [entry]):
        cluster["properties"]["podIdentityProfile"] = {"enabled": True, "userAssignedIdentities": entries}
        await operator.arm("PUT", path, managed_cluster.VERSION, cluster)
        await _until(operator, path, managed_cluster.VERSION, "provisioningState", "Succeeded")


_FEATURE = "Microsoft.ContainerService/features/EnablePodIdentityPreview"


async def _until(operator: Operator, path: str, version: str, member: str, wanted: str) -> None:
    async with asyncio.timeout(30):
        while True:
            found = await operator.arm("GET", path, version)
            if found["properties"][member] == wanted:
                return
            await asyncio.sleep(0.05)


async def _agent_runs(kube: Client) -> None:
    async with asyncio.timeout(30):
        while True:
            found = (await kube.list(PODS, "kube-system")).items
            if found and all(_is_ready(pod) for pod in found):
                await kube.get(NAMESPACES, "bench")
                return
            await asyncio.sleep(0.05)


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


async def _first_token(kube: Client, name: str) -> float:
    container = {"name": "app", "image": "debian", "command": ["bash", "-c", ASK]}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
    metadata = {"name": name, "labels": {"aadpodidbinding": "bench"}}
    began = time.time()
    await kube.create(PODS, {"metadata": metadata, "spec": spec}, "bench")
    async with asyncio.timeout(30):
        while True:
            found = await kube.get(PODS, name, "bench")
            if found["status"].get("phase") in ("Succeeded", "Failed"):
                break
            await asyncio.sleep(0.02)
    said = (await kube.read(f"/api/v1/namespaces/bench/pods/{name}/log", accept="*/*")).body.decode()
    await kube.delete(PODS, name, "bench", grace_period_seconds=0)
    return float(said) - began
