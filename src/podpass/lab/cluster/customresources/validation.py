"""Whether a value is what its schema says, each fault with the API server's text and the path of the member.

A `Check` is compiled from its schema for each JSON type when a value of that type first reaches it.
Contract: Kubernetes API surface, section 5.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import msgspec

from podpass.kube import names
from podpass.kube.status import (
    INVALID,
    Cause,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
    type_invalid,
)
from podpass.lab.cluster.customresources import formats, patterns

Test = Callable[[Any, str, list[Cause]], None]

NOWHERE = "<nil>"
"""The field that the API server names for a fault that concerns several."""
MAX_CAUSES = 256
"""Faults named in one answer."""

_TYPE_NAMES = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
_RANGES = {"int32": (-(1 << 31), (1 << 31) - 1), "int64": (-(1 << 63), (1 << 63) - 1)}
_canonical = msgspec.json.Encoder(order="sorted").encode


class Check:
    """The rules of one schema for one place."""

    __slots__ = ("_schema", "_tests")

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._tests: dict[type, tuple[Test, ...]] = {}

    def __call__(self, value: Any, path: str, causes: list[Cause]) -> None:
        """Append what is wrong with *value* to *causes*."""
        kind = type(value)
        tests = self._tests.get(kind)
        if tests is None:
            tests = self._tests[kind] = tuple(_tests(self._schema, kind))
        for test in tests:
            test(value, path, causes)

    def causes(self, value: Any, path: str = "") -> list[Cause]:
        """What is wrong with *value*, in order of the schema, at most MAX_CAUSES."""
        found: list[Cause] = []
        self(value, path, found)
        return found[:MAX_CAUSES]


def _tests(schema: Mapping[str, Any], kind: type) -> Iterator[Test]:
    types = _types(schema)
    if kind is type(None):
        if types and not schema.get("nullable"):
            yield _mistyped(types, "null")
        return
    if types and not _fits(kind, types):
        yield _mistyped(types, _TYPE_NAMES[kind], whole="integer" in types and kind is float)
    yield from _composed(schema)
    if kind is str:
        yield from _string_tests(schema)
    elif kind is int or kind is float:
        yield from _number_tests(schema, whole=kind is int)
    elif kind is list:
        yield from _list_tests(schema)
    if "enum" in schema:
        yield _enum(schema["enum"])
    if kind is dict:
        yield _object_test(schema)


def _types(schema: Mapping[str, Any]) -> tuple[str, ...]:
    if schema.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def _fits(kind: type, types: tuple[str, ...]) -> bool:
    name = _TYPE_NAMES[kind]
    return name in types or (name == "integer" and "number" in types)


def _mistyped(types: tuple[str, ...], found: str, *, whole: bool = False) -> Test:
    expected = ",".join(types)

    def test(value: Any, path: str, causes: list[Cause]) -> None:
        # 1.0 is an integer too.
        if not (whole and isinstance(value, float) and value.is_integer()):
            causes.append(type_invalid(path, found, f'{path} in body must be of type {expected}: "{found}"'))

    return test


# One of several schemas


def _composed(schema: Mapping[str, Any]) -> Iterator[Test]:
    if schema.get("anyOf"):
        yield _any_of([Check(each) for each in schema["anyOf"]])
    if schema.get("oneOf"):
        yield _one_of([Check(each) for each in schema["oneOf"]])
    if schema.get("allOf"):
        yield _all_of([Check(each) for each in schema["allOf"]])
    if isinstance(schema.get("not"), dict):
        yield _not(Check(schema["not"]))


def _somewhere(text: str) -> Cause:
    return Cause(INVALID, f'Invalid value: "": {text}', NOWHERE)


def _any_of(checks: list[Check]) -> Test:
    def test(value: Any, path: str, causes: list[Cause]) -> None:
        closest: list[Cause] | None = None
        for check in checks:
            found: list[Cause] = []
            check(value, path, found)
            if not found:
                return
            if closest is None or len(found) < len(closest):
                closest = found
        causes.append(_somewhere(f'"{path}" must validate at least one schema (anyOf)'))
        causes.extend(closest or ())

    return test


def _one_of(checks: list[Check]) -> Test:
    def test(value: Any, path: str, causes: list[Cause]) -> None:
        valid, closest = 0, None
        for check in checks:
            found: list[Cause] = []
            check(value, path, found)
            if not found:
                valid += 1
            elif closest is None or len(found) < len(closest):
                closest = found
        if valid == 1:
            return
        why = f"Found {valid} valid alternatives" if valid else "Found none valid"
        causes.append(_somewhere(f'"{path}" must validate one and only one schema (oneOf). {why}'))
        if not valid:
            causes.extend(closest or ())

    return test


def _all_of(checks: list[Check]) -> Test:
    def test(value: Any, path: str, causes: list[Cause]) -> None:
        valid, found = 0, list[Cause]()
        for check in checks:
            before = len(found)
            check(value, path, found)
            valid += len(found) == before
        if valid == len(checks):
            return
        none = "" if valid else ". None validated"
        causes.append(_somewhere(f'"{path}" must validate all the schemas (allOf){none}'))
        causes.extend(found)

    return test


def _not(check: Check) -> Test:
    def test(value: Any, path: str, causes: list[Cause]) -> None:
        found: list[Cause] = []
        check(value, path, found)
        if not found:
            causes.append(_somewhere(f'"{path}" must not validate the schema (not)'))

    return test


# Scalars


def _string_tests(schema: Mapping[str, Any]) -> Iterator[Test]:
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if longest is not None:

        def test_longest(value: str, path: str, causes: list[Cause]) -> None:
            if len(value) > longest:
                causes.append(too_long(path, longest))

        yield test_longest
    if shortest is not None:

        def test_shortest(value: str, path: str, causes: list[Cause]) -> None:
            if len(value) < shortest:
                causes.append(invalid(path, value, f"{path} in body should be at least {shortest} chars long"))

        yield test_shortest
    if pattern := schema.get("pattern"):
        yield _pattern(pattern)
    name = schema.get("format")
    if name and schema.get("type") in (None, "", "string") and (has_format := formats.checker(name)) is not None:

        def test_format(value: str, path: str, causes: list[Cause]) -> None:
            if not has_format(value):
                causes.append(type_invalid(path, value, f"{path} in body must be of type {name}: {_quoted(value)}"))

        yield test_format


def _pattern(pattern: str) -> Test:
    try:
        matches = patterns.matcher(pattern)
    except patterns.BadPattern as error:
        why = str(error)

        def refuse(value: str, path: str, causes: list[Cause]) -> None:
            causes.append(invalid(path, value, f"{path} in body should match '{pattern}': {why}"))

        return refuse

    def test(value: str, path: str, causes: list[Cause]) -> None:
        if not matches(value):
            causes.append(invalid(path, value, f"{path} in body should match '{pattern}'"))

    return test


def _number_tests(schema: Mapping[str, Any], *, whole: bool) -> Iterator[Test]:
    name = schema.get("format")
    if schema.get("type") == "integer" or name in _RANGES:
        least, most = _RANGES.get(str(name), _RANGES["int64"])
        written = f"with format {name}" if name in _RANGES else "(default format)"

        def test_range(value: float, path: str, causes: list[Cause]) -> None:
            if not least <= value <= most or value != int(value):
                causes.append(_somewhere(f"Checked value must be of type integer {written} in {path}"))

        yield test_range
    multiple = schema.get("multipleOf")
    if multiple:
        exact = Fraction(str(multiple))

        def test_multiple(value: float, path: str, causes: list[Cause]) -> None:
            if math.isfinite(value) and Fraction(str(value)) % exact:
                causes.append(invalid(path, value, f"{path} in body should be a multiple of {_number(multiple)}"))

        yield test_multiple
    for bound, exclusive, sign, words in (
        ("maximum", "exclusiveMaximum", 1, ("less than or equal to", "less than")),
        ("minimum", "exclusiveMinimum", -1, ("greater than or equal to", "greater than")),
    ):
        limit = schema.get(bound)
        if limit is not None:
            # The API server compares integers with integers, and cuts the limit to one.
            yield _bound(int(limit) if whole else limit, bool(schema.get(exclusive)), sign, words)


def _bound(limit: float, exclusive: bool, sign: int, words: tuple[str, str]) -> Test:
    text = f"should be {words[exclusive]} {_number(limit)}"

    def test(value: float, path: str, causes: list[Cause]) -> None:
        beyond = value > limit if sign > 0 else value < limit
        if beyond or (exclusive and value == limit):
            causes.append(invalid(path, value, f"{path} in body {text}"))

    return test


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e21 else repr(value)


def _enum(values: list[Any]) -> Test:
    allowed = {_canonical(value) for value in values}
    listed = [value if isinstance(value, str) else _canonical(value).decode() for value in values]

    def test(value: Any, path: str, causes: list[Cause]) -> None:
        if _canonical(value) not in allowed:
            causes.append(not_supported(path, value, listed))

    return test


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


# Collections


def _list_tests(schema: Mapping[str, Any]) -> Iterator[Test]:
    items = schema.get("items")
    if isinstance(items, dict):
        check = Check(items)

        def test_items(value: list[Any], path: str, causes: list[Cause]) -> None:
            for at, each in enumerate(value):
                check(each, f"{path}[{at}]", causes)
                if len(causes) > MAX_CAUSES:
                    return

        yield test_items
    fewest, most = schema.get("minItems"), schema.get("maxItems")
    if fewest is not None:

        def test_fewest(value: list[Any], path: str, causes: list[Cause]) -> None:
            if len(value) < fewest:
                causes.append(invalid(path, len(value), f"{path} in body should have at least {fewest} items"))

        yield test_fewest
    if most is not None:

        def test_most(value: list[Any], path: str, causes: list[Cause]) -> None:
            if len(value) > most:
                causes.append(too_many(path, len(value), most))

        yield test_most
    match schema.get("x-kubernetes-list-type"):
        case "set":
            yield _unique
        case "map":
            yield _keyed(tuple(schema.get("x-kubernetes-list-map-keys") or ()))


def _unique(value: list[Any], path: str, causes: list[Cause]) -> None:
    seen: set[bytes] = set()
    for at, each in enumerate(value):
        key = _canonical(each)
        if key in seen:
            causes.append(duplicate(f"{path}[{at}]", each))
        seen.add(key)


def _keyed(keys: tuple[str, ...]) -> Test:
    def test(value: list[Any], path: str, causes: list[Cause]) -> None:
        seen: set[bytes] = set()
        for at, item in enumerate(value):
            if not isinstance(item, dict):
                if item is not None:
                    text = "must be an object for an array of list-type map"
                    causes.append(invalid(f"{path}[{at}]", item, text))
                continue
            key = {name: item[name] for name in keys if name in item}
            encoded = _canonical(key)
            if encoded in seen:
                causes.append(duplicate(f"{path}[{at}]", key))
            seen.add(encoded)

    return test


def _object_test(schema: Mapping[str, Any]) -> Test:
    properties = {name: Check(below) for name, below in (schema.get("properties") or {}).items()}
    additional = schema.get("additionalProperties")
    other = Check(additional) if isinstance(additional, dict) else None
    closed = additional is False
    needed = tuple(schema.get("required") or ())
    fewest, most = schema.get("minProperties"), schema.get("maxProperties")
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))

    def test(value: dict[str, Any], path: str, causes: list[Cause]) -> None:
        if fewest is not None and len(value) < fewest:
            causes.append(invalid(path, len(value), f"{path} in body should have at least {fewest} properties"))
            return
        if most is not None and len(value) > most:
            causes.append(too_many(path, len(value), most))
            return
        start = f"{path}." if path else ""
        for name, each in value.items():
            check = properties.get(name) or other
            if check is not None:
                check(each, start + name, causes)
            elif closed:
                causes.append(invalid(path, name, f"{start}{name} in body is a forbidden property"))
            if len(causes) > MAX_CAUSES:
                return
        for name in needed:
            if name not in value:
                causes.append(required(start + name))
        if embedded:
            causes.extend(_embedded_faults(value, start))

    return test


def _embedded_faults(value: Mapping[str, Any], start: str) -> Iterator[Cause]:
    """An object inside an object says what it is."""
    for name in ("apiVersion", "kind"):
        found = value.get(name)
        if name not in value:
            yield required(start + name)
        elif not isinstance(found, str):
            yield invalid(start + name, found, "must be a string")
        elif not found:
            yield invalid(start + name, found, "must not be empty")
        elif name == "apiVersion" and found.count("/") > 1:
            yield invalid(start + name, found, f"unexpected GroupVersion string: {found}")
        elif name == "kind" and (fault := names.label_1035_fault(found.lower())):
            yield invalid(start + name, found, f"may have mixed case, but should otherwise match: {fault}")
    meta = value.get("metadata")
    if isinstance(meta, dict):
        yield from _metadata_faults(meta, f"{start}metadata")
    elif meta is not None:
        yield invalid(f"{start}metadata", meta, "must be an object")


def _metadata_faults(meta: Mapping[str, Any], path: str) -> Iterator[Cause]:
    name, labels, annotations = (meta.get(each) for each in ("name", "labels", "annotations"))
    if isinstance(name, str) and name and (fault := names.path_segment_fault(name)):
        yield invalid(f"{path}.name", name, fault)
    for key, value in labels.items() if isinstance(labels, dict) else ():
        if fault := names.label_key_fault(key):
            yield invalid(f"{path}.labels", key, fault)
        if isinstance(value, str) and (fault := names.label_value_fault(value)):
            yield invalid(f"{path}.labels", value, fault)
    for key in annotations if isinstance(annotations, dict) else ():
        if fault := names.qualified_name_fault(key.lower()):
            yield invalid(f"{path}.annotations", key, fault)
