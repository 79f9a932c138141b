"""Pods of the embedded cluster in the real sandbox, asked for and read with stock kubectl."""

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

from podpass.kube.client import ApiError, Client
from podpass.kube.config import Access, StaticToken
from podpass.kube.resources import (
    CLUSTERROLES,
    CONFIGMAPS,
    EVENTS,
    LEASES,
    NODES,
    PODS,
    SECRETS,
    SERVICEACCOUNTS,
    Resource,
)
from podpass.lab.certificates import CertificateAuthority
from podpass.lab.clock import LabClock
from podpass.lab.cluster import Cluster
from podpass.lab.journal import Journal
from podpass.lab.node.logs import LogOptions
from podpass.lab.node.loop import Node
from podpass.lab.node.runtime import Runtime
from podpass.lab.node.sandbox import SandboxRuntime
from podpass.lab.store import Store
from podpass.serving.server import bind_tcp, bind_unix, serving
from podpass.tokens.jwt import decode

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
                made = Journey(cluster, admin, node_client, kubeconfig, clock, make_node, tasks)
                await made.start_node()
                yield made
                await made.stop_node()
                controllers.cancel()
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


async def test_the_node_is_ready_and_keeps_its_lease(journey: Journey) -> None:
    node = await journey.client.get(NODES, "lab-node")
    assert {found["type"]: found["status"] for found in node["status"]["conditions"]}["Ready"] == "True"
    assert node["metadata"]["labels"]["kubernetes.io/os"] == "linux"
    lease = await journey.client.get(LEASES, "lab-node", "kube-node-lease")
    assert lease["spec"]["holderIdentity"] == "lab-node"


async def test_a_pod_reads_its_tokens_and_asks_the_api_server(journey: Journey) -> None:
    """The pod uses what every pod has: the mounted account, the variables, the cluster's certificate."""
    await journey.client.create(SECRETS, {"metadata": {"name": "vault"}, "stringData": {"key": "s3"}}, "default")
    await journey.client.create(CONFIGMAPS, {"metadata": {"name": "settings"}, "data": {"a": "one"}}, "default")
    script = """
        import json, os, pathlib, ssl, urllib.error, urllib.request
        account = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        request = urllib.request.Request(
            f"https://{host}:{port}/api/v1/namespaces/default/pods",
            headers={"Authorization": "Bearer " + (account / "token").read_text()},
        )
        context = ssl.create_default_context(cafile=account / "ca.crt")
        try:
            urllib.request.urlopen(request, context=context, timeout=10)
        except urllib.error.HTTPError as error:
            message = json.load(error)["message"]
        print(json.dumps({
            "message": message,
            "namespace": (account / "namespace").read_text(),
            "azure": pathlib.Path("/var/run/secrets/azure/tokens/azure-identity-token").read_text(),
            "key": os.environ["KEY"],
            "a": pathlib.Path("/etc/settings/a").read_text(),
            "ip": os.environ["POD_IP"],
        }))
    """
    token = {"audience": "api://AzureADTokenExchange", "expirationSeconds": 3600, "path": "azure-identity-token"}
    await journey.run(
        "reader",
        script,
        container={
            "env": [
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "vault", "key": "key"}}},
                {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ],
            "volumeMounts": [
                {"name": "azure", "mountPath": "/var/run/secrets/azure/tokens", "readOnly": True},
                {"name": "settings", "mountPath": "/etc/settings"},
            ],
        },
        volumes=[
            {"name": "azure", "projected": {"sources": [{"serviceAccountToken": token}]}},
            {"name": "settings", "configMap": {"name": "settings"}},
        ],
    )
    pod = await journey.until("reader", "Succeeded", "Failed")
    output = await journey.kubectl("logs", "reader")
    assert pod["status"]["phase"] == "Succeeded", output
    found = json.loads(output)
    assert 'User "system:serviceaccount:default:default" cannot list resource "pods"' in found["message"]
    assert (found["namespace"], found["key"], found["a"]) == ("default", "s3", "one")
    assert found["ip"] == pod["status"]["podIP"]
    claims = decode(found["azure"]).claims
    assert claims["aud"] == ["api://AzureADTokenExchange"]
    assert claims["kubernetes.io"]["pod"] == {"name": "reader", "uid": pod["metadata"]["uid"]}
    assert claims["exp"] - claims["iat"] == 3600


