"""kubectl reads: what a person types to look at things, and the tables and texts they see."""

import json

import pytest

from tests.clients.conftest import Kubectl

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web, tier: front}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: busybox:1.36
    command: [sh, -c, echo one; echo two; exec sleep 300]
    env: [{name: COLOUR, value: blue}]
"""


@pytest.fixture
def running_pod(kubectl: Kubectl) -> Kubectl:
    kubectl("create -f -", stdin=POD)
    kubectl("wait --for=condition=Ready pod/web --timeout=30s")
    return kubectl


def test_versions_and_health(kubectl: Kubectl) -> None:
    versions = kubectl.json("version")
    assert versions["serverVersion"]["gitVersion"].startswith("v1.37.")
    assert kubectl("get --raw /readyz") == "ok"
    assert "livez check passed" in kubectl("get --raw /livez?verbose")


def test_what_the_api_offers(kubectl: Kubectl) -> None:
    assert {"v1", "rbac.authorization.k8s.io/v1", "coordination.k8s.io/v1"} <= set(kubectl("api-versions").split())
    [pods] = [row for row in kubectl.table("api-resources") if row["NAME"] == "pods"]
    assert pods["SHORTNAMES"] == "po"
    assert pods["NAMESPACED"] == "true"
    assert pods["KIND"] == "Pod"
    if not kubectl.old:
        assert "pods" in kubectl("api-resources --categories=all -o name").split()
    assert "nodes" not in kubectl("api-resources --namespaced=true -o name").split()
    assert "leases.coordination.k8s.io" in kubectl("api-resources --api-group=coordination.k8s.io -o name")


def test_get_prints_a_table(running_pod: Kubectl) -> None:
    kubectl = running_pod
    [row] = kubectl.table("get pods")
    assert list(row) == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert (row["NAME"], row["READY"], row["STATUS"], row["RESTARTS"]) == ("web", "1/1", "Running", "0")
    [wide] = kubectl.table("get pods -o wide")
    assert list(wide)[5:] == ["IP", "NODE", "NOMINATED NODE", "READINESS GATES"]
    assert wide["NODE"] == "lab-node"
    everywhere = kubectl.table("get pods -A")
    assert kubectl.namespace in {row["NAMESPACE"] for row in everywhere}
    labelled = kubectl.table("get pods --show-labels")
    assert labelled[0]["LABELS"] == "app=web,tier=front"
    assert kubectl.table("get pods -L tier")[0]["TIER"] == "front"
    assert kubectl.table("get pods --no-headers -o custom-columns=N:.metadata.name") == []
    assert "web" in kubectl("get all")


def test_get_in_every_form(running_pod: Kubectl) -> None:
    kubectl = running_pod
    assert kubectl.json("get pod web")["kind"] == "Pod"
    assert kubectl.json("get pods")["kind"] == "List"
    assert "\nkind: Pod\n" in kubectl("get pod web -o yaml")
    assert kubectl("get pod web -o name") == "pod/web\n"
    assert kubectl("get pods -o jsonpath={.items[*].spec.containers[0].image}") == "busybox:1.36"
    assert kubectl("get pods -o jsonpath-as-json={.items[*].metadata.name}").split() == ["[", '"web"', "]"]
    assert kubectl("get pod web -o 'go-template={{.spec.nodeName}}'") == "lab-node"
    assert kubectl("get pods -o custom-columns=NAME:.metadata.name,NO:.spec.none").split() == [
        "NAME",
        "NO",
        "web",
        "<none>",
    ]
    assert kubectl("get po/web cm/kube-root-ca.crt -o name") == "pod/web\nconfigmap/kube-root-ca.crt\n"


def test_get_selects_sorts_and_pages(running_pod: Kubectl) -> None:
    kubectl = running_pod
    for name in "bca":
        kubectl(f"create configmap {name}")
    assert kubectl("get pods -l app=web,tier!=back -o name") == "pod/web\n"
    assert kubectl("get pods -l 'app in (x,web)' -o name") == "pod/web\n"
    assert kubectl("get pods --field-selector status.phase=Running,spec.nodeName=lab-node -o name") == "pod/web\n"
    assert kubectl("get pods --field-selector metadata.name!=web -o name") == ""
    assert "field label not supported" in kubectl.refused("get pods --field-selector spec.none=1")
    assert "unable to parse requirement" in kubectl.refused("get pods -l 'a in b'")
    names = ["configmap/a", "configmap/b", "configmap/c", "configmap/kube-root-ca.crt"]
    assert kubectl("get cm --chunk-size=1 -o name").split() == names
    assert kubectl("get cm --sort-by=.metadata.creationTimestamp -o name").split()[-1] in names


def test_get_watches(kubectl: Kubectl) -> None:
    kubectl("create configmap first --from-literal=a=b")
    watching = kubectl.start(
        "get configmaps --watch --field-selector metadata.name!=kube-root-ca.crt --output-watch-events"
    )
    assert watching.stdout is not None
    try:
        assert watching.stdout.readline().split() == ["EVENT", "NAME", "DATA", "AGE"]
        assert watching.stdout.readline().split()[:3] == ["ADDED", "first", "1"]
        kubectl("patch configmap first -p", '{"data":{"c":"d"}}')
        assert watching.stdout.readline().split()[:3] == ["MODIFIED", "first", "2"]
        kubectl("delete configmap first")
        assert watching.stdout.readline().split()[:3] == ["DELETED", "first", "2"]
    finally:
        watching.kill()
        watching.communicate()


def test_what_is_not_there_is_said_so(kubectl: Kubectl) -> None:
    assert 'Error from server (NotFound): pods "none" not found' in kubectl.refused("get pod none")
    assert "the server doesn't have a resource type" in kubectl.refused("get nonsense")
    done = kubectl.run("get pods")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"No resources found in {kubectl.namespace} namespace.\n"
    assert kubectl("get pod none --ignore-not-found") == ""
    assert "NotFound" in kubectl.refused("get --raw /api/v1/namespaces/none")


def test_describe_a_pod(running_pod: Kubectl) -> None:
    text = running_pod("describe pod web")
    for line in (
        f"Namespace: {running_pod.namespace}",
        "Service Account: default",
        "Status: Running",
        "Node: lab-node/",
        "Labels: app=web",
        "State: Running",
        "Restart Count: 0",
        "COLOUR: blue",
        "/var/run/secrets/kubernetes.io/serviceaccount from kube-api-access-",
        "Ready True",
        "TokenExpirationSeconds: 3607",
        "QoS Class: BestEffort",
        "Node-Selectors: <none>",
        "Normal Scheduled",
        "Normal Pulled",
        "Normal Created",
        "Normal Started",
    ):
        # Old and new ones align their columns differently, and only new ones name the account.
        words = " ".join(text.split())
        assert line in words or (running_pod.old and line.startswith("Service Account")), f"{line}\n{text}"


def test_describe_other_kinds(running_pod: Kubectl) -> None:
    kubectl = running_pod
    node = kubectl("describe node lab-node")
    assert "HolderIdentity:  lab-node" in node
    assert "Ready            True" in node
    assert f"{kubectl.namespace}" in node, "the pods that run on it"
    kubectl("create role reader --verb=get,list --resource=pods")
    assert "pods" in kubectl("describe role reader")
    kubectl("create rolebinding readers --role=reader --serviceaccount=a:b")
    assert "ServiceAccount  b     a" in kubectl("describe rolebinding readers")
    kubectl("create configmap settings --from-literal=colour=blue")
    assert "colour:\n----\nblue\n" in kubectl("describe configmap settings")
    kubectl("create secret generic hidden --from-literal=word=abcd")
    assert "word:  4 bytes" in kubectl("describe secret hidden")
    assert "Status:       Active" in kubectl(f"describe namespace {kubectl.namespace}")
    assert "Image pull secrets:  <none>" in kubectl("describe serviceaccount default")
    assert "*.*" in kubectl("describe clusterrole cluster-admin")


def test_events_are_told_in_order(running_pod: Kubectl) -> None:
    rows = running_pod.table("get events --sort-by=.metadata.creationTimestamp")
    assert [row["REASON"] for row in rows] == ["Scheduled", "Pulled", "Created", "Started"]
    assert {row["OBJECT"] for row in rows} == {"pod/web"}
    assert rows[0]["MESSAGE"] == f"Successfully assigned {running_pod.namespace}/web to lab-node"
    assert list(running_pod.table("get events -o wide")[0])[:6] == [
        "LAST SEEN",
        "TYPE",
        "REASON",
        "OBJECT",
        "SUBOBJECT",
        "SOURCE",
    ]
    if not running_pod.old:
        assert [row["REASON"] for row in running_pod.table("events --for pod/web")] == [row["REASON"] for row in rows]


def test_logs(running_pod: Kubectl) -> None:
    kubectl = running_pod
    assert kubectl("logs web") == "one\ntwo\n"
    assert kubectl("logs web -c c --tail=1") == "two\n"
    assert kubectl("logs -l app=web") == "one\ntwo\n"
    assert kubectl("logs web --since=1h --limit-bytes=3") == "one"
    time, line = kubectl("logs web --timestamps --tail=1").split()
    assert (time[4], time[-1], line) == ("-", "Z", "two")
    assert "previous terminated container" in kubectl.refused("logs web --previous")
    assert "container nope is not valid for pod web" in kubectl.refused("logs web -c nope")
    following = kubectl.start("logs -f web")
    assert following.stdout is not None
    assert [following.stdout.readline(), following.stdout.readline()] == ["one\n", "two\n"]
    kubectl("delete pod web --now")
    rest, _ = following.communicate(timeout=30)
    assert (rest, following.returncode) == ("", 0), "following ends with the container"


def test_explain(kubectl: Kubectl) -> None:
    text = kubectl("explain pod.spec.containers")
    assert "image" in text
    assert "<[]" in text
    assert "rules" in kubectl("explain role")
    assert "hostPath" in kubectl("explain pod --recursive")
    assert 'field "none" does not exist' in kubectl.refused("explain pod.none")


def test_what_measures_nothing_says_so(kubectl: Kubectl) -> None:
    assert "Metrics API not available" in kubectl.refused("top pods")
    assert json.loads(kubectl("get --raw /apis"))["kind"] == "APIGroupList"
