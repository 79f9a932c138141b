"""What Kubernetes takes of OpenAPI in the schema of a custom resource, and how its own keywords may be used.

Contract: Kubernetes API surface, section 5.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from podpass.kube.status import Cause, forbidden_field, invalid, not_supported, required
from podpass.lab.cluster.customresources.schema_tree import Schema, children
from podpass.lab.cluster.customresources.values import META_MEMBERS

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_RULE_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")


def keyword_faults(
    schema: Schema, path: str, *, root: bool, inside_meta: bool, no_defaults: str | None
) -> Iterator[Cause]:
    """*no_defaults*: why there may be no defaults here."""
    yield from _standard_faults(schema, path, inside_meta, no_defaults)
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden_field(f"{path}.uniqueItems", text)
    additional, properties = schema.get("additionalProperties"), schema.get("properties") or {}
    if additional is not None and properties and additional is not True:
        text = "additionalProperties and properties are mutual exclusive"
        yield forbidden_field(f"{path}.additionalProperties", text)
    below: Callable[..., Iterator[Cause]] = keyword_faults
    if isinstance(additional, Mapping):
        why = "inside additionalProperties applying to object metadata" if inside_meta else no_defaults
        place = f"{path}.additionalProperties"
        yield from below(additional, place, root=False, inside_meta=inside_meta, no_defaults=why)
    for name, each in properties.items():
        meta, why = inside_meta, no_defaults
        if (root or schema.get("x-kubernetes-embedded-resource")) and name in META_MEMBERS:
            meta = True
            if root:
                why = f"in top-level {name}"
        yield from below(each, f"{path}.properties[{name}]", root=False, inside_meta=meta, no_defaults=why)
    for place, each in children({**schema, "properties": None, "additionalProperties": None}, path):
        if isinstance(each, Mapping):
            yield from below(each, place, root=False, inside_meta=inside_meta, no_defaults=no_defaults)
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        yield invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    yield from _map_type_faults(schema, path)
    yield from _list_type_faults(schema, path)
    for at, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        yield from _rule_faults(rule, f"{path}.x-kubernetes-validations[{at}]")


def _standard_faults(schema: Schema, path: str, inside_meta: bool, no_defaults: str | None) -> Iterator[Cause]:
    kind = schema.get("type") or ""
    if kind and kind not in _TYPES:
        yield not_supported(f"{path}.type", kind, _TYPES)
    if schema.get("default") is not None and no_defaults is not None:
        yield forbidden_field(f"{path}.default", f"must not be set {no_defaults}".rstrip())
    for name in _UNSUPPORTED:
        if schema.get(name) or (name in ("additionalItems", "dependencies", "$ref") and schema.get(name) is not None):
            yield forbidden_field(f"{path}.{name}", f"{name} is not supported")
    if kind == "null":
        yield forbidden_field(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if isinstance(schema.get("items"), list) and schema["items"]:
        yield forbidden_field(f"{path}.items", "items must be a schema object and not an array")
    if inside_meta and schema.get("x-kubernetes-embedded-resource"):
        yield forbidden_field(f"{path}.x-kubernetes-embedded-resource", "must not be used inside of resource meta")


def _map_type_faults(schema: Schema, path: str) -> Iterator[Cause]:
    map_type, kind = schema.get("x-kubernetes-map-type"), schema.get("type") or ""
    if map_type is None:
        return
    if kind != "object":
        text = "must be object if x-kubernetes-map-type is specified"
        yield invalid(f"{path}.type", kind, text) if kind else required(f"{path}.type", text)
    if map_type not in ("atomic", "granular"):
        yield not_supported(f"{path}.x-kubernetes-map-type", map_type, ("atomic", "granular"))


def _list_type_faults(schema: Schema, path: str) -> Iterator[Cause]:
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    kind, items = schema.get("type") or "", schema.get("items")
    place = f"{path}.x-kubernetes-list-type"
    if keys and list_type != "map":
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield required(place, text) if list_type is None else invalid(place, list_type, text)
    if list_type is None:
        return
    if kind != "array":
        text = "must be array if x-kubernetes-list-type is specified"
        yield invalid(f"{path}.type", kind, text) if kind else required(f"{path}.type", text)
    if list_type not in ("atomic", "set", "map"):
        yield not_supported(place, list_type, ("atomic", "set", "map"))
    if list_type == "map":
        yield from _map_list_faults(schema, keys, path)
    if not isinstance(items, Mapping):
        return
    if list_type == "set" and kind == "array":
        text = "must be atomic as item of a list with x-kubernetes-list-type=set"
        inner = items.get("x-kubernetes-list-type")
        if items.get("type") == "array" and inner not in (None, "atomic"):
            yield invalid(f"{path}.items.x-kubernetes-list-type", inner, text)
        if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
            yield invalid(f"{path}.items.x-kubernetes-map-type", items.get("x-kubernetes-map-type"), text)
    if list_type in ("set", "map") and items.get("nullable"):
        yield forbidden_field(
            f"{path}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {list_type}"
        )


def _map_list_faults(schema: Schema, keys: list[str], path: str) -> Iterator[Cause]:
    items, place = schema.get("items"), f"{path}.x-kubernetes-list-map-keys"
    if not keys:
        yield required(place, "must not be empty if x-kubernetes-list-type is map")
    if items is None:
        yield required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
    if not isinstance(items, Mapping):
        return
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        yield invalid(f"{path}.items.type", items.get("type") or "", text)
        return
    properties, needed = items.get("properties") or {}, items.get("required") or ()
    for key in keys:
        if key not in properties:
            yield invalid(place, keys, "entries must all be names of item properties")
            continue
        found, where = properties[key], f"{path}.items.properties[{key}]"
        if found.get("type") in ("array", "object"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield invalid(f"{where}.type", found["type"], text)
        about = "this property is in x-kubernetes-list-map-keys, so it"
        if key not in needed and found.get("default") is None:
            yield required(f"{where}.default", f"{about} must have a default or be a required property")
        if found.get("nullable"):
            yield forbidden_field(f"{where}.nullable", f"{about} cannot be nullable")
    if len(set(keys)) < len(keys):
        yield invalid(place, keys, "must not contain duplicate entries")


def _rule_faults(rule: Mapping[str, Any], path: str) -> Iterator[Cause]:
    text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
    if not text:
        yield required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        yield invalid(f"{path}.message", message, "must be non-empty if specified")
    elif _broken(message.strip()):
        yield invalid(f"{path}.message", message, "must not contain line breaks")
    elif _broken(text) and not message:
        yield required(f"{path}.message", "message must be specified if rule contains line breaks")
    expression = rule.get("messageExpression") or ""
    if expression and not expression.strip():
        yield required(f"{path}.messageExpression", "messageExpression must be non-empty if specified")
    reason = rule.get("reason")
    if reason is not None and reason not in _RULE_REASONS:
        yield not_supported(f"{path}.reason", reason, _RULE_REASONS)
    place = rule.get("fieldPath") or ""
    if place and not place.strip():
        yield invalid(f"{path}.fieldPath", place, "must be non-empty if specified")
    if _broken(place):
        yield invalid(f"{path}.fieldPath", place, "must not contain line breaks")


def _broken(text: str) -> bool:
    return "\n" in text or "\r" in text
