"""The API's verbs, request by request."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lab.cluster.core_api import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api, opened

CORE = "/api/v1/namespaces/default"
MAPS = f"{CORE}/configmaps"
PODS = f"{CORE}/pods"


@pytest.fixture
async def api(cluster_keys: Path) -> AsyncIterator[Api]:
    async with opened(cluster_keys) as found:
        yield found


def config(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "busybox:1"}], **spec}}


def body_of(answer: Any) -> str:
    return answer.body["message"]


# Creating


async def test_the_server_sets_identity_and_ignores_what_the_client_says_of_it(api: Api) -> None:
    made = await api.made(
        MAPS, {"metadata": {"name": "a", "uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7}}
    )
    assert made["kind"] == "ConfigMap"
    assert made["metadata"]["namespace"] == "default"
    assert len(made["metadata"]["uid"]) == 36
    assert not made["metadata"]["creationTimestamp"].startswith("2001")
    assert "generation" not in made["metadata"]
    assert "managedFields" not in made["metadata"]


async def test_a_name_is_generated_from_its_prefix(api: Api) -> None:
    made = await api.made(MAPS, {"metadata": {"generateName": "x" * 70}})
    assert made["metadata"]["name"][:58] == "x" * 58
    assert len(made["metadata"]["name"]) == 63


async def test_a_namespace_of_a_generated_name_carries_it_as_its_label(api: Api) -> None:
    made = await api.made("/api/v1/namespaces", {"metadata": {"generateName": "team-"}})
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": made["metadata"]["name"]}


async def test_a_node_is_made_with_its_status_and_a_pod_is_not(api: Api) -> None:
    status = {"capacity": {"pods": "110"}}
    made = await api.made("/api/v1/nodes", {"metadata": {"name": "n"}, "status": status})
    assert made["status"] == status
    running = {**pod("p"), "status": {"phase": "Running"}}
    assert (await api.made(PODS, running))["status"]["phase"] == "Pending"


async def test_a_webhook_behind_a_service_says_what_to_use_instead(api: Api) -> None:
    webhook = {
        "name": "w.example.test",
        "clientConfig": {"service": {"namespace": "shop", "name": "w"}},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
    }
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    await api.made(path, {"metadata": {"name": "w"}, "webhooks": [webhook]})
    refused = await api("POST", MAPS, {"metadata": {"name": "a"}})
    assert refused.status == 500
    assert 'service "w" not found in namespace "shop"' in body_of(refused)
    assert "clientConfig.url" in body_of(refused)


@pytest.mark.parametrize(
    ("path", "body", "status", "reason", "message"),
    [
        pytest.param(MAPS, {"metadata": {}}, 422, "Invalid", "name or generateName is required", id="no-name"),
        pytest.param(MAPS, {"metadata": {"name": "A_b"}}, 422, "Invalid", "a lowercase RFC 1123 subdomain", id="name"),
        pytest.param(
            MAPS, {"metadata": {"name": "a", "namespace": "b"}}, 400, "BadRequest", "does not match", id="namespace"
        ),
        pytest.param(
            "/api/v1/namespaces/none/configmaps",
            {"metadata": {"name": "a"}},
            404,
            "NotFound",
            'namespaces "none" not found',
            id="no-such-namespace",
        ),
        pytest.param(
            MAPS, {"kind": "Pod", "metadata": {"name": "a"}}, 400, "BadRequest", "unknown conversion", id="kind"
        ),
        pytest.param(
            MAPS,
            {"apiVersion": "v2", "metadata": {"name": "a"}},
            400,
            "BadRequest",
            'no kind "ConfigMap" is registered for version "v2"',
            id="version",
        ),
        pytest.param(
            MAPS,
            {"metadata": {"name": "a", "resourceVersion": "5"}},
            500,
            "",
            "resourceVersion should not be set on objects to be created",
            id="resource-version",
        ),
        pytest.param(
            MAPS, {"metadata": {"name": "a", "labels": {"-": "x"}}}, 422, "Invalid", "metadata.labels", id="label-key"
        ),
        pytest.param(
            MAPS, {"metadata": {"name": "a", "labels": {"a": "-"}}}, 422, "Invalid", "a valid label", id="label-value"
        ),
        pytest.param(
            MAPS,
            {"metadata": {"name": "a", "annotations": {"a": "x" * 262_145}}},
            422,
            "Invalid",
            "metadata.annotations: Too long",
            id="annotations-size",
        ),
        pytest.param(
            MAPS,
            {"metadata": {"name": "a", "finalizers": ["mine"]}},
            422,
            "Invalid",
            "neither a standard finalizer name nor is it fully qualified",
            id="finalizer",
        ),
        pytest.param(MAPS, [], 400, "BadRequest", "cannot unmarshal array", id="a-list"),
        pytest.param(MAPS, b"{", 400, "BadRequest", "json", id="no-json"),
        pytest.param(MAPS, {"metadata": []}, 400, "BadRequest", "metadata", id="metadata-list"),
        pytest.param(MAPS, {"metadata": {"name": 5}}, 400, "BadRequest", "name", id="name-number"),
        pytest.param(MAPS, b"[" * 100_000, 400, "BadRequest", "", id="nesting"),
        pytest.param(MAPS, b"\xff\xfe", 400, "BadRequest", "", id="no-text"),
        pytest.param("/api/v1/configmaps", {"metadata": {"name": "a"}}, 400, "BadRequest", "namespace", id="no-place"),
        pytest.param("/api/v1/nonsense", {}, 404, "NotFound", "the server could not find", id="no-such-resource"),
        pytest.param(f"{MAPS}/a", {}, 405, "MethodNotAllowed", "", id="post-to-an-object"),
        pytest.param(
            f"{MAPS}?dryRun=Some",
            {"metadata": {"name": "a"}},
            422,
            "Invalid",
            'dryRun: Unsupported value: ["Some"]',
            id="dry",
        ),
        pytest.param(
            f"{MAPS}?fieldValidation=Strict",
            {"metadata": {"name": "a"}, "dta": {}},
            400,
            "BadRequest",
            'strict decoding error: unknown field "dta"',
            id="strict",
        ),
    ],
)
async def test_what_is_refused_at_creation(
    api: Api, path: str, body: Any, status: int, reason: str, message: str
) -> None:
    answer = await api("POST", path, body)
    assert (answer.status, answer.body.get("reason", "")) == (status, reason), answer.raw
    assert answer.body["kind"] == "Status"
    assert answer.body["code"] == status
    assert message in body_of(answer)


async def test_the_whole_text_of_a_refusal(api: Api) -> None:
    await api.made(MAPS, config("a"))
    taken = await api("POST", MAPS, config("a"))
    assert taken.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "a" already exists',
        "reason": "AlreadyExists",
        "details": {"name": "a", "kind": "configmaps"},
        "code": 409,
    }
    missing = await api("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/none")
    assert body_of(missing) == 'clusterroles.rbac.authorization.k8s.io "none" not found'
    assert missing.body["details"]["group"] == "rbac.authorization.k8s.io"


async def test_an_unknown_member_is_dropped_with_a_warning(api: Api) -> None:
    answer = await api("POST", MAPS, {**config("a"), "dta": 1})
    assert answer.status == 201
    assert answer.headers["warning"] == '299 - "unknown field \\"dta\\""'
    assert "dta" not in answer.body


async def test_a_body_of_more_than_three_mebibytes_is_refused(api: Api) -> None:
    answer = await api("POST", MAPS, b" " * (3 * 1024 * 1024 + 1))
    assert (answer.status, answer.body["reason"]) == (413, "RequestEntityTooLarge")


async def test_media_types(api: Api) -> None:
    untyped = await api("POST", MAPS, config("a"), content_type="")
    assert untyped.status == 201
    yaml = await api("POST", MAPS, b"metadata: {name: b}\ndata: {x: '1'}\n", content_type="application/yaml")
    assert yaml.body["data"] == {"x": "1"}
    bomb = await api("POST", MAPS, b"a: &a [1]\nb: [*a, *a]\n", content_type="application/yaml")
    assert bomb.status == 400
    other = await api("POST", MAPS, b"x", content_type="text/plain")
    assert (other.status, other.body["reason"]) == (415, "UnsupportedMediaType")
    assert (await api("GET", f"{MAPS}/a", accept="application/vnd.kubernetes.protobuf")).status == 406
    assert (await api("GET", f"{MAPS}/a", accept="application/vnd.kubernetes.protobuf,application/json")).status == 200
    partial = await api("GET", f"{MAPS}/a", accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
    assert partial.body["kind"] == "PartialObjectMetadata"
    assert "data" not in partial.body


async def test_a_dry_run_answers_and_changes_nothing(api: Api) -> None:
    before = api.cluster.storage.rv
    answer = await api("POST", f"{MAPS}?dryRun=All", config("a"))
    assert answer.status == 201
    assert answer.body["metadata"]["uid"]
    assert (await api("GET", f"{MAPS}/a")).status == 404
    assert api.cluster.storage.rv == before


# Changing


async def test_a_write_that_changes_nothing_is_none(api: Api) -> None:
    made = await api.made(MAPS, config("a", x="1"))
    rv = made["metadata"]["resourceVersion"]
    again = await api("PUT", f"{MAPS}/a", made)
    assert again.body["metadata"]["resourceVersion"] == rv
    patched = await api("PATCH", f"{MAPS}/a", {"data": {"x": "1"}}, content_type=MERGE)
    assert patched.body["metadata"]["resourceVersion"] == rv


async def test_a_stale_write_conflicts(api: Api) -> None:
    made = await api.made(MAPS, config("a", x="1"))
    made["data"]["x"] = "2"
    assert (await api("PUT", f"{MAPS}/a", made)).status == 200
    stale = await api("PUT", f"{MAPS}/a", made)
    assert (stale.status, stale.body["reason"]) == (409, "Conflict")
    assert body_of(stale) == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified;'
        " please apply your changes to the latest version and try again"
    )
    patch = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"x": "3"}}
    assert (await api("PATCH", f"{MAPS}/a", patch, content_type=MERGE)).status == 409
    del made["metadata"]["resourceVersion"]
    made["data"]["x"] = "4"
    assert (await api("PUT", f"{MAPS}/a", made)).status == 200


@pytest.mark.parametrize(
    ("patch", "content_type", "status", "message"),
    [
        pytest.param({"metadata": {"name": "b"}}, MERGE, 400, "does not match the name on the URL", id="name"),
        pytest.param({"metadata": {"uid": "x"}}, MERGE, 409, "Precondition failed: UID in precondition: x", id="uid"),
        pytest.param([{"op": "remove", "path": "/data/none"}], JSON_PATCH, 422, "", id="missing-path"),
        pytest.param([{"op": "test", "path": "/data/x", "value": "9"}], JSON_PATCH, 422, "", id="failed-test"),
        pytest.param([{"op": "leap", "path": "/data/x"}], JSON_PATCH, 422, "", id="unknown-operation"),
        pytest.param({"data": {}}, JSON_PATCH, 400, "", id="no-operations"),
        pytest.param([], MERGE, 400, "", id="merge-patch-that-is-a-list"),
        pytest.param(
            {"$retainKeys": 5}, STRATEGIC, 400, "invalid patch format of retainKeys", id="keys-that-are-no-list"
        ),
        pytest.param(
            {"$patch": "explode"},
            STRATEGIC,
            500,
            "unknown patch type: explode in map: map[$patch:explode]",
            id="directive",
        ),
        pytest.param(
            {"data": {"x": 5}},
            MERGE,
            422,
            "cannot unmarshal number into Go struct field ConfigMap.data of type string",
            id="type",
        ),
        pytest.param({}, "application/json", 415, "", id="no-patch"),
        pytest.param([{"op": "replace", "path": "", "value": 1}], JSON_PATCH, 400, "not an object", id="no-object"),
    ],
)
async def test_patches_that_are_refused(api: Api, patch: Any, content_type: str, status: int, message: str) -> None:
    await api.made(MAPS, config("a", x="1"))
    answer = await api("PATCH", f"{MAPS}/a", patch, content_type=content_type)
    assert answer.status == status, answer.raw
    assert message in body_of(answer)
    assert (await api("GET", f"{MAPS}/a")).body["data"] == {"x": "1"}


async def test_the_three_patches(api: Api) -> None:
    made = await api.made(MAPS, config("a", x="1"))
    # Set by the server, and left alone by everybody else without a word.
    patch: Any = {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}}
    assert (await api("PATCH", f"{MAPS}/a", patch, content_type=MERGE)).body == made
    merged = await api("PATCH", f"{MAPS}/a", {"data": {"x": None, "y": "2"}}, content_type=MERGE)
    assert merged.body["data"] == {"y": "2"}
    operations = [{"op": "test", "path": "/data/y", "value": "2"}, {"op": "add", "path": "/data/z", "value": "3"}]
    assert (await api("PATCH", f"{MAPS}/a", operations, content_type=JSON_PATCH)).body["data"] == {"y": "2", "z": "3"}
    await api.made(PODS, pod("p"))
    patch = {"spec": {"containers": [{"name": "c", "image": "busybox:2"}]}}
    patched = await api("PATCH", f"{PODS}/p", patch, content_type=STRATEGIC)
    assert patched.body["spec"]["containers"][0]["image"] == "busybox:2"
    assert patched.body["metadata"]["generation"] == 2


async def test_status_is_written_through_its_own_path_only(api: Api) -> None:
    made = await api.made(PODS, {**pod("p"), "status": {"phase": "Running"}})
    assert made["status"]["phase"] == "Pending"
    made["status"]["phase"] = "Failed"
    made["metadata"]["labels"] = {"a": "b"}
    put = await api("PUT", f"{PODS}/p", made)
    assert put.body["status"]["phase"] == "Pending"
    patch = {"status": {"phase": "Running"}, "metadata": {"labels": {"a": "c"}}}
    patched = await api("PATCH", f"{PODS}/p/status", patch, content_type=MERGE)
    assert patched.body["status"]["phase"] == "Running"
    assert patched.body["metadata"]["labels"] == {"a": "b"}
    assert patched.body["metadata"]["generation"] == 1
    assert patched.body["metadata"]["managedFields"][-1]["subresource"] == "status"


async def test_a_put_to_a_missing_name_creates_nothing(api: Api) -> None:
    assert (await api("PUT", f"{MAPS}/a", config("a"))).status == 404


# Applying


async def test_apply_creates_changes_and_takes_back(api: Api) -> None:
    path = f"{MAPS}/a?fieldManager=ann"
    created = await api("PATCH", path, config("a", x="1", y="2"), content_type=APPLY)
    assert created.status == 201
    again = await api("PATCH", path, config("a", x="1", y="2"), content_type=APPLY)
    assert again.status == 200
    assert again.body["metadata"]["resourceVersion"] == created.body["metadata"]["resourceVersion"]
    changed = await api("PATCH", path, config("a", x="3"), content_type=APPLY)
    assert changed.body["data"] == {"x": "3"}


async def test_apply_conflicts_with_other_managers_unless_forced(api: Api) -> None:
    await api("PATCH", f"{MAPS}/a?fieldManager=ann", config("a", x="1"), content_type=APPLY)
    other = await api("PATCH", f"{MAPS}/a?fieldManager=bob", config("a", x="2"), content_type=APPLY)
    assert other.status == 409
    assert body_of(other) == 'Apply failed with 1 conflict: conflict with "ann": .data.x'
    assert other.body["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "ann"', "field": ".data.x"}
    ]
    shared = await api("PATCH", f"{MAPS}/a?fieldManager=bob", config("a", x="1"), content_type=APPLY)
    assert shared.status == 200
    kept = await api("PATCH", f"{MAPS}/a?fieldManager=ann", config("a"), content_type=APPLY)
    assert kept.body["data"] == {"x": "1"}, "bob still owns it"
    forced = await api("PATCH", f"{MAPS}/a?fieldManager=ann&force=true", config("a", x="9"), content_type=APPLY)
    assert forced.body["data"] == {"x": "9"}


async def test_apply_conflicts_with_what_an_update_set(api: Api) -> None:
    await api("POST", f"{MAPS}?fieldManager=hand", config("a", x="1"))
    answer = await api("PATCH", f"{MAPS}/a?fieldManager=ann", config("a", x="2"), content_type=APPLY)
    assert 'conflict with "hand" using v1' in body_of(answer)


@pytest.mark.parametrize(
    ("query", "body", "message"),
    [
        ("", config("a"), "fieldManager: Required value: is required for apply patch"),
        ("?fieldManager=x", {"metadata": {"name": "a"}}, "invalid object type: /, Kind="),
        ("?fieldManager=x", config("b"), "does not match the name on the URL"),
        (
            "?fieldManager=x",
            {**config("a"), "metadata": {"name": "a", "managedFields": [{}]}},
            "metadata.managedFields must be nil",
        ),
    ],
)
async def test_apply_refuses(api: Api, query: str, body: Any, message: str) -> None:
    answer = await api("PATCH", f"{MAPS}/a{query}", body, content_type=APPLY)
    assert answer.status == (422 if not query else 400)
    assert message in body_of(answer)


# Listing


async def test_a_paged_list_shows_one_moment(api: Api) -> None:
    for name in "abcde":
        await api.made(MAPS, config(name))
    first = (await api("GET", f"{MAPS}?limit=2")).body
    assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 4
    await api("DELETE", f"{MAPS}/c")
    await api.made(MAPS, config("bb"))
    await api("PATCH", f"{MAPS}/d", {"data": {"new": "1"}}, content_type=MERGE)
    names: list[str] = []
    token = first["metadata"]["continue"]
    while token:
        page = (await api("GET", f"{MAPS}?limit=2&continue={token}")).body
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        names += [item["metadata"]["name"] for item in page["items"]]
        assert not any("new" in (item.get("data") or {}) for item in page["items"])
        token = page["metadata"].get("continue")
    assert names == ["c", "d", "e", "kube-root-ca.crt"]


async def test_items_of_a_list_do_not_repeat_their_kind(api: Api) -> None:
    listed = (await api("GET", MAPS)).body
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert "kind" not in listed["items"][0]
    assert (await api("GET", PODS)).body["items"] == []


async def test_selectors(api: Api) -> None:
    await api.made(MAPS, {"metadata": {"name": "a", "labels": {"app": "x"}}})
    await api.made(MAPS, {"metadata": {"name": "b", "labels": {"app": "y"}}})
    assert [i["metadata"]["name"] for i in (await api("GET", f"{MAPS}?labelSelector=app%3Dx")).body["items"]] == ["a"]
    assert [
        i["metadata"]["name"] for i in (await api("GET", f"{MAPS}?fieldSelector=metadata.name%3Db")).body["items"]
    ] == ["b"]
    bad = await api("GET", f"{MAPS}?fieldSelector=data.x%3D1")
    assert (bad.status, body_of(bad)) == (
        400,
        '"data.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
    )
    assert (await api("GET", f"{MAPS}?labelSelector=a%20b")).status == 400


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("resourceVersionMatch=Exact", 422, "Invalid"),
        ("sendInitialEvents=true", 422, "Invalid"),
        ("resourceVersion=abc", 400, "BadRequest"),
        ("resourceVersion=999999", 504, "Timeout"),
        ("continue=%21%21", 400, "BadRequest"),
        ("limit=x", 400, "BadRequest"),
        ("watch=1&resourceVersionMatch=NotOlderThan", 422, "Invalid"),
        ("watch=1&sendInitialEvents=true", 422, "Invalid"),
    ],
)
async def test_list_options_that_are_refused(api: Api, query: str, status: int, reason: str) -> None:
    answer = await api("GET", f"{MAPS}?{query}")
    assert (answer.status, answer.body["reason"]) == (status, reason)


# Who


async def test_without_good_credentials(api: Api) -> None:
    assert (await api("GET", MAPS, token="wrong")).status == 401
    anonymous = await api("GET", MAPS, token="")
    assert anonymous.status == 403
    assert body_of(anonymous) == (
        'configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" in API group ""'
        ' in the namespace "default"'
    )
    for path in ("/version", "/version/", "/healthz", "/livez", "/readyz?verbose"):
        assert (await api("GET", path, token="")).status == 200
    assert (await api("GET", "/metrics", token="")).status == 403


async def test_discovery(api: Api) -> None:
    legacy = (await api("GET", "/api/v1")).body
    assert legacy["groupVersion"] == "v1"
    by_name = {entry["name"]: entry for entry in legacy["resources"]}
    assert by_name["pods"]["shortNames"] == ["po"]
    assert by_name["serviceaccounts/token"]["kind"] == "TokenRequest"
    assert "pods/status" in by_name
    aggregated = await api(
        "GET", "/apis", accept="application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
    assert aggregated.headers["content-type"].endswith("as=APIGroupDiscoveryList")
    assert "rbac.authorization.k8s.io" in [item["metadata"]["name"] for item in aggregated.body["items"]]
    older = await api(
        "GET", "/apis", accept="application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
    )
    assert older.status in (200, 406)
    assert (await api("GET", "/apis/nothing.example/v1")).raw == b"404 page not found\n"
    assert (await api("GET", "/nothing")).raw == b"404 page not found\n"


async def test_what_is_not_emulated_says_so_in_the_journal(api: Api) -> None:
    await api.made(PODS, pod("p"))
    answer = await api("POST", f"{PODS}/p/proxy")
    assert answer.status == 501
    assert any("not emulated" in event.hop.why for event in api.journal.events())


async def test_a_pods_creation_and_deletion_are_in_the_journal(api: Api) -> None:
    await api.made(PODS, pod("p"))
    await api("DELETE", f"{PODS}/p")
    await api("POST", PODS, pod("P"))
    found = [(event.hop.what, event.hop.outcome) for event in api.journal.events() if "pod" in event.hop.what]
    assert found == [
        ("create pod default/p", "done"),
        ("delete pod default/p", "done"),
        ("create pod default/P", "refused"),
    ]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
members = st.dictionaries(
    st.sampled_from(
        ["metadata", "data", "spec", "kind", "labels", "name", "finalizers", "ownerReferences", "managedFields"]
    ),
    values | st.dictionaries(st.sampled_from(["name", "labels", "ownerReferences", "managedFields"]), values),
    max_size=4,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=members | values, place=st.sampled_from([MAPS, PODS]), patch=st.sampled_from([MERGE, STRATEGIC, APPLY]))
async def test_no_body_breaks_the_server(api: Api, body: Any, place: str, patch: str) -> None:
    try:
        raw = json.dumps(body).encode()
    except UnicodeEncodeError:
        return
    assert (await api("POST", f"{place}?dryRun=All", raw)).status < 500
    name = "kube-root-ca.crt"
    assert (await api("PATCH", f"{MAPS}/{name}?dryRun=All&fieldManager=x", raw, content_type=patch)).status < 500
    assert (await api("DELETE", f"{MAPS}/{name}?dryRun=All", raw)).status < 500
