"""Pods of a managed cluster get the identities of their bindings from the metadata service, as NMI decides.

NMI runs from the manifests, as an ordinary DaemonSet; its own rules lead pods to it.
"""

import asyncio
import json
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from podpass.lab.control.starting import delete, start, stop
from podpass.lab.demo.client import Operator
from podpass.lab.environment import LabPaths
from tests.journeys.test_fleet_journey import VERSION, Clusters
from tests.pod_networks import require_pod_identity
from tests.running_lab import RunningLab

DEPLOY = Path(__file__).parents[2] / "deploy/pod-identity"
OPERATOR_ROLE = "f1a07417-d97a-45cb-824c-7a7467783830"
MACHINE_CONTRIBUTOR = "9980e02c-c2be-4d73-94e8-173b1dc7cf3c"
IDENTITIES, COMPUTE = "2023-01-31", "2024-07-01"
TOKEN = textwrap.dedent(
    """
    import base64, json, sys
    from azure.core.exceptions import AzureError
    from azure.identity import ManagedIdentityCredential
    named = json.loads(sys.argv[1])
    try:
        token = ManagedIdentityCredential(**named).get_token("https://management.azure.com/.default").token
    except AzureError as error:
        print("refused:", str(error)[:200])
    else:
        payload = token.split(".")[1]
        print(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["appid"])
    """
)
ONCE = textwrap.dedent(
    """
    import sys, urllib.error, urllib.request
    request = urllib.request.Request("http://169.254.169.254" + sys.argv[1], headers={"Metadata": "true"})
    try:
        print(urllib.request.urlopen(request, timeout=10).read().decode())
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode())
    except OSError as error:
        print(getattr(error, "reason", error))
    """
)
ASK = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://management.azure.com/"


