"""The node agent of pod identity as a process of its own: cached tokens, and its memory with 250 pods on the node."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.rates import Rate, free_ports, measure, resident_mib
from podpass.kube.client import ApiError, Client
from podpass.kube.resources import CUSTOMRESOURCEDEFINITIONS, NODES, PODS
from podpass.podidentity.resources import BINDINGS, IDENTITIES

CRDS = Path(__file__).parents[1] / "deploy/pod-identity/00-crds.yaml"
NODE, NAMESPACE, PODS_ON_NODE = "bench-node", "default", 250
TOKEN = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net"


@dataclass(frozen=True, slots=True)
class AgentFigures:
    cached: Rate
    resident_mib: float


async def measured(kube: Client, kubeconfig: str) -> AgentFigures:
    """Pods on a node that no machine stands for; requests come from the address of one of them."""
    await _furnish(kube)
    async with _metadata_service() as metadata_port, _agent(kubeconfig, metadata_port) as (pid, port):
        request = f"GET {TOKEN} HTTP/1.1\r\nHost: 169.254.169.254\r\nMetadata: true\r\n\r\n".encode()
        await measure(pid, port, request, tls=None, server_name=None, count=2_000, connections=64)
        cached = await measure(pid, port, request, tls=None, server_name=None, count=40_000, connections=64)
        return AgentFigures(cached, resident_mib(pid))


async def _furnish(kube: Client) -> None:
    for definition in yaml.safe_load_all(CRDS.read_text()):
        await kube.create(CUSTOMRESOURCEDEFINITIONS, definition)
    group = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg"
    resource_id = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/bench"
    spec = {"type": 0, "clientID": "22222222-2222-2222-2222-222222222222", "resourceID": resource_id}
    for resource, body in (
        (IDENTITIES, spec),
        (BINDINGS, {"azureIdentity": "bench", "selector": "bench"}),
    ):
        whole = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": "bench"}, "spec": body}
        await _once_served(kube, resource, whole)
    await kube.create(NODES, {"metadata": {"name": NODE}})
    for number in range(PODS_ON_NODE):
        pod = {
            "metadata": {"name": f"bench-{number}", "labels": {"aadpodidbinding": "bench"}},
            "spec": {"nodeName": NODE, "containers": [{"name": "app", "image": "app"}]},
        }
        await kube.create(PODS, pod, NAMESPACE)
        address = "127.0.0.1" if number == 0 else f"10.9.0.{number}"
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        await kube.patch(PODS, f"bench-{number}", {"status": status}, NAMESPACE, subresource="status")


async def _once_served(kube: Client, resource: Any, body: dict[str, Any]) -> None:
    """Create an object of a kind that was defined a moment ago."""
    async with asyncio.timeout(20):
        while True:
            try:
                await kube.create(resource, body, NAMESPACE)
            except ApiError as error:
                if not error.not_found:
                    raise
                await asyncio.sleep(0.05)
            else:
                return


@contextlib.asynccontextmanager
async def _metadata_service() -> AsyncIterator[int]:
    """A metadata service that gives everybody one token, of the size that real ones have."""
    now = int(time.time())
    token = {
        "access_token": "x" * 1_600,
        "expires_in": "86400",
        "expires_on": str(now + 86_400),
        "not_before": str(now),
        "resource": "https://vault.azure.net",
        "token_type": "Bearer",
    }
    body = json.dumps(token).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def _agent(kubeconfig: str, metadata_port: int) -> AsyncIterator[tuple[int, int]]:
    """Its process and the port it answers on."""
    ports = free_ports(3)
    with tempfile.TemporaryDirectory() as directory:
        kubelet = Path(directory) / "kubelet"
        kubelet.write_text("")
        command = [
            *(sys.executable, "-m", "podpass", "nmi", "--node", NODE, "--operation-mode", "managed"),
            *("--forceNamespaced", "--skip-iptables", "--kubelet-config", str(kubelet), "--nmi-port", str(ports[0])),
            *("--metadata-ip", "127.0.0.1", "--metadata-port", str(metadata_port)),
            *("--http-probe-port", str(ports[1]), "--prometheus-port", str(ports[2])),
        ]
        process = subprocess.Popen(  # noqa: ASYNC220 - a bench may block for a moment
            command, env={**os.environ, "KUBECONFIG": kubeconfig}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            await _answers(ports[0])
            yield process.pid, ports[0]
        finally:
            process.terminate()
            process.wait(15)


async def _answers(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
