"""Whether a schema is one that a custom resource can have: structural, and without what Kubernetes forbids.

Each fault is a cause with the API server's text, at its place below the path given. The schema's own members have
their types by now: the definition was read by its table of fields. Contract: Kubernetes API surface, section 5.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from podpass.kube.status import Cause, forbidden_field, invalid, required
from podpass.lab.cluster.customresources import formats, patterns
from podpass.lab.cluster.customresources.schema_keywords import keyword_faults
from podpass.lab.cluster.customresources.schema_tree import Schema, children, nodes
from podpass.lab.cluster.customresources.validation import NOWHERE, Check
from podpass.lab.cluster.customresources.values import META_MEMBERS, pruned

Level = Literal["root", "item", "field"]

MAX_DEPTH = 64
"""Schemas inside of schemas."""
MAX_CAUSES = 100

_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_NOT_EMPTY: dict[Level, str] = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_AT_ROOT_WITH_STATUS = (
    "description", "type", "format", "title", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum",
    "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "multipleOf", "required", "items",
    "properties", "externalDocs", "example", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations",
)  # fmt: skip
_NESTED_EMPTY = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}


def schema_faults(schema: Schema, path: str, *, has_status: bool) -> list[Cause]:
    """What keeps *schema* from being the schema of a custom resource; *has_status*: one with a status subresource."""
    if (deep := _too_deep(schema, path)) is not None:
        return [deep]
    faults = list(_root_faults(schema, path, has_status=has_status))
    structural = sorted((*_invariants(schema, "root", path), *_completeness(schema, path)), key=_text)
    faults += structural or _default_faults(schema, path, inside_meta=False, root=True)
    faults += keyword_faults(schema, path, root=True, inside_meta=False, no_defaults=None)
    return faults[:MAX_CAUSES]


def unrecognized_formats(schema: Schema) -> Iterator[str]:
    """Formats that are not checked, of which the API server warns."""
    for _, node in nodes(schema, ""):
        name, kind = node.get("format"), node.get("type") or ""
        if not name:
            continue
        if kind in ("", "string"):
            good = formats.known(name)
        elif kind == "integer":
            good = name in ("int32", "int64")
        else:
            good = kind == "number" and name in ("float", "double")
        if not good:
            yield name


def _too_deep(schema: Schema, path: str) -> Cause | None:
    level: list[tuple[str, Any]] = [(path, schema)]
    for _ in range(MAX_DEPTH):
        level = [each for place, node in level for each in children(node, place) if isinstance(each[1], Mapping)]
        if not level:
            return None
    return forbidden_field(path, f"schemas may be nested at most {MAX_DEPTH} deep")


def _text(cause: Cause) -> str:
    return f"{cause.field}: {cause.message}"


def _root_faults(schema: Schema, path: str, *, has_status: bool) -> Iterator[Cause]:
    if has_status:
        if schema.get("type") != "object":
            text = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
            yield invalid(f"{path}.type", schema.get("type") or "", text)
        other = [name for name in schema if name not in _AT_ROOT_WITH_STATUS and schema[name]]
        if other:
            names = " ".join(_go_name(name) for name in _AT_ROOT_WITH_STATUS)
            text = f"only [{names}] fields are allowed at the root of the schema if the status subresource is enabled"
            yield forbidden_field(f"{path}.{other[0]}", text)
    if schema.get("nullable"):
        yield forbidden_field(f"{path}.nullable", "nullable cannot be true at the root")


def _go_name(member: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in member.replace("x-kubernetes", "x").split("-"))


# Structural


def _invariants(schema: Schema, level: Level, path: str) -> Iterator[Cause]:
    kind = schema.get("type") or ""
    items, additional = schema.get("items"), schema.get("additionalProperties")
    properties: Mapping[str, Schema] = schema.get("properties") or {}
    embedded, keeps = bool(schema.get("x-kubernetes-embedded-resource")), _keeps(schema)
    if kind == "array" and not items:
        yield required(f"{path}.items", "must be specified")
    if isinstance(items, Mapping):
        yield from _invariants(items, "item", f"{path}.items")
    for name, below in properties.items():
        yield from _invariants(below, "field", f"{path}.properties[{name}]")
    if additional is not None:
        if level == "root":
            yield forbidden_field(f"{path}.additionalProperties", "must not be used at the root")
        if isinstance(additional, Mapping):
            yield from _invariants(additional, "field", f"{path}.additionalProperties")
        if embedded:
            text = "must not be used if x-kubernetes-embedded-resource is set"
            yield forbidden_field(f"{path}.additionalProperties", text)
    if schema.get("x-kubernetes-int-or-string"):
        text = "must be false if x-kubernetes-int-or-string is true"
        if keeps:
            yield invalid(f"{path}.x-kubernetes-preserve-unknown-fields", True, text)
        if embedded:
            yield invalid(f"{path}.x-kubernetes-embedded-resource", True, text)
    yield from _value_rules(schema, path, int_or_string=True)
    yield from _type_faults(schema, level, path)
    if level == "root" or embedded:
        for name in ("kind", "apiVersion"):
            if name in properties and properties[name].get("type") != "string":
                yield invalid(f"{path}.properties[{name}].type", properties[name].get("type") or "", "must be string")
    if "metadata" in properties:
        yield from _metadata_faults(properties["metadata"], level, embedded, f"{path}.properties[metadata]")
    if embedded and not keeps and not properties:
        text = (
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        )
        yield required(f"{path}.properties", text)


def _keeps(schema: Schema) -> bool:
    return bool(schema.get("x-kubernetes-preserve-unknown-fields"))


def _type_faults(schema: Schema, level: Level, path: str) -> Iterator[Cause]:
    kind = schema.get("type") or ""
    if schema.get("x-kubernetes-embedded-resource") and kind != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        yield invalid(f"{path}.type", kind, text) if kind else required(f"{path}.type", text)
    elif not kind and not schema.get("x-kubernetes-int-or-string") and not _keeps(schema):
        yield required(f"{path}.type", _NOT_EMPTY[level])
    if level == "root" and kind and kind != "object":
        yield invalid(f"{path}.type", kind, "must be object at the root")


def _metadata_faults(metadata: Schema, level: Level, embedded: bool, path: str) -> Iterator[Cause]:
    if (level == "root" or embedded) and metadata.get("type") != "object":
        yield invalid(f"{path}.type", metadata.get("type") or "", "must be object")
    if level == "root":
        inner = metadata.get("properties") or {}
        left = {name for name, value in metadata.items() if value and name not in ("type", "properties", "description")}
        if left or not set(inner) <= {"name", "generateName"}:
            text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            yield forbidden_field(path, text)


def _value_rules(schema: Schema, path: str, *, int_or_string: bool) -> Iterator[Cause]:
    """Rules under allOf, anyOf, oneOf and not reason about values only. *int_or_string*: its two forms are fine."""
    any_of, all_of = schema.get("anyOf") or [], schema.get("allOf") or []
    if not (int_or_string and any_of == _INT_OR_STRING):
        for at, each in enumerate(any_of):
            yield from _nested(each, f"{path}.anyOf[{at}]")
    for at, each in enumerate(all_of):
        first = int_or_string and at == 0 and each.get("anyOf") == _INT_OR_STRING
        yield from _nested(each, f"{path}.allOf[{at}]", int_or_string=first)
    for at, each in enumerate(schema.get("oneOf") or []):
        yield from _nested(each, f"{path}.oneOf[{at}]")
    if isinstance(schema.get("not"), Mapping):
        yield from _nested(schema["not"], f"{path}.not")
    if pattern := schema.get("pattern"):
        try:
            patterns.matcher(pattern)
        except patterns.BadPattern as error:
            yield invalid(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {error}")


def _nested(schema: Schema, path: str, *, int_or_string: bool = False) -> Iterator[Cause]:
    yield from _value_rules(schema, path, int_or_string=int_or_string)
    if isinstance(schema.get("items"), Mapping):
        yield from _nested(schema["items"], f"{path}.items")
    for name, below in (schema.get("properties") or {}).items():
        yield from _nested(below, f"{path}.properties[{name}]")
    for name, text in _NESTED_EMPTY.items():
        if schema.get(name) or (name == "additionalProperties" and name in schema):
            yield forbidden_field(f"{path}.{name}", text)
    if "metadata" in (schema.get("properties") or {}):
        yield forbidden_field(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _completeness(schema: Schema, path: str) -> Iterator[Cause]:
    """Whatever a rule under allOf, anyOf, oneOf or not speaks of is specified outside of them too.

    The API server looks at the rules of the root alone, and at all that is inside of those.
    """
    for place, rule in _rules_of(schema, path):
        yield from _nested_completeness(rule, schema, path, place)


def _rules_of(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    if isinstance(schema.get("not"), Mapping):
        yield f"{path}.not", schema["not"]
    for name in ("allOf", "anyOf", "oneOf"):
        yield from ((f"{path}.{name}[{at}]", each) for at, each in enumerate(schema.get(name) or ()))


def _nested_completeness(rule: Schema, schema: Schema, path: str, rule_path: str) -> Iterator[Cause]:
    for place, below in _rules_of(rule, rule_path):
        yield from _nested_completeness(below, schema, path, place)
    if isinstance(rule.get("items"), Mapping):
        items = schema.get("items")
        if isinstance(items, Mapping):
            yield from _nested_completeness(rule["items"], items, f"{path}.items", f"{rule_path}.items")
        else:
            yield required(f"{path}.items", f"because it is defined in {rule_path}.items")
    specified = schema.get("properties") or {}
    for name, below in (rule.get("properties") or {}).items():
        place = f"{path}.properties[{name}]"
        if name in specified:
            yield from _nested_completeness(below, specified[name], place, f"{rule_path}.properties[{name}]")
        else:
            yield required(place, f"because it is defined in {rule_path}.properties[{name}]")


# Defaults


def _default_faults(schema: Schema, path: str, *, inside_meta: bool, root: bool = False) -> Iterator[Cause]:
    """A default is itself a valid value without unknown members."""
    default = schema.get("default")
    if default is not None and not inside_meta:
        if pruned(schema, default):
            yield invalid(f"{path}.default", default, "must not have unknown fields")
        else:
            # The texts know the default alone, the places the whole definition.
            for cause in Check(schema).causes(default):
                inside = "" if cause.field == NOWHERE or not cause.field else f".{cause.field}"
                yield Cause(cause.reason, cause.message, f"{path}.default{inside}")
    embedded = root or bool(schema.get("x-kubernetes-embedded-resource"))
    for name, below in (schema.get("properties") or {}).items():
        meta = inside_meta or (embedded and name in META_MEMBERS)
        yield from _default_faults(below, f"{path}.properties[{name}]", inside_meta=meta)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), Mapping):
            yield from _default_faults(schema[name], f"{path}.{name}", inside_meta=inside_meta)
