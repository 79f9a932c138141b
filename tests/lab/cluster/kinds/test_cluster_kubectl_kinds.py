"""Both stock kubectls, unpatched, against the kinds over TLS."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from podpass.lab.cluster.serviceaccounts.signing_keys import SIGNING_FILE
from podpass.tokens import jwt
from podpass.tokens.keys import SigningKey
from tests.lab.cluster.api_server import ISSUER, ApiServer, Ran, api_server, kubectls

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "busybox:1.36", "command": ["sleep", "60"]}]},
}


class Kubectl:
    def __init__(self, server: ApiServer, binary: str) -> None:
        self.server = server
        self._binary = binary

    async def run(self, line: str, stdin: str | dict[str, Any] = "", user: str = "") -> Ran:
        return await self.server.kubectl(self._binary, *line.split(), stdin=stdin, user=user)

    async def __call__(self, line: str, stdin: str | dict[str, Any] = "", user: str = "") -> str:
        found = await self.run(line, stdin, user)
        assert found.code == 0, f"kubectl {line}: {found.err}"
        return found.out

    async def fails(self, line: str, stdin: str | dict[str, Any] = "", user: str = "") -> str:
        found = await self.run(line, stdin, user)
        assert found.code != 0, f"kubectl {line}: {found.out}"
        return found.err + found.out


@pytest.fixture(params=kubectls(), ids=lambda path: path.replace("/", "-").strip("-"))
async def kubectl(request: pytest.FixtureRequest, tmp_path: Path, signing_key: SigningKey) -> AsyncIterator[Kubectl]:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    (keys / SIGNING_FILE).write_bytes(signing_key.to_pem())
    async with api_server(tmp_path) as server:
        yield Kubectl(server, request.param)


async def test_the_typed_commands_send_protobuf_and_are_understood(kubectl: Kubectl) -> None:
    assert await kubectl("create namespace team-a") == "namespace/team-a created\n"
    await kubectl("create serviceaccount orders")
    await kubectl("create secret generic db --from-literal=user=ann --from-literal=empty=")
    await kubectl("create configmap app --from-literal=level=debug")
    await kubectl("create role reader --verb=get,list --resource=pods")
    await kubectl("create rolebinding readers --role=reader --serviceaccount=shop:orders")
    await kubectl("create clusterrole paths --verb=get --non-resource-url=/logs/*")
    await kubectl("create clusterrolebinding paths --clusterrole=paths --group=ops")
    secret = json.loads(await kubectl("get secret db -o json"))
    assert (secret["data"], secret["type"]) == ({"user": "YW5u", "empty": ""}, "Opaque")
    assert await kubectl("get configmap app -o jsonpath={.data.level}") == "debug"
    assert (await kubectl("get namespace team-a --no-headers")).split()[:2] == ["team-a", "Active"]
    assert (await kubectl("get rolebinding readers --no-headers -o wide")).split()[1] == "Role/reader"
    assert "already exists" in await kubectl.fails("create namespace team-a")


async def test_a_token_is_created_for_an_account(kubectl: Kubectl) -> None:
    await kubectl("create serviceaccount orders")
    token = (await kubectl("create token orders --audience=api://AzureADTokenExchange --duration=10m")).strip()
    claims = jwt.decode(token).claims
    assert claims["iss"] == ISSUER
    assert claims["sub"] == "system:serviceaccount:shop:orders"
    assert claims["aud"] == ["api://AzureADTokenExchange"]
    assert claims["exp"] - claims["iat"] == 600
    jwt.verify_signature(token, kubectl.server.cluster.keys.published)
    assert "may not specify a duration less than 10 minutes" in await kubectl.fails("create token orders --duration=1m")
    assert 'serviceaccounts "nobody" not found' in await kubectl.fails("create token nobody")


async def test_a_pod_is_applied_listed_described_and_deleted(kubectl: Kubectl) -> None:
    assert await kubectl("apply -f -", POD) == "pod/web created\n"
    assert await kubectl("apply -f -", POD) == "pod/web unchanged\n"
    header, row = (await kubectl("get pods")).splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert row.split()[:4] == ["web", "0/1", "Pending", "0"]
    wide = (await kubectl("get pods -o wide")).splitlines()[0]
    assert "NOMINATED NODE" in wide
    assert "READINESS GATES" in wide
    assert (await kubectl("get pods -A --no-headers")).split()[:2] == ["shop", "web"]
    described = await kubectl("describe pod web")
    assert "Service Account:  default" in described
    assert "/var/run/secrets/kubernetes.io/serviceaccount from kube-api-access-" in described
    assert "QoS Class:                   BestEffort" in described
    assert "node.kubernetes.io/not-ready:NoExecute op=Exists for 300s" in described
    assert await kubectl("delete pod web") in ('pod "web" deleted\n', 'pod "web" deleted from shop namespace\n')
    assert "No resources found" in (await kubectl.run("get pods")).err


async def test_unknown_and_repeated_members_are_refused_by_name(kubectl: Kubectl) -> None:
    pod = {**POD, "spec": {**POD["spec"], "foo": 1, "containers": [{"name": "c", "image": "a", "imagePulPolicy": "x"}]}}
    text = await kubectl.fails("apply -f -", pod)
    assert 'strict decoding error: unknown field "spec.containers[0].imagePulPolicy", unknown field "spec.foo"' in text
    # kubectl drops repeated members itself unless it is told to send what it read.
    body = json.dumps(POD).replace('"name": "c"', '"name": "b", "name": "c"')
    text = await kubectl.fails("create --raw /api/v1/namespaces/shop/pods?fieldValidation=Strict -f -", body)
    assert 'duplicate field "spec.containers[0].name"' in text
    assert (await kubectl.run("apply --validate=warn -f -", pod)).err.count("unknown field") == 2
    assert "foo" not in await kubectl("get pod web -o jsonpath={.spec}")


async def test_a_wrong_type_is_refused_in_any_mode(kubectl: Kubectl) -> None:
    pod = {**POD, "spec": {"containers": [{"name": "c", "image": "a", "env": [{"name": "A", "value": 1}]}]}}
    text = await kubectl.fails("apply --validate=ignore -f -", pod)
    assert "cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string" in text


async def test_what_people_get_wrong_is_refused_with_its_place(kubectl: Kubectl) -> None:
    pod = {**POD, "spec": {"containers": [{"name": "C", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}}
    text = await kubectl.fails("apply -f -", pod)
    for fault in (
        'spec.containers[0].name: Invalid value: "C"',
        "spec.containers[0].image: Required value",
        'spec.containers[0].volumeMounts[0].name: Not found: "v"',
    ):
        assert fault in text
    await kubectl("apply -f -", POD)
    text = await kubectl.fails("set env pod/web A=1")
    assert "pod updates may not change fields other than" in text
    assert await kubectl("set image pod/web c=busybox:2") == "pod/web image updated\n"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "kubernetes.io/tls"}
    assert "data[tls.crt]: Required value" in await kubectl.fails("apply -f -", secret)


async def test_who_i_am_and_what_i_may(kubectl: Kubectl) -> None:
    assert "kubernetes-admin" in await kubectl("auth whoami")
    assert (await kubectl("auth can-i delete nodes")).strip() == "yes"
    assert (await kubectl.fails("auth can-i list pods", user="ann")).strip() == "no"
    text = await kubectl.fails("get pods", user="ann")
    assert 'pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "shop"' in text
    await kubectl("create rolebinding ann --clusterrole=view --user=ann")
    assert (await kubectl("auth can-i list pods", user="ann")).strip() == "yes"
    assert "configmaps" in await kubectl("auth can-i --list", user="ann")
    text = await kubectl.fails("get pods --as=system:serviceaccount:shop:default")
    assert 'User "system:serviceaccount:shop:default" cannot list resource "pods"' in text
    token = (await kubectl("create token default")).strip()
    assert "cannot impersonate resource" in await kubectl.fails(f"get pods --as=bob --token={token}")


async def test_rights_are_not_handed_out_by_those_who_lack_them(kubectl: Kubectl) -> None:
    await kubectl("create rolebinding ann --clusterrole=admin --user=ann")
    text = await kubectl.fails("create clusterrolebinding mine --clusterrole=cluster-admin --user=ann", user="ann")
    assert "clusterrolebindings.rbac.authorization.k8s.io is forbidden" in text
    text = await kubectl.fails("create rolebinding mine --clusterrole=cluster-admin --user=ann", user="ann")
    assert "is attempting to grant RBAC permissions not currently held" in text
    await kubectl("create rolebinding viewers --clusterrole=view --user=bob", user="ann")
    text = await kubectl.fails("create role more --verb=get --resource=nodes", user="ann")
    assert '{APIGroups:[""], Resources:["nodes"], Verbs:["get"]}' in text


async def test_a_role_reference_stays_as_it_is(kubectl: Kubectl) -> None:
    await kubectl("create rolebinding b --clusterrole=view --user=ann")
    text = await kubectl.fails('patch rolebinding b --type=merge -p {"roleRef":{"name":"edit"}}')
    assert "roleRef: Invalid value" in text
    assert "field is immutable" in text


async def test_an_account_that_does_not_exist(kubectl: Kubectl) -> None:
    pod = {**POD, "spec": {**POD["spec"], "serviceAccountName": "orders"}}
    text = await kubectl.fails("apply -f -", pod)
    assert (
        'pods "web" is forbidden: error looking up service account shop/orders: serviceaccount "orders" not found'
        in text
    )
    found = kubectl.server.hops("PP413")
    assert found[0].decision == {"pod": "web", "namespace": "shop", "service_account": "orders"}


async def test_explain_shows_members_and_types(kubectl: Kubectl) -> None:
    found = await kubectl("explain pod.spec.containers")
    assert "imagePullPolicy" in found
    assert "<[]VolumeMount>" in found
    assert "webhooks" in await kubectl("explain mutatingwebhookconfigurations")


async def test_a_kind_that_is_not_served_is_named(kubectl: Kubectl) -> None:
    for line in ("apply -f -", "apply --server-side -f -", "create -f -", "delete -f -"):
        said = await kubectl.fails(line, {"apiVersion": "example.test/v1", "kind": "Ghost", "metadata": {"name": "a"}})
        assert 'no matches for kind "Ghost" in version "example.test/v1"' in said


async def test_debug_adds_an_ephemeral_container(kubectl: Kubectl) -> None:
    await kubectl("apply -f -", POD)
    await kubectl("debug web --image=busybox --profile=general --container=look")
    found = json.loads(await kubectl("get pod web -o json"))
    (added,) = found["spec"]["ephemeralContainers"]
    assert (added["name"], added["image"]) == ("look", "busybox")


async def test_edit_replace_diff_and_server_side_apply_pass_validation(kubectl: Kubectl) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"}, "data": {"a": "1"}}
    await kubectl("create -f -", config)
    changed = {**config, "data": {"a": "2"}}
    assert (await kubectl.run("diff -f -", changed)).code == 1
    await kubectl("replace -f -", changed)
    await kubectl("apply --server-side --force-conflicts -f -", {**config, "data": {"a": "3"}})
    assert await kubectl("get configmap app -o jsonpath={.data.a}") == "3"
    dry = {**config, "data": {"a": "4"}}
    assert "server dry run" in await kubectl("apply --server-side --force-conflicts --dry-run=server -f -", dry)
    assert await kubectl("get configmap app -o jsonpath={.data.a}") == "3"


async def test_watching_prints_tables(kubectl: Kubectl) -> None:
    await kubectl("apply -f -", POD)
    found = await kubectl("get pods --watch --request-timeout=1s")
    assert found.split()[5:7] == ["web", "0/1"]


async def test_events_are_shown_and_selected(kubectl: Kubectl) -> None:
    await kubectl("apply -f -", POD)
    uid = await kubectl("get pod web -o jsonpath={.metadata.uid}")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "web.1"},
        "involvedObject": {"kind": "Pod", "name": "web", "namespace": "shop", "uid": uid},
        "reason": "FailedMount",
        "message": "no such secret",
        "type": "Warning",
        "count": 2,
        "source": {"component": "kubelet"},
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }
    await kubectl("create -f -", event)
    assert "FailedMount" in await kubectl("describe pod web")
    assert "pod/web" in await kubectl("get events")
    assert "no such secret" in await kubectl("events")
    assert "FailedMount" in await kubectl("get events.events.k8s.io")
    assert "FailedMount" in await kubectl("get events --field-selector=involvedObject.name=web,type=Warning")
    assert "field label not supported" in await kubectl.fails("get events --field-selector=spec.foo=1")
