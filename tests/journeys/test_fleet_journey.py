"""Two managed clusters beside the lab's own: made by Resource Manager's calls, used with stock clients, and ended.

The clusters differ in all that a cluster has of its own, and the clouds can tell them apart.
"""

import asyncio
import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from podpass.lab.control.starting import delete, start, stop
from podpass.lab.demo.client import Operator
from podpass.lab.environment import LabPaths
from podpass.problems import PodpassError
from podpass.tokens.jwt import decode
from tests.running_lab import RunningLab

VERSION = "2026-06-01"
NAMES = ("red", "blue")
EXCHANGE = textwrap.dedent(
    """
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import WorkloadIdentityCredential
    try:
        WorkloadIdentityCredential().get_token("https://management.azure.com/.default")
        print("granted")
    except ClientAuthenticationError as error:
        print(str(error)[:600])
    """
)


class Clusters:
    """The managed clusters of one lab, as its operator sees them."""

    network_plugin = "azure"

    def __init__(self, lab: RunningLab, directory: Path) -> None:
        self.lab, self.directory = lab, directory
        self.group = f"/subscriptions/{lab.endpoints.subscription_id}/resourceGroups/shop"

    def path(self, name: str) -> str:
        return f"{self.group}/providers/Microsoft.ContainerService/managedClusters/{name}"

    async def put(self, operator: Operator, name: str, *, nodes: int = 1, tokens: bool = True) -> dict[str, Any]:
        await operator.arm("PUT", self.group, "2024-11-01", {"location": "westeurope"})
        pool = {"name": "nodepool1", "count": nodes, "mode": "System", "type": "VirtualMachineScaleSets"}
        properties = {
            "dnsPrefix": name,
            "agentPoolProfiles": [pool],
            "networkProfile": {"networkPlugin": self.network_plugin},
            "oidcIssuerProfile": {"enabled": True},
            "securityProfile": {"workloadIdentity": {"enabled": tokens}},
        }
        cluster = {"location": "westeurope", "identity": {"type": "SystemAssigned"}, "properties": properties}
        return await operator.arm("PUT", self.path(name), VERSION, cluster)

    async def ended(self, operator: Operator, name: str) -> dict[str, Any]:
        """The cluster once nothing goes on with it; nothing when it is gone."""
        async with asyncio.timeout(30):
            while True:
                try:
                    found = await operator.arm("GET", self.path(name), VERSION)
                except PodpassError as error:
                    if "ResourceNotFound" in str(error.values):
                        return {}
                    raise
                if found["properties"]["provisioningState"] in ("Succeeded", "Failed", "Canceled"):
                    return found
                # Looked at as az does, if more often: Resource Manager has no way to tell.
                await asyncio.sleep(0.05)

    def make(self, *names: str, **options: Any) -> dict[str, dict[str, Any]]:
        async def work(operator: Operator) -> dict[str, dict[str, Any]]:
            await asyncio.gather(*(self.put(operator, name, **options) for name in names))
            return {name: await self.ended(operator, name) for name in names}

        return self.lab.operate(work)

    def post(self, name: str, verb: str) -> dict[str, Any]:
        async def work(operator: Operator) -> dict[str, Any]:
            await operator.arm("POST", f"{self.path(name)}/{verb}", VERSION)
            return await self.ended(operator, name)

        return self.lab.operate(work)

    def remove(self, name: str) -> dict[str, Any]:
        async def work(operator: Operator) -> dict[str, Any]:
            await operator.arm("DELETE", self.path(name), VERSION)
            return await self.ended(operator, name)

        return self.lab.operate(work)

    def kubeconfig(self, name: str, *, admin: bool = False) -> dict[str, Any]:
        verb = "listClusterAdminCredential" if admin else "listClusterUserCredential"

        async def work(operator: Operator) -> dict[str, Any]:
            return await operator.arm("POST", f"{self.path(name)}/{verb}", VERSION)

        (found,) = self.lab.operate(work)["kubeconfigs"]
        text = base64.b64decode(found["value"]).decode()
        self.file(name).write_text(text)
        document: dict[str, Any] = yaml.safe_load(text)
        return document

    def file(self, name: str) -> Path:
        return self.directory / f"{name}.kubeconfig"

    def kubectl(self, name: str, *arguments: str, check: bool = True, **variables: str) -> str:
        kubectl = Path(sys.executable).parent / "kubectl"
        done = self.lab.run(str(kubectl), *arguments, check=check, KUBECONFIG=str(self.file(name)), **variables)
        return done.stdout + ("" if check else done.stderr)

    def user_of(self, name: str, token: str) -> str:
        """Who the cluster takes the bearer of *token* for, or its refusal."""
        document = yaml.safe_load(self.file(name).read_text())
        document["users"][0]["user"] = {"token": token}
        self.file("bearer").write_text(yaml.safe_dump(document))
        return self.kubectl("bearer", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", check=False)

    def state(self, name: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.lab.control.status()["clusters"]
        return next((cluster for cluster in found if cluster["name"] == name), {})


@pytest.fixture(scope="module", params=["auto", "plain"])
def clusters(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    home = tmp_path_factory.mktemp("fleet")
    paths = LabPaths.of("fleet", home=home)
    start(paths, home=home, runtime=request.param)
    try:
        lab = RunningLab(paths, home)
        if request.param == "auto" and lab.control.status()["runtime"]["name"] != "sandbox":
            pytest.skip("pods are plain processes here, which the other half of these tests covers")
        found = Clusters(lab, home)
        made = found.make(*NAMES)
        assert {name: each["properties"]["provisioningState"] for name, each in made.items()} == dict.fromkeys(
            NAMES, "Succeeded"
        )
        for name in NAMES:
            found.kubeconfig(name)
        yield found
    finally:
        stop(paths)
        delete(paths)


def manifest(name: str, account: str, command: list[str], *, labelled: bool = True) -> str:
    metadata: dict[str, Any] = {"name": name}
    if labelled:
        metadata["labels"] = {"azure.workload.identity/use": "true"}
    container = {"name": "c", "image": "python:3", "command": command}
    spec = {
        "serviceAccountName": account,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
    }
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def run_pod(clusters: Clusters, cluster: str, name: str, account: str, *command: str) -> str:
    """What a pod printed that ran to its end."""
    path = clusters.directory / f"{cluster}-{name}.json"
    path.write_text(manifest(name, account, list(command)))
    clusters.kubectl(cluster, "apply", "-f", str(path))
    clusters.kubectl(
        cluster, "wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s", check=False
    )
    return clusters.kubectl(cluster, "logs", name)


def test_each_has_a_server_an_authority_an_issuer_and_keys_of_its_own(clusters: Clusters) -> None:
    files = [yaml.safe_load(clusters.file(name).read_text()) for name in NAMES]
    of_clusters = [each["clusters"][0]["cluster"] for each in files]
    assert len({each["server"] for each in of_clusters} | {clusters.lab.endpoints.api}) == 3
    assert len({each["certificate-authority-data"] for each in of_clusters}) == 2
    issuers = [json.loads(clusters.kubectl(n, "get", "--raw", "/.well-known/openid-configuration")) for n in NAMES]
    assert [each["issuer"] for each in issuers] == [clusters.state(name)["issuer"] for name in NAMES]
    jwks = [clusters.kubectl(name, "get", "--raw", "/openid/v1/jwks") for name in NAMES]
    assert len({*jwks, clusters.lab.kubectl("get", "--raw", "/openid/v1/jwks")}) == 3


def test_the_kubeconfig_is_the_one_that_the_service_gives(clusters: Clusters) -> None:
    user, admin = clusters.kubeconfig("red"), clusters.kubeconfig("red", admin=True)
    assert [each["users"][0]["name"] for each in (user, admin)] == ["clusterUser_shop_red", "clusterAdmin_shop_red"]
    assert user["contexts"][0]["name"] == admin["contexts"][0]["name"] == "red"
    assert set(user["users"][0]["user"]) == {"client-certificate-data", "client-key-data", "token"}
    assert clusters.kubeconfig("red", admin=True) == admin
    who = clusters.kubectl("red", "auth", "whoami", "-o", "jsonpath={.status.userInfo}")
    assert json.loads(who)["username"] == "masterclient"
    assert "system:masters" in json.loads(who)["groups"]


def test_kubectl_works_without_the_labs_variables_too(clusters: Clusters) -> None:
    kubectl = Path(sys.executable).parent / "kubectl"
    environment = {
        "KUBECONFIG": str(clusters.file("blue")),
        "PATH": os.environ["PATH"],
        "HOME": str(clusters.directory),
    }
    done = subprocess.run([kubectl, "get", "nodes", "-o", "name"], env=environment, capture_output=True, text=True)
    assert done.stdout == "node/lab-node\n", done.stderr


@pytest.mark.parametrize("secret", ["token", "client-certificate-data"])
def test_a_cluster_is_reached_by_its_name_through_the_proxy(clusters: Clusters, secret: str) -> None:
    """With either half of what the file holds: TLS goes through to the API server, client certificates and all."""
    document = yaml.safe_load(clusters.file("blue").read_text())
    document["clusters"][0]["cluster"]["server"] = f"https://{clusters.state('blue')['fqdn']}:443"
    user = document["users"][0]["user"]
    document["users"][0]["user"] = {
        name: value for name, value in user.items() if (name == "token") == (secret == "token")
    }
    clusters.file("by-name").write_text(yaml.safe_dump(document))
    asked = clusters.kubectl("by-name", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert asked == ("kubernetes-admin" if secret == "token" else "masterclient")
    name = f"proxied-{secret.partition('-')[0]}"
    path = clusters.directory / f"{name}.json"
    path.write_text(manifest(name, "default", ["sleep", "600"], labelled=False))
    clusters.kubectl("by-name", "apply", "-f", str(path))
    # A watch, and an upgrade of the connection.
    clusters.kubectl("by-name", "wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
    assert clusters.kubectl("by-name", "exec", name, "--", "echo", "inside") == "inside\n"


def test_what_one_clusters_file_holds_is_worth_nothing_in_the_other(clusters: Clusters) -> None:
    red, blue = (yaml.safe_load(clusters.file(name).read_text()) for name in NAMES)
    user, server = red["users"][0]["user"], blue["clusters"][0]["cluster"]
    assert "Unauthorized" in clusters.user_of("blue", user["token"])
    certificate = clusters.directory / "red.pem"
    parts = ("client-certificate-data", "client-key-data")
    certificate.write_bytes(b"".join(base64.b64decode(user[part]) for part in parts))
    tls = ssl.create_default_context(cadata=base64.b64decode(server["certificate-authority-data"]).decode())
    tls.load_cert_chain(certificate)
    address = urlsplit(server["server"])
    connection = http.client.HTTPSConnection(str(address.hostname), address.port, context=tls, timeout=30)
    # Not kubectl, which tries again and again for a minute.
    with contextlib.closing(connection), pytest.raises((ConnectionError, ssl.SSLError)):
        connection.request("GET", "/version")
        connection.getresponse()


def test_a_program_runs_beside_a_container_of_the_second_cluster(clusters: Clusters) -> None:
    path = clusters.directory / "sleeper.json"
    path.write_text(manifest("sleeper", "default", ["sleep", "600"], labelled=False))
    clusters.kubectl("blue", "apply", "-f", str(path))
    clusters.kubectl("blue", "wait", "pod/sleeper", "--for=condition=Ready", "--timeout=60s")
    assert clusters.kubectl("blue", "exec", "sleeper", "--", "echo", "hello") == "hello\n"
    assert "not found" in clusters.kubectl("red", "get", "pod", "sleeper", check=False)


def test_an_identity_trusts_the_pods_of_one_cluster_and_of_no_other(clusters: Clusters) -> None:
    """The same account's name in both: only the issuer tells them apart."""

    async def work(operator: Operator) -> dict[str, str]:
        clients = {}
        for name in NAMES:
            path = f"{clusters.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
            identity = await operator.arm("PUT", path, "2024-11-30", {"location": "westeurope"})
            trust = {
                "issuer": clusters.state(name)["issuer"],
                "subject": "system:serviceaccount:default:caller",
                "audiences": ["api://AzureADTokenExchange"],
            }
            await operator.arm(
                "PUT", f"{path}/federatedIdentityCredentials/{name}", "2024-11-30", {"properties": trust}
            )
            clients[name] = identity["properties"]["clientId"]
        return clients

    clients = clusters.lab.operate(work)
    for cluster in NAMES:
        clusters.kubectl(cluster, "create", "serviceaccount", "caller")
        for identity in NAMES:
            client = f"azure.workload.identity/client-id={clients[identity]}"
            clusters.kubectl(cluster, "annotate", "serviceaccount", "caller", "--overwrite", client)
            said = run_pod(clusters, cluster, f"as-{identity}", "caller", "python", "-c", EXCHANGE)
            if identity == cluster:
                assert said == "granted\n"
            else:
                assert "AADSTS700211" in said, said
                assert clusters.state(cluster)["issuer"] in said


def test_the_command_line_tells_clusters_apart(clusters: Clusters) -> None:
    lab = clusters.lab
    variables = {"PODPASS_HOME": str(lab.home), "PODPASS_LAB": "fleet"}
    podpass = str(Path(sys.executable).parent / "podpass")
    shown = lab.run(podpass, "lab", "status", **variables).stdout
    for name in NAMES:
        line = next(line for line in shown.splitlines() if line.startswith(f"{name} "))
        assert line.split() == [name, "running", clusters.state(name)["server"], clusters.state(name)["issuer"]]
    added = lab.run(podpass, "lab", "node", "add", "--cluster", "red", "-o", "json", **variables).stdout
    assert json.loads(added)["name"] == "lab-node-2"
    assert "lab-node-2" not in lab.run(podpass, "lab", "node", "ls", **variables).stdout
    assert "lab-node-2" in clusters.kubectl("red", "get", "nodes")
    lab.run(podpass, "lab", "node", "stop", "lab-node-2", "--cluster", "red", **variables)
    note = "cluster red: lab-node-2 is switched off: podpass lab node start lab-node-2 --name fleet --cluster red"
    assert note in lab.control.status()["notes"]
    lab.run(podpass, "lab", "node", "rm", "lab-node-2", "--cluster", clusters.path("red"), **variables)
    assert "lab-node-2" not in clusters.kubectl("red", "get", "nodes")
    wrong = lab.run(podpass, "lab", "node", "ls", "--cluster", "green", check=False, **variables)
    assert wrong.returncode == 1
    assert "PP142" in wrong.stderr
    assert "red, blue" in wrong.stderr or "blue, red" in wrong.stderr
    clusters.file("jane").write_text(
        lab.run(podpass, "lab", "kubeconfig", "jane", "--group", "devs", "--cluster", "blue", **variables).stdout
    )
    who = json.loads(clusters.kubectl("jane", "auth", "whoami", "-o", "jsonpath={.status.userInfo}"))
    assert (who["username"], "devs" in who["groups"]) == ("jane", True)
    events = lab.control.journal(limit=20_000)
    assert {event["cluster"] for event in events if event["whom"] == "cluster"} >= {"", *NAMES}


def test_faults_and_the_clock_act_on_all_clusters(clusters: Clusters) -> None:
    control, lab = clusters.lab.control, clusters.lab

    def read(*urls: str) -> list[int]:
        async def work(operator: Operator) -> list[int]:
            found = []
            for url in urls:
                async with operator.session.get(url, proxy=lab.endpoints.proxy, ssl=operator.tls) as answer:
                    found.append(answer.status)
            return found

        return lab.operate(work)

    def issued(name: str) -> int:
        token = clusters.kubectl(name, "create", "token", "default").strip()
        return int(decode(token).claims["iat"])

    documents = [f"{clusters.state(name)['issuer']}.well-known/openid-configuration" for name in NAMES]
    elsewhere = [documents[0].replace("westeurope", "northeurope"), documents[0].replace(documents[0][-50:], "x")]
    try:
        assert read(*documents, *elsewhere) == [200, 200, 404, 404]
        control.set_faults({"issuer_unreachable": True, "cluster_skew_seconds": 7_200})
        assert read(*documents) == [502, 502]
        assert all(issued(name) - time.time() > 7_000 for name in NAMES)
    finally:
        control.set_faults({"issuer_unreachable": False, "cluster_skew_seconds": 0})


def test_a_lab_that_stops_ends_the_watches_of_all_clusters(own: Clusters) -> None:
    own.make("red")
    own.kubeconfig("red")
    kubectl = Path(sys.executable).parent / "kubectl"
    command = [kubectl, "--kubeconfig", own.file("red"), "get", "namespaces", "--watch", "--output-watch-events"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as watching:
        assert watching.stdout is not None
        # It watches once it has printed what is there.
        assert b"EVENT" in watching.stdout.readline()
        began = time.monotonic()
        stop(own.lab.paths)
        assert time.monotonic() - began < 10
        watching.communicate(timeout=10)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Clusters]:
    """The clusters of a lab that a test may kill."""
    paths = LabPaths.of("killed", home=tmp_path)
    start(paths, home=tmp_path)
    yield Clusters(RunningLab(paths, tmp_path), tmp_path)
    with contextlib.suppress(PodpassError):
        stop(paths)
    delete(paths)


def again(clusters: Clusters, *, kill: bool) -> Clusters:
    """The same lab after it was stopped or killed."""
    paths, home = clusters.lab.paths, clusters.lab.home
    if kill:
        os.kill(clusters.lab.control.status()["pid"], signal.SIGKILL)
    else:
        stop(paths)
    start(paths, home=home)
    return Clusters(RunningLab(paths, home), home)


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_a_cluster_goes_on_where_the_lab_ended(own: Clusters, kill: bool) -> None:
    own.make("red")
    file = own.kubeconfig("red")
    own.kubectl("red", "create", "configmap", "mine")
    token = own.kubectl("red", "create", "token", "default").strip()
    uid = own.kubectl("red", "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    keys = own.kubectl("red", "get", "--raw", "/openid/v1/jwks")
    later = again(own, kill=kill)
    assert later.kubectl("red", "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}") == uid
    assert later.kubectl("red", "get", "--raw", "/openid/v1/jwks") == keys
    assert later.kubectl("red", "get", "configmap", "mine", "-o", "name") == "configmap/mine\n"
    assert later.user_of("red", token) == "system:serviceaccount:default:default"
    assert later.kubeconfig("red") == file


def test_a_creation_that_a_kill_cut_short_is_finished(own: Clusters) -> None:
    async def work(operator: Operator) -> None:
        await own.put(operator, "red")
        # It has begun by now, and takes some hundred milliseconds.
        os.kill(own.lab.control.status()["pid"], signal.SIGKILL)

    with contextlib.suppress(PodpassError):
        own.lab.operate(work)
    start(own.lab.paths, home=own.lab.home)
    later = Clusters(RunningLab(own.lab.paths, own.lab.home), own.directory)

    async def ended(operator: Operator) -> dict[str, Any]:
        return await later.ended(operator, "red")

    assert later.lab.operate(ended)["properties"]["provisioningState"] == "Succeeded"
    later.kubeconfig("red")
    assert later.kubectl("red", "get", "nodes", "-o", "name") == "node/lab-node\n"


def test_a_deletion_that_a_kill_cut_short_is_finished(own: Clusters) -> None:
    own.make("red", "blue")
    directory = own.lab.paths.clusters / own.state("red")["guid"]
    assert directory.is_dir()

    async def work(operator: Operator) -> None:
        await operator.arm("DELETE", own.path("red"), VERSION)
        os.kill(own.lab.control.status()["pid"], signal.SIGKILL)

    with contextlib.suppress(PodpassError):
        own.lab.operate(work)
    start(own.lab.paths, home=own.lab.home)
    later = Clusters(RunningLab(own.lab.paths, own.lab.home), own.directory)

    async def ended(operator: Operator) -> dict[str, Any]:
        return await later.ended(operator, "red")

    assert later.lab.operate(ended) == {}
    assert not directory.exists()
    assert later.state("red") == {}
    assert later.state("blue")["state"] == "running"


def test_a_cluster_that_is_deleted_while_it_starts_is_gone_and_its_name_free(own: Clusters) -> None:
    async def work(operator: Operator) -> dict[str, Any]:
        await own.put(operator, "red")
        await operator.arm("DELETE", own.path("red"), VERSION)
        return await own.ended(operator, "red")

    assert own.lab.operate(work) == {}
    assert list(own.lab.paths.clusters.iterdir()) == []
    first = own.make("red")["red"]["properties"]["oidcIssuerProfile"]["issuerURL"]
    assert own.remove("red") == {}
    assert own.make("red")["red"]["properties"]["oidcIssuerProfile"]["issuerURL"] != first
    assert own.kubeconfig("red")["clusters"][0]["cluster"]["server"] == own.state("red")["server"]
    assert own.kubectl("red", "get", "nodes", "-o", "name") == "node/lab-node\n"


def test_a_cluster_changes_while_it_runs(own: Clusters) -> None:
    """More nodes and fewer, without tokens for pods and with them, stopped and started: one after the other."""
    own.make("red", nodes=3)
    own.kubeconfig("red")
    assert len(own.kubectl("red", "get", "nodes", "-o", "name").split()) == 3
    own.kubectl("red", "create", "deployment", "web", "--image=busybox", "--replicas=6", "--", "sleep", "600")
    own.kubectl("red", "rollout", "status", "deployment/web", "--timeout=60s")
    own.make("red", nodes=1, tokens=False)
    assert own.kubectl("red", "get", "nodes", "-o", "name") == "node/lab-node\n"
    own.kubectl("red", "rollout", "status", "deployment/web", "--timeout=60s")
    assert own.kubectl("red", "get", "mutatingwebhookconfigurations", "-o", "name") == ""
    own.make("red", nodes=1, tokens=True)
    assert "azure-wi-webhook" in own.kubectl("red", "get", "mutatingwebhookconfigurations", "-o", "name")
    assert own.post("red", "stop")["properties"]["powerState"]["code"] == "Stopped"
    assert own.state("red")["state"] == "stopped"
    assert own.kubectl("red", "get", "nodes", check=False).count("refused")
    own.post("red", "start")
    assert own.kubectl("red", "get", "deployment", "web", "-o", "name") == "deployment.apps/web\n"
    assert own.remove("red") == {}
    assert list(own.lab.paths.clusters.iterdir()) == []
    assert sorted(path.name for path in own.lab.paths.sockets.iterdir()) == [
        "api.sock",
        "control.sock",
        "dns.sock",
        "gateway.sock",
    ]


def test_a_rotation_keeps_the_tokens_of_the_key_before_valid_for_a_day(own: Clusters) -> None:
    own.make("red")
    own.kubeconfig("red")

    def believed(token: str) -> bool:
        return own.user_of("red", token) == "system:serviceaccount:default:default"

    def keys() -> list[str]:
        return [key["kid"] for key in json.loads(own.kubectl("red", "get", "--raw", "/openid/v1/jwks"))["keys"]]

    first, (first_key,) = own.kubectl("red", "create", "token", "default", "--duration=48h").strip(), keys()
    own.post("red", "rotateServiceAccountSigningKeys")
    second, second_keys = own.kubectl("red", "create", "token", "default", "--duration=48h").strip(), keys()
    assert second_keys[1:] == [first_key]
    assert believed(first)
    own.post("red", "rotateServiceAccountSigningKeys")
    assert not believed(first)
    assert believed(second)
    assert keys()[1:] == second_keys[:1]
    # The webhook's own token was one of the first key's.
    path = own.directory / "labelled.json"
    path.write_text(manifest("labelled", "default", ["true"]))
    own.kubectl("red", "apply", "-f", str(path))
    assert "AZURE_FEDERATED_TOKEN_FILE" in own.kubectl("red", "get", "pod", "labelled", "-o", "yaml")
    own.lab.control.advance(24 * 3600 + 60)
    assert own.state("red")["state"] == "running"
    assert not believed(second)
    assert len(keys()) == 1


def test_a_cluster_that_is_damaged_keeps_no_other_one_from_running(own: Clusters) -> None:
    own.make("red", "blue")
    own.kubeconfig("blue")
    red = own.lab.paths.of_cluster(own.state("red")["guid"])
    stop(own.lab.paths)
    red.database.write_bytes(b"this is no database" * 1_000)
    for beside in ("-wal", "-shm"):
        red.database.with_name(red.database.name + beside).unlink(missing_ok=True)
    start(own.lab.paths, home=own.lab.home)
    later = Clusters(RunningLab(own.lab.paths, own.lab.home), own.directory)
    assert later.kubectl("blue", "get", "nodes", "-o", "name") == "node/lab-node\n"
    assert later.state("red")["state"] == "failed"
    assert str(red.database) in later.state("red")["why"]
    assert any(note.startswith("cluster red: ") for note in later.lab.control.status()["notes"])
    assert later.remove("red") == {}
    assert not red.directory.exists()


SCENARIO = """
version: 1
tenants: [{name: contoso}]
subscriptions: [{name: shop, tenant: contoso}]
resourceGroups: [{name: shop, subscription: shop, location: westeurope}]
clusters: [{name: red, tenant: contoso, region: westeurope, resourceGroup: shop}]
managedClusters: [{name: blue, resourceGroup: shop}]
"""


def test_the_labs_own_cluster_stands_for_a_managed_one(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(SCENARIO)
    paths = LabPaths.of("placed", home=tmp_path)
    start(paths, home=tmp_path, scenario=scenario)
    try:
        lab = RunningLab(paths, tmp_path)
        clusters = Clusters(lab, tmp_path)
        assert {each["name"]: each["state"] for each in lab.control.status()["clusters"]} == dict.fromkeys(
            NAMES, "running"
        )
        assert clusters.state("red")["server"] == lab.endpoints.api
        assert clusters.state("red")["issuer"] == lab.endpoints.issuer
        document = clusters.kubeconfig("red", admin=True)
        document["clusters"][0]["cluster"]["server"] = f"https://{clusters.state('red')['fqdn']}:443"
        clusters.file("red").write_text(yaml.safe_dump(document))
        assert clusters.make("red", nodes=2)["red"]["properties"]["provisioningState"] == "Succeeded"
        assert len(clusters.kubectl("red", "get", "nodes", "-o", "name").split()) == 2
        assert len(lab.kubectl("get", "nodes", "-o", "name").split()) == 2
        # Its nodes are machines of its scale set, as those of any managed cluster.
        machines = lab.kubectl("get", "nodes", "-o", "jsonpath={.items[*].spec.providerID}").split()
        assert [machine.rpartition("/")[2] for machine in machines] == ["0", "1"]
        assert lab.control.add_node()["name"] == "lab-node-3"
        clusters.make("blue", nodes=2)
        assert len(lab.kubectl("get", "nodes", "-o", "name").split()) == 3
        assert clusters.remove("red")["properties"]["provisioningState"] == "Failed"
        assert clusters.state("red")["state"] == "running"
        clusters.make("red", nodes=2, tokens=False)
        webhooks = ("get", "mutatingwebhookconfigurations", "-o", "name")
        assert lab.kubectl(*webhooks) == ""
        stop(paths)
        start(paths, home=tmp_path)
        assert lab.kubectl(*webhooks) == ""
        assert len(lab.kubectl("get", "nodes", "-o", "name").split()) == 3
        clusters.make("red", nodes=2, tokens=True)
        assert lab.kubectl(*webhooks) != ""
    finally:
        stop(paths)
        delete(paths)


def test_a_pod_reaches_another_cluster_by_the_file_it_was_given(own: Clusters) -> None:
    """A pod has no way to the host's loopback: Resource Manager tells it the cluster's name."""
    if own.lab.control.status()["runtime"]["name"] != "sandbox" or shutil.which("kubectl", path=own.lab.path) is None:
        pytest.skip("pods have no network of their own here")
    own.make("red")
    program = textwrap.dedent(
        f"""
        import base64, json, os, subprocess, sys, urllib.request
        from azure.identity import WorkloadIdentityCredential
        token = WorkloadIdentityCredential().get_token("https://management.azure.com/.default").token
        url = "https://management.azure.com{own.path("red")}/listClusterUserCredential?api-version={VERSION}"
        request = urllib.request.Request(url, b"", {{"Authorization": "Bearer " + token}}, method="POST")
        found = json.load(urllib.request.urlopen(request))["kubeconfigs"][0]["value"]
        with open("/tmp/kubeconfig", "wb") as file:
            file.write(base64.b64decode(found))
        kubectl = os.path.join(sys.prefix, "bin", "kubectl")
        for command in ("get nodes -o name", "-n default exec sleeper -- echo inside"):
            subprocess.run([kubectl, "--kubeconfig", "/tmp/kubeconfig", *command.split()], check=True)
        """
    )
    own.kubeconfig("red")
    shutil.copy(own.lab.paths.kubeconfig, own.file("lab"))
    client = f"azure.workload.identity/client-id={own.lab.endpoints.operator_client_id}"
    own.kubectl("lab", "annotate", "-n", "podpass-system", "serviceaccount", "operator", client)
    own.kubectl("lab", "config", "set-context", "--current", "--namespace", "podpass-system")
    path = own.directory / "sleeper.json"
    path.write_text(manifest("sleeper", "default", ["sleep", "600"], labelled=False))
    own.kubectl("red", "apply", "-f", str(path))
    own.kubectl("red", "wait", "pod/sleeper", "--for=condition=Ready", "--timeout=60s")
    assert run_pod(own, "lab", "caller", "operator", "python", "-c", program) == "node/lab-node\ninside\n"
