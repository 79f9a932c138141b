import base64
import copy
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from podpass.kube import resources
from podpass.kube.objects import Obj
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.kinds.access import access_kinds
from podpass.lab.cluster.kinds.configuration import configmaps, secrets
from podpass.lab.cluster.kinds.events import event_kinds
from podpass.lab.cluster.kinds.identities import namespaces, service_accounts
from podpass.lab.cluster.kinds.nodes import leases, nodes
from podpass.lab.cluster.kinds.webhooks import webhook_kinds
from podpass.lab.cluster.registry import Kind


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def defaulted(kind: Kind, obj: dict[str, Any]) -> dict[str, Any]:
    made = {"metadata": {"name": "n"}, **obj}
    kind.prepare_create(made)
    kind.default(made)
    return made


def faults(kind: Kind, obj: dict[str, Any]) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in kind.validate_create(defaulted(kind, obj))]


def changed(kind: Kind, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    found = kind.validate_update(defaulted(kind, new), defaulted(kind, old))
    return [f"{cause.field}: {cause.message}" for cause in found]


def test_string_data_is_written_over_data_and_never_shown() -> None:
    made = defaulted(secrets(), {"data": {"a": b64("old"), "b": b64("kept")}, "stringData": {"a": "new"}})
    assert made["data"] == {"a": b64("new"), "b": b64("kept")}
    assert "stringData" not in made
    assert made["type"] == "Opaque"


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        pytest.param({"data": {"bad/key": ""}}, ["data[bad/key]"], id="key"),
        pytest.param({"data": {"..": ""}}, ["data[..]"], id="dots"),
        pytest.param({"type": "kubernetes.io/tls"}, ["data[tls.crt]", "data[tls.key]"], id="tls"),
        pytest.param({"type": "kubernetes.io/dockerconfigjson"}, ["data[.dockerconfigjson]"], id="docker"),
        pytest.param({"type": "kubernetes.io/ssh-auth"}, ["data[ssh-privatekey]"], id="ssh"),
        pytest.param({"type": "kubernetes.io/basic-auth", "stringData": {"username": "u"}}, [], id="basic"),
        pytest.param(
            {"type": "kubernetes.io/service-account-token"},
            ["metadata.annotations[kubernetes.io/service-account.name]"],
            id="account-token",
        ),
        pytest.param({"type": "example.com/anything"}, [], id="own-type"),
        pytest.param({"data": {"k": b64("x" * (1 << 20))}}, [], id="largest"),
        pytest.param({"data": {"k": b64("x" * ((1 << 20) + 1))}}, ["data"], id="too-large"),
    ],
)
def test_what_a_secret_needs(secret: dict[str, Any], expected: list[str]) -> None:
    assert [fault.partition(": ")[0] for fault in faults(secrets(), secret)] == expected


def test_an_immutable_secret_stays_as_it_is() -> None:
    old = {"immutable": True, "data": {"a": b64("1")}}
    assert changed(secrets(), old, old) == []
    assert changed(secrets(), old, {**old, "data": {"a": b64("2")}}) == [
        "data: Forbidden: field is immutable when `immutable` is set"
    ]
    assert changed(secrets(), old, {"data": {"a": b64("1")}}) == [
        "immutable: Forbidden: field is immutable when `immutable` is set"
    ]
    assert changed(secrets(), {}, {"type": "other"}) == ['type: Invalid value: "other": field is immutable']


def test_a_configmap_key_is_in_one_map_only() -> None:
    assert [
        fault.partition(": ")[0] for fault in faults(configmaps(), {"data": {"k": ""}, "binaryData": {"k": ""}})
    ] == [
        "data[k]",
        "binaryData[k]",
    ]
    old = {"immutable": True, "binaryData": {"k": ""}}
    assert changed(configmaps(), old, {"immutable": True}) == [
        "binaryData: Forbidden: field is immutable when `immutable` is set"
    ]


def test_a_namespace_carries_its_name_as_a_label_and_its_finalizer() -> None:
    made = defaulted(namespaces(), {"metadata": {"name": "shop", "labels": {"team": "a"}}, "status": {"phase": "X"}})
    assert made["metadata"]["labels"] == {"team": "a", "kubernetes.io/metadata.name": "shop"}
    assert made["spec"]["finalizers"] == ["kubernetes"]
    assert made["status"] == {"phase": "Active"}


def test_an_update_can_not_drop_a_namespaces_finalizer() -> None:
    old = defaulted(namespaces(), {})
    new = {"metadata": {"name": "n"}, "spec": {}}
    namespaces().prepare_update(new, old)
    assert new["spec"] == {"finalizers": ["kubernetes"]}


def test_service_accounts_name_their_pull_secrets() -> None:
    assert faults(service_accounts(), {"imagePullSecrets": [{}]}) == ["imagePullSecrets[0].name: Required value"]


