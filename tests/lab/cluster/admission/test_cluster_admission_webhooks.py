"""Admission against webhook servers on real TLS sockets."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from podpass.kube import resources
from podpass.kube.objects import Obj
from podpass.kube.status import StatusError
from podpass.lab.cluster.serviceaccounts.signing_keys import SIGNING_FILE
from podpass.problems import problem
from podpass.serving.asgi import Request, Response, answering, json_response, text_response
from podpass.serving.server import bind_tcp, serving
from podpass.tokens.keys import SigningKey
from tests.lab.cluster.api_server import ApiServer, api_server, kubectls

LABEL = "azure.workload.identity/use"
USING = {LABEL: "true"}
Respond = Callable[[Obj], Obj | Response | Awaitable[Obj | Response]]


def patch(*operations: Obj) -> Obj:
    return {
        "allowed": True,
        "patchType": "JSONPatch",
        "patch": base64.b64encode(msgspec.json.encode(list(operations))).decode(),
    }


def label(name: str, value: str = "1") -> Obj:
    return {"op": "add", "path": f"/metadata/labels/{name}", "value": value}


def env(name: str) -> Obj:
    return {"op": "add", "path": "/spec/containers/0/env", "value": [{"name": name, "value": "x"}]}


class WebhookServer:
    """A webhook's pod: what it is asked, and what it answers."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.asked: list[Obj] = []
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        review = msgspec.json.decode(request.body)["request"]
        self.asked.append(review)
        found = self.respond(review)
        if not isinstance(found, dict | Response):
            found = await found
        if isinstance(found, Response):
            return found
        response = {"uid": review["uid"], **found}
        return json_response(
            200, {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        )


class Cloud:
    """A cluster, and webhooks that can be put beside it."""

    def __init__(self, server: ApiServer, stack: contextlib.AsyncExitStack) -> None:
        self.server = server
        self._stack = stack
        self.authority = trustme.CA()

    async def webhook(
        self,
        respond: Respond,
        *,
        name: str = "w",
        host: str = "",
        resource: resources.Resource = resources.MUTATINGWEBHOOKCONFIGURATIONS,
        authority: trustme.CA | None = None,
        **members: Any,
    ) -> WebhookServer:
        """Serve a webhook as the Service *name* in namespace `shop`, and configure the cluster to call it."""
        found = WebhookServer(respond)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(host or f"{name}.shop.svc").configure_cert(context)
        listener = bind_tcp()
        self.server.services["shop", name] = listener.getsockname()[1]
        app = answering(found, max_body=1 << 20, too_large=lambda _: text_response(413, ""))
        await self._stack.enter_async_context(serving(app, [listener], tls=context, grace_seconds=0.1))
        bundle = base64.b64encode((authority or self.authority).cert_pem.bytes()).decode()
        rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
        webhook = {
            "name": f"{name}.example.com",
            "clientConfig": {"service": {"namespace": "shop", "name": name, "path": "/review"}, "caBundle": bundle},
            "rules": [rule],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            **members,
        }
        await self.server.cluster.verbs.create(resource, {"metadata": {"name": name}, "webhooks": [webhook]})
        return found

    async def pod(self, labels: dict[str, str] | None = None, *, dry_run: bool = False, name: str = "p") -> Obj:
        pod = {
            "metadata": {"name": name, "labels": {"app": "p", **(labels or {})}},
            "spec": {"containers": [{"name": "c", "image": "busybox"}]},
        }
        return await self.server.cluster.verbs.create(resources.PODS, pod, "shop", dry_run=dry_run)

    async def refused(self) -> StatusError:
        with pytest.raises(StatusError) as caught:
            await self.pod()
        assert self.server.cluster.verbs.find(resources.PODS, "p", "shop") is None
        return caught.value

    def hops(self, outcome: str = "") -> list[Any]:
        return [hop for hop in self.server.hops(whom="webhook") if not outcome or hop.outcome == outcome]


@pytest.fixture
async def cloud(tmp_path: Path, signing_key: SigningKey) -> AsyncIterator[Cloud]:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    (keys / SIGNING_FILE).write_bytes(signing_key.to_pem())
    async with api_server(tmp_path) as server, contextlib.AsyncExitStack() as stack:
        yield Cloud(server, stack)


ALLOW = {"allowed": True}


async def test_a_patch_is_stored_and_told(cloud: Cloud) -> None:
    webhook = await cloud.webhook(lambda _: patch(label("seen"), env("AZURE_TENANT_ID")))
    pod = await cloud.pod()
    assert pod["metadata"]["labels"] == {"app": "p", "seen": "1"}
    assert pod["spec"]["containers"][0]["env"] == [{"name": "AZURE_TENANT_ID", "value": "x"}]
    hop = cloud.hops("done")[0]
    assert hop.what == "create pods shop/p reviewed by w.example.com"
    assert hop.decision["called"] is True
    assert hop.decision["operations"] == 2
    assert hop.decision["env"] == ["c: AZURE_TENANT_ID"]
    assert len(webhook.asked) == 1


async def test_what_a_webhook_is_asked(cloud: Cloud) -> None:
    webhook = await cloud.webhook(lambda _: ALLOW, timeoutSeconds=7)
    await cloud.pod()
    asked, request = webhook.asked[0], webhook.requests[0]
    assert (request.path, request.query_string, request.host) == ("/review", "timeout=7s", "w.shop.svc")
    assert asked["kind"] == asked["requestKind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert asked["resource"] == {"group": "", "version": "v1", "resource": "pods"}
    assert (asked["name"], asked["namespace"], asked["operation"]) == ("p", "shop", "CREATE")
    assert asked["userInfo"]["username"] == "system:apiserver"
    assert asked["oldObject"] is None
    assert asked["dryRun"] is False
    assert asked["options"]["kind"] == "CreateOptions"
    sent = asked["object"]
    assert (sent["kind"], sent["apiVersion"], sent["metadata"]["namespace"]) == ("Pod", "v1", "shop")
    assert "uid" not in sent["metadata"]
    assert sent["spec"]["serviceAccountName"] == "default"
    assert sent["spec"]["restartPolicy"] == "Always"


async def test_a_denial_reaches_the_client_and_stores_nothing(cloud: Cloud) -> None:
    await cloud.webhook(
        lambda _: {"allowed": False, "status": {"message": "no token for you", "reason": "Forbidden", "code": 403}}
    )
    error = await cloud.refused()
    assert (error.code, error.reason) == (403, "Forbidden")
    assert error.message == 'admission webhook "w.example.com" denied the request: no token for you'
    assert cloud.hops("refused")[0].why == error.message


@pytest.mark.parametrize(
    ("respond", "says"),
    [
        pytest.param(lambda review: {**ALLOW, "uid": "other"}, 'got "other"', id="wrong-uid"),
        pytest.param(lambda _: text_response(200, "hello"), "the body is not JSON", id="no-json"),
        pytest.param(
            lambda _: text_response(500, "oops"),
            'an error on the server ("oops") has prevented the request from succeeding',
            id="server-error",
        ),
        pytest.param(
            lambda _: text_response(404, "nope"), "the server could not find the requested resource", id="not-found"
        ),
        pytest.param(
            lambda _: Response(302, b"", (("Location", "https://127.0.0.1:1/"),)), "status 302", id="redirect"
        ),
    ],
)
async def test_an_unusable_answer_fails_or_is_ignored(cloud: Cloud, respond: Respond, says: str) -> None:
    await cloud.webhook(respond, name="strict")
    error = await cloud.refused()
    assert (error.code, error.reason) == (500, "InternalError")
    assert error.message.startswith('Internal error occurred: failed calling webhook "strict.example.com": ')
    assert says in error.message
    hop = cloud.hops("failed")[0]
    assert (hop.problem, hop.wire) == ("PP411", "InternalError")
    assert "strict" in problem("PP411").remedy_for(**hop.decision)
    await cloud.server.cluster.verbs.delete(resources.MUTATINGWEBHOOKCONFIGURATIONS, "strict")
    await cloud.webhook(respond, name="lenient", failurePolicy="Ignore")
    assert (await cloud.pod())["metadata"]["name"] == "p"
    assert len(cloud.hops("failed")) == 2


async def test_a_patch_that_does_not_apply_is_an_error_even_when_failures_are_ignored(cloud: Cloud) -> None:
    await cloud.webhook(lambda _: patch({"op": "remove", "path": "/spec/nothing"}), failurePolicy="Ignore")
    error = await cloud.refused()
    assert (error.code, error.reason) == (500, "InternalError")
    assert 'the patch of webhook "w.example.com" does not apply' in error.message


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/spec/containers", "value": {}},
        {"op": "replace", "path": "", "value": []},
        {"op": "remove", "path": "/metadata"},
        {"op": "replace", "path": "/metadata/labels", "value": 5},
    ],
)
async def test_a_patch_that_leaves_no_pod_is_an_error(cloud: Cloud, operation: Obj) -> None:
    await cloud.webhook(lambda _: patch(operation))
    assert (await cloud.refused()).code == 500