class Pods(Clusters):
    """One managed cluster with two identities that its scale set has."""

    identities: Mapping[str, Mapping[str, Any]]

    def __init__(self, lab: RunningLab, directory: Path, *, cluster: str = "red") -> None:
        super().__init__(lab, directory)
        self.cluster = cluster

    @property
    def scale_sets(self) -> str:
        group = self.group.replace("/resourceGroups/shop", f"/resourceGroups/MC_shop_{self.cluster}_westeurope")
        return f"{group}/providers/Microsoft.Compute/virtualMachineScaleSets"

    def make_identities(self, *names: str) -> None:
        async def work(operator: Operator) -> dict[str, Any]:
            place = f"{self.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
            location = {"location": "westeurope"}
            return {name: await operator.arm("PUT", f"{place}/{name}", IDENTITIES, location) for name in names}

        self.identities = self.lab.operate(work)

    def assign(self, *names: str) -> str:
        """Give the scale set of the cluster these identities, as `az vmss identity assign` does."""

        async def work(operator: Operator) -> str:
            (found,) = (await operator.arm("GET", self.scale_sets, COMPUTE))["value"]
            wanted = {self.identities[name]["id"]: {} for name in names}
            identity = {"type": "UserAssigned", "userAssignedIdentities": wanted}
            await operator.arm("PATCH", found["id"], COMPUTE, {"identity": identity})
            return str(found["name"])

        return self.lab.operate(work)

    def register_feature(self) -> None:
        features = f"{self.group.partition('/resourceGroups')[0]}/providers/Microsoft.Features"
        path = f"{features}/providers/Microsoft.ContainerService/features"

        async def work(operator: Operator) -> None:
            await operator.arm("POST", f"{path}/EnablePodIdentityPreview/register", "2021-07-01")
            async with asyncio.timeout(30):
                while True:
                    found = await operator.arm("GET", f"{path}/EnablePodIdentityPreview", "2021-07-01")
                    if found["properties"]["state"] == "Registered":
                        return
                    await asyncio.sleep(0.1)

        self.lab.operate(work)

    def let_assign(self, name: str, principal_id: str) -> None:
        """Make the cluster *Managed Identity Operator* of an identity, as `az aks pod-identity add` does."""
        self.give_role(OPERATOR_ROLE, self.identities[name]["id"], principal_id)

    def give_role(self, role: str, scope: str, principal_id: str) -> None:
        subscription = self.group.partition("/resourceGroups")[0]
        role = f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
        place = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
        properties = {"roleDefinitionId": role, "principalId": principal_id, "principalType": "ServicePrincipal"}

        async def work(operator: Operator) -> None:
            await operator.arm("PUT", place, "2022-04-01", {"properties": properties})

        self.lab.operate(work)

    def profile(self, *, enabled: bool = True, **more: Any) -> dict[str, Any]:
        """Put the cluster with this profile, as the clients do; its properties once that has ended."""

        async def work(operator: Operator) -> dict[str, Any]:
            found = await operator.arm("GET", self.path(self.cluster), VERSION)
            found["properties"]["podIdentityProfile"] = {"enabled": enabled, **more}
            await operator.arm("PUT", self.path(self.cluster), VERSION, found)
            properties: dict[str, Any] = (await self.ended(operator, self.cluster))["properties"]
            return properties

        return self.lab.operate(work)

    def named(self) -> set[str]:
        """The objects of pod identity that are there."""
        kinds = "azureidentity,azureidentitybinding,azurepodidentityexception"
        return set(self.kubectl(self.cluster, "get", kinds, "-A", "-o", "name").split())

    def client_id(self, name: str) -> str:
        return str(self.identities[name]["properties"]["clientId"])

    def bind(self, name: str, selector: str, namespace: str = "default") -> None:
        """What people write: an AzureIdentity and the AzureIdentityBinding that gives it to pods."""
        spec = {"type": 0, "resourceID": self.identities[name]["id"], "clientID": self.client_id(name)}
        self.apply(_object("AzureIdentity", name, namespace, spec))
        binding = {"azureIdentity": name, "selector": selector}
        self.apply(_object("AzureIdentityBinding", f"{name}-{selector}", namespace, binding))

    def apply(self, *documents: dict[str, Any]) -> None:
        path = self.directory / "applied.yaml"
        path.write_text(yaml.safe_dump_all(documents))
        self.kubectl(self.cluster, "apply", "-f", str(path))

    def run(self, name: str, *command: str, labels: Mapping[str, str] | None = None, **options: Any) -> str:
        """What a pod printed that ran to its end."""
        image, namespace = options.pop("image", "python:3"), options.pop("namespace", "default")
        spec = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": image, "command": list(command)}],
            **options,
        }
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace, "labels": dict(labels or {})},
                "spec": spec,
            }
        )
        until = ["--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"]
        self.kubectl(self.cluster, "-n", namespace, "wait", f"pod/{name}", *until)
        return self.kubectl(self.cluster, "-n", namespace, "logs", name).strip()

    def followed(self, name: str, *, until: str) -> list[str]:
        """The log of a pod as `kubectl logs --follow` prints it, up to the line that says *until*."""
        kubectl = [str(Path(sys.executable).parent / "kubectl"), "logs", name, "--follow", "--pod-running-timeout=30s"]
        surroundings = self.lab.environment | {"KUBECONFIG": str(self.file(self.cluster))}
        lines: list[str] = []
        with subprocess.Popen(kubectl, stdout=subprocess.PIPE, text=True, env=surroundings) as following:
            assert following.stdout is not None
            for line in following.stdout:
                lines.append(line.rstrip("\n"))
                if until in line:
                    break
            following.kill()
        return lines

    def token(
        self,
        name: str,
        labels: Mapping[str, str],
        *,
        namespace: str = "default",
        host_network: bool = False,
        **named: Any,
    ) -> str:
        """The client id in the token that a pod with *labels* gets, or the refusal."""
        options = {"hostNetwork": True} if host_network else {}
        return self.run(name, "python", "-c", TOKEN, json.dumps(named), labels=labels, namespace=namespace, **options)


def _object(kind: str, name: str, namespace: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "aadpodidentity.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": dict(spec)}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    require_pod_identity()
    home = tmp_path_factory.mktemp("identities")
    paths = LabPaths.of("identities", home=home)
    start(paths, home=home)
    try:
        yield RunningLab(paths, home)
    finally:
        stop(paths)
        delete(paths)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    """A cluster whose pods are plain processes, with the add-on and the identity `orders` for one label."""
    home = tmp_path_factory.mktemp("plain")
    paths = LabPaths.of("plain", home=home)
    start(paths, home=home, runtime="plain")
    try:
        pods = Pods(RunningLab(paths, home), home)
        pods.make("red")
        pods.kubeconfig("red")
        pods.make_identities("orders", "billing")
        pods.assign("orders", "billing")
        pods.register_feature()
        yield pods
    finally:
        stop(paths)
        delete(paths)


WHERE = """
import os, sys, urllib.error, urllib.request
host = os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"]
headers = {"Metadata": "true", "podns": "default", "podname": "web"}
try:
    request = urllib.request.Request(host + sys.argv[1], headers=headers)
    print(host, urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).status)
except urllib.error.HTTPError as error:
    print(host, error.code, error.read().decode())
"""


