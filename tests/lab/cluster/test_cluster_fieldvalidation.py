from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.kube.resources import EVENTS, NODES, PODS, SERVICEACCOUNTS, Resource
from podpass.kube.status import StatusError
from podpass.lab.cluster.fieldvalidation import check, duplicates, validate_fields
from podpass.lab.cluster.openapi.v3 import OpenApi, documents, index
from podpass.lab.cluster.registry import Kind, Registry
from podpass.serving.asgi import Request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("pod", "unknown"),
    [
        pytest.param({"spec": {"foo": 1}}, ("spec.foo",), id="in-the-spec"),
        pytest.param({"foo": {}}, ("foo",), id="at-the-top"),
        pytest.param(
            {"spec": {"containers": [{"name": "a"}, {"imagePullpolicy": "Always"}]}},
            ("spec.containers[1].imagePullpolicy",),
            id="letter-case-counts",
        ),
        pytest.param(
            {"spec": {"volumes": [{"name": "v", "emptyDir": {"x": 1}}]}}, ("spec.volumes[0].emptyDir.x",), id="inlined"
        ),
        pytest.param({"metadata": {"labels": {"anything": "goes"}}}, (), id="maps-hold-any-key"),
        pytest.param({"metadata": {"managedFields": [{"fieldsV1": {"f:x": {}}}]}}, (), id="raw-json-is-left-alone"),
        pytest.param({"spec": {"nodeName": None}}, (), id="null-is-dropped"),
    ],
)
def test_unknown_members_are_named_with_their_path_and_removed(pod: dict[str, Any], unknown: tuple[str, ...]) -> None:
    found = check({"apiVersion": "v1", "kind": "Pod", **pod}, "v1", "Pod")
    assert found.unknown == unknown
    assert check(found.obj, "v1", "Pod").unknown == ()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            {"containers": [{"env": [{"name": "A", "value": 1}]}]},
            "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
            id="number-for-text",
        ),
        pytest.param(
            {"containers": {}},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
            id="object-for-list",
        ),
        pytest.param(
            {"hostNetwork": "true"},
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
            id="text-for-boolean",
        ),
        pytest.param(
            {"terminationGracePeriodSeconds": "30"},
            "json: cannot unmarshal string into Go struct field PodSpec.spec.terminationGracePeriodSeconds"
            " of type int64",
            id="text-for-number",
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_in_the_words_of_the_api_server(
    spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(StatusError) as caught:
        validate_fields(Kind(resource=PODS), {"apiVersion": "v1", "kind": "Pod", "spec": spec}, b"")
    assert caught.value.code == 400
    assert caught.value.message == f'Pod in version "v1" cannot be handled as a Pod: {message}'


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param("2026-02-03T04:05:06Z", "2026-02-03T04:05:06Z", id="as-served"),
        pytest.param("2026-02-03T04:05:06+00:00", "2026-02-03T04:05:06Z", id="as-python-clients-write-it"),
        pytest.param("2026-02-03T06:05:06.789+02:00", "2026-02-03T04:05:06Z", id="elsewhere-with-a-fraction"),
        pytest.param("2026-02-30T04:05:06Z", None, id="no-such-day"),
        pytest.param("2026-02-03", None, id="a-date"),
        pytest.param("0001-01-01T00:00:00+14:00", None, id="before-the-first-year"),
    ],
)
def test_times_are_kept_as_the_api_server_writes_them(sent: str, kept: str | None) -> None:
    found = check({"metadata": {"creationTimestamp": sent}}, "v1", "Pod")
    assert (found.obj["metadata"]["creationTimestamp"] if found.mistyped is None else None) == kept
    if kept is None:
        assert str(found.mistyped).startswith(f'parsing time "{sent}" as "2006-01-02T15:04:05Z07:00": cannot parse')


def test_a_lease_keeps_microseconds() -> None:
    found = check({"spec": {"renewTime": "2026-02-03T04:05:06.5+00:00"}}, "coordination.k8s.io/v1", "Lease")
    assert found.obj["spec"]["renewTime"] == "2026-02-03T04:05:06.500000Z"


@pytest.mark.parametrize(
    ("text", "place"), [("not base64!", 3), ("!!", 0), ("YWJj!!", 4), ("YWJ", 0), ("YWJjYQ", 4), ("YW=", 0)]
)
def test_a_secret_that_is_not_base64_is_refused_with_the_place(text: str, place: int) -> None:
    found = check({"data": {"k": text}}, "v1", "Secret")
    assert str(found.mistyped) == f"illegal base64 data at input byte {place}"


@pytest.mark.parametrize("amount", ["x", "1x", "", "1 Gi", "--1"])
def test_what_is_no_quantity_is_refused_before_the_object_is_looked_at(amount: str) -> None:
    container = {"name": "c", "resources": {"limits": {"cpu": amount}}}
    found = check({"spec": {"containers": [container]}}, "v1", "Pod")
    assert str(found.mistyped).startswith("quantities must match the regular expression")


