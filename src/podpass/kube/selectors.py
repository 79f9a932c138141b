"""Label and field selectors: parsing, matching, and writing them out again.

Contract: Kubernetes API surface, section 2.9.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from podpass.kube.names import label_key_fault, label_value_fault

Operator = Literal["in", "notin", "=", "!=", "exists", "!", ">", "<"]

MAX_SELECTOR_CHARACTERS = 64 * 1024


class SelectorSyntax(ValueError):
    """The text is not a selector; str() says why, in the API server's words."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label. *values* is sorted; empty for exists and its negation."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in" | "=":
                return value is not None and value in self.values
            case "notin" | "!=":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case ">":
                return value is not None and _is_integer(value) and int(value) > int(self.values[0])
            case "<":
                return value is not None and _is_integer(value) and int(value) < int(self.values[0])

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; none at all matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = LabelSelector()


def parse_labels(text: str) -> LabelSelector:
    """The selector in a `labelSelector` parameter. Raises SelectorSyntax."""
    if len(text) > MAX_SELECTOR_CHARACTERS:
        raise SelectorSyntax(f"selector is longer than {MAX_SELECTOR_CHARACTERS} characters")
    if not text.strip():
        return EVERYTHING
    return LabelSelector(tuple(_Parser(text).requirements()))


def from_object(selector: Mapping[str, Any] | None) -> LabelSelector | None:
    """The selector in an object's `matchLabels` and `matchExpressions`; None, which matches nothing, for None.

    Raises SelectorSyntax for an operator or a shape that does not exist.
    """
    if selector is None:
        return None
    if not isinstance(selector, Mapping):
        raise SelectorSyntax("a label selector must be an object")
    requirements: list[Requirement] = []
    match_labels = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or []
    if not isinstance(match_labels, Mapping) or not isinstance(expressions, list):
        raise SelectorSyntax("matchLabels must be an object and matchExpressions a list")
    for key, value in sorted(match_labels.items()):
        if not isinstance(value, str):
            raise SelectorSyntax(f"the value of label {key!r} must be a string")
        requirements.append(Requirement(key, "in", (value,)))
    for expression in expressions:
        if not isinstance(expression, Mapping) or not isinstance(expression.get("key"), str):
            raise SelectorSyntax("each of matchExpressions needs a key")
        operator, values = expression.get("operator"), expression.get("values") or []
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise SelectorSyntax("the values of a match expression must be strings")
        if operator not in _OBJECT_OPERATORS:
            raise SelectorSyntax(f'"{operator}" is not a valid label selector operator')
        if (operator in ("In", "NotIn")) != bool(values):
            wanted = "empty for exists and does not exist" if values else "non-empty for in, notin"
            raise SelectorSyntax(f"values set must be {wanted}")
        requirements.append(Requirement(expression["key"], _OBJECT_OPERATORS[operator], tuple(sorted(set(values)))))
    return LabelSelector(tuple(requirements))


_OBJECT_OPERATORS: dict[Any, Operator] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """One `key=value` or `key!=value` of a field selector."""

    key: str
    value: str
    equal: bool

    def __str__(self) -> str:
        return f"{self.key}{'=' if self.equal else '!='}{_escape(self.value)}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Requirements that an object's fields must all meet."""

    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        """An absent field counts as empty."""
        return all((fields.get(term.key, "") == term.value) == term.equal for term in self.requirements)

    def value_of(self, key: str) -> str | None:
        """The value that *key* must equal, if there is one."""
        return next((term.value for term in self.requirements if term.key == key and term.equal), None)

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(str(term) for term in self.requirements)


def parse_fields(text: str) -> FieldSelector:
    """The selector in a `fieldSelector` parameter. Raises SelectorSyntax."""
    if len(text) > MAX_SELECTOR_CHARACTERS:
        raise SelectorSyntax(f"selector is longer than {MAX_SELECTOR_CHARACTERS} characters")
    terms: list[FieldRequirement] = []
    for part in _split_unescaped(text):
        if not part:
            continue
        found = _FIELD_TERM.match(part)
        if found is None:
            raise SelectorSyntax(f"invalid selector: '{text}'; can't understand '{part}'")
        key, operator, value = found.groups()
        terms.append(FieldRequirement(key, _unescape(value, text), operator != "!="))
    return FieldSelector(tuple(terms))


_FIELD_TERM = re.compile(r"((?:[^=!\\]|\\.|!(?!=))*)(==|!=|=)(.*)", re.DOTALL)