ROLE, CLUSTER_ROLE, BINDING, CLUSTER_BINDING = access_kinds()


@pytest.mark.parametrize(
    ("kind", "rule", "expected"),
    [
        pytest.param(ROLE, {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, [], id="good"),
        pytest.param(
            ROLE,
            {"apiGroups": [""], "resources": ["pods"]},
            ["rules[0].verbs: Required value: verbs must contain at least one value"],
            id="no-verbs",
        ),
        pytest.param(
            ROLE,
            {"verbs": ["get"], "resources": ["pods"]},
            ["rules[0].apiGroups: Required value: resource rules must supply at least one api group"],
            id="no-group",
        ),
        pytest.param(
            ROLE,
            {"verbs": ["get"], "nonResourceURLs": ["/x"]},
            ['rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs'],
            id="path-in-a-namespace",
        ),
        pytest.param(CLUSTER_ROLE, {"verbs": ["get"], "nonResourceURLs": ["/x"]}, [], id="path"),
    ],
)
def test_the_rules_of_roles(kind: Kind, rule: dict[str, Any], expected: list[str]) -> None:
    assert faults(kind, {"rules": [rule]}) == expected


def binding(**members: Any) -> dict[str, Any]:
    return {"roleRef": {"kind": "ClusterRole", "name": "view"}, **members}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        pytest.param(binding(subjects=[{"kind": "User", "name": "a"}]), [], id="good"),
        pytest.param(binding(subjects=[{"kind": "ServiceAccount", "name": "a"}]), [], id="account-of-here"),
        pytest.param(
            binding(subjects=[{"kind": "Robot", "name": "a"}]),
            ['subjects[0].kind: Unsupported value: "Robot": supported values: "Group", "ServiceAccount", "User"'],
            id="kind",
        ),
        pytest.param(binding(roleRef={"kind": "ClusterRole"}), ["roleRef.name: Required value"], id="no-role"),
    ],
)
def test_what_a_binding_needs(obj: dict[str, Any], expected: list[str]) -> None:
    assert faults(BINDING, obj) == expected


def test_a_cluster_role_binding_binds_no_role() -> None:
    assert faults(CLUSTER_BINDING, binding(roleRef={"kind": "Role", "name": "r"})) == [
        'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"'
    ]


def test_a_cluster_role_binding_names_the_namespace_of_an_account() -> None:
    assert faults(CLUSTER_BINDING, binding(subjects=[{"kind": "ServiceAccount", "name": "a"}])) == [
        "subjects[0].namespace: Required value"
    ]


def test_a_bindings_role_can_not_be_changed() -> None:
    assert changed(BINDING, binding(), binding(roleRef={"kind": "Role", "name": "r"})) == [
        'roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"r"}: field is immutable'
    ]


