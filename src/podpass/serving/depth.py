"""How deep JSON is nested: what is kept is copied and written by functions that call themselves."""

from typing import Any


def is_deeper_than(limit: int, value: Any) -> bool:
    """Whether objects and arrays are nested more than *limit* deep in *value*, decoded JSON."""
    level = [value]
    for _ in range(limit + 1):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
