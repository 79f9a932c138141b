"""The controller of pod identity as a process of its own: 10,000 pods on 500 nodes with 200 identities, all assigned.

The API server is a stub that has its answers ready, so that the figures are the controller's alone.
"""

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
from urllib.parse import parse_qs, urlsplit

from bench.rates import cpu_seconds, free_ports, resident_mib
from podpass.kube.resources import NODES, PODS, Resource
from podpass.podidentity.resources import ASSIGNED_IDENTITIES, BINDINGS, IDENTITIES

PODS_COUNT, NODES_COUNT, IDENTITIES_COUNT, NODES_A_SET = 10_000, 500, 200, 50
PAGE = 500
EVENTS, PASSES, PASS_SECONDS = 500, 3, 2.0
SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers"


@dataclass(frozen=True, slots=True)
class ControllerFigures:
    pass_seconds: float
    """CPU time of one look at everything."""
    event_seconds: float
    """CPU time that one pod takes which asks for no identity any more: its object marked, deleted, let go."""
    resident_mib: float


def measured() -> ControllerFigures:
    return asyncio.run(_measured())


async def _measured() -> ControllerFigures:
    api = _Api(_objects())
    async with api.serving() as port, _controller(port) as pid:
        before = await _idle(pid)
        await asyncio.sleep(PASS_SECONDS * PASSES)
        passes = (await _idle(pid) - before) / PASSES
    async with api.serving() as port, _controller(port, resync="1h") as pid:
        await _idle(pid)
        resident = resident_mib(pid)
        before = cpu_seconds(pid)
        api.change_pods(EVENTS)
        events = (await _idle(pid) - before) / EVENTS
    return ControllerFigures(passes, events, resident)


def _objects() -> dict[str, list[Any]]:
    """All objects by the path of their list."""

    def made(resource: Resource, name: str, spec: Any, **metadata: Any) -> Any:
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        return {**head, "metadata": {"name": name, "resourceVersion": "1", **metadata}, "spec": spec}

    nodes, identities, bindings, pods, assigned = [], [], [], [], []
    for number in range(NODES_COUNT):
        machine = f"virtualMachineScaleSets/set{number // NODES_A_SET}/virtualMachines/{number % NODES_A_SET}"
        nodes.append(made(NODES, f"node-{number}", {"providerID": f"azure://{GROUP}/Microsoft.Compute/{machine}"}))
    for number in range(IDENTITIES_COUNT):
        place = f"{GROUP}/Microsoft.ManagedIdentity/userAssignedIdentities/i{number}"
        spec = {"type": 0, "resourceID": place, "clientID": f"22222222-2222-2222-2222-{number:012}"}
        identities.append(made(IDENTITIES, f"i{number}", spec, namespace="shop"))
        spec = {"azureIdentity": f"i{number}", "selector": f"s{number}"}
        bindings.append(made(BINDINGS, f"b{number}", spec, namespace="shop"))
    for number in range(PODS_COUNT):
        which, node = number % IDENTITIES_COUNT, f"node-{number % NODES_COUNT}"
        pod = made(PODS, f"pod-{number}", {"nodeName": node, "containers": [{"name": "c", "image": "i"}]})
        pod["metadata"] |= {"namespace": "shop", "uid": f"u{number}", "labels": {"aadpodidbinding": f"s{which}"}}
        pods.append({**pod, "status": {"phase": "Running"}})
        spec = {"azureIdentityRef": identities[which], "azureBindingRef": bindings[which]}
        spec |= {"pod": f"pod-{number}", "podNamespace": "shop", "nodename": node}
        found = made(ASSIGNED_IDENTITIES, f"pod-{number}-shop-i{which}", spec, namespace="default")
        assigned.append({**found, "status": {"availableReplicas": 1, "status": "Assigned"}})
    return {
        resource.path(None): listed
        for resource, listed in (
            (NODES, nodes),
            (IDENTITIES, identities),
            (BINDINGS, bindings),
            (PODS, pods),
            (ASSIGNED_IDENTITIES, assigned),
        )
    }