async def test_a_slow_webhook_is_given_up(cloud: Cloud) -> None:
    stuck = asyncio.Event()

    async def never(_: Obj) -> Obj:
        await stuck.wait()
        return ALLOW

    await cloud.webhook(never, timeoutSeconds=1)
    error = await cloud.refused()
    assert error.message == (
        'Internal error occurred: failed calling webhook "w.example.com": failed to call webhook:'
        ' Post "https://w.shop.svc:443/review?timeout=1s": context deadline exceeded'
    )
    stuck.set()


async def test_a_webhook_is_only_believed_by_its_own_bundle_and_name(cloud: Cloud) -> None:
    await cloud.webhook(lambda _: ALLOW, authority=trustme.CA())
    assert "x509: certificate signed by unknown authority" in (await cloud.refused()).message
    await cloud.server.cluster.verbs.delete(resources.MUTATINGWEBHOOKCONFIGURATIONS, "w")
    await cloud.webhook(lambda _: ALLOW, name="v", host="elsewhere.shop.svc")
    assert "tls: failed to verify certificate" in (await cloud.refused()).message


async def test_a_webhook_that_is_not_there(cloud: Cloud) -> None:
    await cloud.webhook(lambda _: ALLOW)
    closed = bind_tcp()
    cloud.server.services["shop", "w"] = closed.getsockname()[1]
    closed.close()
    assert "connect: connection refused" in (await cloud.refused()).message
    del cloud.server.services["shop", "w"]
    assert 'failed to call webhook: service "w" not found' in (await cloud.refused()).message


