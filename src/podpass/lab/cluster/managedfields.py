"""Who set which member of an object: `metadata.managedFields`, and server-side apply on top of it.

A set of fields is a set of paths; a path is a tuple of elements as FieldsV1 spells them: `f:spec`, `k:{"name":"c"}`,
`v:"x"`. What holds others is in the set when its own path is, which FieldsV1 writes as `.` below it.
Contract: Kubernetes API surface, section 2.7.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from podpass.kube.merging import ListRule, MapRule, Rule
from podpass.kube.objects import Obj
from podpass.kube.status import MANAGER_CONFLICT, Cause

Path = tuple[str, ...]
Fields = frozenset[Path]

MAX_MANAGER_CHARACTERS = 128

_NOT_OWNED = frozenset(
    (
        "name", "namespace", "generateName", "uid", "resourceVersion", "creationTimestamp", "generation",
        "managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds",
    )
)  # fmt: skip
_DEFAULT_KEYS = {"protocol": "TCP"}
_MAP = MapRule()
_HOLDS = object()
"""The value of what only holds other fields: it is there, and nothing about it can differ."""
_ALWAYS_THERE = frozenset(
    {
        ("f:spec",), ("f:status",), ("f:spec", "f:template"), ("f:spec", "f:template", "f:metadata"),
        ("f:spec", "f:template", "f:spec"), ("f:spec", "f:template", "f:spec", "f:containers"),
        ("f:spec", "f:containers"), ("f:spec", "f:strategy"), ("f:spec", "f:updateStrategy"),
        ("f:spec", "f:jobTemplate"), ("f:spec", "f:jobTemplate", "f:spec"), ("f:spec", "f:jobTemplate", "f:metadata"),
        ("f:template",), ("f:template", "f:spec"), ("f:template", "f:metadata"),
    }
)  # fmt: skip
"""Members that an object of a built-in kind has before anybody sets them, so nobody owns them as such."""
_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes, through which operation and subresource."""

    name: str
    operation: str
    """Apply or Update."""
    api_version: str
    subresource: str = ""

    def owns(self, entry: Mapping[str, Any]) -> bool:
        return (
            entry.get("manager") == self.name
            and entry.get("operation") == self.operation
            and entry.get("apiVersion") == self.api_version
            and (entry.get("subresource") or "") == self.subresource
        )

    def entry(self, fields: Iterable[Path], time: str) -> Obj:
        entry: Obj = {
            "manager": self.name,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": time,
            "fieldsType": "FieldsV1",
            "fieldsV1": encode(fields),
        }
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry


@dataclass(frozen=True, slots=True)
class Applied:
    """What server-side apply makes of an object."""

    obj: Obj
    conflicts: tuple[Cause, ...]
    """Fields that others own with another value; unless forced, nothing may be written."""


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
            found[path] = _HOLDS
        below = rule if isinstance(rule, MapRule) else _MAP
        for name, each in value.items():
            _collect(each, below.of(name), (*path, f"f:{name}"), found, holders)
        return
    if isinstance(value, list) and value and isinstance(rule, ListRule):
        if rule.is_set:
            if holders:
                found[path] = _HOLDS
            for each in value:
                found[*path, _member(each)] = each
            return
        if rule.keys and all(isinstance(item, dict) for item in value):
            if holders:
                found[path] = _HOLDS
            for item in value:
                place = (*path, _item(item, rule))
                found[place] = _HOLDS
                for name, each in item.items():
                    _collect(each, rule.item.of(name), (*place, f"f:{name}"), found, holders)
            return
    found[path] = value


def _item(item: Mapping[str, Any], rule: ListRule) -> str:
    return (
        "k:"
        + _encode(
            {key: item.get(key, rule.key_defaults.get(key, _DEFAULT_KEYS.get(key))) for key in rule.keys}
        ).decode()
    )


def _member(value: Any) -> str:
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


