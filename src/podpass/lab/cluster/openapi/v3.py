"""The OpenAPI v3 index and documents, by which kubectl decides to leave validation to the server.

A document lists a PATCH operation with fieldValidation for each kind, which apply, create, replace and edit look
for, and schemas with member names and types, which `kubectl explain` prints. Descriptions are left out, but for
custom resources, whose schemas are shown as they are.
`/openapi/v2` is made from these when somebody asks for it: old kubectls do, and new ones for a kind that version 3
does not have; on 404 they would blame validation where "no matches for kind" is to be said.
Contract: Kubernetes API surface, section 1.5.
"""

import hashlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from podpass.kube.merging import METADATA, ListRule, MapRule
from podpass.kube.resources import Resource
from podpass.lab.cluster import fields
from podpass.lab.cluster.fields import Field
from podpass.lab.cluster.registry import Kind, Registry
from podpass.serving.asgi import JSON_TYPE, Request, Response, json_response, text_response

_PREFIX = "io.k8s."
_FIELD_VALIDATION = {"name": "fieldValidation", "in": "query", "schema": {"type": "string", "uniqueItems": True}}
_PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_SCALAR_SCHEMAS: dict[str, dict[str, Any]] = {
    "string": {"type": "string", "default": ""},
    "bytes": {"type": "string", "format": "byte"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
}
_SPECIAL_SCHEMAS: dict[str, dict[str, Any]] = {
    fields.TIME: {"type": "string", "format": "date-time"},
    fields.MICRO_TIME: {"type": "string", "format": "date-time"},
    fields.QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    fields.INT_OR_STRING: {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
    fields.FIELDS_V1: {"type": "object"},
    fields.RAW_EXTENSION: {"type": "object"},
    fields.JSON: {"description": "Any JSON value."},
    **{name: {"description": "A schema, or something simpler in its place."} for name in fields.SCHEMA_UNIONS},
    "authentication.v1.ExtraValue": {"type": "array", "items": {"type": "string"}},
    "authorization.v1.ExtraValue": {"type": "array", "items": {"type": "string"}},
}

_OBJECT_META = "meta.v1.ObjectMeta"
_NO_RULES = MapRule()
_RETAIN_KEYS = frozenset({("core.v1.PodSpec", "volumes"), ("core.v1.PodSpec", "resourceClaims")})
"""Lists whose elements are unions: what a patch leaves out of an element goes."""


class Document:
    """One group version's document, written when it is first asked for."""

    def __init__(self, path: str, kinds: list[Kind]) -> None:
        self.path = path
        """The key in the index: `api/v1`, `apis/apps/v1`."""
        self.kinds = kinds
        # Whatever changes with the content will do; nothing has to be written for the index.
        parts = [(kind.resource, kind.document and kind.document.fingerprint) for kind in kinds]
        self.hash = _hash(repr(parts).encode())
        self._body: bytes | None = None

    def body(self) -> bytes:
        if self._body is None:
            self._body = _document(self.kinds)
        return self._body


class OpenApi:
    """Answers GET below /openapi/ from the kinds that are served at that moment."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._built: tuple[int, dict[str, Document]] = (-1, {})
        self._built_v2: tuple[int, dict[str, bytes]] | None = None

    async def __call__(self, request: Request) -> Response:
        path = request.path.removeprefix("/openapi/").strip("/")
        if path == "v3":
            return json_response(200, index(self._documents()))
        if path == "v2":
            media_type, body = self._version_2(request.headers.get("accept", ""))
            return _unless_known(request, body, media_type)
        document = self._documents().get(path.removeprefix("v3/")) if path.startswith("v3/") else None
        if document is None:
            return text_response(404, "404 page not found\n")
        body = document.body()
        headers: list[tuple[str, str]] = []
        if request.query.get("hash") == document.hash:
            # The address names the content, so what is cached under it never grows old.
            headers.append(("Cache-Control", "public, immutable"))
        return _unless_known(request, body, JSON_TYPE, *headers)

    def _version_2(self, accept: str) -> tuple[str, bytes]:
        """The media type and the body of version 2, in whichever of its two forms is asked for."""
        # Loaded late: few clients ask.
        from podpass.lab.cluster.openapi import v2

        if self._built_v2 is None or self._built_v2[0] != self._registry.changes:
            found = v2.document(msgspec.json.decode(document.body()) for document in self._documents().values())
            bodies = {v2.PROTOBUF: v2.protobuf(found), JSON_TYPE: msgspec.json.encode(found)}
            self._built_v2 = (self._registry.changes, bodies)
        media_type = v2.PROTOBUF if "proto-openapi.spec.v2" in accept else JSON_TYPE
        return media_type, self._built_v2[1][media_type]

    def _documents(self) -> dict[str, Document]:
        if self._built[0] != self._registry.changes:
            # A definition that comes or goes changes one group version; the others' documents stay as they are.
            self._built = (self._registry.changes, documents(self._registry, self._built[1]))
        return self._built[1]


def _unless_known(request: Request, body: bytes, media_type: str, *headers: tuple[str, str]) -> Response:
    """*body*, or 304 for a client that has it already."""
    etag = f'"{_hash(body)}"'
    if request.headers.get("if-none-match") == etag:
        return Response(304, headers=(("Etag", etag),))
    varies = ("Vary", "Accept"), ("Vary", "Accept-Encoding")
    return Response(200, body, (("Content-Type", media_type), ("Etag", etag), *varies, *headers))


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32].upper()


def documents(kinds: Iterable[Kind], known: Mapping[str, Document] = MappingProxyType({})) -> dict[str, Document]:
    """The documents of every group version among *kinds*, by their key in the index; *known* ones where they hold."""
    groups: dict[str, list[Kind]] = {}
    for kind in kinds:
        groups.setdefault(group_path(kind.resource), []).append(kind)
    return {
        path: known[path] if path in known and known[path].kinds == members else Document(path, members)
        for path, members in sorted(groups.items())
    }


def index(found: dict[str, Document]) -> dict[str, Any]:
    """The body of `GET /openapi/v3`."""
    return {
        "paths": {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={document.hash}"} for path, document in found.items()
        }
    }


def group_path(resource: Resource) -> str:
    return f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"


def _document(kinds: list[Kind]) -> bytes:
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for kind in kinds:
        resource = kind.resource
        message = fields.message_of(resource.api_version, resource.kind)
        gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        reference: dict[str, Any] = {}
        if kind.document is not None:
            name = _custom_name(resource)
            schemas[name] = kind.document.schema() | {"x-kubernetes-group-version-kind": [gvk]}
            _collect(_OBJECT_META, METADATA, schemas)
            reference = {"$ref": f"#/components/schemas/{name}"}
        elif message is not None:
            _collect(message, kind.merge_rules, schemas)
            _mark_kind(schemas[schema_name(message)], gvk)
            reference = {"$ref": f"#/components/schemas/{schema_name(message)}"}
        place = resource.path("{namespace}" if resource.namespaced else None) + "/{name}"
        place = place.replace("%7B", "{").replace("%7D", "}")
        # kubectl apply chooses its patch by this list.
        patches = _PATCH_TYPES if kind.built_in else _PATCH_TYPES[:-1]
        content = {media_type: {"schema": {"type": "object"}} for media_type in patches}
        answer = {"description": "OK", "content": {"application/json": {"schema": reference}}}
        paths[place] = {
            "get": {
                "operationId": f"read{resource.kind}",
                "responses": {"200": answer},
                "x-kubernetes-action": "get",
                "x-kubernetes-group-version-kind": gvk,
            },
            "patch": {
                "operationId": f"patch{resource.kind}",
                "parameters": [
                    {"name": "dryRun", "in": "query", "schema": {"type": "string", "uniqueItems": True}},
                    {"name": "fieldManager", "in": "query", "schema": {"type": "string", "uniqueItems": True}},
                    _FIELD_VALIDATION,
                ],
                "requestBody": {"content": content},
                "responses": {"200": answer},
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": gvk,
            },
        }
    return msgspec.json.encode(
        {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "v1.37.0"},
            "paths": paths,
            "components": {"schemas": schemas},
        }
    )


def schema_name(message: str) -> str:
    """The name by which upstream's documents know a message: `io.k8s.api.core.v1.Pod`."""
    if message.startswith(("meta.", "api.resource.", "runtime.", "util.")):
        inner = f"apis.{message}" if message.startswith("meta.") else message
        return f"{_PREFIX}apimachinery.pkg.{inner}"
    return f"{_PREFIX}api.{message}"


def _custom_name(resource: Resource) -> str:
    """`com.example.stable.v1.CronTab`, as upstream's documents call the schema of a custom resource."""
    return ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])


