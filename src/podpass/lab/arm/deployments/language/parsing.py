"""Text of an expression into nodes.

    expression = primary { "." name | "[" expression "]" }
    primary    = string | integer | name [ "." name ] "(" [ expression { "," expression } ] ")"

A string stands in single quotes, and a quote in it is doubled. There are no operators.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from podpass.lab.arm.deployments.language.errors import USAGE, ExpressionError

MAX_LENGTH = 24_576
MAX_DEPTH = 100

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<integer>-?\d+)|(?P<name>[A-Za-z_$][A-Za-z0-9_$]*)|(?P<mark>[()\[\],.]))"
)
_MARKS = {
    "(": "LeftParenthesis",
    ")": "RightParenthesis",
    "[": "LeftSquareBracket",
    "]": "RightSquareBracket",
    ",": "Comma",
    ".": "Dot",
}


@dataclass(frozen=True, slots=True)
class Literal:
    """A string or an integer."""

    value: str | int


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments; *namespace* is that of a template's own functions."""

    name: str
    arguments: tuple["Node", ...] = ()
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """`target.name`, and `target[index]`."""

    target: "Node"
    key: "Node"


Node = Literal | Call | Member


def is_expression(text: str) -> bool:
    return len(text) > 1 and text[0] == "[" and text[-1] == "]" and text[1] != "["


def unescaped(text: str) -> str:
    """What a text that is no expression stands for: two brackets at its beginning are one."""
    return text[1:] if text.startswith("[[") and text.endswith("]") else text


def escaped(text: str) -> str:
    """The text that stands for *text* and for nothing else."""
    return f"[{text}" if text.startswith("[") and text.endswith("]") else text


@lru_cache(maxsize=4_096)
def parse(text: str) -> Node:
    """The node that an expression, brackets included, stands for. Raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"The language expression length limit exceeded. Limit: '{MAX_LENGTH}'. {USAGE}")
    tokens = _tokens(text[1:-1], text)
    node, rest = _expression(tokens, 0, text, 0)
    if rest != len(tokens):
        raise _unexpected(text, "EndOfData", tokens[rest])
    return node


_Token = tuple[str, str]


def _tokens(inside: str, text: str) -> list[_Token]:
    found: list[_Token] = []
    position, end = 0, len(inside.rstrip())
    while position < end:
        match = _TOKEN.match(inside, position)
        if match is None:
            raise ExpressionError(
                f"Unable to parse language expression '{text}': the character "
                f"'{inside[position:].lstrip()[:1]}' at position '{position + 1}' is not expected. {USAGE}"
            )
        kind = match.lastgroup or ""
        found.append((kind, match[kind]))
        position = match.end()
    return found


def _expression(tokens: list[_Token], at: int, text: str, depth: int) -> tuple[Node, int]:
    if depth > MAX_DEPTH:
        raise ExpressionError(f"The language expression is nested deeper than {MAX_DEPTH} levels. {USAGE}")
    node, at = _primary(tokens, at, text, depth)
    while at < len(tokens) and tokens[at] in (("mark", "."), ("mark", "[")):
        if tokens[at][1] == ".":
            kind, name = _peek(tokens, at + 1)
            if kind != "name":
                raise _unexpected(text, "Identifier", (kind, name))
            node, at = Member(node, Literal(name)), at + 2
        else:
            key, at = _expression(tokens, at + 1, text, depth + 1)
            at = _expect(tokens, at, "]", text)
            node = Member(node, key)
    return node, at


def _primary(tokens: list[_Token], at: int, text: str, depth: int) -> tuple[Node, int]:
    kind, value = _peek(tokens, at)
    if kind == "string":
        return Literal(value[1:-1].replace("''", "'")), at + 1
    if kind == "integer":
        return Literal(int(value)), at + 1
    if kind != "name":
        raise _unexpected(text, "Identifier", (kind, value))
    namespace, at = "", at + 1
    if _peek(tokens, at) == ("mark", ".") and _peek(tokens, at + 1)[0] == "name":
        namespace, value, at = value, tokens[at + 1][1], at + 2
    at = _expect(tokens, at, "(", text)
    arguments: list[Node] = []
    if _peek(tokens, at) != ("mark", ")"):
        while True:
            argument, at = _expression(tokens, at, text, depth + 1)
            arguments.append(argument)
            if _peek(tokens, at) != ("mark", ","):
                break
            at += 1
    return Call(value, tuple(arguments), namespace), _expect(tokens, at, ")", text)


def _peek(tokens: list[_Token], at: int) -> _Token:
    return tokens[at] if at < len(tokens) else ("end", "")


def _expect(tokens: list[_Token], at: int, mark: str, text: str) -> int:
    if _peek(tokens, at) != ("mark", mark):
        raise _unexpected(text, _MARKS[mark], _peek(tokens, at))
    return at + 1


def _unexpected(text: str, wanted: str, found: _Token) -> ExpressionError:
    kind, value = found
    actual = {"string": "LiteralString", "integer": "Integer", "name": "Identifier", "end": "EndOfData"}.get(kind)
    return ExpressionError(
        f"Unable to parse language expression '{text}': expected token '{wanted}' and actual "
        f"'{actual or _MARKS[value]}'. {USAGE}"
    )