def test_leases_and_taints() -> None:
    assert faults(leases(), {"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}}) == [
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
    ]
    assert faults(nodes(), {"spec": {"taints": [{"key": "k", "effect": "Nope"}]}}) == [
        'spec.taints[0].effect: Unsupported value: "Nope": supported values: "NoExecute", "NoSchedule",'
        ' "PreferNoSchedule"'
    ]


def test_an_event_lives_in_the_namespace_of_what_it_is_about() -> None:
    core = event_kinds()[0]
    good = {"metadata": {"name": "e", "namespace": "shop"}, "involvedObject": {"namespace": "shop"}}
    assert core.validate_create(good) == []
    bad = copy.deepcopy(good)
    bad["involvedObject"]["namespace"] = "other"
    assert [cause.field for cause in core.validate_create(bad)] == ["involvedObject.namespace"]
    node = {"metadata": {"name": "e", "namespace": "default"}, "involvedObject": {"kind": "Node", "name": "n"}}
    assert core.validate_create(node) == []


MUTATING, VALIDATING = webhook_kinds()


def webhook(**members: Any) -> dict[str, Any]:
    made = {
        "name": "mutation.azure-workload-identity.io",
        "clientConfig": {"service": {"name": "w", "namespace": "n", "path": "/mutate-v1-pod"}},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1", "v1beta1"],
        **members,
    }
    return {"webhooks": [{key: value for key, value in made.items() if value is not None}]}


def test_a_webhook_gets_its_defaults() -> None:
    made = defaulted(MUTATING, webhook())["webhooks"][0]
    assert made["failurePolicy"] == "Fail"
    assert made["matchPolicy"] == "Equivalent"
    assert made["timeoutSeconds"] == 10
    assert made["reinvocationPolicy"] == "Never"
    assert (made["namespaceSelector"], made["objectSelector"]) == ({}, {})
    assert made["clientConfig"]["service"]["port"] == 443
    assert made["rules"][0]["scope"] == "*"
    assert "reinvocationPolicy" not in defaulted(VALIDATING, webhook())["webhooks"][0]


@pytest.mark.parametrize(
    ("members", "field"),
    [
        pytest.param({"name": "short.io"}, "webhooks[0].name", id="name-of-two-segments"),
        pytest.param({"sideEffects": None}, "webhooks[0].sideEffects", id="no-side-effects"),
        pytest.param({"sideEffects": "Some"}, "webhooks[0].sideEffects", id="side-effects"),
        pytest.param({"admissionReviewVersions": None}, "webhooks[0].admissionReviewVersions", id="no-versions"),
        pytest.param({"admissionReviewVersions": ["v1beta1"]}, "webhooks[0].admissionReviewVersions", id="versions"),
        pytest.param({"timeoutSeconds": 31}, "webhooks[0].timeoutSeconds", id="timeout"),
        pytest.param({"failurePolicy": "Maybe"}, "webhooks[0].failurePolicy", id="failure-policy"),
        pytest.param({"clientConfig": {}}, "webhooks[0].clientConfig", id="no-address"),
        pytest.param({"clientConfig": {"url": "http://localhost/x"}}, "webhooks[0].clientConfig.url", id="http"),
        pytest.param({"clientConfig": {"url": "https://localhost/?q"}}, "webhooks[0].clientConfig.url", id="query"),
        pytest.param(
            {"clientConfig": {"url": "https://localhost", "caBundle": b64("no pem")}},
            "webhooks[0].clientConfig.caBundle",
            id="bundle",
        ),
        pytest.param({"rules": [{"operations": ["*", "CREATE"]}]}, "webhooks[0].rules[0].operations", id="star"),
        pytest.param({"rules": [{"operations": ["MAKE"]}]}, "webhooks[0].rules[0].operations[0]", id="operation"),
        pytest.param(
            {"objectSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
            "webhooks[0].objectSelector",
            id="selector",
        ),
    ],
)
def test_what_is_wrong_with_a_webhook_is_named(members: dict[str, Any], field: str) -> None:
    assert field in [fault.partition(": ")[0] for fault in faults(MUTATING, webhook(**members))]


@pytest.mark.parametrize(
    ("condition", "fault"),
    [
        pytest.param({"name": "a", "expression": "object.metadata.name == 'x'"}, "", id="good"),
        pytest.param({"name": "a", "expression": ""}, "expression: Required value", id="empty"),
        pytest.param({"name": "", "expression": "true"}, "name: Required value", id="no-name"),
        pytest.param(
            {"name": "a", "expression": "1"},
            'expression: Invalid value: "1": must evaluate to bool but got int',
            id="not-a-bool",
        ),
        pytest.param(
            {"name": "a", "expression": "params.x"},
            'expression: Invalid value: "params.x": compilation failed: ERROR: <input>:1:1: undeclared reference to'
            " 'params' (in container '')\n | params.x\n | ^",
            id="no-params-in-webhooks",
        ),
    ],
)
def test_match_conditions_are_compiled(condition: Obj, fault: str) -> None:
    found = faults(MUTATING, webhook(matchConditions=[condition]))
    assert found == ([f"webhooks[0].matchConditions[0].{fault}"] if fault else [])


def test_match_conditions_are_few_and_have_names_of_their_own() -> None:
    one = {"name": "a", "expression": "true"}
    assert faults(VALIDATING, webhook(matchConditions=[one, one])) == [
        'webhooks[0].matchConditions[1].name: Duplicate value: "a"'
    ]
    assert faults(VALIDATING, webhook(matchConditions=[one] * 65)) == [
        "webhooks[0].matchConditions: Too many: 65: must have at most 64 items"
    ]


def test_good_webhooks_have_no_fault() -> None:
    bundle = base64.b64encode(trustme.CA().cert_pem.bytes()).decode()
    assert faults(MUTATING, webhook()) == []
    assert faults(VALIDATING, webhook(clientConfig={"url": "https://localhost:8443/v", "caBundle": bundle})) == []
    assert MUTATING.resource == resources.MUTATINGWEBHOOKCONFIGURATIONS


@pytest.mark.parametrize(
    ("text", "value"),
    [("100m", "0.1"), ("1", "1"), ("1.5Gi", "1610612736"), ("2e3", "2000"), ("1E", "1e18"), (".5", "0.5"), (5, "5")],
)
def test_quantities_are_numbers_with_a_suffix(text: Any, value: str) -> None:
    found = rules.quantity(text)
    assert found is not None
    assert found == type(found)(value)


@given(st.text(max_size=12))
def test_no_text_crashes_the_reading_of_quantities(text: str) -> None:
    rules.quantity(text)