async def test_nothing_outside_this_machine_is_called(cloud: Cloud) -> None:
    await cloud.webhook(lambda _: ALLOW, clientConfig={"url": "https://hooks.example.com/review"})
    assert "the lab connects to nothing outside this machine" in (await cloud.refused()).message


async def test_a_url_on_this_machine_is_called(cloud: Cloud) -> None:
    webhook = await cloud.webhook(lambda _: ALLOW, name="by-service", host="localhost")
    port = cloud.server.services["shop", "by-service"]
    configuration = cloud.server.cluster.verbs.get(resources.MUTATINGWEBHOOKCONFIGURATIONS, "by-service")
    bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"]
    configuration["webhooks"][0]["clientConfig"] = {"url": f"https://localhost:{port}/by-url", "caBundle": bundle}
    await cloud.server.cluster.verbs.update(resources.MUTATINGWEBHOOKCONFIGURATIONS, configuration)
    await cloud.pod()
    assert [request.path for request in webhook.requests] == ["/by-url"]


async def test_a_pod_without_the_label_is_noted_with_the_remedy(cloud: Cloud) -> None:
    webhook = await cloud.webhook(lambda _: ALLOW, objectSelector={"matchLabels": USING})
    await cloud.pod()
    assert webhook.asked == []
    hop = cloud.hops("noted")[0]
    assert hop.problem == "PP410"
    assert hop.decision["called"] is False
    assert hop.decision["selector"] == "objectSelector"
    assert hop.decision["found"] == "no such label"
    assert hop.why == f"objectSelector wants {LABEL} in (true), and the object has no label {LABEL}"
    assert f"kubectl label --local --filename - --overwrite {LABEL}=true" in problem("PP410").remedy_for(**hop.decision)
    await cloud.pod({LABEL: "True"}, name="q")
    assert cloud.hops("noted")[1].decision["found"] == f"{LABEL}=True"
    await cloud.pod(USING, name="r")
    assert len(webhook.asked) == 1
    assert len(cloud.hops("noted")) == 2


async def test_another_selector_is_noted_without_a_problem(cloud: Cloud) -> None:
    await cloud.webhook(lambda _: ALLOW, namespaceSelector={"matchLabels": {"team": "a"}})
    await cloud.pod()
    hop = cloud.hops("noted")[0]
    assert (hop.problem, hop.decision["selector"]) == ("", "namespaceSelector")