class _Api:
    """Lists in pages, watches that stay open, and a Lease that anybody may have."""

    def __init__(self, objects: dict[str, list[Any]]) -> None:
        self._pods = objects[PODS.path(None)]
        self._assigned = {found["metadata"]["name"]: found for found in objects[ASSIGNED_IDENTITIES.path(None)]}
        self._pages = {path: _pages(listed) for path, listed in objects.items()}
        self._watches: list[asyncio.StreamWriter] = []

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        self._watches.clear()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]
            for writer in self._watches:
                writer.close()

    def change_pods(self, count: int) -> None:
        """Tell those who watch the pods of *count* that lost their label; others there keep the identity."""
        for number, pod in enumerate(self._pods[:count]):
            own = {"resourceVersion": str(number + 10), "labels": {"aadpodidbinding": "nobody"}}
            changed = {**pod, "metadata": {**pod["metadata"], **own}}
            line = json.dumps({"type": "MODIFIED", "object": changed}).encode() + b"\n"
            for writer in self._watches:
                writer.write(b"%x\r\n%b\r\n" % (len(line), line))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, target, _ = head.split(" ", 2)
                lengths = [
                    line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length")
                ]
                body = await reader.readexactly(int(lengths[0])) if lengths else b""
                self._answer(method, target, body, writer)

    def _answer(self, method: str, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        url = urlsplit(target)
        query = parse_qs(url.query)
        if url.path in self._pages and "watch" in query:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            if url.path == PODS.path(None):
                self._watches.append(writer)
            return
        status, answer = "404 Not Found", b'{"kind":"Status","code":404,"reason":"NotFound"}'
        if url.path in self._pages:
            status, answer = "200 OK", self._pages[url.path][int(query.get("continue", ["0"])[0])]
        elif method in ("PATCH", "DELETE"):
            found = self._assigned[url.path.rpartition("/")[2]]
            metadata = {**found["metadata"], "finalizers": ["azureassignedidentity.finalizers.aadpodidentity.k8s.io"]}
            status, answer = "200 OK", json.dumps({**found, "metadata": metadata}).encode()
        elif method in ("POST", "PUT"):
            found = json.loads(body)
            found["metadata"]["resourceVersion"] = "1"
            status, answer = "200 OK", json.dumps(found).encode()
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n".encode()
        )
        writer.write(answer)


def _pages(listed: list[Any]) -> list[bytes]:
    pages = []
    for start in range(0, len(listed), PAGE):
        more = str(start // PAGE + 1) if start + PAGE < len(listed) else ""
        pages.append(
            json.dumps(
                {"metadata": {"resourceVersion": "9", "continue": more}, "items": listed[start : start + PAGE]}
            ).encode()
        )
    return pages


@contextlib.asynccontextmanager
async def _controller(api_port: int, *, resync: str = f"{PASS_SECONDS:g}s") -> AsyncIterator[int]:
    """Its process, once it leads and has read everything."""
    ports = free_ports(2)
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "kubeconfig"
        config.write_text(
            json.dumps(
                {
                    "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{api_port}"}}],
                    "users": [{"name": "u", "user": {}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )
        environ = {
            **os.environ,
            "SUBSCRIPTION_ID": SUBSCRIPTION,
            "RESOURCE_GROUP": "rg",
            "TENANT_ID": "t",
            "USE_MSI": "true",
        }
        command = [sys.executable, "-m", "podpass", "mic", "--kubeconfig", str(config), "--syncRetryDuration", resync]
        command += ["--http-probe-port", str(ports[0]), "--prometheus-port", str(ports[1])]
        command += ["--identity-assignment-reconcile-interval", "1h", "--metadata-host", "http://127.0.0.1:9"]
        process = subprocess.Popen(  # noqa: ASYNC220 - a bench may block for a moment
            command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            await _ready(ports[0])
            yield process.pid
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 15)


async def _ready(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = await reader.read()
                writer.close()
                if answer.startswith(b"HTTP/1.1 200"):
                    return
            await asyncio.sleep(0.05)


async def _idle(pid: int) -> float:
    """The CPU seconds of the process, once they don't grow for a moment."""
    before = cpu_seconds(pid)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        await asyncio.sleep(0.4)
        now = cpu_seconds(pid)
        if now - before < 0.02:
            return now
        before = now
    raise RuntimeError("the controller does not come to rest")


if __name__ == "__main__":
    print(measured())
