"""Regular expressions out of schemas, in the syntax and with the guarantee of RE2: time linear in the text.

Kubernetes reads patterns with Go's engine, which is RE2's. Python's own would let one pattern of a schema hold the
whole cluster for minutes.
"""

from collections.abc import Callable
from functools import lru_cache

MAX_PATTERN_CHARACTERS = 16_384
MAX_PROGRAM_BYTES = 4 * 1024 * 1024
"""What a compiled pattern may take; repetitions of repetitions grow fast."""


class BadPattern(ValueError):
    """The pattern is no regular expression, or one that would take too much memory."""


_WORDS = {
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid named capture group": "invalid named capture",
    "trailing \\": "trailing backslash at end of expression",
}
"""What RE2 says, and what Go says for it."""


def _in_gos_words(text: str) -> str:
    what, _, where = text.partition(": ")
    return f"{_WORDS.get(what, what)}: `{where}`"


@lru_cache(maxsize=4096)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether the pattern is found anywhere in a text. Raises BadPattern."""
    # Loaded with the first pattern: most labs have none.
    import re2

    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise BadPattern(f"expression is longer than {MAX_PATTERN_CHARACTERS} characters")
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = MAX_PROGRAM_BYTES
    try:
        found = re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0] if error.args else ""
        text = why.decode(errors="replace") if isinstance(why, bytes) else str(why)
        raise BadPattern(f"error parsing regexp: {_in_gos_words(text)}") from error
    except UnicodeEncodeError as error:
        raise BadPattern("error parsing regexp: invalid UTF-8") from error
    search = found.search

    def matches(text: str) -> bool:
        try:
            return search(text) is not None
        except UnicodeEncodeError:
            return False

    return matches