async def test_an_account_without_a_client_id_is_noted(cloud: Cloud) -> None:
    await cloud.webhook(lambda _: patch(env("AZURE_FEDERATED_TOKEN_FILE")))
    await cloud.pod(USING)
    hop = cloud.server.hops("PP412")[0]
    assert hop.decision == {"pod": "p", "namespace": "shop", "service_account": "default"}
    assert problem("PP412").remedy_for(**hop.decision) == (
        "kubectl annotate serviceaccount default --namespace shop azure.workload.identity/client-id={client_id}"
    )


async def test_webhooks_run_in_the_order_of_their_configurations(cloud: Cloud) -> None:
    second = await cloud.webhook(lambda _: ALLOW, name="b")
    await cloud.webhook(lambda _: patch(label("from-a")), name="a")
    await cloud.pod()
    assert second.asked[0]["object"]["metadata"]["labels"]["from-a"] == "1"


async def test_a_later_change_brings_an_earlier_webhook_back_once(cloud: Cloud) -> None:
    earlier = await cloud.webhook(lambda _: ALLOW, name="a", reinvocationPolicy="IfNeeded")
    never = await cloud.webhook(lambda _: ALLOW, name="b")
    later = await cloud.webhook(lambda _: patch(label("late")), name="c", reinvocationPolicy="IfNeeded")
    await cloud.pod()
    assert [len(each.asked) for each in (earlier, never, later)] == [2, 1, 1]
    assert earlier.asked[1]["object"]["metadata"]["labels"]["late"] == "1"
    assert [hop.decision.get("reinvoked", False) for hop in cloud.hops("done")] == [False, False, False, True]


async def test_without_a_later_change_nobody_comes_back(cloud: Cloud) -> None:
    first = await cloud.webhook(lambda _: patch(label("one")), name="a", reinvocationPolicy="IfNeeded")
    await cloud.webhook(lambda _: ALLOW, name="b", reinvocationPolicy="IfNeeded")
    await cloud.pod()
    assert len(first.asked) == 1


async def test_a_container_added_by_a_webhook_gets_the_token_too(cloud: Cloud) -> None:
    proxy = {"op": "add", "path": "/spec/containers/-", "value": {"name": "proxy", "image": "proxy:1"}}
    await cloud.webhook(lambda _: patch(proxy))
    pod = await cloud.pod()
    mounts = [container["volumeMounts"] for container in pod["spec"]["containers"]]
    assert mounts[0] == mounts[1]
    assert pod["spec"]["containers"][1]["imagePullPolicy"] == "IfNotPresent"


async def test_what_a_webhook_makes_is_validated(cloud: Cloud) -> None:
    await cloud.webhook(lambda _: patch({"op": "replace", "path": "/spec/containers/0/name", "value": "UPPER"}))
    error = await cloud.refused()
    assert error.code == 422
    assert "spec.containers[0].name: Invalid value" in error.message


async def test_a_dry_run_says_so(cloud: Cloud) -> None:
    webhook = await cloud.webhook(lambda _: patch(label("seen")))
    pod = await cloud.pod(dry_run=True)
    assert webhook.asked[0]["dryRun"] is True
    assert pod["metadata"]["labels"]["seen"] == "1"
    assert cloud.server.cluster.verbs.find(resources.PODS, "p", "shop") is None


async def test_validating_webhooks_see_the_whole_and_run_at_once(cloud: Cloud) -> None:
    resource = resources.VALIDATINGWEBHOOKCONFIGURATIONS
    both = asyncio.Barrier(2)

    async def meet(review: Obj) -> Obj:
        await both.wait()
        return {"allowed": review["object"]["metadata"]["labels"].get("late") == "1"}

    await cloud.webhook(lambda _: patch(label("late")), name="mutating")
    one = await cloud.webhook(meet, name="one", resource=resource)
    await cloud.webhook(meet, name="two", resource=resource)
    pod = await cloud.pod()
    assert one.asked[0]["object"]["metadata"]["uid"] == pod["metadata"]["uid"]


async def test_a_validating_webhook_refuses(cloud: Cloud) -> None:
    await cloud.webhook(lambda _: {"allowed": False}, resource=resources.VALIDATINGWEBHOOKCONFIGURATIONS)
    assert (await cloud.refused()).message == (
        'admission webhook "w.example.com" denied the request without explanation'
    )


