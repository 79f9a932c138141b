"""What schemas mean: which are structural, what they do to values, and what they say of them."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.kube.status import Cause
from podpass.lab.cluster.customresources import formats, patterns, structural
from podpass.lab.cluster.customresources.columns import columns
from podpass.lab.cluster.customresources.jsonpath import BadPath, JsonPath
from podpass.lab.cluster.customresources.ratcheting import remaining
from podpass.lab.cluster.customresources.rules import Rules, compilation_faults, escaped
from podpass.lab.cluster.customresources.validation import Check
from podpass.lab.cluster.customresources.values import Shape
from podpass.lab.cluster.versions import newest_first

TEXT = {"type": "string"}
INTEGER = {"type": "integer"}


def said(causes: list[Cause]) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in causes]


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def listed(items: Any, **members: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **members}


# Structural


STRUCTURAL = [
    pytest.param({"properties": {}}, "type: Required value: must not be empty at the root", id="no-root-type"),
    pytest.param({"type": "array"}, "items: Required value: must be specified", id="no-items"),
    pytest.param({"type": "string"}, 'type: Invalid value: "string": must be object at the root', id="root-type"),
    pytest.param(
        obj(a={"properties": {}}),
        "properties[a].type: Required value: must not be empty for specified object fields",
        id="field-without-type",
    ),
    pytest.param(
        obj(a=listed({"format": "x"})),
        "properties[a].items.type: Required value: must not be empty for specified array items",
        id="item-without-type",
    ),
    pytest.param(
        {"type": "object", "additionalProperties": TEXT},
        "additionalProperties: Forbidden: must not be used at the root",
        id="open-root",
    ),
    pytest.param(
        obj(a={"type": "object", "properties": {"x": TEXT}, "additionalProperties": TEXT}),
        "properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        id="both-kinds-of-properties",
    ),
    pytest.param(
        obj(a={"type": "string", "uniqueItems": True}),
        "properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes"
        " quadratic",
        id="unique-items",
    ),
    pytest.param(
        obj(a={"$ref": "#/x", "type": "object"}), "properties[a].$ref: Forbidden: $ref is not supported", id="ref"
    ),
    pytest.param(
        obj(a={"type": "text"}),
        'properties[a].type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number",'
        ' "object", "string"',
        id="unknown-type",
    ),
    pytest.param(
        obj(a=obj(b=TEXT), x=TEXT) | {"anyOf": [{"properties": {"c": {"minLength": 1}}}]},
        "properties[c]: Required value: because it is defined in anyOf[0].properties[c]",
        id="rule-about-nothing",
    ),
    pytest.param(
        obj(a=obj(b=TEXT)) | {"allOf": [{"properties": {"a": {"type": "object"}}}]},
        "allOf[0].properties[a].type: Forbidden: must be empty to be structural",
        id="type-in-a-rule",
    ),
    pytest.param(
        obj(a=TEXT) | {"not": {"properties": {"a": {"default": "x"}}}},
        "not.properties[a].default: Forbidden: must be undefined to be structural",
        id="default-in-a-rule",
    ),
    pytest.param(
        obj(metadata={"type": "object", "properties": {"labels": {"type": "object"}}}),
        "properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is"
        " implicitly specified",
        id="metadata",
    ),
    pytest.param(
        obj(kind=INTEGER), 'properties[kind].type: Invalid value: "integer": must be string', id="kind-of-a-kind"
    ),
    pytest.param(
        obj(a={"type": "object", "x-kubernetes-embedded-resource": True}),
        "properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without"
        " x-kubernetes-preserve-unknown-fields",
        id="empty-embedded-resource",
    ),
    pytest.param(
        obj(a={"x-kubernetes-int-or-string": True, "x-kubernetes-preserve-unknown-fields": True}),
        "properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if"
        " x-kubernetes-int-or-string is true",
        id="int-or-string-or-anything",
    ),
    pytest.param(
        obj(a={"type": "string", "pattern": "(?=x)"}),
        'properties[a].pattern: Invalid value: "(?=x)": must be a valid regular expression, but isn\'t: error parsing'
        " regexp: invalid or unsupported Perl syntax: `(?=`",
        id="pattern",
    ),
    pytest.param(
        obj(a=listed({"type": "object"}, **{"x-kubernetes-list-type": "map"})),
        "properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
        id="map-without-keys",
    ),
    pytest.param(
        obj(a=listed(obj(k=TEXT), **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]})),
        "properties[a].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so"
        " it must have a default or be a required property",
        id="optional-key",
    ),
    pytest.param(
        obj(a=listed(obj(k=TEXT), **{"x-kubernetes-list-type": "set"})),
        "properties[a].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with"
        " x-kubernetes-list-type=set",
        id="set-of-objects",
    ),
    pytest.param(
        obj(a={"type": "integer", "default": "x"}),
        'properties[a].default: Invalid value: "string":  in body must be of type integer: "string"',
        id="default-of-another-type",
    ),
    pytest.param(
        obj(a=obj(b=TEXT) | {"default": {"c": 1}}),
        'properties[a].default: Invalid value: {"c":1}: must not have unknown fields',
        id="default-with-unknown-members",
    ),
    pytest.param(
        obj(kind={"type": "string", "default": "X"}),
        "properties[kind].default: Forbidden: must not be set in top-level kind",
        id="default-of-the-kind",
    ),
    pytest.param(
        obj(a={"type": "object", "x-kubernetes-preserve-unknown-fields": False}),
        "properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
        id="preserve-false",
    ),
    pytest.param(
        obj(a={"type": "object", "x-kubernetes-validations": [{"rule": ""}]}),
        "properties[a].x-kubernetes-validations[0].rule: Required value: rule is not specified",
        id="empty-rule",
    ),
]


@pytest.mark.parametrize(("schema", "fault"), STRUCTURAL)
def test_a_schema_that_is_not_structural_is_refused(schema: dict[str, Any], fault: str) -> None:
    found = [
        text.removeprefix("s.").replace(" s.", " ")
        for text in said(structural.schema_faults(schema, "s", has_status=False))
    ]
    assert fault in found


@pytest.mark.parametrize(
    "schema",
    [
        obj(a={"x-kubernetes-int-or-string": True, "anyOf": [INTEGER, TEXT], "pattern": "^x"}),
        obj(a={"x-kubernetes-int-or-string": True, "allOf": [{"anyOf": [INTEGER, TEXT]}, {"minimum": 1}]}),
        obj(a={"x-kubernetes-preserve-unknown-fields": True}),
        obj(metadata={"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}}),
        obj(a={"type": "object", "additionalProperties": {"type": "string", "nullable": True}}),
        obj(a=TEXT, b=TEXT) | {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        obj(
            a=listed(
                obj(k={"type": "string", "default": "x"}),
                **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]},
            )
        ),
        obj(a={"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}),
    ],
)
def test_a_structural_schema_is_accepted(schema: dict[str, Any]) -> None:
    assert said(structural.schema_faults(schema, "s", has_status=False)) == []


def test_with_a_status_subresource_the_root_says_little() -> None:
    schema = obj(spec=obj()) | {"maxProperties": 3}
    assert not structural.schema_faults(schema, "s", has_status=False)
    (fault,) = structural.schema_faults(schema, "s", has_status=True)
    assert "fields are allowed at the root of the schema if the status subresource is enabled" in fault.message


def test_nesting_is_bounded() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(structural.MAX_DEPTH + 1):
        schema = obj(a=schema)
    assert said(structural.schema_faults(schema, "s", has_status=False)) == [
        "s: Forbidden: schemas may be nested at most 64 deep"
    ]


# Values


@pytest.mark.parametrize(
    ("schema", "before", "after", "unknown"),
    [
        pytest.param(obj(a=TEXT), {"a": "x", "b": 1}, {"a": "x"}, ["b"], id="unknown"),
        pytest.param(obj(a=obj(b=TEXT)), {"a": {"c": {"d": 1}}}, {"a": {}}, ["a.c"], id="nested"),
        pytest.param(obj(a=listed(obj(b=TEXT))), {"a": [{}, {"c": 1}]}, {"a": [{}, {}]}, ["a[1].c"], id="in-a-list"),
        pytest.param(
            obj(a=obj(b=obj(c=TEXT)) | {"x-kubernetes-preserve-unknown-fields": True}),
            {"a": {"x": 1, "b": {"y": 1}}},
            {"a": {"x": 1, "b": {}}},
            ["a.b.y"],
            id="what-is-known-below-preserved-is-pruned",
        ),
        pytest.param(
            obj(a={"type": "object", "additionalProperties": obj(b=TEXT)}),
            {"a": {"k": {"b": "x", "c": 1}}},
            {"a": {"k": {"b": "x"}}},
            ["a.k.c"],
            id="map",
        ),
        pytest.param(
            obj(a={"type": "object", "additionalProperties": True}),
            {"a": {"k": {"x": 1}}},
            {"a": {"k": {}}},
            ["a.k.x"],
            id="map-of-anything-keeps-scalars-alone",
        ),
        pytest.param(
            obj(a={"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": obj()}}),
            {"a": {"apiVersion": "v1", "kind": "X", "metadata": {"labels": {}}, "data": 1}},
            {"a": {"apiVersion": "v1", "kind": "X", "metadata": {"labels": {}}}},
            ["a.data"],
            id="embedded-resource",
        ),
        pytest.param(
            obj(),
            {"apiVersion": "v1", "kind": "X", "metadata": {"x": 1}},
            {"apiVersion": "v1", "kind": "X", "metadata": {"x": 1}},
            [],
            id="root",
        ),
    ],
)
def test_unknown_members_are_pruned(schema: Any, before: Any, after: Any, unknown: list[str]) -> None:
    assert Shape(schema).prune(before) == unknown
    assert before == after


@pytest.mark.parametrize(
    ("schema", "before", "after"),
    [
        pytest.param(obj(a={"type": "string", "default": "x"}), {}, {"a": "x"}, id="absent"),
        pytest.param(obj(a={"type": "string", "default": "x"}), {"a": None}, {"a": "x"}, id="null"),
        pytest.param(obj(a={"type": "string", "default": "x"}), {"a": ""}, {"a": ""}, id="empty-stays"),
        pytest.param(
            obj(a={"type": "string", "default": "x", "nullable": True}), {"a": None}, {"a": None}, id="nullable"
        ),
        pytest.param(obj(a=TEXT), {"a": None}, {}, id="null-without-default-goes"),
        pytest.param(obj(a=obj(b={"type": "integer", "default": 1})), {}, {}, id="no-parent-no-default"),
        pytest.param(
            obj(a=obj(b={"type": "integer", "default": 1}) | {"default": {}}),
            {},
            {"a": {"b": 1}},
            id="default-of-a-default",
        ),
        pytest.param(
            obj(a=listed(obj(b={"type": "integer", "default": 1}))),
            {"a": [{}, {"b": 2}]},
            {"a": [{"b": 1}, {"b": 2}]},
            id="in-a-list",
        ),
        pytest.param(
            obj(a={"type": "object", "additionalProperties": {"type": "string", "default": "x"}}),
            {"a": {"k": None}},
            {"a": {"k": "x"}},
            id="in-a-map",
        ),
    ],
)
def test_defaults_are_filled_in(schema: Any, before: Any, after: Any) -> None:
    Shape(schema).settle(before)
    assert before == after


def test_a_default_is_copied_each_time() -> None:
    shape, first, second = Shape(obj(a={"type": "object", "default": {}})), {}, {}
    shape.settle(first)
    first["a"]["x"] = 1
    shape.settle(second)
    assert second == {"a": {}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
SCHEMAS = st.recursive(
    st.sampled_from(
        [TEXT, INTEGER, {"type": "string", "default": "x"}, {"x-kubernetes-preserve-unknown-fields": True}]
    ),
    lambda inner: (
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(
            lambda each: {"type": "object", "properties": each}
        )
        | inner.map(listed)
        | inner.map(lambda each: {"type": "object", "additionalProperties": each})
    ),
    max_leaves=8,
)


@given(SCHEMAS, st.dictionaries(st.sampled_from("abc"), JSON, max_size=3))
def test_settling_twice_is_settling_once(schema: Any, value: dict[str, Any]) -> None:
    shape = Shape(schema)
    shape.settle(value)
    once = json.dumps(value)
    shape.settle(value)
    assert json.dumps(value) == once
    Check(schema).causes(value)


# Validation

VALID = [
    (TEXT, "x"),
    (INTEGER, 1),
    (INTEGER, 1.0),
    ({"type": "number"}, 1),
    ({"type": "number"}, 1.5),
    ({"type": "boolean"}, False),
    ({"type": "string", "nullable": True}, None),
    ({}, None),
    ({"x-kubernetes-int-or-string": True}, "50%"),
    ({"x-kubernetes-int-or-string": True}, 3),
    ({"type": "string", "pattern": "a+"}, "xaay"),
    ({"type": "string", "maxLength": 2}, "éé"),
    ({"type": "integer", "multipleOf": 3}, 9),
    ({"type": "number", "multipleOf": 0.1}, 0.3),
    ({"enum": [1, "a", None]}, "a"),
    (obj(a=TEXT) | {"not": {"required": ["a"]}}, {}),
    ({"type": "string", "format": "unheard-of"}, "x"),
    ({"type": "integer", "maximum": 3}, 3),
]


@pytest.mark.parametrize(("schema", "value"), VALID)
def test_what_the_schema_allows_is_valid(schema: Any, value: Any) -> None:
    assert said(Check(schema).causes(value, "a")) == []


INVALID = [
    (TEXT, 1, ['a: Invalid value: "integer": a in body must be of type string: "integer"']),
    (TEXT, None, ['a: Invalid value: "null": a in body must be of type string: "null"']),
    (INTEGER, "x", ['a: Invalid value: "string": a in body must be of type integer: "string"']),
    (INTEGER, True, ['a: Invalid value: "boolean": a in body must be of type integer: "boolean"']),
    (
        INTEGER,
        1.5,
        [
            'a: Invalid value: "number": a in body must be of type integer: "number"',
            '<nil>: Invalid value: "": Checked value must be of type integer (default format) in a',
        ],
    ),
    (
        {"x-kubernetes-int-or-string": True},
        True,
        ['a: Invalid value: "boolean": a in body must be of type integer,string: "boolean"'],
    ),
    ({"enum": ["x", 1]}, "c", ['a: Unsupported value: "c": supported values: "x", "1"']),
    ({"type": "string", "pattern": "^a$"}, "b", ["a: Invalid value: \"b\": a in body should match '^a$'"]),
    ({"type": "string", "minLength": 2}, "é", ['a: Invalid value: "é": a in body should be at least 2 chars long']),
    ({"type": "string", "maxLength": 1}, "ab", ["a: Too long: may not be more than 1 byte"]),
    ({"type": "string", "maxLength": 2}, "abc", ["a: Too long: may not be more than 2 bytes"]),
    ({"type": "integer", "minimum": 1}, 0, ["a: Invalid value: 0: a in body should be greater than or equal to 1"]),
    (
        {"type": "integer", "minimum": 1, "exclusiveMinimum": True},
        1,
        ["a: Invalid value: 1: a in body should be greater than 1"],
    ),
    (
        {"type": "number", "maximum": 1.5},
        1.75,
        ["a: Invalid value: 1.75: a in body should be less than or equal to 1.5"],
    ),
    ({"type": "number", "maximum": 1.5}, 2, ["a: Invalid value: 2: a in body should be less than or equal to 1"]),
    (
        {"type": "integer", "maximum": 3, "exclusiveMaximum": True},
        3,
        ["a: Invalid value: 3: a in body should be less than 3"],
    ),
    ({"type": "integer", "multipleOf": 2}, 3, ["a: Invalid value: 3: a in body should be a multiple of 2"]),
    (
        {"type": "integer", "format": "int32"},
        1 << 31,
        ['<nil>: Invalid value: "": Checked value must be of type integer with format int32 in a'],
    ),
    (listed(TEXT, minItems=1), [], ["a: Invalid value: 0: a in body should have at least 1 items"]),
    (listed(TEXT, maxItems=1), ["x", "y"], ["a: Too many: 2: must have at most 1 item"]),
    (
        listed(TEXT),
        ["x", 1],
        ['a[1]: Invalid value: "integer": a[1] in body must be of type string: "integer"'],
    ),
    ({"type": "object", "minProperties": 1}, {}, ["a: Invalid value: 0: a in body should have at least 1 properties"]),
    ({"type": "object", "maxProperties": 1}, {"x": 1, "y": 2}, ["a: Too many: 2: must have at most 1 item"]),
    (obj(b=TEXT) | {"required": ["b"]}, {}, ["a.b: Required value"]),
    (
        {"type": "object", "additionalProperties": INTEGER},
        {"k": "x"},
        ['a.k: Invalid value: "string": a.k in body must be of type integer: "string"'],
    ),
    (
        {"type": "string", "format": "date-time"},
        "noon",
        ['a: Invalid value: "noon": a in body must be of type date-time: "noon"'],
    ),
    (
        {"anyOf": [{"required": ["x"]}, {"required": ["y"]}]},
        {},
        ['<nil>: Invalid value: "": "a" must validate at least one schema (anyOf)', "a.x: Required value"],
    ),
    (
        {"oneOf": [{"required": ["x"]}, {"required": ["y"]}]},
        {"x": 1, "y": 1},
        ['<nil>: Invalid value: "": "a" must validate one and only one schema (oneOf). Found 2 valid alternatives'],
    ),
    (
        {"allOf": [{"required": ["x"]}]},
        {},
        ['<nil>: Invalid value: "": "a" must validate all the schemas (allOf). None validated', "a.x: Required value"],
    ),
    ({"not": {"required": ["x"]}}, {"x": 1}, ['<nil>: Invalid value: "": "a" must not validate the schema (not)']),
    (
        {"type": "object", "x-kubernetes-embedded-resource": True},
        {"kind": ""},
        ["a.apiVersion: Required value", 'a.kind: Invalid value: "": must not be empty'],
    ),
]


@pytest.mark.parametrize(("schema", "value", "texts"), INVALID)
def test_what_the_schema_does_not_allow_is_said_in_its_words(schema: Any, value: Any, texts: list[str]) -> None:
    assert said(Check(schema).causes(value, "a")) == texts


def test_a_pattern_takes_time_in_proportion_to_the_text() -> None:
    begin = time.process_time()
    check = Check({"type": "string", "pattern": "^(a+)+$"})
    assert check.causes("a" * 50_000 + "!", "x")
    with pytest.raises(patterns.BadPattern):
        patterns.matcher("((a{1000}){1000}){1000}")
    assert time.process_time() - begin < 5


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_pattern_breaks_the_check(pattern: str, value: str) -> None:
    Check({"type": "string", "pattern": pattern}).causes(value, "x")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date-time", "2026-01-02T03:04:05.6Z", "2026-13-02T03:04:05Z"),
        ("date", "2024-02-29", "2023-02-29"),
        ("duration", "1h30m", "soon"),
        ("uri", "https://example.com/x", "not a uri"),
        ("email", "a@example.com", "a@"),
        ("hostname", "a.example.com", "a..b"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("mac", "01:23:45:67:89:ab", "01:23"),
        ("uuid", "123E4567-e89b-12d3-a456-426614174000", "123"),
        ("uuid4", "123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
        ("byte", "aGk=", "aGk"),
        ("hexcolor", "#FFF", "#FFFF"),
        ("rgbcolor", "rgb(1,2,3)", "rgb(1,2)"),
        ("isbn", "978-0321751041", "978-0321751040"),
        ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
        ("ssn", "123-45-6789", "123"),
        ("k8s-short-name", "a-b", "A"),
        ("k8s-long-name", "a.b", "a..b"),
    ],
)
def test_formats(name: str, good: str, bad: str) -> None:
    check = formats.checker(name)
    assert check is not None
    assert check(good)
    assert not check(bad)


@given(st.text(max_size=60))
def test_no_text_breaks_a_format(text: str) -> None:
    for name in ("date-time", "date", "duration", "uri", "email", "hostname", "ipv6", "cidr", "mac", "byte", "isbn"):
        check = formats.checker(name)
        assert check is not None
        assert check(text) in (True, False)


# Ratcheting


@pytest.mark.parametrize(
    ("new", "old", "left"),
    [
        pytest.param({"a": 9, "b": 1}, {"a": 9}, [], id="unchanged"),
        pytest.param({"a": 9}, {"a": 8}, ["a"], id="changed"),
        pytest.param({"a": 9}, {}, ["a"], id="new"),
        pytest.param({"m": {"x.y": 9}}, {"m": {"x.y": 9}, "b": 1}, [], id="name-with-a-dot"),
        pytest.param({"k": [{"n": "b", "v": 1}, {"n": "a", "v": 9}]}, {"k": [{"n": "a", "v": 9}]}, [], id="keyed-item"),
        pytest.param({"l": [{"v": 1}, {"v": 9}]}, {"l": [{"v": 9}]}, ["l[1].v"], id="item-of-an-atomic-list"),
    ],
)
def test_what_was_wrong_before_may_stay(new: Any, old: Any, left: list[str]) -> None:
    small = {"type": "integer", "maximum": 5}
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]}
    schema = obj(
        a=small,
        b=INTEGER,
        m={"type": "object", "additionalProperties": small},
        l=listed(obj(v=small)),
        k=listed(obj(n=TEXT, v=small), **keyed),
    )
    causes = Check(schema).causes(new)
    assert causes
    assert [cause.field for cause in remaining(causes, new, old, schema)] == left


# CEL


def rule(text: str, **members: Any) -> list[dict[str, Any]]:
    return [{"rule": text, **members}]


@pytest.mark.parametrize(
    ("schema", "new", "old", "texts"),
    [
        pytest.param(
            obj(a=INTEGER, b=INTEGER) | {"x-kubernetes-validations": rule("self.a <= self.b", message="a is above b")},
            {"a": 2, "b": 1},
            None,
            [": Invalid value: a is above b"],
            id="message",
        ),
        pytest.param(
            obj(a={"type": "integer", "x-kubernetes-validations": rule("self > 1")}),
            {"a": 1},
            None,
            ["a: Invalid value: 1: failed rule: self > 1"],
            id="default-message",
        ),
        pytest.param(
            obj(
                a={
                    "type": "integer",
                    "x-kubernetes-validations": rule("self > 1", messageExpression="'got ' + string(self)"),
                }
            ),
            {"a": 1},
            None,
            ["a: Invalid value: 1: got 1"],
            id="message-expression",
        ),
        pytest.param(
            obj(a={"type": "string", "x-kubernetes-validations": rule("self == oldSelf", message="immutable")}),
            {"a": "x"},
            {"a": "y"},
            ['a: Invalid value: "x": immutable'],
            id="transition",
        ),
        pytest.param(
            obj(a={"type": "string", "x-kubernetes-validations": rule("self == oldSelf")}),
            {"a": "x"},
            {},
            [],
            id="transition-from-nothing",
        ),
        pytest.param(
            obj(
                a=obj(x=TEXT)
                | {
                    "x-kubernetes-validations": rule(
                        "has(self.x)", reason="FieldValueRequired", fieldPath=".x", message="x is needed"
                    )
                }
            ),
            {"a": {}},
            None,
            ["a.x: Required value: x is needed"],
            id="reason-and-place",
        ),
        pytest.param(
            obj(
                a=listed(
                    obj(n=TEXT, v=INTEGER)
                    | {"x-kubernetes-validations": rule("self.v >= oldSelf.v", message="only up")},
                    **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]},
                )
            ),
            {"a": [{"n": "y", "v": 1}, {"n": "x", "v": 1}]},
            {"a": [{"n": "x", "v": 2}]},
            ["a[1]: Invalid value: only up"],
            id="keyed-items-know-their-past",
        ),
        pytest.param(
            obj(
                a={
                    "type": "object",
                    "additionalProperties": {"type": "integer", "x-kubernetes-validations": rule("self > 0")},
                }
            ),
            {"a": {"k": 0}},
            None,
            ["a[k]: Invalid value: 0: failed rule: self > 0"],
            id="map",
        ),
        pytest.param(
            obj(**{"in": TEXT, "a-b": INTEGER})
            | {"x-kubernetes-validations": rule("self.__in__ == 'x' && self.a__dash__b == 1")},
            {"in": "x", "a-b": 1},
            None,
            [],
            id="escaped-names",
        ),
        pytest.param(
            obj(a=INTEGER, b=INTEGER) | {"x-kubernetes-validations": rule("self.b == 1")},
            {"a": 1},
            None,
            [': Invalid value: "object": no such key: b evaluating rule: self.b == 1'],
            id="error",
        ),
        pytest.param(
            obj(a={"type": "number", "x-kubernetes-validations": rule("self < 2.5")}),
            {"a": 2},
            None,
            [],
            id="whole-double",
        ),
        pytest.param(
            obj(a={"type": "integer", "x-kubernetes-validations": rule("self > 5")}),
            {"a": 1},
            {"a": 1},
            [],
            id="unchanged",
        ),
    ],
)
def test_rules_are_evaluated(schema: Any, new: Any, old: Any, texts: list[str]) -> None:
    assert said(list(compilation_faults(schema, "s"))) == []
    assert said(Rules(schema).faults(new, old, [])) == texts


def test_rules_wait_until_types_are_right() -> None:
    schema = obj(a={"type": "integer", "x-kubernetes-validations": rule("self > 1")})
    found = Check(schema).causes({"a": "x"})
    assert said(Rules(schema).faults({"a": "x"}, None, found)) == [
        "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct"
        " the existing errors to complete validation"
    ]


@pytest.mark.parametrize(
    ("schema", "place", "text"),
    [
        (obj(a=TEXT), "rule", "compilation failed"),
        ({"x-kubernetes-validations": rule("self.size()"), **obj()}, "rule", "must evaluate to a bool"),
        (
            obj(a=listed({"type": "string", "x-kubernetes-validations": rule("self == oldSelf")})),
            "rule",
            "oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[a]",
        ),
        (
            obj(a=obj(b=TEXT)) | {"x-kubernetes-validations": rule("has(self.a) && self.a.c == 'self.d'")},
            "rule",
            "<input>:1:22: undefined field 'c'",
        ),
        (
            obj() | {"x-kubernetes-validations": rule("true", messageExpression="1")},
            "messageExpression",
            "messageExpression must evaluate to a string",
        ),
        (obj() | {"x-kubernetes-validations": rule("true", optionalOldSelf=True)}, "optionalOldSelf", "not emulated"),
    ],
)
def test_rules_that_do_not_compile_are_refused(schema: Any, place: str, text: str) -> None:
    if schema == obj(a=TEXT):
        schema = obj(a=TEXT | {"x-kubernetes-validations": rule("self +")})
    (fault,) = compilation_faults(schema, "s")
    assert fault.field.endswith(f"x-kubernetes-validations[0].{place}")
    assert text in fault.message


def test_names_are_escaped() -> None:
    assert [escaped(name) for name in ("a", "a.b", "a-b", "a/b", "a__b", "in", "namespace")] == [
        "a",
        "a__dot__b",
        "a__dash__b",
        "a__slash__b",
        "a__underscores__b",
        "__in__",
        "__namespace__",
    ]


# JSONPath


OBJECT = {
    "spec": {"a": 1, "b.c": 2, "list": [{"n": "x", "v": 1}, {"n": "y", "v": 2, "ok": True}]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (".spec.a", [1]),
        ("{.spec.a}", [1]),
        (".spec['b.c']", [2]),
        (r".spec.b\.c", [2]),
        (".spec.list[0].n", ["x"]),
        (".spec.list[-1].n", ["y"]),
        (".spec.list[*].n", ["x", "y"]),
        (".spec.list[1:].n", ["y"]),
        (".spec.list[0,1].v", [1, 2]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Ready')].status", ["True"]),
        (".spec.list[?(@.v>1)].n", ["y"]),
        (".spec.list[?(@.ok)].n", ["y"]),
        (".spec.list[?(@.v!=1)].n", ["y"]),
        ("..n", ["x", "y"]),
        (".spec.*", [1, 2, OBJECT["spec"]["list"]]),
        (".spec.none.more", []),
        (".", [OBJECT]),
    ],
)
def test_paths_lead_to_values(path: str, values: list[Any]) -> None:
    assert JsonPath(path).values(OBJECT) == values


@pytest.mark.parametrize("path", [".a[", ".a['b", ".a[x]", ".a[?(b)]", ".a..", ".a b", "." * 5000, ".a[?(@.x==)]"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(BadPath):
        JsonPath(path)


@given(st.text(alphabet=".[]()*?@'\"=<>!abc0-:,\\ {}", max_size=40), JSON)
def test_no_path_breaks_on_any_value(path: str, value: Any) -> None:
    try:
        found = JsonPath(path)
    except BadPath:
        return
    found.values(value)


@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        ("string", "x", "x"),
        ("string", 3, "3"),
        ("string", True, "true"),
        ("string", {"b": 1, "a": [1]}, '{"a":[1],"b":1}'),
        ("integer", 3, 3),
        ("integer", 3.7, 3),
        ("integer", "3", None),
        ("number", 3, 3.0),
        ("boolean", False, False),
        ("boolean", "yes", None),
        ("date", "1970-01-01T00:00:00Z", "10m"),
        ("date", "never", "<invalid>"),
        ("date", None, None),
    ],
)
def test_cells_have_the_type_of_their_column(kind: str, value: Any, cell: Any) -> None:
    column = columns([{"name": "X", "type": kind, "jsonPath": ".x"}])[1]
    assert column.cell({"x": value}, 600.0) == cell
    assert column.cell({}, 600.0) is None


def test_versions_are_in_order_of_preference() -> None:
    given = ["v1alpha1", "v1", "foo", "v2beta1", "v10", "v2", "v1beta2", "v1alpha10"]
    assert newest_first(given) == ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha10", "v1alpha1", "foo"]
