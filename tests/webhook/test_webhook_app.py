"""The ASGI app by itself: paths, sizes, what is counted and logged."""

import io
import json

import pytest

from podpass.telemetry.logging import make_logger
from podpass.telemetry.metrics import make_registry, render
from podpass.webhook.accounts import Unreadable
from podpass.webhook.app import Webhook
from podpass.webhook.metrics import WebhookMetrics
from podpass.webhook.review import MAX_BODY_BYTES
from podpass.webhook.settings import Settings


class NoAccounts:
    """A cluster in which only namespace shop exists, and no account in it."""

    def cached(self, namespace: str, name: str) -> None:
        return None

    def knows(self, namespace: str) -> bool:
        return namespace == "shop"

    async def read(self, namespace: str, name: str) -> Unreadable:
        return Unreadable(f'serviceaccounts "{name}" not found')


class Called:
    def __init__(self) -> None:
        self.log = io.StringIO()
        self.registry = make_registry(process=False)
        log = make_logger("webhook", stream=self.log)
        self.webhook = Webhook(Settings(tenant_id="t"), NoAccounts(), WebhookMetrics(self.registry), log)

    async def __call__(self, body: bytes, *, path: str = "/mutate-v1-pod", announced: int | None = None):
        sent = []
        length = str(len(body) if announced is None else announced).encode()

        async def receive():
            return {"type": "http.request", "body": body}

        async def send(message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", length)],
        }
        await self.webhook.app(scope, receive, send)
        return sent[0]["status"], sent[1]["body"]

    def metrics(self) -> str:
        return render(self.registry).decode()


def review(namespace: str, **spec) -> bytes:
    request = {"uid": "u", "operation": "CREATE", "namespace": namespace, "object": {"metadata": {}, "spec": spec}}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_refused_inside_a_review(announced: bool):
    call = Called()
    status, body = await call(b"x" * (MAX_BODY_BYTES + 1), announced=None if announced else 0)
    assert status == 200
    response = json.loads(body)["response"]
    assert (response["allowed"], response["status"]["code"]) == (False, 413)


async def test_another_path_is_not_found():
    assert (await Called()(b"", path="/validate"))[0] == 404


async def test_denials_are_observed_too_and_the_namespace_only_when_there_is_one():
    call = Called()
    await call(review("shop"))
    await call(review("made-up-by-the-caller"))
    await call(b"rubbish")
    assert 'azwi_mutation_request_count{namespace="shop",service_name="webhook"} 1.0' in call.metrics()
    assert 'azwi_mutation_request_count{namespace="",service_name="webhook"} 2.0' in call.metrics()
    assert "made-up" not in call.metrics()
    assert 'controller_runtime_webhook_requests_in_flight{webhook="/mutate-v1-pod"} 0.0' in call.metrics()
    for bucket in ("0.001", "0.009", "0.01", "0.9", "1.0", "2.5", "3.0", "+Inf"):
        assert f'le="{bucket}",namespace="shop"' in call.metrics()


async def test_a_review_is_one_line_and_no_value_of_a_variable_is_in_it():
    call = Called()
    await call(review("shop", containers=[{"name": "app", "env": [{"name": "PASSWORD", "value": "hunter2"}]}]))
    (line,) = call.log.getvalue().splitlines()
    assert json.loads(line)["event"] == "review.denied"
    assert "hunter2" not in line
