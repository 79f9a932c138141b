"""Walkthrough 3, the cluster's part: the custom resources of pod identity, and the demo pod."""

from pathlib import Path

import pytest
import yaml

from tests.shell import ROOT, Shell

DEPLOY = ROOT / "deploy"

IDENTITY = "/subscriptions/S/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/demo"
OBJECTS = f"""
apiVersion: aadpodidentity.k8s.io/v1
kind: AzureIdentity
metadata: {{name: my-pod-identity, namespace: my-app}}
spec: {{type: 0, resourceID: {IDENTITY}, clientID: 11111111-1111-4111-8111-111111111111}}
---
apiVersion: aadpodidentity.k8s.io/v1
kind: AzureIdentityBinding
metadata: {{name: my-pod-identity-binding, namespace: my-app}}
spec: {{azureIdentity: my-pod-identity, selector: my-pod-identity}}
"""
DEMO = """
apiVersion: v1
kind: Pod
metadata:
  name: demo
  namespace: my-app
  labels: {aadpodidbinding: my-pod-identity}
spec:
  restartPolicy: Never
  nodeSelector: {kubernetes.io/os: linux}
  containers:
  - name: demo
    image: busybox
    command: [sh, -c, 'echo "$MY_POD_NAME $MY_POD_NAMESPACE $MY_POD_IP" "$@"; echo ended', demo]
    args: [--subscriptionid, s, --clientid, c, --resourcegroup, g]
    env:
    - {name: MY_POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: MY_POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    - {name: MY_POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
"""


@pytest.fixture(scope="module")
def cluster(shell: Shell) -> Shell:
    """The custom resources are served, and the namespace of the application is there."""
    shell("kubectl apply -f deploy/pod-identity/00-crds.yaml")
    shell("kubectl wait --for=condition=Established crd --all --timeout=30s")
    shell("kubectl create namespace my-app")
    return shell


def test_step_8_identities_and_bindings_are_listed(cluster: Shell) -> None:
    refused = cluster.run("kubectl apply -f -", OBJECTS.partition("---")[0].replace("type: 0", "type: 0, colour: blue"))
    assert 'unknown field "spec.colour"' in refused.stderr
    assert cluster("kubectl apply -f -", OBJECTS).splitlines() == [
        "azureidentity.aadpodidentity.k8s.io/my-pod-identity created",
        "azureidentitybinding.aadpodidentity.k8s.io/my-pod-identity-binding created",
    ]
    identities = cluster("kubectl get azureidentity -n my-app").splitlines()
    assert identities[0].split() == ["NAME", "TYPE", "CLIENTID", "AGE"]
    assert identities[1].split()[:3] == ["my-pod-identity", "0", "11111111-1111-4111-8111-111111111111"]
    bindings = cluster("kubectl get azureidentitybinding -n my-app").splitlines()
    assert bindings[0].split() == ["NAME", "AZUREIDENTITY", "SELECTOR", "AGE"]
    assert bindings[1].split()[:3] == ["my-pod-identity-binding", "my-pod-identity", "my-pod-identity"]
    both = cluster("kubectl get AzureIdentity,AzureIdentityBinding -n my-app -o name").split()
    assert [name.partition("/")[2] for name in both] == ["my-pod-identity", "my-pod-identity-binding"]
    assert IDENTITY in cluster("kubectl describe azureidentity my-pod-identity -n my-app")
    assert "clientID\t<string>" in cluster("kubectl explain azureidentity.spec")


def test_a_controller_changes_the_status_of_an_assignment_by_json_patch(cluster: Shell) -> None:
    embedded = "{apiVersion: aadpodidentity.k8s.io/v1, kind: AzureIdentity, metadata: {name: a}, spec: {type: 0}}"
    assigned = f"""
apiVersion: aadpodidentity.k8s.io/v1
kind: AzureAssignedIdentity
metadata: {{name: demo-my-app-a, namespace: default, labels: {{nodename: lab-node}}}}
spec: {{azureIdentityRef: {embedded}, pod: demo, podNamespace: my-app, nodename: lab-node}}
status: {{status: Created, availableReplicas: 1}}
"""
    cluster("kubectl create -f -", assigned)
    patch = """'[{"op":"replace","path":"/status/status","value":"Assigned"}]'"""
    cluster(f"kubectl patch azureassignedidentity demo-my-app-a --type=json -p {patch}")
    path = "{.status.status},{.spec.azureIdentityRef.metadata.name}"
    assert cluster(f"kubectl get azureassignedidentity demo-my-app-a -o jsonpath='{path}'") == "Assigned,a"


def test_exceptions_are_kept_with_their_labels(cluster: Shell) -> None:
    text = """
apiVersion: aadpodidentity.k8s.io/v1
kind: AzurePodIdentityException
metadata: {name: aks-addon-exception, namespace: kube-system}
spec: {podLabels: {app: mic, component: mic}}
"""
    assert "created" in cluster("kubectl apply -f -", text)
    path = "{.spec.podLabels.component}"
    line = f"kubectl get azurepodidentityexception aks-addon-exception -n kube-system -o jsonpath='{path}'"
    assert cluster(line) == "mic"


def test_step_9_the_demo_pod_knows_itself_and_its_log_is_followed(cluster: Shell) -> None:
    assert cluster("kubectl apply -f -", DEMO) == "pod/demo created\n"
    cluster("kubectl wait -n my-app pod/demo --for=jsonpath='{.status.phase}'=Succeeded --timeout=60s")
    ip = cluster("kubectl get pod demo -n my-app -o jsonpath='{.status.podIP}'")
    assert cluster("kubectl logs demo --follow -n my-app").splitlines() == [
        f"demo my-app {ip} --subscriptionid s --clientid c --resourcegroup g",
        "ended",
    ]
    assert cluster("kubectl get pods -n my-app -l aadpodidbinding=my-pod-identity -o name") == "pod/demo\n"


# The webhook is the lab's own already, in a form that its manifests don't merge with.
@pytest.mark.parametrize("directory", sorted({path.parent.name for path in DEPLOY.rglob("*.yaml")} - {"webhook"}))
def test_every_manifest_passes_a_dry_run_of_the_server(cluster: Shell, directory: str) -> None:
    # Gatekeeper's kinds are there only where it is.
    paths = [path for path in sorted((DEPLOY / directory).glob("*.yaml")) if "gatekeeper" not in path.name]
    documents = [one for path in paths for one in yaml.safe_load_all(path.read_text()) if one]
    for namespace in {one["metadata"].get("namespace", "default") for one in documents}:
        cluster.run(f"kubectl create namespace {namespace}")
    done = cluster(f"kubectl apply --dry-run=server {' '.join(f'-f {path}' for path in paths)}")
    assert len(done.splitlines()) == len(documents)
    assert all(line.endswith("(server dry run)") for line in done.splitlines())


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.yaml")), ids=lambda path: path.name)
def test_no_manifest_gives_more_rights_than_are_named(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        for rule in document.get("rules", ()) if document["kind"] in ("Role", "ClusterRole") else ():
            assert "*" not in {*rule["verbs"], *rule.get("resources", ()), *rule.get("apiGroups", ())}
        if document["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            assert document["roleRef"]["name"] not in ("cluster-admin", "admin", "edit")


def test_a_definition_takes_its_objects_along(cluster: Shell) -> None:
    cluster("kubectl delete -f deploy/pod-identity/00-crds.yaml --timeout=60s")
    # kubectl remembers the kind, as it does with any server, and is told that it is gone.
    assert "the server could not find the requested resource" in cluster.run("kubectl get azureidentity -A").stderr
    assert cluster("kubectl get crd -o name") == ""
