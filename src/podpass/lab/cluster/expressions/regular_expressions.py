"""The functions of CEL that find regular expressions, in time linear to the text."""

from functools import cache
from typing import Any

from podpass.lab.cluster.expressions.function import Function


@cache
def _re2() -> Any:
    import re2

    return re2


def _pattern(text: str) -> Any:
    options = _re2().Options()
    options.log_errors = False
    try:
        return _re2().compile(text, options)
    except _re2().error as error:
        raise ValueError(f"Illegal regex: {error}") from error


def _find(text: str, pattern: str) -> str:
    found = _pattern(pattern).search(text)
    return found.group(0) if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = (each.group(0) for each in _pattern(pattern).finditer(text))
    return [each for index, each in enumerate(found) if limit < 0 or index < limit]


REGULAR_EXPRESSIONS = (
    Function("find", ("string", "string"), "string", _find, member=True),
    Function("findAll", ("string", "string"), "list<string>", _find_all, member=True),
    Function("findAll", ("string", "string", "int"), "list<string>", _find_all, member=True),
)