def test_numbers_and_text_are_both_quantities_and_ports() -> None:
    container = {"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}, "livenessProbe": {"tcpSocket": {"port": "http"}}}
    found = check({"spec": {"containers": [container]}}, "v1", "Pod")
    assert (found.unknown, found.mistyped) == ((), None)


def test_members_given_twice_are_found() -> None:
    body = b'{"spec":{"nodeName":"a","nodeName":"b","containers":[{"name":"c","name":"d"}]}}'
    assert duplicates(body) == ("spec.nodeName", "spec.containers[0].name")
    pod = msgspec.json.decode(body)
    texts = validate_fields(Kind(resource=PODS), pod, body)
    assert texts == ['duplicate field "spec.nodeName"', 'duplicate field "spec.containers[0].name"']


def test_a_kind_that_is_not_built_in_is_left_to_its_schema() -> None:
    widget = Resource("x.io", "v1", "widgets", "Widget", True)
    obj = {"apiVersion": "x.io/v1", "kind": "Widget", "anything": 1}
    assert validate_fields(Kind(resource=widget, built_in=False), obj, b"") == []
    assert obj["anything"] == 1


@given(JSON.filter(lambda value: isinstance(value, dict)))
def test_no_object_crashes_the_check(obj: Any) -> None:
    for kind in ("Pod", "Secret", "Node", "Event"):
        check(obj, "v1", kind)
        check({"metadata": obj, "spec": obj, "data": obj, "status": obj}, "v1", kind)


@given(st.binary(max_size=200) | JSON.map(msgspec.json.encode))
def test_no_body_crashes_the_search_for_duplicates(body: bytes) -> None:
    duplicates(body)


async def get(api: OpenApi, path: str, query: str = "", headers: dict[str, str] | None = None) -> tuple[int, Any]:
    response = await api(Request("GET", path, path, query, headers or {}))
    return response.status, msgspec.json.decode(response.body) if response.body[:1] == b"{" else None


async def test_openapi_lists_a_patch_with_field_validation_for_each_kind() -> None:
    api = OpenApi(Registry([Kind(resource=PODS), Kind(resource=NODES)]))
    status, listed = await get(api, "/openapi/v3")
    assert status == 200
    address = listed["paths"]["api/v1"]["serverRelativeURL"]
    path, _, query = address.partition("?")
    status, document = await get(api, path, query)
    assert (status, document["openapi"]) == (200, "3.0.0")
    patches = [operations["patch"] for operations in document["paths"].values()]
    kinds = {operation["x-kubernetes-group-version-kind"]["kind"] for operation in patches}
    assert kinds == {"Pod", "Node"}
    for operation in patches:
        assert "fieldValidation" in [parameter["name"] for parameter in operation["parameters"]]


async def test_openapi_follows_the_kinds_that_are_served() -> None:
    registry = Registry([Kind(resource=PODS)])
    api = OpenApi(registry)
    before = (await get(api, "/openapi/v3"))[1]
    widget = Resource("x.io", "v1", "widgets", "Widget", True)
    registry.add(Kind(resource=widget, built_in=False))
    after = (await get(api, "/openapi/v3"))[1]
    assert set(after["paths"]) - set(before["paths"]) == {"apis/x.io/v1"}
    assert after["paths"]["api/v1"] == before["paths"]["api/v1"]
    registry.remove(widget)
    assert (await get(api, "/openapi/v3"))[1] == before


@pytest.mark.parametrize("path", ["/openapi/v3/apis/none/v1", "/openapi/v4"])
async def test_what_is_not_published_is_not_found(path: str) -> None:
    assert (await get(OpenApi(Registry([Kind(resource=PODS)])), path))[0] == 404


def test_every_reference_in_a_document_leads_somewhere() -> None:
    found = documents(Kind(resource=each) for each in (PODS, NODES, EVENTS, SERVICEACCOUNTS))
    assert set(index(found)["paths"]) == {"api/v1"}
    document = msgspec.json.decode(found["api/v1"].body())
    schemas = document["components"]["schemas"]

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [each for member in value.values() for each in references(member)]
        return [each for member in value for each in references(member)] if isinstance(value, list) else []

    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas


def test_lists_say_by_what_key_they_merge() -> None:
    document = msgspec.json.decode(documents([Kind(resource=PODS)])["api/v1"].body())
    schemas = document["components"]["schemas"]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-patch-strategy"] == "merge"
    container = schemas["io.k8s.api.core.v1.Container"]["properties"]
    assert container["ports"]["x-kubernetes-patch-merge-key"] == "containerPort"
    assert container["ports"]["x-kubernetes-list-map-keys"] == ["containerPort", "protocol"]
    assert "x-kubernetes-patch-merge-key" not in container["args"]
    volumes = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["volumes"]
    assert volumes["x-kubernetes-patch-strategy"] == "merge,retainKeys"
