"""A lab beside a cluster that is there already. The cluster is another lab's, reached over its sockets only."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from podpass.lab.control.starting import delete, start, stop
from podpass.lab.environment import LabPaths
from podpass.lab.existing.chosen import Chosen, keep
from tests.running_lab import RunningLab

ROOT = Path(__file__).parents[2]
REGISTRATION = "mutatingwebhookconfiguration/azure-wi-webhook-mutating-webhook-configuration"
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "asking", "namespace": "shop", "labels": {"azure.workload.identity/use": "true"}},
    "spec": {"serviceAccountName": "orders", "containers": [{"name": "c", "image": "busybox"}]},
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """The cluster that is there already, with a namespace and a service account of its user."""
    home = tmp_path_factory.mktemp("cluster")
    paths = LabPaths.of("cluster", home=home)
    start(paths, home=home)
    lab = RunningLab(paths, home)
    try:
        lab.kubectl("create", "namespace", "shop")
        lab.kubectl("create", "serviceaccount", "orders", "-n", "shop")
        yield lab
    finally:
        stop(paths)
        delete(paths)


class Beside:
    """A lab that uses *cluster*, driven by the command line."""

    def __init__(self, cluster: RunningLab, home: Path) -> None:
        self.cluster, self.home = cluster, home
        self.lab = RunningLab(LabPaths.of("beside", home=home), home)

    def podpass(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "podpass", "lab", *arguments, "--name", "beside"],
            env={**os.environ, "PODPASS_HOME": str(self.home), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def up(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.podpass("up", "--kubeconfig", str(self.cluster.paths.kubeconfig), *arguments, check=check)


@pytest.fixture
def beside(cluster: RunningLab, tmp_path: Path) -> Iterator[Beside]:
    found = Beside(cluster, tmp_path)
    yield found
    found.podpass("reset", "--yes")


def test_its_tokens_are_trusted_by_the_labs_clouds(beside: Beside, cluster: RunningLab, tmp_path: Path) -> None:
    before = cluster.paths.kubeconfig.read_bytes()
    refused = beside.up("--nodes", "2", check=False).stderr
    assert "An existing cluster has nodes of its own; leave --nodes out." in refused
    listed = beside.up("--dry-run").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["use", "use", "leave"]
    assert not beside.lab.paths.database.exists()

    beside.up("--scenario", str(ROOT / "docs/examples/scenario.yaml"))
    lab = beside.lab
    status = lab.control.status()
    assert status["cluster"]["kind"] == "existing"
    assert "the nodes belong to the cluster of context" in beside.podpass("node", "add", check=False).stderr
    assert status["cluster"]["server"] == cluster.endpoints.api
    assert "a webhook of its own" in status["cluster"]["webhook"]
    assert lab.endpoints.issuer == cluster.endpoints.issuer
    assert lab.endpoints.tenant_id != cluster.endpoints.tenant_id
    assert "podpass-cluster" in beside.podpass("status").stdout
    # The variables of the lab lead kubectl to the cluster, by the user's own file, which is as it was.
    assert "shop" in lab.kubectl("get", "namespaces", "--output", "name")
    assert lab.run("kubectl", "config", "current-context", PATH=lab.path).stdout == "podpass-cluster\n"
    assert cluster.paths.kubeconfig.read_bytes() == before

    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(
        lab.kubectl("create", "token", "orders", "-n", "shop", "--audience", "api://AzureADTokenExchange").strip()
    )
    read = lab.run(
        sys.executable,
        str(ROOT / "src/podpass/lab/demo/program.py"),
        AZURE_CLIENT_ID=beside.podpass("identity", "orders").stdout.strip(),
        AZURE_FEDERATED_TOKEN_FILE=str(token),
        VAULT_URL="https://kv-podpass-example.vault.azure.net",
        SECRET_NAME="payments-connection",
    )
    assert "read secret 'payments-connection'" in read.stdout

    assert beside.podpass("down", "--dry-run").stdout == ""
    beside.podpass("down")
    # What was not the lab's stays.
    assert "operator" in cluster.kubectl("get", "serviceaccount", "operator", "-n", "podpass-system", "-o", "name")
    assert cluster.kubectl("get", REGISTRATION, "-o", "name")


def test_its_pods_are_given_the_labs_variables_while_the_lab_runs(beside: Beside, cluster: RunningLab) -> None:
    kept = cluster.kubectl("get", REGISTRATION, "-o", "json")
    cluster.kubectl("delete", REGISTRATION)
    try:
        assert (
            f"create MutatingWebhookConfiguration {REGISTRATION.partition('/')[2]}\n" in beside.up("--dry-run").stdout
        )
        beside.up()
        assert asked(cluster)["AZURE_TENANT_ID"] == beside.lab.endpoints.tenant_id

        # Killed, the lab leaves its registration, and takes it up again as its own.
        os.kill(beside.lab.control.status()["pid"], signal.SIGKILL)
        assert cluster.kubectl("get", REGISTRATION, "-o", "name")
        beside.podpass("up")
        assert asked(cluster)["AZURE_TENANT_ID"] == beside.lab.endpoints.tenant_id

        # Killed for good, `down` still takes it away.
        os.kill(beside.lab.control.status()["pid"], signal.SIGKILL)
        gone = json.loads(beside.podpass("down", "--dry-run", "--output", "json").stdout)
        assert [(action["verb"], action["kind"]) for action in gone] == [("delete", "MutatingWebhookConfiguration")]
        beside.podpass("down")
        assert not cluster.kubectl("get", REGISTRATION, "-o", "name", "--ignore-not-found")
        assert "AZURE_TENANT_ID" not in asked(cluster)
    finally:
        obj = json.loads(kept)
        del obj["metadata"]["resourceVersion"], obj["metadata"]["uid"]
        subprocess.run(
            [str(Path(sys.executable).parent / "kubectl"), "apply", "-f", "-"],
            input=json.dumps(obj),
            env=cluster.environment,
            text=True,
            check=True,
            capture_output=True,
        )


def asked(cluster: RunningLab) -> dict[str, str]:
    """The variables of a pod that asks for the webhook."""
    made = subprocess.run(
        [str(Path(sys.executable).parent / "kubectl"), "create", "--dry-run=server", "-o", "json", "-f", "-"],
        input=json.dumps(POD),
        env=cluster.environment,
        text=True,
        check=True,
        capture_output=True,
    )
    variables = json.loads(made.stdout)["spec"]["containers"][0].get("env") or ()
    return {variable["name"]: variable.get("value", "") for variable in variables}


def test_a_cluster_that_does_not_answer_is_told_at_once(podpass, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(
        json.dumps(
            {
                "current-context": "gone",
                "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "me"}}],
                "clusters": [{"name": "gone", "cluster": {"server": "https://127.0.0.1:9"}}],
                "users": [{"name": "me", "user": {"token": "t"}}],
            }
        )
    )
    for more in ([], ["--dry-run"]):
        done = podpass("lab", "up", "--kubeconfig", str(file), *more)
        assert done.returncode == 1
        assert "does not answer" in done.stderr
        assert "Connection refused" in done.stderr
        assert "PP402" in done.stderr
    # What never came to be, or whose cluster is gone, can still be reset.
    paths = LabPaths.of("default", home=tmp_path)
    keep(paths, Chosen(str(file), "gone", "owner"))
    done = podpass("lab", "reset", "--yes")
    assert done.returncode == 0
    assert "nothing was taken away from the cluster" in done.stderr
    assert not paths.directory.exists()
