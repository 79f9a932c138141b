"""Stock kubectls against a whole cluster: what a person types, and what they see."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.cluster.core_api import Api, on_a_socket, opened


def kubectls() -> list[str]:
    """The kubectl installed with the tests, and that of the machine."""
    places = [str(Path(sys.executable).parent), *os.environ.get("PATH", "").split(os.pathsep)]
    found = [path for place in places if (path := shutil.which("kubectl", path=place))]
    return list({str(Path(path).resolve()): path for path in found}.values())


@dataclass
class Kubectl:
    binary: str
    api: Api
    kubeconfig: Path

    def environment(self) -> dict[str, str]:
        home = str(self.kubeconfig.parent)
        return {"PATH": os.environ["PATH"], "HOME": home, "KUBECONFIG": str(self.kubeconfig)}

    async def start(self, *arguments: str, **more: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            self.binary,
            *arguments,
            env={**self.environment(), **more},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str, stdin: str = "", **more: str) -> tuple[int, str, str]:
        process = await self.start(*arguments, **more)
        async with asyncio.timeout(30):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def __call__(self, line: str, stdin: str = "", **more: str) -> str:
        code, out, err = await self.run(*line.split(), stdin=stdin, **more)
        assert code == 0, f"kubectl {line}: {err}{out}"
        return out

    async def fails(self, line: str, stdin: str = "") -> str:
        code, out, err = await self.run(*line.split(), stdin=stdin)
        assert code != 0, f"kubectl {line}: {out}"
        return err + out


@pytest.fixture(params=kubectls(), ids=lambda path: path.replace("/", "-").strip("-"))
async def kubectl(request: pytest.FixtureRequest, tmp_path: Path, cluster_keys: Path) -> AsyncIterator[Kubectl]:
    async with opened(cluster_keys) as api:
        running = asyncio.ensure_future(api.cluster.run())
        try:
            async with on_a_socket(api, tmp_path / "kubeconfig"):
                yield Kubectl(request.param, api, tmp_path / "kubeconfig")
        finally:
            running.cancel()
            await asyncio.wait([running])


MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: {colour: blue}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: c, image: "busybox:1.36"}]}
"""


async def test_apply_until_it_is_gone(kubectl: Kubectl) -> None:
    applied = await kubectl("apply -f -", MANIFEST)
    assert applied.splitlines() == ["configmap/settings created", "pod/web created"]
    again = await kubectl("apply -f -", MANIFEST)
    assert again.splitlines() == ["configmap/settings unchanged", "pod/web unchanged"]
    changed = MANIFEST.replace("blue", "green")
    code, difference, _ = await kubectl.run("diff", "-f", "-", stdin=changed)
    assert code == 1
    assert "+  colour: green" in difference
    assert (await kubectl("apply -f -", changed)).splitlines()[0] == "configmap/settings configured"
    assert await kubectl("get cm settings -o jsonpath={.data.colour}") == "green"
    assert (await kubectl("delete -f -", changed)).splitlines()[0].startswith('configmap "settings" deleted')
    assert "NotFound" in await kubectl.fails("get pod web")


async def test_server_side_apply_says_who_is_in_the_way(kubectl: Kubectl) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '%s'}\n"
    assert await kubectl("apply --server-side -f -", text % 1) == "configmap/a serverside-applied\n"
    assert "conflict with" in await kubectl.fails("apply --server-side --field-manager=other -f -", text % 2)
    await kubectl("apply --server-side --field-manager=other --force-conflicts -f -", text % 2)
    assert await kubectl("get cm a -o jsonpath={.data.x}") == "2"