def track(new: Obj, old: Obj | None, manager: Manager, rules: MapRule, *, time: str, built_in: bool = True) -> None:
    """Write into *new* who owns what after *manager* turned *old* into it.

    A client clears the list by sending it empty or with one empty entry. Another good list that it sends is taken for
    what there was before: so kubectl moves the fields of its client-side apply to the server-side one.
    """
    sent = new["metadata"].pop("managedFields", None)
    if old is None:
        made = _held(leaves(new, rules, holders=True), built_in)
        if made:
            new["metadata"]["managedFields"] = [manager.entry(made, time)]
        return
    entries = list(old["metadata"].get("managedFields") or ())
    if sent is not None and (sent == [] or sent == [{}]) and entries:
        entries = []
    elif sent and all(_is_entry(entry) for entry in sent):
        entries = list(sent)
    after = _held(leaves(new, rules, holders=True), built_in)
    before = _held(leaves(old, rules, holders=True), built_in)
    changed = frozenset(path for path, value in after.items() if path not in before or before[path] != value)
    touched = changed.union(path for path in before if path not in after)
    if not touched:
        if entries:
            new["metadata"]["managedFields"] = entries
        return
    kept: list[Obj] = []
    own: Fields = frozenset()
    for entry in entries:
        fields = decode(entry.get("fieldsV1"))
        if manager.owns(entry):
            own = fields - touched
        elif fields.isdisjoint(touched):
            kept.append(entry)
        elif left := fields - touched:
            kept.append({**entry, "fieldsV1": encode(left)})
    if own or changed:
        kept.append(manager.entry(own | changed, time))
    if kept:
        new["metadata"]["managedFields"] = sorted(kept, key=_order)


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("operation") in ("Apply", "Update")
        and isinstance(entry.get("manager"), str)
        and isinstance(entry.get("apiVersion"), str)
        and entry.get("fieldsType") == "FieldsV1"
        and isinstance(entry.get("fieldsV1"), dict)
    )


def _held(fields: dict[Path, Any], built_in: bool) -> dict[Path, Any]:
    """Without the holders that nobody made."""
    return {
        path: value
        for path, value in fields.items()
        if value is not _HOLDS or not (path == ("f:metadata",) or (built_in and path in _ALWAYS_THERE))
    }


def _order(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        str(entry.get(member) or "") for member in ("operation", "time", "manager", "apiVersion", "subresource")
    )


def repeated_item(config: Any, rule: Rule | None, path: str = "") -> str | None:
    """The first list of *config* that gives an item twice, in the words of the API server; None when none does."""
    if isinstance(config, dict):
        for name, value in config.items():
            found = repeated_item(value, rule.of(name) if isinstance(rule, MapRule) else None, f"{path}.{name}")
            if found is not None:
                return found
    if isinstance(config, list) and isinstance(rule, ListRule):
        seen: set[str] = set()
        for item in config:
            if rule.is_set:
                place = _member(item)
            elif isinstance(item, dict) and rule.keys:
                place = _item(item, rule)
            else:
                return None
            if place in seen:
                return f"{path}: duplicate entries for key {readable((place,))}"
            seen.add(place)
            if isinstance(item, dict):
                found = repeated_item(item, rule.item, path + readable((place,)))
                if found is not None:
                    return found
    return None


def apply(live: Obj | None, config: Obj, manager: Manager, rules: MapRule, *, time: str, force: bool) -> Applied:
    """*live* (None: nothing yet) with *config* applied by *manager*, its managedFields brought up to date."""
    applied = leaves(config, rules)
    paths = frozenset(applied)
    if live is None:
        created = {**config, "metadata": {**config.get("metadata", {})}}
        created["metadata"]["managedFields"] = [manager.entry(paths, time)]
        return Applied(created, ())
    present = leaves(live, rules)
    differing = {path for path, value in applied.items() if path in present and present[path] != value}
    entries: list[Obj] = []
    conflicts: list[Cause] = []
    before: Fields = frozenset()
    owned_by_others: set[Path] = set()
    previous_entry: Obj | None = None
    for entry in live["metadata"].get("managedFields") or ():
        fields = decode(entry.get("fieldsV1"))
        if manager.owns(entry):
            before, previous_entry = fields, entry
            continue
        taken = fields & differing
        conflicts.extend(_conflict(entry, path) for path in sorted(taken))
        if taken:
            fields -= taken
            entry = {**entry, "fieldsV1": encode(fields)}
        owned_by_others |= fields
        if fields:
            entries.append(entry)
    merged = _merge(live, config, rules)
    assert isinstance(merged, dict)
    # An item goes before its members do: without its keys it could not be found any more.
    for place in sorted(before - paths, key=_deepest_first):
        if not any(other[: len(place)] == place for other in (*owned_by_others, *paths)):
            _remove(merged, rules, place)
    if previous_entry is not None and before == paths:
        entries.append(previous_entry)
    elif paths:
        entries.append(manager.entry(paths, time))
    merged["metadata"] = {**merged["metadata"], "managedFields": sorted(entries, key=_order)}
    return Applied(merged, () if force else tuple(conflicts))


