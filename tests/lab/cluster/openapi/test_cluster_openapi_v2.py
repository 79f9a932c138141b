"""OpenAPI version 2: what becomes of version 3's schemas, and the protobuf form."""

import json
from typing import Any

import pytest

from podpass.kube.resources import EVENTS, PODS
from podpass.lab.cluster.openapi import v2
from podpass.lab.cluster.openapi.v3 import OpenApi
from podpass.lab.cluster.registry import Kind, Registry
from podpass.serving.asgi import Request, Response

GNOSTIC = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
PODS_PATH = "/api/v1/namespaces/{namespace}/pods/{name}"


async def get(accept: str, **headers: str) -> Response:
    api = OpenApi(Registry([Kind(resource=PODS), Kind(resource=EVENTS)]))
    return await api(Request("GET", "/openapi/v2", "/openapi/v2", "", {"accept": accept, **headers}))


def fields(message: bytes) -> list[tuple[int, Any]]:
    """The fields of a protobuf message: numbers, and lengths of bytes."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (message[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 0x80:
                return value, at

    at, found = 0, []
    while at < len(message):
        key, at = varint(at)
        size, at = (8, at) if key & 7 == 1 else varint(at)
        if key & 7 == 0:
            found.append((key >> 3, size))
        else:
            found.append((key >> 3, message[at : at + size]))
            at += size
    return found


def one(message: bytes, *numbers: int) -> Any:
    """What is found by going down through the first fields of these numbers."""
    for number in numbers:
        message = next(value for found, value in fields(message) if found == number)
    return message


def named(message: bytes, number: int, name: str) -> bytes:
    return next(one(value, 2) for found, value in fields(message) if found == number and one(value, 1) == name.encode())


@pytest.mark.parametrize(
    ("version_3", "version_2"),
    [
        pytest.param({"type": "string", "default": ""}, {"type": "string"}, id="default-goes"),
        pytest.param(
            {"allOf": [{"$ref": "#/components/schemas/a.B"}], "default": {}, "description": "d"},
            {"$ref": "#/definitions/a.B", "description": "d"},
            id="reference",
        ),
        pytest.param({"oneOf": [{"type": "string"}, {"type": "number"}]}, {"type": "string"}, id="quantity"),
        pytest.param(
            {"x-kubernetes-int-or-string": True},
            {"type": "string", "format": "int-or-string", "x-kubernetes-int-or-string": True},
            id="int-or-string",
        ),
        pytest.param(
            {"type": "array", "items": {"$ref": "#/x/B"}},
            {"type": "array", "items": {"$ref": "#/definitions/B"}},
            id="list",
        ),
        pytest.param(
            {"type": "object", "additionalProperties": {"type": "integer", "maximum": 3, "not": {}}},
            {"type": "object", "additionalProperties": {"type": "integer", "maximum": 3}},
            id="map",
        ),
        pytest.param({"type": "string", "nullable": True, "description": "d"}, {"description": "d"}, id="nullable"),
        pytest.param(
            {"type": "object", "properties": {}, "x-kubernetes-preserve-unknown-fields": True},
            {"x-kubernetes-preserve-unknown-fields": True},
            id="anything",
        ),
    ],
)
def test_a_schema_says_what_version_2_can(version_3: dict[str, Any], version_2: dict[str, Any]) -> None:
    document = {"info": {}, "paths": {}, "components": {"schemas": {"A": version_3}}}
    assert v2.document([document])["definitions"] == {"A": version_2}


async def test_kubectl_finds_in_the_protobuf_form_that_pods_can_be_written_dry() -> None:
    answer = await get(GNOSTIC)
    assert dict(answer.headers)["Content-Type"] == v2.PROTOBUF
    assert one(answer.body, 1) == b"2.0"
    patch = one(named(one(answer.body, 8), 2, PODS_PATH), 8)
    assert one(named(patch, 13, "x-kubernetes-group-version-kind"), 2) == b'{"group":"","version":"v1","kind":"Pod"}'
    names = [one(value, 1, 2, 3, 4) for number, value in fields(patch) if number == 8]
    assert names == [b"dryRun", b"fieldManager", b"fieldValidation"]


async def test_the_protobuf_form_holds_the_schemas_of_the_json_form() -> None:
    body, schemas = (await get("application/json")).body, one((await get(GNOSTIC)).body, 9)
    definitions = json.loads(body)["definitions"]
    assert [one(value, 1).decode() for _, value in fields(schemas)] == list(definitions)
    container = named(schemas, 1, "io.k8s.api.core.v1.Container")
    assert one(container, 22, 1) == b"object"
    ports = named(one(container, 25), 1, "ports")
    assert one(ports, 22, 1) == b"array"
    assert one(ports, 23, 1, 1) == b"#/definitions/io.k8s.api.core.v1.ContainerPort"
    assert one(named(ports, 31, "x-kubernetes-patch-merge-key"), 2) == b'"containerPort"'


def test_numbers_limits_and_open_maps_are_encoded() -> None:
    schema = {"type": "integer", "minimum": 1.5, "enum": [1, "a"], "required": ["b"], "additionalProperties": True}
    document = {"swagger": "2.0", "info": {"title": "t", "version": "v"}, "paths": {}, "definitions": {"A": schema}}
    encoded = named(one(v2.protobuf(document), 9), 1, "A")
    assert fields(encoded) == [
        (9, b"\0\0\0\0\0\0\xf8?"),
        (19, b"b"),
        (20, b"\x12\x011"),
        (20, b'\x12\x03"a"'),
        (21, b"\x10\x01"),
        (22, b"\x0a\x07integer"),
    ]


async def test_a_client_that_has_it_is_told_so() -> None:
    etag = dict((await get(GNOSTIC)).headers)["Etag"]
    assert (await get(GNOSTIC, **{"if-none-match": etag})).status == 304
    assert (await get("application/json", **{"if-none-match": etag})).status == 200
