"""A cluster with a node in the real sandbox, and stock kubectl to ask it with."""

import asyncio
import base64
import json
import shutil
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from podpass.kube.client import Client
from podpass.kube.config import Access, StaticToken
from podpass.kube.resources import (
    PODS,
)
from podpass.lab.certificates import CertificateAuthority
from podpass.lab.clock import LabClock
from podpass.lab.cluster import Cluster
from podpass.lab.journal import Journal
from podpass.lab.node.loop import Node
from podpass.lab.node.runtime import Runtime
from podpass.lab.node.sandbox import SandboxRuntime
from podpass.lab.scheduler.loop import Scheduler
from podpass.lab.store import Store
from podpass.serving.server import bind_tcp, bind_unix, serving

KUBECTL = shutil.which("kubectl", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")


@dataclass
class Journey:
    cluster: Cluster
    client: Client
    node_client: Client
    kubeconfig: Path
    clock: LabClock
    make_node: Callable[[], Node]
    tasks: asyncio.TaskGroup
    node: Node | None = None
    running: asyncio.Task[None] | None = None

    async def start_node(self) -> None:
        self.node = self.cluster.node = self.make_node()
        self.running = self.tasks.create_task(self.node.run())
        async with asyncio.timeout(10):
            await self.node.ready.wait()

    async def stop_node(self) -> None:
        self.running.cancel()
        await asyncio.wait([self.running])

    async def restart_node(self) -> None:
        await self.stop_node()
        await self.start_node()

    async def kubectl(self, *arguments: str) -> str:
        assert KUBECTL is not None
        process = await asyncio.create_subprocess_exec(
            KUBECTL,
            "--kubeconfig",
            str(self.kubeconfig),
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.kubeconfig.parent)},
        )
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()

    async def run(self, name: str, script: str, **spec: Any) -> dict[str, Any]:
        """Create a pod with one Python container; its object."""
        container = {"name": "app", "image": "python:3.12", "command": ["python", "-c", textwrap.dedent(script)]}
        container |= spec.pop("container", {})
        pod = {"metadata": {"name": name}, "spec": {"restartPolicy": "Never", "containers": [container], **spec}}
        return await self.client.create(PODS, pod, "default")

    async def until(self, name: str, *phases: str) -> dict[str, Any]:
        listing = await self.client.list(PODS, "default", field_selector=f"metadata.name={name}")
        found = listing.items[0] if listing.items else {}
        if found.get("status", {}).get("phase") in phases:
            return found
        async with asyncio.timeout(20):
            async for event in self.client.watch(
                PODS,
                "default",
                resource_version=listing.resource_version,
                field_selector=f"metadata.name={name}",
            ):
                if event.type == "DELETED" and "" in phases:
                    return event.object
                if event.object and event.object["status"].get("phase") in phases:
                    return event.object
        raise AssertionError("the watch ended")


@pytest.fixture
async def journey(sandboxed, tmp_path: Path, journal_and_clock) -> AsyncIterator[Journey]:
    store, journal, clock = journal_and_clock
    (tmp_path / "keys").mkdir(mode=0o700)
    authority = CertificateAuthority.open(tmp_path / "keys")
    authority.bundle(tmp_path / "bundle.crt")
    cluster = await Cluster.open(
        name="lab",
        store=store,
        clock=clock,
        journal=journal,
        keys_directory=tmp_path / "keys",
        issuer="https://issuer.example.test/lab",
        ca_pem=authority.pem,
    )
    runtime: Runtime = SandboxRuntime(
        directory=tmp_path / "node", ca_bundle=tmp_path / "bundle.crt", api_socket=tmp_path / "api"
    )
    listener = bind_tcp()
    port = listener.getsockname()[1]
    tls = authority.server_context(("127.0.0.1", "10.96.0.1", "kubernetes.default.svc"))
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(_kubeconfig(port, authority.pem, cluster.admin_token)))

    def access(token: str) -> Access:
        return Access(server=f"https://127.0.0.1:{port}", ca_pem=authority.pem, credential=StaticToken(token))

    async with (
        serving(cluster.app, [listener, bind_unix(tmp_path / "api")], tls=tls),
        Client(access(cluster.admin_token)) as admin,
        Client(access(cluster.node_token)) as node_client,
        Client(access(cluster.token_of_scheduler())) as scheduler_client,
        cluster,
    ):
        await runtime.start()
        try:

            def make_node() -> Node:
                return Node(
                    name="lab-node",
                    client=node_client,
                    runtime=runtime,
                    clock=clock,
                    journal=journal,
                    state_directory=tmp_path / "node",
                )

            async with asyncio.TaskGroup() as tasks:
                controllers = tasks.create_task(cluster.run())
                scheduler = tasks.create_task(Scheduler(scheduler_client, clock).run())
                made = Journey(cluster, admin, node_client, kubeconfig, clock, make_node, tasks)
                await made.start_node()
                yield made
                await made.stop_node()
                controllers.cancel()
                scheduler.cancel()
        finally:
            await runtime.close()


@pytest.fixture
def journal_and_clock(tmp_path: Path):
    store = Store.open(tmp_path / "lab.sqlite")
    clock = LabClock()
    yield store, Journal(store, clock), clock
    store.close()


def _kubeconfig(port: int, ca: bytes, token: str) -> dict[str, Any]:
    certificate = base64.b64encode(ca).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "lab",
                "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": certificate},
            }
        ],
        "users": [{"name": "lab", "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "current-context": "lab",
    }
