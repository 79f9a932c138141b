"""The CEL rules of a schema, `x-kubernetes-validations`: what they see, when they run, what they say.

A rule sees its place in the object as `self`, and what was there before as `oldSelf`; a rule that speaks of oldSelf
runs only where something was there. Strings of the formats date, date-time and duration are text to a rule here.
Contract: Kubernetes API surface, section 5.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from podpass.kube.status import (
    DUPLICATE,
    INVALID,
    NOT_SUPPORTED,
    REQUIRED,
    TOO_LONG,
    TOO_MANY,
    TYPE_INVALID,
    Cause,
    forbidden_field,
    invalid,
    required,
)
from podpass.lab.cluster.customresources.schema_tree import Schema, nodes
from podpass.lab.cluster.customresources.values import META_MEMBERS
from podpass.lab.cluster.expressions.engine import OVER_BUDGET, Expression, Failed, NotCompiled, compiled

MAX_EVALUATIONS = 20_000
"""Rules run for one object, about a second of work."""
MAX_MESSAGE_CHARACTERS = 5_000

_BLOCKING = frozenset({NOT_SUPPORTED, REQUIRED, TOO_LONG, TOO_MANY, TYPE_INVALID})
_NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete"
    " validation"
)
_RESERVED = frozenset(
    (
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
        "let", "loop", "package", "namespace", "return", "var", "void", "while",
    )
)  # fmt: skip
_SPECIAL = re.compile(r"__|[.\-/]")
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_FROM_SELF = re.compile(r"(?<![\w.])self(?P<names>(?:\.[A-Za-z_]\w*)+)")
_LITERAL = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")
_SCALARS = {"integer": "int", "number": "double", "boolean": "bool", "string": "string"}
_MISSING: Any = object()


def escaped(name: str) -> str:
    """A member's name as an expression spells it."""
    return f"__{name}__" if name in _RESERVED else _SPECIAL.sub(lambda found: _ESCAPES[found.group()], name)


def cel_type(schema: Schema) -> str:
    """The type of a value of *schema*; objects are maps, whose members are checked when a rule runs."""
    kind = schema.get("type") or ""
    if schema.get("x-kubernetes-int-or-string") or schema.get("nullable") or not kind:
        return "dyn"
    if kind == "array":
        return f"list<{cel_type(schema.get('items') or {})}>"
    if kind == "object":
        additional = schema.get("additionalProperties")
        return f"map<string, {cel_type(additional)}>" if isinstance(additional, Mapping) else "map<string, dyn>"
    if kind == "string" and schema.get("format") == "byte":
        return "bytes"
    return _SCALARS.get(kind, "dyn")


# Compiling


@dataclass(frozen=True, slots=True)
class _Rule:
    text: str
    expression: Expression
    transition: bool
    message: str
    message_expression: Expression | None
    reason: str
    field_path: str

    def said(self) -> str:
        return self.message or self.text.strip()


def _compile(rule: Mapping[str, Any], kind: str) -> _Rule | NotCompiled:
    text = rule.get("rule") or ""
    expression = compiled(text, {"self": kind})
    transition = False
    if isinstance(expression, NotCompiled):
        both = compiled(text, {"self": kind, "oldSelf": kind})
        if isinstance(both, NotCompiled):
            return both if "oldSelf" in text else expression
        expression, transition = both, True
    if expression.result not in ("bool", "dyn"):
        return NotCompiled("cel expression must evaluate to a bool")
    message: Expression | None = None
    if source := rule.get("messageExpression"):
        found = compiled(source, {"self": kind, "oldSelf": kind} if transition else {"self": kind})
        if isinstance(found, NotCompiled):
            return NotCompiled(f"messageExpression: {found.why}")
        if found.result not in ("string", "dyn"):
            return NotCompiled("messageExpression: messageExpression must evaluate to a string")
        message = found
    return _Rule(
        text,
        expression,
        transition,
        (rule.get("message") or "").strip(),
        message,
        rule.get("reason") or "",
        (rule.get("fieldPath") or "").strip(),
    )


def compilation_faults(schema: Schema, path: str) -> Iterator[Cause]:
    """What is wrong with the rules of a schema that has no other fault."""
    if not any(node.get("x-kubernetes-validations") for _, node in nodes(schema, path)):
        return
    yield from _compilation_faults(schema, path, uncorrelated="", root=True)


def _as_go_has_it(rule: Mapping[str, Any]) -> str:
    members = ("rule", "message", "messageExpression", "reason", "fieldPath", "optionalOldSelf")
    empty = {"reason": None, "optionalOldSelf": None}
    shown = {name[:1].upper() + name[1:]: rule.get(name, empty.get(name, "")) for name in members}
    return msgspec.json.encode(shown).decode()