def _deepest_first(path: Path) -> tuple[int, bool, Path]:
    item = path[-1].startswith("k:")
    return -len(path) - item, not item, path


def _conflict(entry: Mapping[str, Any], path: Path) -> Cause:
    # Who applies is one manager whatever the version; only an update is named with the version it used.
    using = "" if entry.get("operation") == "Apply" else f" using {entry.get('apiVersion', '')}"
    if entry.get("subresource"):
        using = f' with subresource "{entry["subresource"]}"{using}'
    return Cause(MANAGER_CONFLICT, f'conflict with "{entry.get("manager", "")}"{using}', readable(path))


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


def _merge(live: Any, config: Any, rule: Rule | None) -> Any:
    if isinstance(config, dict) and isinstance(live, dict) and not (isinstance(rule, MapRule) and rule.atomic):
        below = rule if isinstance(rule, MapRule) else _MAP
        merged = dict(live)
        for name, value in config.items():
            merged[name] = _merge(live.get(name), value, below.of(name))
        return merged
    if isinstance(config, list) and isinstance(live, list) and isinstance(rule, ListRule):
        if rule.is_set:
            by_member = {_member(each): each for each in (*live, *config)}
            order = _interleaved([_member(each) for each in live], [_member(each) for each in config])
            return [by_member[place] for place in order]
        if rule.keys and all(isinstance(item, dict) for item in (*live, *config)):
            by_key = {_item(item, rule): item for item in live}
            applied = {_item(item, rule): item for item in config}
            merged_items = {
                key: _merge(by_key[key], item, rule.item) if key in by_key else item for key, item in applied.items()
            }
            return [merged_items.get(key) or by_key[key] for key in _interleaved([*by_key], [*applied])]
    return config


def _interleaved(live: Sequence[str], applied: Sequence[str]) -> list[str]:
    """The order of a merged list: that of what is applied, with the others where they stand before the next of it."""
    wanted, present = set(applied), set(live)
    shared = deque(key for key in applied if key in present)
    order: list[str] = []
    at = 0
    for key in applied:
        while at < len(live) and live[at] != key and (live[at] not in wanted or live[at] != shared[0]):
            if live[at] not in wanted:
                order.append(live[at])
            at += 1
        if at < len(live) and live[at] == key:
            at += 1
        if shared and shared[0] == key:
            shared.popleft()
        order.append(key)
    return [*order, *(key for key in live[at:] if key not in wanted)]


def _remove(obj: Any, rule: Rule | None, path: Path) -> None:
    """Take the field at *path* out of *obj*, whose containers on the way are replaced by copies."""
    element, rest = path[0], path[1:]
    if element.startswith("f:") and isinstance(obj, dict):
        name = element[2:]
        below = rule.of(name) if isinstance(rule, MapRule) else None
        if name not in obj:
            return
        if not rest:
            del obj[name]
            return
        value = obj[name]
        obj[name] = dict(value) if isinstance(value, dict) else list(value) if isinstance(value, list) else value
        _remove(obj[name], below, rest)
        if obj[name] in ({}, []):
            del obj[name]
    elif isinstance(obj, list) and isinstance(rule, ListRule):
        for index, item in enumerate(obj):
            found = _member(item) if rule.is_set else _item(item, rule) if isinstance(item, dict) else ""
            if found != element:
                continue
            if not rest:
                del obj[index]
            elif isinstance(item, dict):
                obj[index] = dict(item)
                _remove(obj[index], rule.item, rest)
            return