async def test_get_in_its_forms(kubectl: Kubectl) -> None:
    await kubectl("apply -f -", MANIFEST)
    rows = (await kubectl("get pods")).splitlines()
    assert rows[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert rows[1].split()[:4] == ["web", "0/1", "Pending", "0"]
    assert "NOMINATED NODE" in await kubectl("get pods -o wide")
    assert await kubectl("get pods,cm -l app=web -o name") == "pod/web\nconfigmap/settings\n"
    assert "default" in (await kubectl("get pods -A --no-headers")).split()
    assert await kubectl("get pods --field-selector status.phase=Pending -o name") == "pod/web\n"
    assert await kubectl("get pods --field-selector status.phase=Running -o name") == ""
    assert await kubectl("get cm --chunk-size=1 -o name") == "configmap/kube-root-ca.crt\nconfigmap/settings\n"
    assert "kind: Pod" in await kubectl("get pod web -o yaml")
    assert "pod/web" in (await kubectl("get all")).split()
    assert await kubectl("get --raw /readyz") == "ok"
    assert "field label not supported" in await kubectl.fails("get pods --field-selector spec.x=1")


async def test_watching(kubectl: Kubectl) -> None:
    process = await kubectl.start("get", "configmaps", "-w", "-o", "name")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert await process.stdout.readline() == b"configmap/kube-root-ca.crt\n"
            await kubectl("create cm late --from-literal=a=b")
            assert await process.stdout.readline() == b"configmap/late\n"
    finally:
        process.kill()
        await process.wait()


async def test_describe_shows_events(kubectl: Kubectl) -> None:
    await kubectl("apply -f -", MANIFEST)
    uid = await kubectl("get pod web -o jsonpath={.metadata.uid}")
    event = {
        "metadata": {"name": "web.1"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "web", "uid": uid, "apiVersion": "v1"},
        "reason": "Scheduled",
        "message": "Successfully assigned default/web to lab-node",
        "type": "Normal",
        "source": {"component": "default-scheduler"},
    }
    await kubectl.api.made("/api/v1/namespaces/default/events", event)
    described = await kubectl("describe pod web")
    assert "Service Account:  default" in described
    assert "Successfully assigned default/web to lab-node" in described
    for kind in ("namespace default", "sa default", "cm settings", "clusterrole view"):
        await kubectl(f"describe {kind}")


async def test_waiting(kubectl: Kubectl) -> None:
    await kubectl("apply -f -", MANIFEST)
    waiting = await kubectl.start("wait", "--for=condition=Ready", "pod/web", "--timeout=20s")
    assert waiting.stdout is not None
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    await kubectl.api(
        "PATCH",
        "/api/v1/namespaces/default/pods/web/status",
        status,
        content_type="application/strategic-merge-patch+json",
    )
    out, _ = await waiting.communicate()
    assert out == b"pod/web condition met\n"
    removal = await kubectl.start("wait", "--for=delete", "cm/settings", "--timeout=20s")
    await kubectl("delete cm settings")
    await removal.communicate()
    assert removal.returncode == 0
    assert "timed out" in await kubectl.fails("wait --for=condition=Other pod/web --timeout=1s")


async def test_small_changes(kubectl: Kubectl) -> None:
    await kubectl("apply -f -", MANIFEST)
    assert await kubectl("label pod web tier=front") == "pod/web labeled\n"
    assert await kubectl("annotate pod web note=one") == "pod/web annotated\n"
    assert "already has a value" in await kubectl.fails("label pod web tier=back")
    await kubectl('patch cm settings -p {"data":{"size":"big"}}')
    await kubectl('patch cm settings --type=json -p [{"op":"remove","path":"/data/size"}]')
    assert await kubectl("set image pod/web c=busybox:1.37") == "pod/web image updated\n"
    assert "Forbidden: pod updates may not change fields" in await kubectl.fails(
        'patch pod web -p {"spec":{"serviceAccountName":"other"}}'
    )
    text = await kubectl("get cm settings -o yaml")
    assert await kubectl("replace -f -", text.replace("blue", "red")) == "configmap/settings replaced\n"
    assert "the object has been modified" in await kubectl.fails("replace -f -", text.replace("blue", "grey"))
    assert await kubectl("edit cm settings", EDITOR="sed -i s/red/black/") == "configmap/settings edited\n"
    assert await kubectl("get cm settings -o jsonpath={.data.colour}") == "black"


async def test_creating_and_refusals(kubectl: Kubectl) -> None:
    for line in (
        "create namespace shop",
        "create serviceaccount -n shop orders",
        "create secret generic -n shop s --from-literal=a=b",
        "create role -n shop reader --verb=get --resource=pods",
        "create rolebinding -n shop readers --role=reader --serviceaccount=shop:orders",
        "create clusterrole lister --verb=list --resource=nodes",
        "run -n shop r --image=busybox",
    ):
        assert "created" in await kubectl(line)
    assert await kubectl("create cm a --from-literal=x=y --dry-run=server -o name") == "configmap/a\n"
    assert "AlreadyExists" in await kubectl.fails("create namespace shop")
    assert "strict decoding error" in await kubectl.fails(
        "create -f -", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: z}\ndta: {}\n"
    )
    assert "yes" in await kubectl("auth can-i get pods -n shop --as=system:serviceaccount:shop:orders")
    assert "no" in await kubectl.fails("auth can-i delete pods -n shop --as=system:serviceaccount:shop:orders")
    assert await kubectl("delete namespace shop") == 'namespace "shop" deleted\n'
    assert "NotFound" in await kubectl.fails("get namespace shop")


async def test_asking_about_the_api(kubectl: Kubectl) -> None:
    assert "Server Version: v1.37.0" in await kubectl("version")
    assert "rbac.authorization.k8s.io/v1" in (await kubectl("api-versions")).splitlines()
    assert "serviceaccounts" in await kubectl("api-resources --namespaced -o name")
    assert "nodeName" in await kubectl("explain pod.spec.nodeName")
    assert "doesn't have a resource type" in await kubectl.fails("get nonsense")
