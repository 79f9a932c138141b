"""JSON values as the expression language sees them: their types' names, texts, equality and members."""

import json
from collections.abc import Mapping
from typing import Any

from podpass.lab.arm.deployments.language.errors import ExpressionError

_TYPES: dict[type, str] = {
    str: "String",
    bool: "Boolean",
    int: "Integer",
    float: "Float",
    list: "Array",
    dict: "Object",
    type(None): "Null",
}


def type_name(value: Any) -> str:
    return _TYPES.get(type(value), "Object")


def text_of(value: Any) -> str:
    """The value as a text: booleans as .NET writes them, objects and arrays as JSON without spaces."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "True" if value else "False"
        case dict() | list():
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return str(value)


def equal(one: Any, other: Any) -> bool:
    """Whether two values are the same, letter case included; true and 1 are not."""
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(equal(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return bool(one == other)


def key_of(holder: Mapping[str, Any], name: str) -> str | None:
    """The key by which *holder* has *name*, letter case aside."""
    if name in holder:
        return name
    wanted = name.lower()
    return next((key for key in holder if key.lower() == wanted), None)


def member(target: Any, key: Any) -> Any:
    """`target.key` or `target[key]`. Raises ExpressionError."""
    if isinstance(target, dict):
        if not isinstance(key, str):
            raise ExpressionError(
                f"The language expression property '{text_of(key)}' can't be evaluated, property name must be a string."
            )
        found = key_of(target, key)
        if found is None:
            available = ", ".join(target)
            raise ExpressionError(
                f"The language expression property '{key}' doesn't exist, available properties are '{available}'."
            )
        return target[found]
    if isinstance(target, list):
        if not isinstance(key, int) or isinstance(key, bool):
            raise ExpressionError(
                f"The language expression property '{text_of(key)}' can't be evaluated, array index must be an integer."
            )
        if not 0 <= key < len(target):
            raise ExpressionError(f"The language expression property array index '{key}' is out of bounds.")
        return target[key]
    raise ExpressionError(
        f"The language expression property '{text_of(key)}' can't be evaluated: the value before it is of type "
        f"'{type_name(target)}'."
    )
