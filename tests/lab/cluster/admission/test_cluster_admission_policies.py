"""Validating admission policies, request by request, and what kubectl prints of them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from podpass.kube.objects import Obj
from tests.lab.cluster.api_server import api_server, kubectls
from tests.lab.cluster.core_api import Api, opened

GROUP = "/apis/admissionregistration.k8s.io/v1"
POLICIES, BINDINGS = f"{GROUP}/validatingadmissionpolicies", f"{GROUP}/validatingadmissionpolicybindings"
MAPS, PODS = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/pods"
NO_NET_RAW = (
    "object.spec.containers.all(c,"
    " c.?securityContext.?capabilities.?drop.orValue([]).exists(d, d in ['ALL', 'NET_RAW']))"
)


@pytest.fixture
async def api(cluster_keys: Path) -> AsyncIterator[Api]:
    async with opened(cluster_keys) as found:
        yield found


def policy(*validations: str | Obj, name: str = "p", resources: str = "configmaps", **spec: Any) -> Obj:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resources]}
    given = [each if isinstance(each, dict) else {"expression": each} for each in validations]
    body = {"matchConstraints": {"resourceRules": [rule]}, "validations": given, **spec}
    return {"metadata": {"name": name}, "spec": body}


def binding(name: str = "b", *, policy: str = "p", actions: tuple[str, ...] = ("Deny",), **spec: Any) -> Obj:
    return {"metadata": {"name": name}, "spec": {"policyName": policy, "validationActions": list(actions), **spec}}


async def put_in_force(api: Api, *validations: str | Obj, bound: Obj | None = None, **spec: Any) -> None:
    await api.made(POLICIES, policy(*validations, **spec))
    await api.made(BINDINGS, bound or binding())


def config(name: str = "c", **data: str) -> Obj:
    return {"metadata": {"name": name}, "data": data}


async def refused(api: Api, body: Obj | None = None, *, code: int = 422) -> str:
    answer = await api("POST", MAPS, body or config())
    assert answer.status == code, answer.raw
    assert (await api("GET", f"{MAPS}/c")).status == 404
    return str(answer.body["message"])


async def test_a_policy_without_a_binding_says_nothing(api: Api) -> None:
    await api.made(POLICIES, policy("false"))
    await api.made(MAPS, config())


async def test_a_validation_that_is_false_refuses_in_the_words_of_the_api_server(api: Api) -> None:
    await put_in_force(api, "object.data.size() < 2")
    answer = await api("POST", MAPS, config(a="1", b="2"))
    said = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: object.data.size() < 2"
    assert answer.status == 422
    assert answer.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'configmaps "c" is forbidden: {said}',
        "reason": "Invalid",
        "details": {"name": "c", "kind": "configmaps", "causes": [{"message": said}]},
        "code": 422,
    }
    await api.made(MAPS, config(a="1"))


@pytest.mark.parametrize(
    ("validation", "code", "words"),
    [
        pytest.param({"message": "too big"}, 422, "too big", id="message"),
        pytest.param({"messageExpression": "'name ' + object.metadata.name"}, 422, "name c", id="message-expression"),
        pytest.param(
            {"message": "plain", "messageExpression": "string(object.nope)"},
            422,
            "plain",
            id="a-message-that-fails-falls-back",
        ),
        pytest.param({"messageExpression": r"'a\nb'"}, 422, "failed expression: 1 > 2", id="no-line-breaks"),
        pytest.param({"reason": "Forbidden"}, 403, "failed expression: 1 > 2", id="reason-forbidden"),
        pytest.param({"reason": "RequestEntityTooLarge"}, 413, "failed expression: 1 > 2", id="reason-too-large"),
    ],
)
async def test_a_validation_chooses_its_words_and_its_code(api: Api, validation: Obj, code: int, words: str) -> None:
    await put_in_force(api, {"expression": "1 > 2", **validation})
    assert (await refused(api, code=code)).endswith(f"denied request: {words}")


async def test_an_error_counts_as_the_failure_policy_says(api: Api) -> None:
    await put_in_force(api, "object.data.missing == 'x'")
    said = "expression 'object.data.missing == 'x'' resulted in error: no such key: missing"
    assert (await refused(api, config(a="1"))).endswith(f"denied request: {said}")
    body = policy("object.data.missing == 'x'", failurePolicy="Ignore")
    assert (await api("PUT", f"{POLICIES}/p", body)).status == 200
    await api.made(MAPS, config(a="1"))


async def test_warn_and_audit_let_through_and_tell(api: Api) -> None:
    bound = binding(actions=("Warn", "Audit"))
    await put_in_force(api, {"expression": "false", "message": "frowned upon"}, bound=bound)
    answer = await api("POST", MAPS, config())
    assert answer.status == 201
    warned = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': frowned upon"
    assert answer.headers["warning"] == f'299 - "{warned}"'
    hop = next(event.hop for event in api.journal.events() if event.hop.what.endswith("held against policies"))
    assert hop.outcome == "noted"


async def test_match_conditions_keep_a_policy_away(api: Api) -> None:
    condition = {"name": "not-mine", "expression": "request.userInfo.username != 'kubernetes-admin'"}
    await put_in_force(api, "false", matchConditions=[condition])
    await api.made(MAPS, config())


async def test_a_match_condition_that_fails_refuses_or_is_skipped(api: Api) -> None:
    await put_in_force(api, "false", matchConditions=[{"name": "odd", "expression": "object.nope == 1"}])
    assert "expression 'object.nope == 1' resulted in error: no such key: nope" in await refused(api)
    body = policy("false", failurePolicy="Ignore", matchConditions=[{"name": "odd", "expression": "object.nope == 1"}])
    assert (await api("PUT", f"{POLICIES}/p", body)).status == 200
    await api.made(MAPS, config())


async def test_variables_are_shared_by_expressions_and_messages(api: Api) -> None:
    validation = {"expression": "variables.small", "messageExpression": "'has ' + string(variables.count)"}
    variables = [
        {"name": "count", "expression": "object.data.size()"},
        {"name": "small", "expression": "variables.count < 2"},
    ]
    await put_in_force(api, validation, variables=variables)
    assert (await refused(api, config(a="1", b="2"))).endswith("denied request: has 2")
    await api.made(MAPS, config(a="1"))


async def test_a_variable_that_fails_only_matters_where_it_is_used(api: Api) -> None:
    variables = [{"name": "odd", "expression": "object.nope"}]
    await put_in_force(api, "true || variables.odd == 1", variables=variables)
    await api.made(MAPS, config("fine"))
    assert (await api("PUT", f"{POLICIES}/p", policy("variables.odd == 1", variables=variables))).status == 200
    assert 'composited variable "odd" fails to evaluate: no such key: nope' in await refused(api)


async def test_parameters_come_from_the_bindings_reference(api: Api) -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    reference = {"name": "limits", "namespace": "kube-system", "parameterNotFoundAction": "Deny"}
    await put_in_force(
        api, "object.data.size() <= int(params.data.most)", paramKind=kind, bound=binding(paramRef=reference)
    )
    missing = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    assert (await refused(api)).endswith(f"denied request: {missing}")
    # Made before the policy saw it, in a namespace of its own, and not itself held against the policy's rule.
    limits = {"metadata": {"name": "limits"}, "data": {"most": "1"}}
    assert (await api("DELETE", f"{BINDINGS}/b")).status == 200
    await api.made("/api/v1/namespaces/kube-system/configmaps", limits)
    await api.made(BINDINGS, binding(paramRef=reference))
    assert "failed expression" in await refused(api, config(a="1", b="2"))
    await api.made(MAPS, config(a="1"))


async def test_a_binding_narrows_a_policy(api: Api) -> None:
    await put_in_force(
        api, "false", bound=binding(matchResources={"namespaceSelector": {"matchLabels": {"strict": "yes"}}})
    )
    await api.made(MAPS, config())
    await api.made("/api/v1/namespaces", {"metadata": {"name": "tight", "labels": {"strict": "yes"}}})
    answer = await api("POST", "/api/v1/namespaces/tight/configmaps", config())
    assert answer.status == 422


async def test_excluded_rules_and_names(api: Api) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
    constraints = {"resourceRules": [rule], "excludeResourceRules": [{**rule, "resourceNames": ["spared"]}]}
    await put_in_force(api, "false", matchConstraints=constraints)
    await refused(api)
    await api.made(MAPS, config("spared"))


async def test_the_authorizer_and_the_namespace_can_be_asked(api: Api) -> None:
    await put_in_force(
        api,
        "authorizer.requestResource.check('delete').allowed()",
        "!authorizer.serviceAccount('default', 'nobody').group('').resource('pods').check('get').allowed()",
        "namespaceObject.metadata.name == 'default'",
    )
    await api.made(MAPS, config())


async def test_updates_see_the_old_object(api: Api) -> None:
    await put_in_force(api, "oldObject == null || object.data.a == oldObject.data.a")
    await api.made(MAPS, config(a="1"))
    answer = await api("PUT", f"{MAPS}/c", config(a="2"))
    assert answer.status == 422
    assert (await api("GET", f"{MAPS}/c")).body["data"] == {"a": "1"}


async def test_a_dry_run_is_held_against_policies_too(api: Api) -> None:
    await put_in_force(api, "false")
    assert (await api("POST", f"{MAPS}?dryRun=All", config())).status == 422


async def test_no_policy_can_lock_its_owner_out(api: Api) -> None:
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
    await put_in_force(api, "false", matchConstraints={"resourceRules": [rule]})
    assert (await api("DELETE", f"{BINDINGS}/b")).status == 200
    assert (await api("DELETE", f"{POLICIES}/p")).status == 200


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        pytest.param(
            policy("nope"),
            'spec.validations[0].expression: Invalid value: "nope": compilation failed: ERROR: <input>:1:1: undeclared'
            " reference to 'nope' (in container '')",
            id="unknown-name",
        ),
        pytest.param(policy("variables.nope"), "<input>:1:10: undefined field 'nope'", id="unknown-variable"),
        pytest.param(policy("'a'"), "must evaluate to bool but got string", id="not-a-bool"),
        pytest.param(policy("params.x"), "undeclared reference to 'params'", id="params-without-a-kind"),
        pytest.param(policy(), "spec.validations: Required value: validations or audit", id="nothing-to-say"),
        pytest.param(
            policy("true", matchConstraints={}), "spec.matchConstraints.resourceRules: Required value", id="no-rules"
        ),
        pytest.param(policy("true", failurePolicy="Maybe"), "spec.failurePolicy: Unsupported value", id="policy"),
        pytest.param(
            policy({"expression": "true", "reason": "Gone"}),
            "spec.validations[0].reason: Unsupported value",
            id="reason",
        ),
        pytest.param(
            policy({"expression": "true", "message": "a\nb"}), "message must not contain line breaks", id="message"
        ),
        pytest.param(
            policy({"expression": "true", "messageExpression": "1"}),
            'messageExpression: Invalid value: "1": must evaluate to string but got int',
            id="message-expression",
        ),
        pytest.param(
            policy("true", variables=[{"name": "a-b", "expression": "1"}]), "not a valid CEL identifier", id="variable"
        ),
        pytest.param(
            policy("variables.n > 'a'", variables=[{"name": "n", "expression": "1"}]),
            "found no matching overload for '_>_' applied to '(int, string)'",
            id="variables-have-types",
        ),
    ],
)
async def test_what_is_wrong_with_a_policy_is_named(api: Api, body: Obj, fault: str) -> None:
    answer = await api("POST", POLICIES, body)
    assert answer.status == 422, answer.raw
    assert fault in answer.body["message"]
    assert (await api("GET", POLICIES)).body["items"] == []


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"policyName": ""}, "spec.policyName: Required value"),
        ({"validationActions": []}, "spec.validationActions: Required value: at least one validation action"),
        ({"validationActions": ["Deny", "Warn"]}, "must not contain both Deny and Warn"),
        ({"validationActions": ["Deny", "Deny"]}, 'spec.validationActions[1]: Duplicate value: "Deny"'),
        ({"validationActions": ["Shout"]}, 'supported values: "Audit", "Deny", "Warn"'),
        ({"paramRef": {"parameterNotFoundAction": "Deny"}}, "one of name or selector must be specified"),
        ({"paramRef": {"name": "a"}}, "spec.paramRef.parameterNotFoundAction: Required value"),
    ],
)
async def test_what_is_wrong_with_a_binding_is_named(api: Api, spec: Obj, fault: str) -> None:
    answer = await api("POST", BINDINGS, binding(**spec) if "validationActions" not in spec else _with(spec))
    assert answer.status == 422, answer.raw
    assert fault in answer.body["message"]


def _with(spec: Obj) -> Obj:
    body = binding()
    body["spec"] |= spec
    return body


async def test_a_policys_generation_is_observed(api: Api) -> None:
    made = await api.made(POLICIES, policy("true"))
    assert (made["metadata"]["generation"], made["status"]["observedGeneration"]) == (1, 1)
    changed = (await api("PUT", f"{POLICIES}/p", policy("1 == 1"))).body
    assert (changed["metadata"]["generation"], changed["status"]["observedGeneration"]) == (2, 2)
    again = (await api("PUT", f"{POLICIES}/p", policy("1 == 1"))).body
    assert again["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]


async def test_a_policy_against_raw_sockets_with_kubectl(tmp_path: Path) -> None:
    validation = {"expression": NO_NET_RAW, "message": "containers must drop NET_RAW"}
    body = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        **policy(validation, name="no-net-raw", resources="pods"),
    }
    bound = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        **binding("no-net-raw", policy="no-net-raw"),
    }
    spec = {"securityContext": {"capabilities": {"drop": ["ALL"]}}}
    async with api_server(tmp_path) as server:
        kubectl = kubectls()[0]
        for each in (body, bound):
            ran = await server.kubectl(kubectl, "apply", "-f", "-", stdin=each)
            assert ran.code == 0, ran.err
        ran = await server.kubectl(kubectl, "run", "raw", "--image=busybox")
        assert ran.code == 1
        said = "ValidatingAdmissionPolicy 'no-net-raw' with binding 'no-net-raw' denied request"
        assert f"{said}: containers must drop NET_RAW" in ran.err
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "tame"},
            "spec": {"containers": [{"name": "c", "image": "busybox", **spec}]},
        }
        ran = await server.kubectl(kubectl, "apply", "-f", "-", stdin=pod)
        assert ran.code == 0, ran.err
        ran = await server.kubectl(kubectl, "get", "validatingadmissionpolicies,validatingadmissionpolicybindings")
        assert "VALIDATIONS   PARAMKIND   AGE" in ran.out
        assert "POLICYNAME   PARAMREF   AGE" in ran.out
