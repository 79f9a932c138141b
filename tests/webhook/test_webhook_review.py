"""The admission review's two versions, and what is answered to what is none."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.webhook.azure import Denial, Mutation
from podpass.webhook.review import BadReview, PodReview, answer, parse

JSON = "application/json"


def body(**changes) -> bytes:
    request = {
        "uid": "705ab4f5",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": {"username": "jane"},
        "object": {"metadata": {"name": "orders"}, "spec": {"containers": []}},
        "oldObject": None,
        "dryRun": True,
        "options": {"kind": "CreateOptions"},
    }
    version = changes.pop("version", "admission.k8s.io/v1")
    kind = changes.pop("review_kind", "AdmissionReview")
    return json.dumps({"apiVersion": version, "kind": kind, "request": {**request, **changes}}).encode()


@pytest.mark.parametrize("version", ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"])
def test_the_answer_has_the_version_and_uid_of_the_request(version: str):
    review = parse(body(version=version), JSON)
    assert isinstance(review, PodReview)
    assert (review.namespace, review.dry_run, review.concerns) == ("shop", True, True)
    reply = json.loads(answer(review, Mutation()))
    assert reply == {
        "apiVersion": version,
        "kind": "AdmissionReview",
        "response": {"uid": "705ab4f5", "allowed": True, "status": {"code": 200}},
    }


def test_a_patch_is_base64_of_a_json_array_and_names_its_type():
    operations = ({"op": "add", "path": "/spec/volumes", "value": [{"name": "ü"}]},)
    review = parse(body(), JSON)
    response = json.loads(answer(review, Mutation(operations, ("careful",), {"layout": "v1"})))["response"]
    assert response["patchType"] == "JSONPatch"
    assert json.loads(base64.b64decode(response["patch"])) == list(operations)
    assert response["warnings"] == ["careful"]
    assert response["auditAnnotations"] == {"layout": "v1"}


def test_a_denial_has_its_code_inside():
    response = json.loads(answer(parse(body(), JSON), Denial(400, "no")))["response"]
    assert response == {"uid": "705ab4f5", "allowed": False, "status": {"code": 400, "message": "no"}}


def test_warnings_stay_below_what_the_api_server_takes():
    warnings = tuple("w" * 256 for _ in range(40))
    response = json.loads(answer(parse(body(), JSON), Mutation((), warnings)))["response"]
    assert sum(map(len, response["warnings"])) <= 4096


@pytest.mark.parametrize(("name", "account"), [(None, "default"), ("", "default"), ("orders-sa", "orders-sa")])
def test_no_service_account_means_default(name: str | None, account: str):
    assert parse(body(object={"spec": {"serviceAccountName": name}}), JSON).service_account == account


@pytest.mark.parametrize(
    "changes", [{"operation": "UPDATE"}, {"operation": "DELETE", "object": None}, {"subResource": "status"}]
)
def test_what_is_no_creation_of_a_pod_is_none_of_our_business(changes: dict):
    review = parse(body(**changes), JSON)
    assert isinstance(review, PodReview)
    assert not review.concerns


@pytest.mark.parametrize(
    ("data", "media_type", "says", "uid"),
    [
        pytest.param(b"", JSON, "empty", "", id="empty"),
        pytest.param(b"{", JSON, "not an AdmissionReview", "", id="no-json"),
        pytest.param(b"[]", JSON, "not an AdmissionReview", "", id="no-object"),
        pytest.param(b"[" * 100_000, JSON, "not an AdmissionReview", "", id="nested-too-deep"),
        pytest.param(b"\xff", JSON, "not an AdmissionReview", "", id="no-utf8"),
        pytest.param(body(), "text/plain", "contentType=text/plain", "", id="media-type"),
        pytest.param(body(), "", "expected application/json", "", id="no-media-type"),
        pytest.param(body(version="admission.k8s.io/v2"), JSON, "admission.k8s.io/v2", "", id="unknown-version"),
        pytest.param(body(review_kind="Pod"), JSON, "Pod", "", id="unknown-kind"),
        pytest.param(
            b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', JSON, "no request", "", id="bare"
        ),
        pytest.param(body(object=None), JSON, "no content", "705ab4f5", id="no-object"),
        pytest.param(body(object="x"), JSON, "object", "", id="object-is-text"),
        pytest.param(body(kind={"kind": "Deployment"}), JSON, "Deployment", "705ab4f5", id="no-pod"),
    ],
)
def test_a_bad_body_is_answered_with_400_inside(data: bytes, media_type: str, says: str, uid: str):
    review = parse(data, media_type)
    assert isinstance(review, BadReview)
    assert (review.code, review.uid) == (400, uid)
    assert says in review.message
    assert json.loads(answer(review, Denial(review.code, review.message)))["response"]["allowed"] is False


@given(st.binary(max_size=200))
def test_no_bytes_make_it_crash(data: bytes):
    assert isinstance(parse(data, JSON), PodReview | BadReview)
