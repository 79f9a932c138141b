"""The manifests: a server takes them, and what they allow is just what NMI needs."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from podpass.kube import resources
from podpass.kube.client import Client
from podpass.kube.config import Access, StaticToken, load
from podpass.nmi.loop import run
from podpass.nmi.settings import Mode, Settings
from podpass.serving.server import bind_tcp
from tests.lab.cluster.api_server import api_server
from tests.podidentity.identity_cluster import CRDS, ended, established

DEPLOY = CRDS.parent
ACCOUNT = "aad-pod-id-nmi-service-account"


async def test_kubectl_applies_them_and_nmi_runs_with_its_own_account_s_rights(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl", path=str(Path(sys.executable).parent))
    assert kubectl
    async with api_server(tmp_path) as api:
        controllers = asyncio.create_task(api.cluster.run())
        try:
            applied = await api.kubectl(kubectl, "apply", "-f", str(CRDS))
            assert applied.code == 0, applied.err
            await api.kubectl(kubectl, "create", "namespace", "kube-system")
            async with Client(load({}, path=tmp_path / "kubeconfig")) as admin:
                for definition in yaml.safe_load_all(CRDS.read_text()):
                    await established(admin, definition["metadata"]["name"])
                for name in sorted(path.name for path in DEPLOY.glob("*.yaml")):
                    for dry_run in ("--dry-run=server", "--dry-run=none"):
                        applied = await api.kubectl(kubectl, "apply", dry_run, "-f", str(DEPLOY / name))
                        assert applied.code == 0, applied.err
                review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
                answer = await admin.create_subresource(
                    resources.SERVICEACCOUNTS, ACCOUNT, "token", review, "kube-system"
                )
                token = str(answer["status"]["token"])
                access = admin.access
            own = Access(server=access.server, ca_pem=access.ca_pem, credential=StaticToken(token))
            async with Client(own) as client:
                ready = asyncio.Event()
                settings = Settings(node="node-a", mode=Mode.MANAGED, forced_namespaced=True, install_rules=False)
                running = asyncio.create_task(
                    run(
                        settings,
                        client,
                        listener=bind_tcp(),
                        health_listener=bind_tcp(),
                        metrics_listener=bind_tcp(),
                        ready=ready,
                    )
                )
                try:
                    async with asyncio.timeout(20):
                        await ready.wait()
                finally:
                    await ended(running)
        finally:
            await ended(controllers)


@pytest.mark.parametrize("name", ["10-nmi-rbac.yaml", "30-nmi-secrets.yaml"])
def test_nothing_may_be_written(name: str) -> None:
    for each in yaml.safe_load_all((DEPLOY / name).read_text()):
        for rule in each.get("rules") or ():
            assert set(rule["verbs"]) <= {"get", "list", "watch"}
            assert "*" not in [*rule["resources"], *rule["apiGroups"]]
