"""Sets of fields: which there are in an object, and how `managedFields` writes them.

A set of fields is a set of paths; a path is a tuple of elements as FieldsV1 spells them: `f:spec`, `k:{"name":"c"}`,
`v:"x"`. What holds others is in the set when its own path is, which FieldsV1 writes as `.` below it.
Contract: Kubernetes API surface, section 2.7.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from podpass.kube.merging import ListRule, MapRule, Rule
from podpass.kube.objects import Obj

Path = tuple[str, ...]
Fields = frozenset[Path]

_NOT_OWNED = frozenset(
    (
        "name", "namespace", "generateName", "uid", "resourceVersion", "creationTimestamp", "generation",
        "managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds",
    )
)  # fmt: skip
_DEFAULT_KEYS = {"protocol": "TCP"}
NO_RULES = MapRule()
HOLDS = object()
"""The value of what only holds other fields: it is there, and nothing about it can differ."""
_encode = msgspec.json.Encoder(order="sorted").encode


def leaves(obj: Mapping[str, Any], rules: MapRule, *, holders: bool = False) -> dict[Path, Any]:
    """Every field of *obj* that somebody can own, with its value.

    *holders*: also the maps and lists that only hold other fields, which whoever makes them by an update owns.
    """
    found: dict[Path, Any] = {}
    for name, value in obj.items():
        if name in ("apiVersion", "kind") or (name == "status" and value is None):
            continue
        if name == "metadata" and isinstance(value, Mapping):
            value = {member: each for member, each in value.items() if member not in _NOT_OWNED}
            if not value:
                continue
        _collect(value, rules.of(name), (f"f:{name}",), found, holders)
    return found


def _collect(value: Any, rule: Rule | None, path: Path, found: dict[Path, Any], holders: bool) -> None:
    if isinstance(value, dict) and value and not (isinstance(rule, MapRule) and rule.atomic):
        if holders:
            found[path] = HOLDS
        below = rule if isinstance(rule, MapRule) else NO_RULES
        for name, each in value.items():
            _collect(each, below.of(name), (*path, f"f:{name}"), found, holders)
        return
    if isinstance(value, list) and value and isinstance(rule, ListRule):
        if rule.is_set:
            if holders:
                found[path] = HOLDS
            for each in value:
                found[*path, member_element(each)] = each
            return
        if rule.keys and all(isinstance(item, dict) for item in value):
            if holders:
                found[path] = HOLDS
            for item in value:
                place = (*path, item_element(item, rule))
                found[place] = HOLDS
                for name, each in item.items():
                    _collect(each, rule.item.of(name), (*place, f"f:{name}"), found, holders)
            return
    found[path] = value


def item_element(item: Mapping[str, Any], rule: ListRule) -> str:
    return (
        "k:"
        + _encode(
            {key: item.get(key, rule.key_defaults.get(key, _DEFAULT_KEYS.get(key))) for key in rule.keys}
        ).decode()
    )


def member_element(value: Any) -> str:
    return "v:" + _encode(value).decode()


def encode(fields: Iterable[Path]) -> Obj:
    """The set as FieldsV1."""
    root: Obj = {}
    paths = sorted(fields)
    for path, following in zip(paths, [*paths[1:], ()], strict=False):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        # Itself in the set, and others below it too.
        if following[: len(path)] == path:
            node["."] = {}
    return root


def decode(fields: Any) -> Fields:
    """The set in a FieldsV1 value; what is no FieldsV1 is ignored."""
    return frozenset(_paths(fields, ()))


def _paths(node: Any, path: Path) -> Iterator[Path]:
    if not isinstance(node, dict):
        return
    if path and (not node or "." in node):
        yield path
    for element, below in node.items():
        if element != ".":
            yield from _paths(below, (*path, element))


def readable(path: Path) -> str:
    """The path as a person reads it: `.spec.containers[name="c"].image`."""
    text = ""
    for element in path:
        kind, _, rest = element.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            keys = msgspec.json.decode(rest)
            text += "[" + ",".join(f"{key}={_encode(value).decode()}" for key, value in keys.items()) + "]"
        elif kind == "v":
            text += f"[={rest}]"
    return text
