"""Server-side apply: what an object becomes by what a manager wants of it, and who objects.

Contract: Kubernetes API surface, section 2.7.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from podpass.kube.merging import ListRule, MapRule, Rule
from podpass.kube.objects import Obj
from podpass.kube.status import MANAGER_CONFLICT, Cause
from podpass.lab.cluster.managedfields.field_sets import (
    NO_RULES,
    Fields,
    Path,
    decode,
    encode,
    item_element,
    leaves,
    member_element,
    readable,
)
from podpass.lab.cluster.managedfields.tracking import Manager, order_of_entries


@dataclass(frozen=True, slots=True)
class Applied:
    """What server-side apply makes of an object."""

    obj: Obj
    conflicts: tuple[Cause, ...]
    """Fields that others own with another value; unless forced, nothing may be written."""


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
                place = member_element(item)
            elif isinstance(item, dict) and rule.keys:
                place = item_element(item, rule)
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
    merged["metadata"] = {**merged["metadata"], "managedFields": sorted(entries, key=order_of_entries)}
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


def _merge(live: Any, config: Any, rule: Rule | None) -> Any:
    if isinstance(config, dict) and isinstance(live, dict) and not (isinstance(rule, MapRule) and rule.atomic):
        below = rule if isinstance(rule, MapRule) else NO_RULES
        merged = dict(live)
        for name, value in config.items():
            merged[name] = _merge(live.get(name), value, below.of(name))
        return merged
    if isinstance(config, list) and isinstance(live, list) and isinstance(rule, ListRule):
        if rule.is_set:
            by_member = {member_element(each): each for each in (*live, *config)}
            order = _interleaved([member_element(each) for each in live], [member_element(each) for each in config])
            return [by_member[place] for place in order]
        if rule.keys and all(isinstance(item, dict) for item in (*live, *config)):
            by_key = {item_element(item, rule): item for item in live}
            applied = {item_element(item, rule): item for item in config}
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
            found = member_element(item) if rule.is_set else item_element(item, rule) if isinstance(item, dict) else ""
            if found != element:
                continue
            if not rest:
                del obj[index]
            elif isinstance(item, dict):
                obj[index] = dict(item)
                _remove(obj[index], rule.item, rest)
            return
