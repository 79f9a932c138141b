import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.kube.status import StatusError
from podpass.lab.cluster.admission.builtin import (
    TOKEN_MOUNT_PATH,
    namespace_refusal,
    with_priority,
    with_service_account,
    with_tolerations,
)
from podpass.lab.cluster.admission.findings import additions, lacks_client_id
from podpass.lab.cluster.admission.review import CallFailed, Reviewed, bounded_warnings, denied, read_answer
from podpass.lab.cluster.admission.selection import NotSelected, Selected, Selection, Unmatched, Webhook, select
from podpass.lab.cluster.extension import AdmissionAttributes, User
from podpass.lab.cluster.kinds.identities import namespaces
from podpass.lab.cluster.kinds.pods import pods
from podpass.lab.cluster.kinds.webhooks import webhook_kinds
from podpass.lab.cluster.registry import Kind

ACCOUNT = {"metadata": {"name": "orders", "namespace": "shop"}, "imagePullSecrets": [{"name": "registry"}]}


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "a"}], **spec}}


def test_the_account_gives_a_pod_its_token_volume_and_pull_secrets() -> None:
    given = pod(initContainers=[{"name": "i"}], volumes=[{"name": "first", "emptyDir": {}}])
    before = copy.deepcopy(given)
    found = with_service_account(given, ACCOUNT)["spec"]
    assert given == before
    assert (found["serviceAccountName"], found["imagePullSecrets"]) == ("orders", [{"name": "registry"}])
    volume = found["volumes"][-1]
    assert volume["name"].startswith("kube-api-access-")
    assert len(volume["name"]) == len("kube-api-access-") + 5
    assert volume["projected"] == {
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                    ]
                }
            },
        ],
    }
    for container in (*found["initContainers"], *found["containers"]):
        assert container["volumeMounts"] == [{"name": volume["name"], "readOnly": True, "mountPath": TOKEN_MOUNT_PATH}]


@pytest.mark.parametrize(
    ("chosen", "account", "mounted"),
    [
        pytest.param(None, None, True, id="by-default"),
        pytest.param(False, None, False, id="pod-says-no"),
        pytest.param(None, False, False, id="account-says-no"),
        pytest.param(True, False, True, id="the-pod-wins"),
        pytest.param(False, True, False, id="the-pod-wins-again"),
    ],
)
def test_who_decides_about_the_token(chosen: bool | None, account: bool | None, mounted: bool) -> None:
    given = pod() if chosen is None else pod(automountServiceAccountToken=chosen)
    owner = ACCOUNT if account is None else {**ACCOUNT, "automountServiceAccountToken": account}
    assert bool(with_service_account(given, owner)["spec"].get("volumes")) is mounted


def test_run_again_it_only_serves_containers_that_came_later() -> None:
    once = with_service_account(pod(), ACCOUNT)
    assert with_service_account(once, ACCOUNT) == once
    once["spec"]["containers"].append({"name": "proxy"})
    twice = with_service_account(once, ACCOUNT)["spec"]
    assert len(twice["volumes"]) == 1
    assert twice["containers"][1]["volumeMounts"] == twice["containers"][0]["volumeMounts"]


def test_a_mount_of_the_pods_own_is_left_alone() -> None:
    own = {"name": "mine", "mountPath": TOKEN_MOUNT_PATH}
    found = with_service_account(pod(containers=[{"name": "c", "volumeMounts": [own]}]), ACCOUNT)["spec"]
    assert "volumes" not in found
    assert found["containers"][0]["volumeMounts"] == [own]


def test_a_lost_node_is_tolerated_for_five_minutes() -> None:
    keys = [each["key"] for each in with_tolerations(pod())["spec"]["tolerations"]]
    assert keys == ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
    anything = pod(tolerations=[{"operator": "Exists"}])
    assert with_tolerations(anything) == anything
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
    assert len(with_tolerations(pod(tolerations=[own]))["spec"]["tolerations"]) == 2


CLASSES = [{"metadata": {"name": "critical"}, "value": 2000, "preemptionPolicy": "Never"}]


def test_priority_comes_from_the_class() -> None:
    assert with_priority(pod(), CLASSES)["spec"]["priority"] == 0
    assert with_priority(pod(priorityClassName="critical"), CLASSES)["spec"]["priority"] == 2000
    with pytest.raises(StatusError, match="no PriorityClass with name fast was found"):
        with_priority(pod(priorityClassName="fast"), CLASSES)
    with pytest.raises(StatusError, match="must not be provided in pod spec"):
        with_priority(pod(priority=7), CLASSES)
    assert with_priority(pod(priorityClassName="critical"), CLASSES)["spec"]["preemptionPolicy"] == "Never"
    usual = [*CLASSES, {"metadata": {"name": "usual"}, "value": 5, "globalDefault": True}]
    chosen = with_priority(pod(), usual)["spec"]
    assert (chosen["priorityClassName"], chosen["priority"]) == ("usual", 5)
    once = with_priority(pod(), CLASSES)
    assert with_priority(once, CLASSES) == once


