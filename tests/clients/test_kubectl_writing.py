"""kubectl writes: what a person types to make and change things, and what they are told."""

import base64
import json

import pytest

from tests.clients.conftest import Kubectl

SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: {colour: blue, size: big}
"""
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: hidden, labels: {app: web}}
stringData: {word: abcd}
"""
BOTH = f"{SETTINGS}---{SECRET}"
POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: c, image: "busybox:1.36", command: [sleep, "300"]}], terminationGracePeriodSeconds: 0}
"""


def colour(kubectl: Kubectl) -> str:
    return kubectl("get configmap settings -o jsonpath={.data.colour}")


def test_apply_creates_changes_and_leaves_alone(kubectl: Kubectl) -> None:
    assert kubectl("apply -f -", stdin=BOTH) == "configmap/settings created\nsecret/hidden created\n"
    assert kubectl("apply -f -", stdin=SETTINGS) == "configmap/settings unchanged\n"
    changed = SETTINGS.replace("blue", "red").replace(", size: big", "")
    assert kubectl("apply -f - --dry-run=server", stdin=changed) == "configmap/settings configured (server dry run)\n"
    assert colour(kubectl) == "blue"
    assert kubectl("apply -f - --dry-run=client", stdin=changed) == "configmap/settings configured (dry run)\n"
    difference = kubectl.refused("diff -f -", stdin=changed)
    assert "-  colour: blue\n" in difference
    assert "+  colour: red\n" in difference
    assert kubectl("apply -f -", stdin=changed) == "configmap/settings configured\n"
    assert kubectl.json("get configmap settings")["data"] == {"colour": "red"}
    assert kubectl("diff -f -", stdin=changed) == ""
    last = kubectl("apply view-last-applied configmap/settings -o json")
    assert json.loads(last)["data"] == {"colour": "red"}
    assert base64.b64decode(kubectl.json("get secret hidden")["data"]["word"]) == b"abcd"


def test_apply_changes_one_container_and_keeps_the_rest(kubectl: Kubectl) -> None:
    kubectl("apply -f -", stdin=POD)
    assert kubectl("apply -f -", stdin=POD.replace("1.36", "1.37")) == "pod/web configured\n"
    containers = kubectl.json("get pod web")["spec"]["containers"]
    assert [(one["name"], one["image"]) for one in containers] == [("c", "busybox:1.37")]
    assert containers[0]["volumeMounts"], "what admission added stays"
    refusal = kubectl.refused("apply -f -", stdin=POD.replace('"300"', '"301"'))
    assert 'The Pod "web" is invalid: spec: Forbidden: pod updates may not change fields other than' in refusal


def test_apply_prunes_what_is_no_longer_said(kubectl: Kubectl) -> None:
    kubectl("apply -f -", stdin=BOTH)
    pruned = kubectl(
        "apply --prune -l app=web -f - --prune-whitelist=core/v1/Secret"
        if kubectl.old
        else "apply --prune -l app=web -f - --prune-allowlist=core/v1/Secret",
        stdin=SETTINGS,
    )
    assert pruned.splitlines() == ["configmap/settings unchanged", "secret/hidden pruned"]


def test_server_side_apply_knows_who_owns_what(kubectl: Kubectl) -> None:
    assert kubectl("apply --server-side -f -", stdin=SETTINGS) == "configmap/settings serverside-applied\n"
    conflict = kubectl.refused("apply --server-side --field-manager=other -f -", stdin=SETTINGS.replace("blue", "red"))
    assert 'conflict with "kubectl": .data.colour' in conflict
    kubectl("apply --server-side --field-manager=other --force-conflicts -f -", stdin=SETTINGS.replace("blue", "red"))
    assert colour(kubectl) == "red"
    managers = [
        entry["manager"]
        for entry in kubectl.json("get cm settings --show-managed-fields" if not kubectl.old else "get cm settings")[
            "metadata"
        ]["managedFields"]
    ]
    assert managers == ["kubectl", "other"]


def test_create_and_replace(kubectl: Kubectl) -> None:
    assert kubectl("create -f -", stdin=SETTINGS) == "configmap/settings created\n"
    assert "AlreadyExists" in kubectl.refused("create -f -", stdin=SETTINGS)
    text = kubectl("get configmap settings -o yaml")
    assert kubectl("replace -f -", stdin=text.replace("blue", "red")) == "configmap/settings replaced\n"
    assert "the object has been modified; please apply your changes" in kubectl.refused(
        "replace -f -", stdin=text.replace("blue", "green")
    )
    assert "NotFound" in kubectl.refused("replace -f -", stdin=SETTINGS.replace("settings", "none"))
    assert colour(kubectl) == "red"
    assert "configmap/settings replaced" in kubectl("replace --force -f -", stdin=SETTINGS)
    assert colour(kubectl) == "blue"


def test_what_a_manifest_must_not_hold(kubectl: Kubectl) -> None:
    refusal = kubectl.refused("create -f -", stdin=SETTINGS.replace("\ndata:", "\ndta:"))
    assert ('unknown field "dta"' if kubectl.old else 'strict decoding error: unknown field "dta"') in refusal
    no_kind = kubectl.refused("apply -f -", stdin=SETTINGS.replace("apiVersion: v1", "apiVersion: x.example.test/v1"))
    assert 'no matches for kind "ConfigMap" in version "x.example.test/v1"' in no_kind
    wrong = kubectl.refused("apply --validate=false -f -", stdin=SETTINGS.replace("{colour: blue, size: big}", "[1]"))
    assert "cannot unmarshal array into Go struct field" in wrong
    assert kubectl("get configmaps -o name") == "configmap/kube-root-ca.crt\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("create serviceaccount orders", "serviceaccount/orders created", id="serviceaccount"),
        pytest.param("create configmap c --from-literal=a=b", "configmap/c created", id="configmap"),
        pytest.param("create secret generic s --from-literal=a=b", "secret/s created", id="secret-generic"),
        pytest.param(
            "create secret docker-registry d --docker-username=u --docker-password=p",
            "secret/d created",
            id="secret-docker",
        ),
        pytest.param("create role r --verb=get --resource=pods", "role.rbac.authorization.k8s.io/r created", id="role"),
        pytest.param(
            "create rolebinding b --role=r --user=jane",
            "rolebinding.rbac.authorization.k8s.io/b created",
            id="rolebinding",
        ),
    ],
)
def test_create_by_its_sub_commands(kubectl: Kubectl, line: str, said: str) -> None:
    kind, name = said.split(" ")[0].split("/")
    assert kubectl(f"{line} --dry-run=server").startswith(f"{said} (server dry run)")
    assert kubectl(f"{line} --dry-run=client -o name") == f"{kind}/{name}\n"
    assert "NotFound" in kubectl.refused(f"get {kind} {name}")
    assert kubectl(line) == f"{said}\n"
    assert kubectl(f"get {kind} {name} -o name") == f"{kind}/{name}\n"


def test_create_what_belongs_to_no_namespace(kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-x"
    assert kubectl(f"create namespace {name}") == f"namespace/{name} created\n"
    assert kubectl(f"get namespace {name} -o jsonpath={{.status.phase}}") == "Active"
    assert kubectl(f"create clusterrole {name} --verb=get --resource=nodes").endswith(" created\n")
    assert kubectl(f"create clusterrolebinding {name} --clusterrole={name} --group=g").endswith(" created\n")
    [binding] = [row for row in kubectl.table("get clusterrolebindings -o wide") if row["NAME"] == name]
    assert (binding["ROLE"], binding["GROUPS"]) == (f"ClusterRole/{name}", "g")
    for kind in ("clusterrolebinding", "clusterrole", "namespace"):
        assert "deleted" in kubectl(f"delete {kind} {name}")


def test_labels_and_annotations(kubectl: Kubectl) -> None:
    kubectl("create -f -", stdin=SETTINGS)
    assert kubectl("label configmap settings tier=front") == "configmap/settings labeled\n"
    assert "already has a value" in kubectl.refused("label configmap settings tier=back")
    assert kubectl("label configmap settings tier=back --overwrite") == "configmap/settings labeled\n"
    removed = kubectl("label configmap settings tier-")
    assert removed == ("configmap/settings labeled\n" if kubectl.old else "configmap/settings unlabeled\n")
    assert kubectl("annotate configmap settings note='a b'") == "configmap/settings annotated\n"
    assert kubectl("label configmaps --all all=yes").count("labeled") == 2
    metadata = kubectl.json("get configmap settings")["metadata"]
    assert metadata["labels"] == {"app": "web", "all": "yes"}
    assert metadata["annotations"]["note"] == "a b"
    assert "a valid label must be" in kubectl.refused("label configmap settings 'x=a b'")


def test_the_three_patches(kubectl: Kubectl) -> None:
    kubectl("create -f -", stdin=SETTINGS)
    assert kubectl("patch configmap settings -p", '{"data":{"colour":"red"}}') == "configmap/settings patched\n"
    assert (
        kubectl("patch configmap settings --type=merge -p", '{"data":{"size":null}}') == "configmap/settings patched\n"
    )
    operations = '[{"op":"test","path":"/data/colour","value":"red"},{"op":"add","path":"/data/x","value":"y"}]'
    assert kubectl("patch configmap settings --type=json -p", operations) == "configmap/settings patched\n"
    assert kubectl("patch configmap settings -p", "{}") == "configmap/settings patched (no change)\n"
    assert kubectl.json("get configmap settings")["data"] == {"colour": "red", "x": "y"}
    failed = kubectl.refused("patch configmap settings --type=json -p", operations.replace("red", "blue"))
    assert failed.startswith("The request is invalid")


def test_edit(kubectl: Kubectl) -> None:
    kubectl("create -f -", stdin=SETTINGS)
    assert kubectl("edit configmap settings", EDITOR="sed -i s/blue/red/") == "configmap/settings edited\n"
    assert colour(kubectl) == "red"
    assert "Edit cancelled, no changes made" in kubectl.run("edit configmap settings", EDITOR="true").stderr


def test_set_changes_what_may_change(kubectl: Kubectl) -> None:
    kubectl("create -f -", stdin=POD)
    assert kubectl("set image pod/web c=busybox:1.37") == "pod/web image updated\n"
    assert kubectl("get pod web -o jsonpath={.spec.containers[0].image}") == "busybox:1.37"
    kubectl("create rolebinding b --role=r --user=jane")
    assert "subjects updated" in kubectl("set subject rolebinding b --user=jack")


def test_delete_in_its_ways(kubectl: Kubectl) -> None:
    kubectl("apply -f -", stdin=BOTH)
    kubectl("create -f -", stdin=POD)
    tail = "" if kubectl.old else f" from {kubectl.namespace} namespace"
    assert kubectl("delete pod web") == f'pod "web" deleted{tail}\n'
    assert "NotFound" in kubectl.refused("get pod web")
    kubectl("create -f -", stdin=POD.replace("terminationGracePeriodSeconds: 0", "terminationGracePeriodSeconds: 300"))
    assert kubectl("delete pod web --force --grace-period=0") == f'pod "web" force deleted{tail}\n'
    assert kubectl("delete -f - --dry-run=server", stdin=SETTINGS).endswith("(server dry run)\n")
    assert kubectl("delete -f -", stdin=SETTINGS) == f'configmap "settings" deleted{tail}\n'
    assert kubectl("delete secrets -l app=web") == f'secret "hidden" deleted{tail}\n'
    assert "NotFound" in kubectl.refused("delete secret hidden")
    assert kubectl("delete secret hidden --ignore-not-found") == ""
    kubectl("create configmap a")
    assert kubectl("delete configmaps --all").count("deleted") == 2


def test_a_namespace_takes_everything_along(kubectl: Kubectl) -> None:
    kubectl("apply -f -", stdin=BOTH)
    kubectl("create -f -", stdin=POD)
    assert "deleted" in kubectl(f"delete namespace {kubectl.namespace}")
    assert "NotFound" in kubectl.refused(f"get namespace {kubectl.namespace}")
    assert kubectl("get secrets,pods -o name") == ""


def test_taint_cordon_and_uncordon(kubectl: Kubectl) -> None:
    assert "tainted" in kubectl("taint node lab-node look=here:PreferNoSchedule")
    assert kubectl("get node lab-node -o jsonpath={.spec.taints[0].key}") == "look"
    assert "untainted" in kubectl("taint node lab-node look-")
    assert kubectl("cordon lab-node") == "node/lab-node cordoned\n"
    try:
        assert kubectl.table("get node lab-node")[0]["STATUS"] == "Ready,SchedulingDisabled"
    finally:
        assert kubectl("uncordon lab-node") == "node/lab-node uncordoned\n"


def test_wait_for_what_becomes_true(kubectl: Kubectl) -> None:
    kubectl("create -f -", stdin=POD)
    assert kubectl("wait --for=condition=Ready pod -l app=web --timeout=30s") == "pod/web condition met\n"
    if not kubectl.old:
        assert "condition met" in kubectl("wait --for=jsonpath={.status.phase}=Running pod/web --timeout=30s")
        assert "condition met" in kubectl("wait --for=create pod/web --timeout=5s")
    assert "timed out waiting for the condition" in kubectl.refused("wait --for=condition=None pod/web --timeout=1s")
    waiting = kubectl.start("wait --for=delete pod/web --timeout=30s")
    kubectl("delete pod web")
    said, _ = waiting.communicate(timeout=30)
    # An old kubectl that starts to wait when the pod is gone already says so, in one of two ways.
    gone_already = "not found" in said or "no matching resources found" in said
    assert waiting.returncode == 0 or (kubectl.old and gone_already), said
