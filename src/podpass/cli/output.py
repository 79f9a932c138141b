"""How podpass speaks on a terminal: results to stdout, everything else to stderr.

An error is one line `podpass: error: …`, then `cause:` and `hint:` lines, the code last. JSON is stable and documented;
tables are for people. Colour only on a terminal; NO_COLOR wins over FORCE_COLOR.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Literal, TextIO

import msgspec

from podpass.telemetry.colour import wants_colour

Format = Literal["table", "json", "yaml"]

DONE, FAILED, USAGE, PROBLEMS, INTERRUPTED = 0, 1, 2, 3, 130

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def styled(text: str, style: str, stream: TextIO) -> str:
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if wants_colour(stream, os.environ) else text


def printable(text: object) -> str:
    """*text* with control characters made visible: what comes from a token or a program must not steer the terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in str(text)
    )


def note(text: str) -> None:
    """Progress or advice for the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


def print_error(message: str, *, cause: str = "", hint: str = "", code: str = "") -> None:
    stream = sys.stderr
    print(f"podpass: {styled('error:', 'red', stream)} {message}", file=stream)
    for label, text in (("cause", cause), ("hint", hint), ("code", code)):
        if text:
            print(f"{label + ':':<6} {text}", file=stream)


def print_table(rows: Sequence[Sequence[str]], *, heads: Sequence[str]) -> None:
    """Aligned columns with a line of heads, as kubectl prints them."""
    table = [list(heads), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in table) for column in range(len(heads))]
    for row in table:
        line = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())


def print_value(value: object, output: Format) -> None:
    """*value* as JSON or YAML; a table is the caller's business, and mappings are printed as `name  value` lines."""
    if output == "json":
        print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
    elif output == "yaml":
        import yaml

        print(yaml.safe_dump(msgspec.to_builtins(value), sort_keys=False, allow_unicode=True), end="")
    elif isinstance(value, Mapping):
        width = max((len(str(key)) for key in value), default=0)
        for key, member in value.items():
            print(f"{key!s:<{width}}   {member}")
    else:
        print(value)