def test_nothing_is_made_in_a_namespace_on_its_way_out() -> None:
    assert namespace_refusal({"metadata": {}, "status": {"phase": "Active"}}, "shop") is None
    found = namespace_refusal({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, "shop")
    assert found is not None
    assert found[0] == "unable to create new content in namespace shop because it is being terminated"


# Selection


PODS = pods()
RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "scope": "*"}


def webhook(**members: Any) -> Webhook:
    return Webhook("configuration", True, {"name": "w.example.com", "rules": [RULE], **members})


def attributes(kind: Kind = PODS, operation: Any = "CREATE", **members: Any) -> AdmissionAttributes:
    return AdmissionAttributes(kind=kind, operation=operation, namespace="shop", name="p", user=User("ann"), **members)


def labelled(**labels: str) -> dict[str, Any]:
    return {"metadata": {"labels": {key.replace("_", "-"): value for key, value in labels.items()}}}


USE = {"objectSelector": {"matchLabels": {"use": "true"}}}


@pytest.mark.parametrize(
    ("rule", "asked", "called"),
    [
        pytest.param({}, attributes(), True, id="matches"),
        pytest.param({"operations": ["*"]}, attributes(operation="DELETE"), True, id="every-operation"),
        pytest.param({}, attributes(operation="UPDATE"), False, id="another-operation"),
        pytest.param({"apiGroups": ["apps"]}, attributes(), False, id="another-group"),
        pytest.param({"apiVersions": ["v2"]}, attributes(), False, id="another-version"),
        pytest.param({"resources": ["*"]}, attributes(), True, id="every-resource"),
        pytest.param({}, attributes(subresource="status"), False, id="subresource-is-apart"),
        pytest.param({"resources": ["*"]}, attributes(subresource="status"), False, id="a-star-is-no-subresource"),
        pytest.param({"resources": ["pods/status"]}, attributes(subresource="status"), True, id="subresource"),
        pytest.param({"resources": ["*/status"]}, attributes(subresource="status"), True, id="subresource-of-all"),
        pytest.param({"resources": ["pods/*"]}, attributes(subresource="status"), True, id="every-subresource"),
        pytest.param({"resources": ["*/*"]}, attributes(), True, id="everything"),
        pytest.param({"scope": "Namespaced"}, attributes(), True, id="namespaced"),
        pytest.param({"scope": "Cluster"}, attributes(), False, id="cluster-scope"),
        pytest.param({"resources": ["namespaces"], "scope": "Cluster"}, attributes(namespaces()), True, id="namespace"),
        pytest.param({"resources": ["*"], "apiGroups": ["*"]}, attributes(webhook_kinds()[0]), False, id="itself"),
    ],
)
def test_which_rules_match(rule: dict[str, Any], asked: AdmissionAttributes, called: bool) -> None:
    found = select(webhook(rules=[{**RULE, **rule}]).matcher, asked, labelled(), None, {})
    assert found == (Selected() if called else Unmatched())


def why(selection: Selection) -> str:
    return selection.why if isinstance(selection, NotSelected) else ""


@pytest.mark.parametrize(
    ("members", "new", "old", "namespace", "expected"),
    [
        pytest.param(USE, labelled(use="true"), None, {}, "", id="label"),
        pytest.param(
            USE, labelled(), None, {}, "objectSelector wants use in (true), and the object has no label use", id="none"
        ),
        pytest.param(
            USE,
            labelled(use="True"),
            None,
            {},
            "objectSelector wants use in (true), and the object has use=True",
            id="letter-case",
        ),
        pytest.param(USE, labelled(), labelled(use="true"), {}, "", id="the-old-object-counts-too"),
        pytest.param(USE, None, labelled(use="true"), {}, "", id="of-a-deleted-object"),
        pytest.param(
            {"namespaceSelector": {"matchExpressions": [{"key": "off", "operator": "DoesNotExist"}]}},
            labelled(),
            None,
            {"off": "1"},
            "namespaceSelector wants !off, and its namespace has off=1",
            id="namespace",
        ),
        pytest.param({"namespaceSelector": {}, "objectSelector": {}}, labelled(), None, {}, "", id="empty-selectors"),
    ],
)
def test_which_selectors_keep_a_webhook_away(
    members: dict[str, Any], new: Any, old: Any, namespace: dict[str, str], expected: str
) -> None:
    operation = "CREATE" if old is None else "DELETE" if new is None else "UPDATE"
    rules = [{**RULE, "operations": ["*"]}]
    found = select(webhook(rules=rules, **members).matcher, attributes(operation=operation), new, old, namespace)
    assert why(found) == expected