def _undefined(text: str, schema: Schema, *, root: bool) -> NotCompiled | None:
    """The first member that a rule takes from self and its schema does not have."""
    blanked = _LITERAL.sub(lambda found: " " * len(found.group()), text)
    for chain in _FROM_SELF.finditer(blanked):
        at, place = chain.start("names"), schema
        embedded = root
        for name in chain["names"].split(".")[1:]:
            called = blanked[at + 1 + len(name) :].lstrip().startswith("(")
            if called or place.get("type") != "object" or "additionalProperties" in place:
                break
            embedded = embedded or bool(place.get("x-kubernetes-embedded-resource"))
            if embedded and name in META_MEMBERS:
                break
            members = {escaped(each): below for each, below in (place.get("properties") or {}).items()}
            if name not in members:
                if not members and place.get("x-kubernetes-preserve-unknown-fields"):
                    break
                before = text[:at]
                line, column = before.count("\n") + 1, at - (before.rfind("\n") + 1)
                shown = text.splitlines()[line - 1]
                return NotCompiled(
                    f"compilation failed: ERROR: <input>:{line}:{column + 1}: undefined field '{name}'\n | {shown}\n"
                    f" | {'.' * column}^"
                )
            place, at, embedded = members[name], at + 1 + len(name), False
    return None


def _compilation_faults(schema: Schema, path: str, *, uncorrelated: str, root: bool = False) -> Iterator[Cause]:
    kind = cel_type(schema)
    for at, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        place = f"{path}.x-kubernetes-validations[{at}]"
        if rule.get("optionalOldSelf"):
            yield forbidden_field(f"{place}.optionalOldSelf", "optionalOldSelf is not emulated by this cluster")
            continue
        found = _compile(rule, kind)
        if not isinstance(found, NotCompiled):
            found = _undefined(found.text, schema, root=root) or found
        if isinstance(found, NotCompiled):
            member, why = "rule", found.why
            if why.startswith("messageExpression: "):
                member, why = "messageExpression", why.removeprefix("messageExpression: ")
            yield Cause(INVALID, f"Invalid value: {_as_go_has_it(rule)}: {why}", f"{place}.{member}")
        elif found.transition and uncorrelated:
            text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
            yield invalid(f"{place}.rule", found.text, text)
    atomic_map = schema.get("x-kubernetes-map-type") == "atomic"
    for name, below in (schema.get("properties") or {}).items():
        within = uncorrelated or (path if atomic_map else "")
        yield from _compilation_faults(below, f"{path}.properties[{name}]", uncorrelated=within)
    if isinstance(schema.get("items"), Mapping):
        within = uncorrelated or ("" if schema.get("x-kubernetes-list-type") == "map" else path)
        yield from _compilation_faults(schema["items"], f"{path}.items", uncorrelated=within)
    if isinstance(schema.get("additionalProperties"), Mapping):
        place = f"{path}.additionalProperties"
        yield from _compilation_faults(schema["additionalProperties"], place, uncorrelated=uncorrelated)


# Running


class _Node:
    """One place of a schema, with the rules there and the places below that have some."""

    def __init__(self, schema: Schema, *, root: bool = False) -> None:
        self.schema = schema
        self.root = root
        self.properties = {
            name: node for name, below in (schema.get("properties") or {}).items() if (node := _Node(below)).concerns
        }
        self.additional = _below(schema.get("additionalProperties"))
        self.items = _below(schema.get("items"))

    @property
    def concerns(self) -> bool:
        """Whether there is a rule here or further down."""
        own = bool(self.schema.get("x-kubernetes-validations"))
        return own or bool(self.properties) or self.additional is not None or self.items is not None

    @cached_property
    def rules(self) -> tuple[_Rule | NotCompiled, ...]:
        kind = cel_type(self.schema)
        return tuple(_compile(rule, kind) for rule in self.schema.get("x-kubernetes-validations") or ())


def _below(schema: Any) -> _Node | None:
    if not isinstance(schema, Mapping):
        return None
    node = _Node(schema)
    return node if node.concerns else None


class Rules:
    """The rules of one schema."""

    def __init__(self, schema: Schema) -> None:
        self._root = _Node(schema, root=True)

    def faults(self, obj: Any, old: Any, found: Sequence[Cause]) -> list[Cause]:
        """What the rules say of an object. *old* is None for a new one; *found* is what is wrong with it already."""
        if not self._root.concerns:
            return []
        if any(cause.reason in _BLOCKING for cause in found):
            return [Cause(INVALID, f"Invalid value: null: {_NOT_CHECKED}", "<nil>")]
        causes: list[Cause] = []
        run = _Run(causes)
        run.visit(self._root, obj, _MISSING if old is None else old, "")
        return causes