@pytest.mark.parametrize("resource", [SECRETS, CONFIGMAPS, SERVICEACCOUNTS, CLUSTERROLES])
async def test_a_node_lists_nothing_that_it_does_not_need(journey: Journey, resource: Resource) -> None:
    with pytest.raises(ApiError) as refused:
        await journey.node_client.list(resource)
    assert (refused.value.status, refused.value.reason) == (403, "Forbidden")
    assert 'User "system:node:lab-node" cannot list' in refused.value.message


async def test_kubectl_follows_describes_and_deletes(journey: Journey) -> None:
    script = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), sys.exit(0)))
        print("up", flush=True)
        while True: time.sleep(10)
    """
    await journey.run("server", script, restartPolicy="Always")
    await journey.until("server", "Running")
    async with asyncio.TaskGroup() as tasks:
        follow = tasks.create_task(journey.kubectl("logs", "-f", "server"))
        assert "Running" in await journey.kubectl("get", "pod", "server")
        described = await journey.kubectl("describe", "pod", "server")
        assert "Successfully assigned default/server to lab-node" in described
        assert "Started container app" in described
        # The program has its handler once it has said that it is up.
        async for chunk in journey.node.logs("default", "server", "", LogOptions(follow=True)):
            if b"up" in chunk:
                break
        await journey.kubectl("delete", "pod", "server")
        assert await follow == "up\nbye\n"


async def test_a_selector_that_fits_no_node_is_an_event(journey: Journey) -> None:
    await journey.run("picky", "pass", nodeSelector={"kubernetes.io/os": "windows"})
    async with asyncio.timeout(10):
        async for event in journey.client.watch(EVENTS, "default", resource_version="0"):
            if event.object and event.object["reason"] == "FailedScheduling":
                break
    assert "didn't match Pod's node affinity/selector" in event.object["message"]
    pod = await journey.client.get(PODS, "picky", "default")
    assert pod["status"]["phase"] == "Pending"


async def test_many_pods_run_at_once(journey: Journey) -> None:
    container = {"name": "app", "image": "busybox", "command": ["sh", "-c", "hostname -i || hostname"]}
    names = [f"pod-{number}" for number in range(20)]
    for name in names:
        pod = {"metadata": {"name": name}, "spec": {"restartPolicy": "Never", "containers": [container]}}
        await journey.client.create(PODS, pod, "default")
    pods = await asyncio.gather(*(journey.until(name, "Succeeded", "Failed") for name in names))
    assert {pod["status"]["phase"] for pod in pods} == {"Succeeded"}
    assert len({pod["status"]["podIP"] for pod in pods}) == 20


async def test_pods_outlive_a_restart_of_the_node_but_their_processes_do_not(journey: Journey) -> None:
    script = "import time; print('up', flush=True); time.sleep(300)"
    await journey.run("server", script, restartPolicy="Always", terminationGracePeriodSeconds=0)
    await journey.run("job", "print('done')")
    pod = await journey.until("server", "Running")
    await journey.until("job", "Succeeded")
    await journey.restart_node()
    async with asyncio.timeout(20):
        async for event in journey.client.watch(PODS, "default", resource_version="0"):
            if event.object is None or event.object["metadata"]["name"] != "server":
                continue
            found = event.object["status"]["containerStatuses"][0]
            if found["restartCount"] == 1 and "running" in found["state"]:
                break
    assert event.object["metadata"]["uid"] == pod["metadata"]["uid"]
    assert found["lastState"]["terminated"]["reason"] == "Unknown"
    assert await journey.kubectl("logs", "server", "--previous") == "up\n"
    # What was over stays as it was, with its log.
    assert (await journey.client.get(PODS, "job", "default"))["status"]["phase"] == "Succeeded"
    assert await journey.kubectl("logs", "job") == "done\n"
