"""The three patches of the Kubernetes API, as pure functions: JSON patch, merge patch, strategic merge patch.

None of them changes its arguments. Contract: Kubernetes API surface, section 2.6.
"""

import copy
from collections.abc import Mapping
from typing import Any

import msgspec

from podpass.kube.merging import ListRule, MapRule, Rule

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

MAX_JSON_PATCH_OPERATIONS = 10_000
MAX_COPIED_BYTES = 3 * 1024 * 1024
"""A patch of copies alone could double the document with each operation."""

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_DELETE_PRIMITIVE = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


class PatchMalformed(ValueError):
    """The patch itself is not one."""


class DirectiveMalformed(PatchMalformed):
    """A directive of a strategic merge patch has a value of the wrong form."""


class PatchTooLarge(PatchMalformed):
    """More operations than one patch may have."""


class PatchRefused(ValueError):
    """A patch that is one, but can't be applied to this document: a missing path, a failed test."""


def apply_json_patch(document: Any, operations: Any) -> Any:
    """*document* after the RFC 6902 *operations*. Raises PatchMalformed or PatchRefused."""
    # Imported where it is used: only requests with such a patch pay for it.
    import jsonpatch
    import jsonpointer

    if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
        raise PatchMalformed("a JSON patch is a list of operations")
    if len(operations) > MAX_JSON_PATCH_OPERATIONS:
        raise PatchTooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_JSON_PATCH_OPERATIONS}, got {len(operations)}"
        )
    for operation in operations:
        pointers = [operation.get("path")] + ([operation["from"]] if "from" in operation else [])
        if not all(isinstance(pointer, str) for pointer in pointers):
            raise PatchMalformed("the path of an operation is text")
    try:
        patched = copy.deepcopy(document)
        copied_bytes = 0
        for operation in operations:
            if operation.get("op") == "copy":
                source = jsonpointer.JsonPointer(operation["from"]).resolve(patched)
                copied_bytes += len(msgspec.json.encode(source))
                if copied_bytes > MAX_COPIED_BYTES:
                    raise PatchRefused(f"the patch copies more than {MAX_COPIED_BYTES} bytes")
            if operation.get("op") == "replace" and _is_missing_member(patched, operation["path"]):
                # The API server's library adds it, where RFC 6902 would have the patch fail.
                operation = {**operation, "op": "add"}
            patched = jsonpatch.JsonPatch([operation]).apply(patched, in_place=True)
        return patched
    except PatchRefused:
        raise
    except (
        jsonpatch.InvalidJsonPatch,
        jsonpatch.JsonPatchException,
        jsonpointer.JsonPointerException,
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise PatchRefused(str(error) or "the patch does not apply") from error


def _is_missing_member(document: Any, path: str) -> bool:
    import jsonpointer

    pointer = jsonpointer.JsonPointer(path)
    if not pointer.parts:
        return False
    holder, name = pointer.to_last(document)
    return isinstance(holder, dict) and name not in holder


def _lenient(document: Any, operation: dict[str, Any], jsonpointer: Any) -> dict[str, Any]:
    """As the API server's library takes it: a member that is not there is replaced by adding it, and copied as null."""
    place = operation["path" if operation["op"] == "replace" else "from"]
    parent, last = jsonpointer.JsonPointer(place).to_last(document)
    if last is None or not isinstance(parent, dict) or last in parent:
        return operation
    return {"op": "add", "path": operation["path"], "value": operation.get("value")}


def apply_merge_patch(document: Any, patch: Any) -> Any:
    """*document* after the RFC 7396 *patch*."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = apply_merge_patch(merged.get(name), value)
    return merged


def apply_strategic_merge_patch(document: Any, patch: Any, rules: MapRule) -> Any:
    """*document* after the strategic merge *patch*, with the merge keys of *rules*.

    Raises PatchMalformed for directives that make no sense, and for list items without their key.
    """
    if not isinstance(patch, Mapping):
        raise PatchMalformed("a strategic merge patch is an object")
    return _merge_map(document if isinstance(document, Mapping) else {}, patch, rules)


def _merge_map(document: Mapping[str, Any], patch: Mapping[str, Any], rules: MapRule) -> dict[str, Any]:
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return {name: _clean(value) for name, value in patch.items() if name != _DIRECTIVE}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise PatchMalformed(f"unknown patch type: {directive} in map: {go_value(patch)}")
    merged = dict(document)
    retained = patch.get(_RETAIN)
    if retained is not None:
        if not isinstance(retained, list):
            raise DirectiveMalformed("invalid patch format of retainKeys")
        merged = {name: value for name, value in merged.items() if name in retained}
    for name, value in patch.items():
        if name in (_DIRECTIVE, _RETAIN) or name.startswith((_DELETE_PRIMITIVE, _ORDER)):
            continue
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge_value(merged.get(name), value, rules.of(name), patch.get(_ORDER + name))
    for name, value in patch.items():
        if name.startswith(_DELETE_PRIMITIVE):
            field = name.removeprefix(_DELETE_PRIMITIVE)
            if not isinstance(value, list):
                raise DirectiveMalformed("invalid patch format of primitive list")
            kept = merged.get(field)
            if isinstance(kept, list):
                merged[field] = [each for each in kept if each not in value]
        elif name.startswith(_ORDER):
            field = name.removeprefix(_ORDER)
            if field not in patch and isinstance(merged.get(field), list):
                merged[field] = _ordered(merged[field], value, rules.of(field))
    return merged


def _merge_value(current: Any, value: Any, rule: Rule | None, order: Any) -> Any:
    if isinstance(value, Mapping):
        below = current if isinstance(current, Mapping) else {}
        return _merge_map(below, value, rule if isinstance(rule, MapRule) else MapRule())
    if isinstance(value, list) and isinstance(rule, ListRule):
        existing = current if isinstance(current, list) else []
        if rule.merge_key:
            return _ordered(_merge_keyed(existing, value, rule), order, rule)
        if rule.is_set:
            return _ordered([*existing, *(each for each in value if each not in existing)], order, rule)
    if isinstance(value, list):
        return [_clean(each) for each in value if not _is_directive(each)]
    return value


def _merge_keyed(existing: list[Any], patch: list[Any], rule: ListRule) -> list[Any]:
    if any(isinstance(item, Mapping) and item.get(_DIRECTIVE) == "replace" and len(item) == 1 for item in patch):
        return [_clean(item) for item in patch if not _is_directive(item)]
    merged = list(existing)
    for item in patch:
        if not isinstance(item, Mapping):
            raise PatchMalformed("expected a list of objects")
        key = item.get(rule.merge_key)
        if key is None:
            raise PatchMalformed(f"map: {go_value(item)} does not contain declared merge key: {rule.merge_key}")
        at = next(
            (i for i, each in enumerate(merged) if isinstance(each, Mapping) and each.get(rule.merge_key) == key), None
        )
        if item.get(_DIRECTIVE) == "delete":
            merged = [each for each in merged if not (isinstance(each, Mapping) and each.get(rule.merge_key) == key)]
        elif at is None:
            merged.append(_merge_map({}, item, rule.item))
        else:
            merged[at] = _merge_map(merged[at], item, rule.item)
    return merged


def _ordered(items: list[Any], order: Any, rule: Rule | None) -> list[Any]:
    """*items* in the order that `$setElementOrder` lists; those it does not know keep their neighbours."""
    if order is None:
        return items
    if not isinstance(order, list):
        raise PatchMalformed("$setElementOrder must be a list")
    key = rule.merge_key if isinstance(rule, ListRule) else ""

    def identity(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, Mapping) else item

    wanted = [identity(item) for item in order]
    known = sorted((item for item in items if identity(item) in wanted), key=lambda item: wanted.index(identity(item)))
    result: list[Any] = []
    for item in items:
        if identity(item) in wanted:
            result.append(known.pop(0))
        else:
            result.append(item)
    return result


def _is_directive(item: Any) -> bool:
    return isinstance(item, Mapping) and _DIRECTIVE in item and len(item) == 1


def _clean(value: Any) -> Any:
    """A new value as it is stored: without directives, and without members that are null."""
    if isinstance(value, Mapping):
        return {
            name: _clean(each)
            for name, each in value.items()
            if each is not None and not name.startswith(("$patch", _RETAIN, _DELETE_PRIMITIVE, _ORDER))
        }
    if isinstance(value, list):
        return [_clean(each) for each in value if not _is_directive(each)]
    return value


def go_value(value: Any) -> str:
    """The value as Go prints it: `map[a:1 b:[x y]]`."""
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{name}:{go_value(each)}" for name, each in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_value(each) for each in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "<nil>", True: "true", False: "false"}[value]
    return str(value)