def test_as_plain_processes_pods_are_known_by_an_address_of_their_own(plain: Pods) -> None:
    # Without the add-on a pod reaches the machine's metadata service, as on a node without an agent.
    assert plain.token("early", {}, client_id=plain.client_id("billing")) == plain.client_id("billing")
    assert plain.profile()["provisioningState"] == "Succeeded"
    plain.bind("orders", "orders")
    notes = plain.lab.control.status()["notes"]
    assert [note for note in notes if "pod identity is weaker than in the sandbox" in note]
    # The lab does the agent's work, so there is none that could not start.
    assert plain.kubectl("red", "-n", "kube-system", "get", "daemonset", "-o", "name") == ""
    assert plain.token("web", {"aadpodidbinding": "orders"}, client_id=None) == plain.client_id("orders")
    named = {"identity_config": {"object_id": plain.identities["orders"]["properties"]["principalId"]}}
    assert plain.token("by-object", {"aadpodidbinding": "orders"}, **named) == plain.client_id("orders")
    # What the machine has is not the pod's.
    refused = plain.run(
        "greedy",
        "python",
        "-c",
        WHERE,
        f"{ASK}&client_id={plain.client_id('billing')}",
        labels={"aadpodidbinding": "orders"},
    )
    host, _, said = refused.partition(" ")
    assert said.startswith("404 no azure identity found")
    other, _, said = plain.run("unbound", "python", "-c", WHERE, ASK).partition(" ")
    assert said.startswith("404 default/unbound has no label")
    assert host != other
    # Nobody asks in another pod's name.
    host_token = "/host/token?resource=https://management.azure.com/"
    assert " 500 request remote address is not from a host" in plain.run("posing", "python", "-c", WHERE, host_token)
    plain.apply(_object("AzurePodIdentityException", "trusted", "default", {"podLabels": {"app": "trusted"}}))
    assert plain.token("trusted", {"app": "trusted"}, client_id=plain.client_id("billing")) == plain.client_id(
        "billing"
    )
    found = plain.token("of-the-node", {}, client_id=plain.client_id("billing"), host_network=True)
    assert found == plain.client_id("billing")
    stop(plain.lab.paths)
    start(plain.lab.paths, home=plain.lab.home, runtime="plain")
    assert plain.token("after", {"aadpodidbinding": "orders"}, client_id=None) == plain.client_id("orders")


@pytest.fixture(scope="module")
def pods(lab: RunningLab) -> Pods:
    pods = Pods(lab, lab.home)
    assert pods.make("red")["red"]["properties"]["provisioningState"] == "Succeeded"
    pods.kubeconfig("red")
    pods.make_identities("orders", "billing")
    return pods


@pytest.fixture(scope="module")
def scale_set(pods: Pods) -> str:
    """The name of the scale set, once it has the identities."""
    return pods.assign("orders", "billing")


@pytest.fixture(scope="module")
def nmi(pods: Pods, scale_set: str) -> Pods:
    """The cluster with NMI on its node, from the manifests."""
    for name in ("00-crds.yaml", "10-nmi-rbac.yaml", "20-nmi-managed.yaml"):
        pods.kubectl("red", "apply", "-f", str(DEPLOY / name))
    pods.kubectl("red", "-n", "kube-system", "rollout", "status", "daemonset", "nmi", "--timeout=80s")
    pods.bind("orders", "orders")
    pods.bind("orders", "both")
    pods.bind("billing", "both")
    return pods


