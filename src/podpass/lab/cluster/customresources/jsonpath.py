"""The JSONPath of printer columns, selectable fields and scale: `.spec.x`, `[0]`, `['a.b']`, `[*]`, `..`, filters.

A path is parsed once and then walks objects; it gives every value that it leads to, in order.
Contract: Kubernetes API surface, section 5.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MAX_PATH_CHARACTERS = 4096
MAX_VALUES = 10_000
"""Values one path leads to; `..` meets every value of an object."""

Step = Callable[[Any], Iterator[Any]]


class BadPath(ValueError):
    """The text is no JSONPath; says where it stops being one."""


class JsonPath:
    """A parsed path."""

    def __init__(self, text: str) -> None:
        """Raises BadPath."""
        self.text = text
        if len(text) > MAX_PATH_CHARACTERS:
            raise BadPath("the path is too long")
        self._steps = _parse(text.strip().removeprefix("{").removesuffix("}").removeprefix("$"))

    def values(self, obj: Any) -> list[Any]:
        """All that the path leads to; empty where it leads nowhere."""
        found = [obj]
        for step in self._steps:
            following: list[Any] = []
            for each in found:
                following.extend(step(each))
                if len(following) > MAX_VALUES:
                    break
            found = following[:MAX_VALUES]
        return found


_NAME = re.compile(r"(?:[^.\[\]\\(){}?@'\"\s]|\\.)+")
_INDEX = re.compile(r"-?\d+")
_SLICE = re.compile(r"(-?\d*):(-?\d*)(?::(-?\d*))?")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_OPERATOR = re.compile("==|!=|<=|>=|<|>")


def _parse(text: str) -> list[Step]:
    steps: list[Step] = []
    at = 0
    while at < len(text):
        if text.startswith("..", at):
            steps.append(_descend)
            at += 2
            if at == len(text):
                raise BadPath(f"a name is missing in {text!r}")
            if text[at] not in "[*":
                at = _name(text, at, steps)
            elif text.startswith("*", at):
                steps.append(_every)
                at += 1
        elif text[at] == ".":
            at += 1
            if at == len(text) and not steps:
                break
            if text.startswith("*", at):
                steps.append(_every)
                at += 1
            elif not text.startswith("[", at):
                at = _name(text, at, steps)
        elif text[at] == "[":
            end = _closing(text, at)
            steps.append(_bracket(text[at + 1 : end].strip(), text))
            at = end + 1
        elif not steps:
            at = _name(text, at, steps)
        else:
            raise BadPath(f"unexpected {text[at]!r} in {text!r}")
    return steps


def _name(text: str, at: int, steps: list[Step]) -> int:
    found = _NAME.match(text, at)
    if found is None:
        raise BadPath(f"a name is missing in {text!r}")
    steps.append(_member(re.sub(r"\\(.)", r"\1", found.group())))
    return found.end()


def _closing(text: str, at: int) -> int:
    depth, quote = 0, ""
    for place in range(at, len(text)):
        character = text[place]
        if quote:
            if character == quote and text[place - 1] != "\\":
                quote = ""
        elif character in "'\"":
            quote = character
        elif character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
            if depth == 0:
                return place
    raise BadPath(f"unterminated array in {text!r}")


def _bracket(inner: str, text: str) -> Step:
    if inner == "*":
        return _every
    if quoted := _QUOTED.fullmatch(inner):
        return _member(re.sub(r"\\(.)", r"\1", quoted.group(1) or quoted.group(2) or ""))
    if _INDEX.fullmatch(inner):
        return _element(int(inner[:12]))
    if found := _SLICE.fullmatch(inner):
        start, stop, stride = (int(each) if each else None for each in found.groups())
        if stride is not None and stride <= 0:
            raise BadPath("step must be > 0")
        return _slice(slice(start, stop, stride))
    if inner.startswith("?(") and inner.endswith(")"):
        return _filter(inner[2:-1].strip())
    if "," in inner and all(_INDEX.fullmatch(each.strip()) for each in inner.split(",")):
        steps = [_element(int(each[:12])) for each in inner.split(",")]
        return lambda value: (found for step in steps for found in step(value))
    raise BadPath(f"invalid array index {inner!r} in {text!r}")


def _member(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, Mapping) and name in value:
            yield value[name]

    return step


def _element(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _slice(part: slice) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[part]

    return step


def _every(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _descend(value: Any) -> Iterator[Any]:
    todo = [value]
    while todo:
        each = todo.pop()
        yield each
        todo.extend(reversed(list(_every(each))))


def _filter(condition: str) -> Step:
    found = _OPERATOR.search(condition)
    left = condition[: found.start()] if found else condition
    if not left.startswith("@"):
        raise BadPath(f"unrecognized filter {condition!r}")
    path = JsonPath(left[1:].rstrip())
    if found is None:
        return lambda value: (each for each in _every(value) if path.values(each))
    operator, operand = found.group(), _operand(condition[found.end() :].strip())

    def step(value: Any) -> Iterator[Any]:
        for each in _every(value):
            found = path.values(each)
            right = operand.values(each) if isinstance(operand, JsonPath) else [operand]
            if found and right and _compare(found[0], operator, right[0]):
                yield each

    return step


def _operand(text: str) -> Any:
    if quoted := _QUOTED.fullmatch(text):
        return re.sub(r"\\(.)", r"\1", quoted.group(1) or quoted.group(2) or "")
    if text.startswith("@"):
        return JsonPath(text[1:])
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError as error:
        raise BadPath(f"unrecognized operand {text!r}") from error


def _compare(left: Any, operator: str, right: Any) -> bool:
    if operator in ("==", "!="):
        return (type(left) is bool) == (type(right) is bool) and (left == right) == (operator == "==")
    if not (_is_number(left) and _is_number(right)) and not (isinstance(left, str) and isinstance(right, str)):
        return False
    return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
