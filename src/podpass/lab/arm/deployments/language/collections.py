"""Array and object functions, and those that take a text as well. Contract: the reference's pages on them."""

from typing import Any

from podpass.lab.arm.deployments.language.errors import ExpressionError
from podpass.lab.arm.deployments.language.registry import (
    MANY,
    MAX_ITEMS,
    Group,
    array,
    check_length,
    integer,
    mapping,
    not_one_of,
    text,
)
from podpass.lab.arm.deployments.language.values import equal, key_of, member, text_of

COLLECTIONS = Group()


@COLLECTIONS.add("array", 1)
def _array(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@COLLECTIONS.add("createArray", 0, MANY)
def _create_array(*items: Any) -> list[Any]:
    return list(items)


@COLLECTIONS.add("createObject", 0, MANY)
def _create_object(*parts: Any) -> dict[str, Any]:
    if len(parts) % 2:
        raise ExpressionError("The template language function 'createObject' expects an even number of parameters.")
    return {text("createObject", key): value for key, value in zip(parts[::2], parts[1::2], strict=True)}


@COLLECTIONS.add("concat", 0, MANY)
def _concat(*parts: Any) -> Any:
    if parts and all(isinstance(part, list) for part in parts):
        return [item for part in parts for item in part]
    for part in parts:
        if isinstance(part, list | dict):
            raise not_one_of("concat", "String, Array", part)
    texts = [text_of(part) for part in parts]
    check_length("concat", sum(map(len, texts)))
    return "".join(texts)


@COLLECTIONS.add("contains", 2)
def _contains(holder: Any, item: Any) -> bool:
    match holder:
        case str():
            return text_of(item) in holder
        case list():
            return any(equal(one, item) for one in holder)
        case dict():
            return key_of(holder, text("contains", item)) is not None
    raise not_one_of("contains", "String, Array, Object", holder)


@COLLECTIONS.add("empty", 1)
def _empty(value: Any) -> bool:
    if value is None or isinstance(value, str | list | dict):
        return not value
    raise not_one_of("empty", "String, Array, Object", value)


@COLLECTIONS.add("length", 1)
def _length(value: Any) -> int:
    if isinstance(value, str | list | dict):
        return len(value)
    raise not_one_of("length", "String, Array, Object", value)


@COLLECTIONS.add("first", 1)
def _first(value: Any) -> Any:
    return _end_of("first", value, 0)


@COLLECTIONS.add("last", 1)
def _last(value: Any) -> Any:
    return _end_of("last", value, -1)


def _end_of(function: str, value: Any, at: int) -> Any:
    if not isinstance(value, str | list):
        raise not_one_of(function, "String, Array", value)
    return value[at] if value else "" if isinstance(value, str) else None


@COLLECTIONS.add("skip", 2)
def _skip(value: Any, count: Any) -> Any:
    return _sequence("skip", value)[max(integer("skip", count), 0) :]


@COLLECTIONS.add("take", 2)
def _take(value: Any, count: Any) -> Any:
    return _sequence("take", value)[: max(integer("take", count), 0)]


def _sequence(function: str, value: Any) -> Any:
    if isinstance(value, str | list):
        return value
    raise not_one_of(function, "String, Array", value)


@COLLECTIONS.add("indexOf", 2)
def _index_of(value: Any, item: Any) -> int:
    if isinstance(value, list):
        return next((at for at, one in enumerate(value) if equal(one, item)), -1)
    return text("indexOf", value).lower().find(text("indexOf", item).lower())


@COLLECTIONS.add("lastIndexOf", 2)
def _last_index_of(value: Any, item: Any) -> int:
    if isinstance(value, list):
        return max((at for at, one in enumerate(value) if equal(one, item)), default=-1)
    return text("lastIndexOf", value).lower().rfind(text("lastIndexOf", item).lower())


@COLLECTIONS.add("indexFromEnd", 2)
def _index_from_end(value: Any, back: Any) -> Any:
    items = array("indexFromEnd", value)
    return member(items, len(items) - integer("indexFromEnd", back))


@COLLECTIONS.add("flatten", 1)
def _flatten(value: Any) -> list[Any]:
    return [item for inner in array("flatten", value) for item in array("flatten", inner)]


@COLLECTIONS.add("range", 2)
def _range(start: Any, count: Any) -> list[int]:
    begin, size = integer("range", start), integer("range", count)
    if not 0 <= size <= MAX_ITEMS:
        raise ExpressionError(f"The template language function 'range' expects a count from 0 to {MAX_ITEMS}.")
    return list(range(begin, begin + size))


@COLLECTIONS.add("union", 1, MANY)
def _union(*parts: Any) -> Any:
    if all(isinstance(part, list) for part in parts):
        found: list[Any] = []
        for item in (item for part in parts for item in part):
            if not any(equal(item, one) for one in found):
                found.append(item)
        return found
    merged: dict[str, Any] = {}
    for part in parts:
        merged = _merged(merged, mapping("union", part))
    return merged


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """*above* laid over *below*; objects within objects are merged too, arrays are replaced."""
    result = dict(below)
    for name, value in above.items():
        key = key_of(result, name) or name
        present = result.get(key)
        result[key] = _merged(present, value) if isinstance(present, dict) and isinstance(value, dict) else value
    return result


@COLLECTIONS.add("shallowMerge", 1)
def _shallow_merge(parts: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in array("shallowMerge", parts):
        for name, value in mapping("shallowMerge", part).items():
            merged[key_of(merged, name) or name] = value
    return merged


@COLLECTIONS.add("intersection", 2, MANY)
def _intersection(*parts: Any) -> Any:
    first, *others = parts
    if all(isinstance(part, list) for part in parts):
        found: list[Any] = []
        for item in first:
            shared = all(any(equal(item, one) for one in other) for other in others)
            if shared and not any(equal(item, one) for one in found):
                found.append(item)
        return found
    objects = [mapping("intersection", part) for part in parts]
    return {
        name: value
        for name, value in objects[0].items()
        if all(name in other and equal(other[name], value) for other in objects[1:])
    }


@COLLECTIONS.add("items", 1)
def _items(value: Any) -> list[dict[str, Any]]:
    return [{"key": key, "value": one} for key, one in sorted(mapping("items", value).items())]


@COLLECTIONS.add("objectKeys", 1)
def _object_keys(value: Any) -> list[str]:
    return sorted(mapping("objectKeys", value))


@COLLECTIONS.add("tryGet", 2, MANY)
def _try_get(value: Any, *keys: Any) -> Any:
    for key in keys:
        if value is None:
            return None
        try:
            value = member(value, key)
        except ExpressionError:
            return None
    return value


@COLLECTIONS.add("tryIndexFromEnd", 2)
def _try_index_from_end(value: Any, back: Any) -> Any:
    return _try_get(value, len(array("tryIndexFromEnd", value)) - integer("tryIndexFromEnd", back))


@COLLECTIONS.add("null", 0)
def _null() -> None:
    return None