def test_a_node_is_a_machine_of_the_scale_set_and_only_there_its_metadata_service_answers(
    pods: Pods, scale_set: str
) -> None:
    machine = f"{pods.scale_sets}/{scale_set}/virtualMachines/0"
    assert pods.kubectl("red", "get", "nodes", "-o", "jsonpath={.items[*].spec.providerID}") == f"azure://{machine}"
    said = json.loads(
        pods.run("who", "python", "-c", ONCE, "/metadata/instance/compute?api-version=2021-02-01", hostNetwork=True)
    )
    assert {name: said[name] for name in ("name", "vmScaleSetName", "resourceId", "resourceGroupName")} == {
        "name": f"{scale_set}_0",
        "vmScaleSetName": scale_set,
        "resourceId": machine,
        "resourceGroupName": "MC_shop_red_westeurope",
    }
    # The lab's own cluster stands for no machine.
    command = ["run", "who", "--image=python:3", "--restart=Never", "--command", "--", "python", "-c", ONCE, ASK]
    pods.lab.kubectl(*command)
    pods.lab.kubectl("wait", "pod/who", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    assert "unreachable" in pods.lab.kubectl("logs", "who")


def test_a_pod_gets_the_identity_of_its_binding(nmi: Pods) -> None:
    labels = {"aadpodidbinding": "orders"}
    assert nmi.token("default-identity", labels, client_id=None) == nmi.client_id("orders")


@pytest.mark.parametrize("named", ["client_id", "resource_id", "object_id"])
def test_a_pod_with_two_identities_names_the_one_it_wants(nmi: Pods, named: str) -> None:
    billing = nmi.identities["billing"]
    options: dict[str, Any] = {
        "client_id": {"client_id": nmi.client_id("billing")},
        "resource_id": {"identity_config": {"resource_id": billing["id"]}},
        "object_id": {"identity_config": {"object_id": billing["properties"]["principalId"]}},
    }[named]
    found = nmi.token(f"by-{named.replace('_', '-')}", {"aadpodidbinding": "both"}, **options)
    assert found == nmi.client_id("billing")


def test_the_demo_pod_makes_its_checks(nmi: Pods) -> None:
    pods, group = nmi, nmi.scale_sets.partition("/providers")[0]
    pods.give_role(MACHINE_CONTRIBUTOR, group, str(pods.identities["orders"]["properties"]["principalId"]))
    flags = {
        "subscriptionid": group.split("/")[2],
        "clientid": pods.client_id("orders"),
        "resourcegroup": group.split("/")[4],
    }
    fields = {"NAME": "metadata.name", "NAMESPACE": "metadata.namespace", "IP": "status.podIP"}
    container = {
        "name": "demo",
        "image": "mcr.microsoft.com/oss/azure/aad-pod-identity/demo:v1.6.3",
        "args": [f"--{name}={value}" for name, value in flags.items()],
        "env": [
            {"name": f"MY_POD_{name}", "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()
        ],
    }
    metadata = {"name": "demo", "labels": {"aadpodidbinding": "orders"}}
    spec = {"containers": [container], "nodeSelector": {"kubernetes.io/os": "linux"}}
    pods.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    pods.kubectl("red", "wait", "pod/demo", "--for=condition=Ready", "--timeout=30s")
    lines = [line.partition("] ")[2] for line in pods.followed("demo", until="instance metadata")]
    endpoint = "http://169.254.169.254/metadata/identity/oauth2/token"
    assert lines[0].startswith("starting demo pod default/demo 10.")
    assert lines[1:4] == [
        "successfully counted VM from ARM: 0",
        f"successfully acquired a token using the MSI, msiEndpoint({endpoint})",
        f"successfully acquired a token, userAssignedID MSI, msiEndpoint({endpoint}) clientID({flags['clientid']})",
    ]
    assert lines[4].startswith('successfully made GET on instance metadata, {"compute":{')
    pods.kubectl("red", "delete", "pod", "demo", "--grace-period=1")


def test_a_pod_gets_no_identity_but_that_of_its_bindings(nmi: Pods) -> None:
    for name, labels in (("unlabelled", {}), ("unbound", {"aadpodidbinding": "nobody"})):
        said = nmi.run(name, "python", "-c", ONCE, f"{ASK}&client_id={nmi.client_id('orders')}", labels=labels)
        assert said.startswith("404 "), said


def test_a_pod_under_an_exception_reaches_the_metadata_service_itself(nmi: Pods) -> None:
    nmi.apply(_object("AzurePodIdentityException", "trusted", "default", {"podLabels": {"app": "trusted"}}))
    assert nmi.token("excepted", {"app": "trusted"}, client_id=nmi.client_id("orders")) == nmi.client_id("orders")
    said = json.loads(nmi.run("tenant", "python", "-c", ONCE, "/metadata/identity/info?api-version=2018-02-01"))
    assert said == {"tenantId": nmi.lab.endpoints.tenant_id}


def test_the_addon_makes_what_the_profile_says_and_keeps_it(lab: RunningLab) -> None:
    pods = Pods(lab, lab.home, cluster="blue")
    made = pods.make("blue")["blue"]
    pods.make_identities("orders")
    pods.kubeconfig("blue")
    pods.register_feature()
    pods.let_assign("orders", made["identity"]["principalId"])
    assert pods.profile()["provisioningState"] == "Succeeded"
    selected = {"bindingSelector": "web"}
    entry = {"name": "vote", "namespace": "shop", "identity": {"resourceId": pods.identities["orders"]["id"]}}
    exception = {"name": "trusted", "namespace": "shop", "podLabels": {"app": "trusted"}}
    found = pods.profile(userAssignedIdentities=[entry | selected], userAssignedIdentityExceptions=[exception])
    assert found["podIdentityProfile"]["userAssignedIdentities"][0]["provisioningState"] == "Assigned"
    pods.kubectl("blue", "-n", "kube-system", "rollout", "status", "daemonset", "nmi", "--timeout=80s")
    assert pods.named() == {
        "azureidentity.aadpodidentity.k8s.io/vote",
        "azureidentitybinding.aadpodidentity.k8s.io/vote-binding",
        "azurepodidentityexception.aadpodidentity.k8s.io/trusted",
        "azurepodidentityexception.aadpodidentity.k8s.io/aks-addon-exception",
    }
    labels = {"aadpodidbinding": "web"}
    assert pods.token("voter", labels, namespace="shop") == pods.client_id("orders")
    # What people change or delete by hand comes back.
    pods.kubectl("blue", "-n", "shop", "delete", "azureidentity", "vote")
    change = '{"spec":{"selector":"mine"}}'
    pods.kubectl("blue", "-n", "shop", "patch", "azureidentitybinding", "vote-binding", "--type=merge", "-p", change)
    options = ["--for=jsonpath={.spec.selector}=web", "--timeout=30s"]
    pods.kubectl("blue", "-n", "shop", "wait", "azureidentitybinding/vote-binding", *options)
    options = ["--for=jsonpath={.spec.type}=0", "--timeout=30s"]
    pods.kubectl("blue", "-n", "shop", "wait", "--for=create", "azureidentity/vote", "--timeout=30s")
    pods.kubectl("blue", "-n", "shop", "wait", "azureidentity/vote", *options)
    # It goes on after a restart, and is as before in between.
    stop(lab.paths)
    start(lab.paths, home=lab.home)
    pods.kubectl("blue", "-n", "shop", "delete", "azureidentitybinding", "vote-binding")
    pods.kubectl("blue", "-n", "shop", "wait", "--for=create", "azureidentitybinding/vote-binding", "--timeout=30s")
    # An entry that goes takes its objects along, the add-on all that is its own.
    pods.profile(userAssignedIdentities=[], userAssignedIdentityExceptions=[exception])
    assert {name.partition("/")[2] for name in pods.named()} == {"trusted", "aks-addon-exception"}
    pods.profile(enabled=False)
    assert pods.kubectl("blue", "get", "crd", "-o", "name") == ""
    assert pods.kubectl("blue", "-n", "kube-system", "get", "daemonset", "-o", "name") == ""
    assert pods.kubectl("blue", "get", "namespace", "shop", "-o", "name") == "namespace/shop\n"


def test_mic_assigns_in_standard_mode(lab: RunningLab) -> None:
    pods = Pods(lab, lab.home, cluster="green")
    kubelet = pods.make("green")["green"]["properties"]["identityProfile"]["kubeletidentity"]
    pods.kubeconfig("green")
    pods.make_identities("orders")
    pods.let_assign("orders", kubelet["objectId"])
    pods.give_role(MACHINE_CONTRIBUTOR, pods.scale_sets.partition("/providers")[0], kubelet["objectId"])
    for name in ("00-crds.yaml", "10-nmi-rbac.yaml", "60-nmi-standard.yaml", "40-mic-rbac.yaml", "50-mic.yaml"):
        pods.kubectl("green", "apply", "-f", str(DEPLOY / name))
    pods.bind("orders", "web")
    for workload in ("daemonset/nmi", "deployment/mic"):
        pods.kubectl("green", "-n", "kube-system", "rollout", "status", workload, "--timeout=80s")
    assert pods.token("web", {"aadpodidbinding": "web"}) == pods.client_id("orders")
    # With its last pod the identity leaves the scale set.
    pods.kubectl("green", "delete", "pod", "web")

    async def identities(operator: Operator) -> set[str]:
        async with asyncio.timeout(60):
            while True:
                (found,) = (await operator.arm("GET", pods.scale_sets, COMPUTE))["value"]
                assigned = {name.rpartition("/")[2] for name in found["identity"]["userAssignedIdentities"]}
                if "orders" not in assigned:
                    return assigned
                await asyncio.sleep(0.2)

    assert lab.operate(identities) == {"green-agentpool"}