async def test_a_webhook_that_was_restarted_is_reached_over_a_new_connection(cloud: Cloud) -> None:
    await cloud.webhook(lambda _: ALLOW)
    await cloud.pod()
    await cloud.server.cluster.verbs.delete(resources.MUTATINGWEBHOOKCONFIGURATIONS, "w")
    again = await cloud.webhook(lambda _: ALLOW)
    await cloud.pod(name="q")
    assert len(again.asked) == 1


@pytest.mark.parametrize("binary", kubectls(), ids=lambda path: path.replace("/", "-").strip("-"))
async def test_kubectl_shows_denials_and_warnings(cloud: Cloud, binary: str) -> None:
    def respond(review: Obj) -> Obj:
        if review["name"] == "bad":
            return {"allowed": False, "status": {"message": "bad name", "reason": "Forbidden", "code": 403}}
        return {**ALLOW, "warnings": ['pods are "cattle"']}

    await cloud.webhook(respond)
    denied = await cloud.server.kubectl(binary, "run", "bad", "--image=busybox")
    assert denied.code == 1
    assert denied.err == (
        'Error from server (Forbidden): admission webhook "w.example.com" denied the request: bad name\n'
    )
    warned = await cloud.server.kubectl(binary, "run", "good", "--image=busybox")
    assert warned.out == "pod/good created\n"
    assert warned.err == 'Warning: pods are "cattle"\n'
    cel = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "cel"},
        "webhooks": [
            {
                "name": "cel.example.com",
                "clientConfig": {"url": "https://localhost/"},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "matchConditions": [{"name": "a", "expression": "nope"}],
            }
        ],
    }
    refused = await cloud.server.kubectl(binary, "apply", "-f", "-", stdin=cel)
    assert 'expression: Invalid value: "nope": compilation failed: ERROR: <input>:1:1' in refused.err


@pytest.mark.parametrize("binary", kubectls(), ids=lambda path: path.replace("/", "-").strip("-"))
async def test_the_remedy_for_a_missing_label_works(cloud: Cloud, binary: str) -> None:
    webhook = await cloud.webhook(lambda _: ALLOW, objectSelector={"matchLabels": USING})
    await cloud.pod()
    remedy = problem("PP410").remedy_for(**cloud.hops("noted")[0].decision)
    text = ""
    for step in remedy.split(" | "):
        ran = await cloud.server.kubectl(binary, *step.split()[1:], stdin=text)
        assert ran.code == 0, ran.err
        text = ran.out
    assert "replaced" in text
    assert webhook.asked[0]["object"]["metadata"]["labels"][LABEL] == "true"


@pytest.mark.parametrize(
    ("expressions", "called"),
    [
        pytest.param(["object.metadata.labels['app'] == 'p'", "request.operation == 'CREATE'"], True, id="all-hold"),
        pytest.param(["object.metadata.labels['app'] == 'q'"], False, id="one-is-false"),
        pytest.param(["object.nope == 1", "false"], False, id="false-counts-before-an-error"),
        pytest.param(["request.userInfo.username == 'system:apiserver'"], True, id="the-user"),
        pytest.param(["!authorizer.requestResource.check('breakglass').allowed()"], False, id="the-authorizer"),
    ],
)
async def test_match_conditions_decide_who_is_called(cloud: Cloud, expressions: list[str], called: bool) -> None:
    conditions = [{"name": f"c{number}", "expression": each} for number, each in enumerate(expressions)]
    webhook = await cloud.webhook(lambda _: {"allowed": True}, matchConditions=conditions)
    await cloud.pod()
    assert len(webhook.asked) == int(called)


async def test_a_match_condition_that_fails_counts_as_the_failure_policy_says(cloud: Cloud) -> None:
    conditions = [{"name": "odd", "expression": "object.nope == 1"}]
    webhook = await cloud.webhook(lambda _: {"allowed": True}, matchConditions=conditions)
    refusal = await cloud.refused()
    assert (refusal.code, refusal.reason) == (403, "Forbidden")
    why = "expression 'object.nope == 1' resulted in error: no such key: nope"
    assert refusal.message == f'pods "p" is forbidden: {why}'
    verbs = cloud.server.cluster.verbs
    configuration = verbs.get(resources.MUTATINGWEBHOOKCONFIGURATIONS, "w")
    configuration["webhooks"][0]["failurePolicy"] = "Ignore"
    await verbs.update(resources.MUTATINGWEBHOOKCONFIGURATIONS, configuration)
    await cloud.pod()
    assert webhook.asked == []
