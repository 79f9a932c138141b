"""The `$filter` of a list, as far as clients use it: comparisons of one member with one text, joined by `and`.

Contract: Azure HTTP surface, section 5.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

_TEXT = r"'((?:[^']|'')*)'"
_EQUAL = re.compile(rf"(\w+)\s+eq\s+{_TEXT}", re.IGNORECASE)
_STARTS = re.compile(rf"startswith\(\s*(\w+)\s*,\s*{_TEXT}\s*\)", re.IGNORECASE)
_ANY = re.compile(rf"(\w+)/any\(\s*(\w+)\s*:\s*\2\s+eq\s+{_TEXT}\s*\)", re.IGNORECASE)
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)
MAX_TERMS = 16


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison. Graph compares texts without regard to letter case."""

    how: Literal["equals", "starts-with", "contains"]
    member: str
    text: str

    def holds(self, shown: Mapping[str, Any]) -> bool:
        """Whether it is true of an object as Graph shows it."""
        found, wanted = shown.get(self.member), self.text.lower()
        match self.how:
            case "equals":
                return isinstance(found, str) and found.lower() == wanted
            case "starts-with":
                return isinstance(found, str) and found.lower().startswith(wanted)
            case _:
                return isinstance(found, list) and wanted in (str(one).lower() for one in found)


def parse(text: str, members: Mapping[str, str]) -> tuple[Term, ...] | None:
    """The terms of a filter; None for one beyond this grammar, or about a member that is not among *members*.

    *members* gives the spelling of each name in lower case.
    """
    terms: list[Term] = []
    rest = text.strip()
    while len(terms) < MAX_TERMS:
        term, rest = _first(rest, members)
        if term is None:
            return None
        terms.append(term)
        if not rest.strip():
            return tuple(terms)
        joint = _AND.match(rest)
        if joint is None:
            return None
        rest = rest[joint.end() :]
    return None


def _first(text: str, members: Mapping[str, str]) -> tuple[Term | None, str]:
    """The term that *text* starts with, and what follows it."""
    for pattern, how in _GRAMMAR:
        if found := pattern.match(text):
            member = members.get(found[1].lower())
            value = found.groups()[-1].replace("''", "'")
            return (None if member is None else Term(how, member, value)), text[found.end() :]
    return None, text


def selected(
    text: str, members: Mapping[str, str], refused: Callable[[], Exception]
) -> Callable[[Mapping[str, Any]], bool]:
    """Whether an object is wanted by the filter *text*; an empty one wants all. Raises what *refused* gives."""
    if not text:
        return lambda _: True
    terms = parse(text, members)
    if terms is None:
        raise refused()
    return lambda shown: all(term.holds(shown) for term in terms)


_GRAMMAR: tuple[tuple[re.Pattern[str], Literal["equals", "starts-with", "contains"]], ...] = (
    (_EQUAL, "equals"),
    (_STARTS, "starts-with"),
    (_ANY, "contains"),
)
