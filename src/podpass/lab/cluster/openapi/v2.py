"""The OpenAPI v2 document, made from those of version 3, as JSON and in the protobuf form that kubectl reads.

kubectl before 1.27 knows only this one: it checks manifests by it, learns from it which kinds can be written dry,
and explains from it. Version 2 has no alternatives and no null: a quantity is a string, what may be a number or a
string is a string of that format, and a schema that allows null or any member says nothing of its type.
Contract: Kubernetes API surface, section 1.5; the field numbers are those of gnostic's openapi.v2.Document.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_DEFINITIONS = "#/definitions/"
_AS_THEY_ARE = ("description", "enum", "format", "maximum", "minimum", "pattern", "required", "type")
_LAX = ("format", "items", "properties", "additionalProperties", "required", "type")


def document(version_3: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One version 2 document with the paths and schemas of all *version_3* documents."""
    paths: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    info = {"title": "Kubernetes", "version": ""}
    for found in version_3:
        info = found["info"]
        for path, item in found["paths"].items():
            paths[path] = {method: _operation(operation) for method, operation in item.items()}
        for name, schema in found.get("components", {}).get("schemas", {}).items():
            definitions[name] = _schema(schema)
    return {"swagger": "2.0", "info": info, "paths": paths, "definitions": definitions}


def _operation(operation: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: value for name, value in operation.items() if name.startswith("x-")}
    found["operationId"] = operation["operationId"]
    found["parameters"] = [
        {"name": parameter["name"], "in": parameter["in"], "type": "string", "uniqueItems": True}
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    ]
    found["responses"] = {
        code: {"description": answer["description"]} for code, answer in operation["responses"].items()
    }
    return found


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref") or next((one["$ref"] for one in schema.get("allOf", ()) if "$ref" in one), None)
    if reference is not None:
        found = {"$ref": _DEFINITIONS + reference.rpartition("/")[2]}
        return found | {name: schema[name] for name in ("description",) if name in schema}
    found = {name: value for name, value in schema.items() if name in _AS_THEY_ARE or name.startswith("x-")}
    if "oneOf" in schema and "type" not in schema:
        found["type"] = "string"
    if schema.get("x-kubernetes-int-or-string"):
        found |= {"type": "string", "format": "int-or-string"}
    if "properties" in schema:
        found["properties"] = {name: _schema(value) for name, value in schema["properties"].items()}
    if "items" in schema:
        found["items"] = _schema(schema["items"])
    further = schema.get("additionalProperties")
    if further is not None:
        found["additionalProperties"] = _schema(further) if isinstance(further, Mapping) else further
    if schema.get("nullable") or schema.get("x-kubernetes-preserve-unknown-fields"):
        # kubectl would refuse a null, or an unknown member, that the server takes.
        found = {name: value for name, value in found.items() if name not in _LAX}
    return found


def protobuf(document: Mapping[str, Any]) -> bytes:
    """*document* as gnostic's message."""
    paths = b"".join(_named(2, path, _path_item(item)) for path, item in document["paths"].items())
    definitions = b"".join(_named(1, name, _encoded(schema)) for name, schema in document["definitions"].items())
    info = _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])
    return _text(1, document["swagger"]) + _part(2, info) + _part(8, paths) + _part(9, definitions)


def _path_item(item: Mapping[str, Any]) -> bytes:
    numbers = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}
    return b"".join(_part(numbers[method], _encoded_operation(operation)) for method, operation in item.items())


def _encoded_operation(operation: Mapping[str, Any]) -> bytes:
    parameters = b"".join(
        # ParametersItem.parameter, Parameter.non_body_parameter, NonBodyParameter.query_parameter_sub_schema
        _part(
            8, _part(1, _part(2, _part(3, _text(2, found["in"]) + _text(4, found["name"]) + _text(6, found["type"]))))
        )
        for found in operation["parameters"]
    )
    responses = b"".join(
        _named(1, code, _part(1, _text(1, answer["description"]))) for code, answer in operation["responses"].items()
    )
    return _text(5, operation["operationId"]) + parameters + _part(9, responses) + _extensions(13, operation)


def _encoded(schema: Mapping[str, Any]) -> bytes:
    """A Schema; its members stand in the order of their numbers."""
    parts = [
        _text(number, schema[name])
        for number, name in ((1, "$ref"), (2, "format"), (4, "description"))
        if name in schema
    ]
    parts += [_double(number, schema[name]) for number, name in ((7, "maximum"), (9, "minimum")) if name in schema]
    parts += [_text(13, schema["pattern"])] if "pattern" in schema else []
    parts += [_text(19, name) for name in schema.get("required", ())]
    parts += [_part(20, _any(value)) for value in schema.get("enum", ())]
    if (further := schema.get("additionalProperties")) is not None:
        parts.append(_part(21, _part(1, _encoded(further)) if isinstance(further, Mapping) else _truth(2, further)))
    parts += [_part(22, _text(1, schema["type"]))] if "type" in schema else []
    parts += [_part(23, _part(1, _encoded(schema["items"])))] if "items" in schema else []
    if "properties" in schema:
        members = (_named(1, name, _encoded(value)) for name, value in schema["properties"].items())
        parts.append(_part(25, b"".join(members)))
    return b"".join(parts) + _extensions(31, schema)


def _extensions(number: int, holder: Mapping[str, Any]) -> bytes:
    return b"".join(_named(number, name, _any(value)) for name, value in holder.items() if name.startswith("x-"))


def _any(value: Any) -> bytes:
    """An Any holds YAML, which JSON is."""
    return _text(2, msgspec.json.encode(value).decode())


def _named(number: int, name: str, value: bytes) -> bytes:
    return _part(number, _text(1, name) + _part(2, value))


def _part(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _text(number: int, value: str) -> bytes:
    return _part(number, value.encode())


def _truth(number: int, value: bool) -> bytes:
    return _varint(number << 3) + _varint(int(value))


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
