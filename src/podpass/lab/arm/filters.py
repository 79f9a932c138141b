"""The part of OData's `$filter` that ARM's lists take: comparisons and calls joined by `and`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from podpass.lab.arm import errors

_CLAUSE = re.compile(
    r"\s*(?:(?P<name>[A-Za-z][A-Za-z0-9/.]*)\s+eq\s+(?:'(?P<text>(?:[^']|'')*)'|(?P<bare>[A-Za-z0-9-]+))"
    r"|(?P<call>[A-Za-z]+)\(\s*(?:'(?P<argument>(?:[^']|'')*)')?\s*\))\s*(?P<more>and\s|$)",
    re.IGNORECASE,
)
_MAX_LENGTH = 2_000


class NotAFilter(ValueError):
    """The text is not of the supported form."""


@dataclass(frozen=True, slots=True)
class Clause:
    """`name eq 'value'`, or `name('value')` when *is_call*. The name is in lower case."""

    name: str
    value: str
    is_call: bool = False


def parse_filter(text: str) -> tuple[Clause, ...]:
    """The clauses of *text*; none for an empty one. Raises NotAFilter."""
    clauses: list[Clause] = []
    position = 0
    if len(text) > _MAX_LENGTH:
        raise NotAFilter(text)
    while position < len(text.rstrip()):
        found = _CLAUSE.match(text, position)
        if found is None:
            raise NotAFilter(text)
        if found["call"]:
            clauses.append(Clause(found["call"].lower(), _unquoted(found["argument"]), True))
        else:
            clauses.append(Clause(found["name"].lower(), found["bare"] or _unquoted(found["text"])))
        position = found.end()
        if found["more"].strip() and position >= len(text.rstrip()):
            raise NotAFilter(text)
    return tuple(clauses)


def clauses_of(query: Mapping[str, str]) -> tuple[Clause, ...]:
    """The request's `$filter`. Raises ArmError."""
    try:
        return parse_filter(query.get("$filter", ""))
    except NotAFilter as error:
        raise errors.invalid_filter(str(error)) from error


def _unquoted(text: str | None) -> str:
    return (text or "").replace("''", "'")