def _mark_kind(schema: dict[str, Any], gvk: dict[str, str]) -> None:
    schema["properties"] = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        **{name: value for name, value in schema["properties"].items() if name not in ("apiVersion", "kind")},
    }
    schema.setdefault("x-kubernetes-group-version-kind", []).append(gvk)


def _collect(message: str, rules: MapRule, schemas: dict[str, Any]) -> None:
    """Add the schemas of *message* and of all that it holds, with the merge keys that *rules* give their lists."""
    todo: list[tuple[str, MapRule]] = [(message, rules)]
    seen: set[tuple[str, int]] = set()
    while todo:
        name, rule = todo.pop()
        if (name, id(rule)) in seen:
            continue
        seen.add((name, id(rule)))
        if name in _SPECIAL_SCHEMAS:
            schemas[schema_name(name)] = _SPECIAL_SCHEMAS[name]
            continue
        members = fields.members(name)
        schema = schemas.setdefault(
            schema_name(name),
            {"type": "object", "properties": {member: _property(members[member]) for member in sorted(members)}},
        )
        for member, field in members.items():
            inner = rule.of(member)
            if isinstance(inner, ListRule):
                schema["properties"][member] |= _merging(name, member, inner)
                inner = inner.item
            if field.type not in fields.SCALARS:
                todo.append((field.type, inner or _NO_RULES))


def _merging(message: str, member: str, rule: ListRule) -> dict[str, Any]:
    """How a list merges, in the words by which kubectl makes its patches.

    It trusts these over what it knows itself: without them it replaces a pod's containers whole.
    """
    found: dict[str, Any] = {}
    if rule.keys:
        found |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(rule.keys)}
    elif rule.is_set:
        found["x-kubernetes-list-type"] = "set"
    if rule.merge_key:
        found["x-kubernetes-patch-merge-key"] = rule.merge_key
    if rule.merge_key or rule.is_set:
        retained = (message, member) in _RETAIN_KEYS
        found["x-kubernetes-patch-strategy"] = "merge,retainKeys" if retained else "merge"
    return found


def _property(field: Field) -> dict[str, Any]:
    if field.type in _SCALAR_SCHEMAS:
        one = dict(_SCALAR_SCHEMAS[field.type])
    else:
        one = {"allOf": [{"$ref": f"#/components/schemas/{schema_name(field.type)}"}], "default": {}}
    if field.shape == "list":
        return {"type": "array", "items": one}
    if field.shape == "map":
        return {"type": "object", "additionalProperties": one}
    return one