class _Run:
    def __init__(self, causes: list[Cause]) -> None:
        self._causes = causes
        self._left = MAX_EVALUATIONS

    def visit(self, node: _Node, value: Any, old: Any, path: str) -> None:
        if self._left < 0:
            return
        if node.rules:
            self._here(node, value, old, path)
        start = f"{path}." if path else ""
        if isinstance(value, dict):
            before = old if isinstance(old, dict) else {}
            for name, each in value.items():
                below, place = node.properties.get(name), start + name
                if below is None and node.additional is not None:
                    below, place = node.additional, f"{path}[{name}]"
                if below is not None and each is not None:
                    self.visit(below, each, before.get(name, _MISSING), place)
        elif isinstance(value, list) and node.items is not None:
            find = _correlated(node.schema, old)
            for at, each in enumerate(value):
                self.visit(node.items, each, find(each), f"{path}[{at}]")

    def _here(self, node: _Node, value: Any, old: Any, path: str) -> None:
        variables = {"self": seen(value, node.schema, root=node.root)}
        if old is not _MISSING and old is not None:
            variables["oldSelf"] = seen(old, node.schema, root=node.root)
        same = old is not _MISSING and value == old
        for rule in node.rules:
            if isinstance(rule, NotCompiled):
                self._causes.append(invalid(path, _kind(node), f"rule compile error: {rule.why}"))
                continue
            if rule.transition and "oldSelf" not in variables:
                continue
            if not rule.transition and same:
                # As with the schema: what was there before stays acceptable.
                continue
            self._left -= 1
            if self._left < 0:
                self._causes.append(invalid(path, _kind(node), OVER_BUDGET))
                return
            held = rule.expression.holds(variables)
            if held is True:
                continue
            if isinstance(held, Failed):
                text = held.why if held.over_budget else f"{held.why} evaluating rule: {rule.said()}"
                self._causes.append(invalid(path, _kind(node), text))
            else:
                self._causes.append(_refusal(rule, variables, value, path))


def _kind(node: _Node) -> str:
    return node.schema.get("type") or ""


def _refusal(rule: _Rule, variables: Mapping[str, Any], value: Any, path: str) -> Cause:
    detail = rule.message or f"failed rule: {rule.text.strip()}"
    if rule.message_expression is not None:
        said = rule.message_expression.evaluate(variables)
        if isinstance(said, str) and said.strip() and "\n" not in said and len(said) <= MAX_MESSAGE_CHARACTERS:
            detail = said.strip()
    place = path + (rule.field_path if path else rule.field_path.removeprefix("."))
    match rule.reason:
        case "FieldValueForbidden":
            return forbidden_field(place, detail)
        case "FieldValueRequired":
            return required(place, detail)
        case "FieldValueDuplicate":
            return Cause(DUPLICATE, invalid(place, value, "").message.replace("Invalid", "Duplicate", 1)[:-2], place)
    if isinstance(value, dict | list):
        return Cause(INVALID, f"Invalid value: {detail}", place)
    return invalid(place, value, detail)


def _correlated(schema: Schema, old: Any) -> Any:
    """Finds what an item of a list was before; only lists of the type map can say."""
    if not isinstance(old, list) or schema.get("x-kubernetes-list-type") != "map":
        return lambda _: _MISSING
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())

    def key(item: Any) -> tuple[str, ...]:
        return tuple(repr(item.get(name)) for name in keys) if isinstance(item, dict) else ()

    known = {key(item): item for item in old}
    return lambda item: known.get(key(item), _MISSING)


def seen(value: Any, schema: Schema, *, root: bool = False) -> Any:
    """A value as rules see it: members by their escaped names, numbers as doubles, base64 as bytes."""
    kind = schema.get("type")
    if isinstance(value, dict):
        additional = schema.get("additionalProperties")
        if isinstance(additional, Mapping):
            return {name: seen(each, additional) for name, each in value.items()}
        properties = schema.get("properties") or {}
        if not properties and not root:
            return value
        found = {escaped(name): seen(value[name], below) for name, below in properties.items() if name in value}
        if root or schema.get("x-kubernetes-embedded-resource"):
            found |= {name: value[name] for name in ("apiVersion", "kind") if name in value}
            meta = value.get("metadata")
            if isinstance(meta, dict):
                found["metadata"] = {name: meta[name] for name in ("name", "generateName") if name in meta}
        return found
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [seen(each, items) for each in value]
    if kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind == "string" and schema.get("format") == "byte" and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return b""
    return value
