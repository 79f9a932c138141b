"""JSON as Resource Manager reads the body of a deployment: with comments, and more forgiving than the standard.

az sends the file of a template as it is, inside a request of its own: `{"properties": {…, template:{ // comment`.
So a name may stand without quotes, a text in single ones, a text may run over lines, and a comma may end a list.
"""

import re
from typing import Any

MAX_DEPTH = 100

_SPACE = re.compile(r"(?:[\s\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_PLAIN = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "'": "'", "\\": "\\", "/": "/"}
_WORDS = {"true": True, "false": False, "null": None}


class NotJson(ValueError):
    """The text is no JSON; the message says what was found where, by line and column from 1."""


def loads(body: bytes) -> Any:
    """The value that *body* holds. Raises NotJson."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotJson("the text is not UTF-8") from error
    reader = _Reader(text)
    value = reader.value(0)
    reader.skip()
    if reader.at != len(text):
        raise reader.refusal("the end of the text")
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def peek(self) -> str:
        self.skip()
        return self.text[self.at : self.at + 1]

    def refusal(self, wanted: str, at: int | None = None) -> NotJson:
        at = self.at if at is None else at
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        return NotJson(f"expected {wanted}, found {self.text[at : at + 10]!r} at line {line}, position {column}")

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise self.refusal(f"at most {MAX_DEPTH} levels")
        match self.peek():
            case "{":
                return self._object(depth)
            case "[":
                return self._array(depth)
            case '"' | "'":
                return self._string()
        if (word := _NAME.match(self.text, self.at)) and word[0] in _WORDS:
            self.at = word.end()
            return _WORDS[word[0]]
        if number := _NUMBER.match(self.text, self.at):
            self.at = number.end()
            digits = number[0]
            if len(digits) > 400:
                raise self.refusal("a shorter number", number.start())
            return float(digits) if any(mark in digits for mark in ".eE") else int(digits)
        raise self.refusal("a value")

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.at += 1
        while self.peek() != "}":
            name = self._name()
            if self.peek() != ":":
                raise self.refusal("':'")
            self.at += 1
            found[name] = self.value(depth + 1)
            self._end_of_item("}")
        self.at += 1
        return found

    def _array(self, depth: int) -> list[Any]:
        found: list[Any] = []
        self.at += 1
        while self.peek() != "]":
            found.append(self.value(depth + 1))
            self._end_of_item("]")
        self.at += 1
        return found

    def _end_of_item(self, end: str) -> None:
        mark = self.peek()
        if mark == ",":
            self.at += 1
        elif mark != end:
            raise self.refusal(f"',' or '{end}'")

    def _name(self) -> str:
        if self.peek() in ("'", '"') and self.peek():
            return self._string()
        match = _NAME.match(self.text, self.at)
        if match is None:
            raise self.refusal("the name of a member")
        self.at = match.end()
        return match[0]

    def _string(self) -> str:
        quote, began = self.text[self.at], self.at
        self.at += 1
        parts: list[str] = []
        while True:
            plain = _PLAIN[quote].match(self.text, self.at)
            assert plain is not None
            parts.append(plain[0])
            self.at = plain.end()
            if self.at >= len(self.text):
                raise self.refusal("the end of a text", began)
            self.at += 1
            if self.text[self.at - 1] == quote:
                return _joined(parts)
            parts.append(self._escape())

    def _escape(self) -> str:
        mark = self.text[self.at : self.at + 1]
        self.at += 1
        if mark == "u":
            digits = self.text[self.at : self.at + 4]
            if re.fullmatch(r"[0-9a-fA-F]{4}", digits) is None:
                raise self.refusal("four hexadecimal digits")
            self.at += 4
            return chr(int(digits, 16))
        if mark not in _ESCAPES:
            raise self.refusal("an escape", self.at - 2)
        return _ESCAPES[mark]


def _joined(parts: list[str]) -> str:
    text = "".join(parts)
    # Two escapes of a surrogate pair are one character; one alone is none.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