def test_a_namespace_is_selected_by_its_own_labels() -> None:
    hook = webhook(rules=[{**RULE, "resources": ["namespaces"]}], namespaceSelector={"matchLabels": {"a": "1"}})
    assert select(hook.matcher, attributes(namespaces()), labelled(a="1"), None, {}) == Selected()
    assert isinstance(select(hook.matcher, attributes(namespaces()), labelled(), None, {"a": "1"}), NotSelected)


# The answer


def answer(**response: Any) -> bytes:
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "u", **response}}
    return msgspec.json.encode(review)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"no", "the body is not JSON", id="no-json"),
        pytest.param(b"[]", "the body is not an object", id="a-list"),
        pytest.param(b'{"kind":"Pod"}', "expected webhook response of admission.k8s.io/v1", id="kind"),
        pytest.param(
            b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}', "response was absent", id="no-response"
        ),
        pytest.param(answer(uid="other"), 'expected response.uid="u", got "other"', id="uid"),
        pytest.param(answer(patch="W10="), "response.patch but not response.patchType", id="no-type"),
        pytest.param(answer(patchType="JSONPatch"), "response.patchType but not response.patch", id="no-patch"),
        pytest.param(answer(patch="W10=", patchType="Merge"), 'response.patchType of "Merge"', id="type"),
        pytest.param(answer(patch="%%", patchType="JSONPatch"), "not base64 of a JSON patch", id="no-base64"),
        pytest.param(answer(patch="e30=", patchType="JSONPatch"), "not a list of operations", id="no-list"),
    ],
)
def test_an_unusable_answer_is_a_failed_call(body: bytes, reason: str) -> None:
    found = read_answer(body, "u", mutating=True)
    assert isinstance(found, CallFailed)
    assert reason in found.reason


@given(
    st.binary(max_size=100),
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=5) | st.just("JSONPatch"),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["uid", "patch", "patchType", "status", "warnings", "allowed"]), inner)
        ),
        max_leaves=10,
    ),
)
def test_no_answer_crashes_its_reading(body: bytes, response: Any) -> None:
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
    for each in (body, msgspec.json.encode(response), msgspec.json.encode(review)):
        read_answer(each, "u", mutating=True)
    if isinstance(response, dict):
        read_answer(answer(**{**response, "uid": "u"}), "u", mutating=False)


def test_a_usable_answer() -> None:
    found = read_answer(answer(allowed=True, patch="W10=", patchType="JSONPatch", warnings=["w"]), "u", mutating=True)
    assert found == Reviewed(allowed=True, patch=[], warnings=("w",))
    refused = read_answer(answer(allowed=True, patch="W10=", patchType="JSONPatch"), "u", mutating=False)
    assert isinstance(refused, CallFailed)
    assert read_answer(answer(allowed="yes"), "u", mutating=True) == Reviewed(allowed=False)


@pytest.mark.parametrize(
    ("status", "code", "reason", "message"),
    [
        pytest.param(
            {"message": "no", "reason": "Forbidden", "code": 403},
            403,
            "Forbidden",
            " denied the request: no",
            id="full",
        ),
        pytest.param({}, 400, "", " denied the request without explanation", id="empty"),
        pytest.param({"reason": "Sad"}, 400, "Sad", " denied the request: Sad", id="reason-alone"),
        pytest.param({"code": 200, "message": "no"}, 400, "", " denied the request: no", id="a-code-of-success"),
    ],
)
def test_a_denial_keeps_the_webhooks_words(status: dict[str, Any], code: int, reason: str, message: str) -> None:
    found = denied("w.example.com", status)
    assert (found.code, found.reason, found.message) == (code, reason, f'admission webhook "w.example.com"{message}')


def test_warnings_are_bounded() -> None:
    assert bounded_warnings(("a\nb", "c" * 300)) == ("a b", "c" * 256)
    assert len(bounded_warnings(("c" * 300,) * 40)) == 16


# What is told about a patch


def test_what_a_webhook_added_is_told() -> None:
    before = pod()
    after = copy.deepcopy(before)
    after["spec"]["containers"][0]["env"] = [{"name": "AZURE_CLIENT_ID", "value": "x"}]
    after["spec"]["volumes"] = [{"name": "azure-identity-token"}]
    assert additions(before, after) == {"env": ["c: AZURE_CLIENT_ID"], "volumes": ["azure-identity-token"]}
    assert additions(before, before) == {}


@pytest.mark.parametrize(
    ("env", "lacks"),
    [
        pytest.param([], False, id="no-token"),
        pytest.param([{"name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/f"}], True, id="no-client-id"),
        pytest.param(
            [{"name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/f"}, {"name": "AZURE_CLIENT_ID", "value": ""}],
            True,
            id="empty-client-id",
        ),
        pytest.param(
            [{"name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/f"}, {"name": "AZURE_CLIENT_ID", "value": "x"}],
            False,
            id="client-id",
        ),
    ],
)
def test_when_a_pod_lacks_its_client_id(env: list[dict[str, str]], lacks: bool) -> None:
    assert lacks_client_id(pod(containers=[{"name": "c", "env": env}])) is lacks
