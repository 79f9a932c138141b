"""A schema and the schemas inside it."""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]


def nodes(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every schema inside *schema*, itself first, with its path."""
    todo: list[tuple[str, Any]] = [(path, schema)]
    while todo:
        place, node = todo.pop()
        if not isinstance(node, Mapping):
            continue
        yield place, node
        todo.extend(children(node, place))


def children(node: Schema, path: str) -> Iterator[tuple[str, Any]]:
    """Those right below it, with their paths, whether they are schemas or only stand where one should."""
    for name in ("properties", "patternProperties", "definitions", "dependencies"):
        for key, below in (node.get(name) or {}).items():
            yield f"{path}.{name}[{key}]", below
    for name in ("items", "not", "additionalProperties", "additionalItems"):
        below = node.get(name)
        if isinstance(below, list):
            yield from ((f"{path}.{name}[{at}]", each) for at, each in enumerate(below))
        elif isinstance(below, Mapping):
            yield f"{path}.{name}", below
    for name in ("allOf", "anyOf", "oneOf"):
        yield from ((f"{path}.{name}[{at}]", each) for at, each in enumerate(node.get(name) or ()))