def _split_unescaped(text: str) -> list[str]:
    parts, current, escaped = [], "", False
    for character in text:
        if character == "," and not escaped:
            parts.append(current)
            current = ""
            continue
        current += character
        escaped = character == "\\" and not escaped
    return [*parts, current]


def _unescape(value: str, whole: str) -> str:
    out, escaped = "", False
    for character in value:
        if escaped:
            if character not in "\\,=":
                raise SelectorSyntax(f"invalid field selector: invalid escape sequence: \\{character}")
            out += character
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in ",=":
            raise SelectorSyntax(f"invalid field selector: unescaped character in value: {character} in '{whole}'")
        else:
            out += character
    if escaped:
        raise SelectorSyntax(f"invalid field selector: unescaped trailing backslash in '{whole}'")
    return out


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


_TOKEN = re.compile(r"\s*(==|!=|=|!|>|<|,|\(|\)|[^\s=!><,()]+)")
_SPECIAL = frozenset(("==", "!=", "=", "!", ">", "<", ",", "(", ")"))


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"[-+]?[0-9]{1,19}", text) is not None


class _Parser:
    """The grammar of label selectors, by recursive descent."""

    def __init__(self, text: str) -> None:
        self._words: list[str] = []
        position = 0
        stripped = text.rstrip()
        while position < len(stripped):
            found = _TOKEN.match(stripped, position)
            if found is None:
                raise _fault(f"found '{stripped[position]}'")
            self._words.append(found[1])
            position = found.end()
        self._next = 0

    def requirements(self) -> list[Requirement]:
        if not self._begins_requirement():
            raise SelectorSyntax(f"found '{self._peek() or ''}', expected: !, identifier, or 'end of string'")
        found = [self._requirement()]
        while (word := self._take()) is not None:
            if word != ",":
                raise SelectorSyntax(f"found '{word}', expected: ',' or 'end of string'")
            if not self._begins_requirement():
                raise SelectorSyntax(f"found '{self._peek() or ''}', expected: identifier after ','")
            found.append(self._requirement())
        return found

    def _begins_requirement(self) -> bool:
        word = self._peek()
        return word is not None and (word == "!" or word not in _SPECIAL)

    def _requirement(self) -> Requirement:
        word = self._take()
        if word == "!":
            negated = self._take()
            if negated is None or negated in _SPECIAL:
                raise _fault(f"found '{negated or ''}', expected: identifier")
            return Requirement(self._key(negated), "!")
        key = self._key(word)
        operator = self._peek()
        if operator is None or operator == ",":
            return Requirement(key, "exists")
        self._take()
        match operator:
            case "=" | "==":
                return Requirement(key, "=", (self._exact_value(key),))
            case "!=":
                return Requirement(key, "!=", (self._exact_value(key),))
            case ">" | "<":
                value = self._exact_value(key)
                if not _is_integer(value):
                    raise _fault(
                        f"values[0]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
                    )
                return Requirement(key, operator, (value,))
            case "in" | "notin":
                return Requirement(key, operator, self._values(key))
        raise _fault(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def _key(self, word: str | None) -> str:
        if word is None or word in _SPECIAL:
            raise _fault(f"found '{word or ''}', expected: !, identifier, or 'end of string'")
        if fault := label_key_fault(word):
            raise _fault(f'<nil>: Invalid value: "{word}": {fault}')
        return word

    def _exact_value(self, key: str) -> str:
        if (word := self._peek()) is None or word == ",":
            return ""
        self._take()
        if word in _SPECIAL:
            raise _fault(f"found '{word}', expected: identifier")
        return self._checked(key, word)

    def _values(self, key: str) -> tuple[str, ...]:
        if (word := self._take()) != "(":
            raise _fault(f"found '{word or ''}' expected: '('")
        values: set[str] = set()
        value, expected = "", "',', ')' or identifier"
        while True:
            word = self._take()
            if word in (",", ")"):
                values.add(self._checked(key, value) if value else "")
                value, expected = "", "',', or identifier"
                if word == ")":
                    return tuple(sorted(values))
            elif word is None or word in _SPECIAL or value:
                raise _fault(f"found '{word or ''}', expected: {expected}")
            else:
                value, expected = word, "',' or ')'"

    @staticmethod
    def _checked(key: str, value: str) -> str:
        if fault := label_value_fault(value):
            raise _fault(f'values[0][{key}]: Invalid value: "{value}": {fault}')
        return value

    def _take(self) -> str | None:
        word = self._peek()
        self._next += 1
        return word

    def _peek(self) -> str | None:
        return self._words[self._next] if self._next < len(self._words) else None


def _fault(detail: str) -> SelectorSyntax:
    return SelectorSyntax(f"unable to parse requirement: {detail}")
