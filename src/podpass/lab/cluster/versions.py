"""The order of API versions: general availability first, then beta, then alpha, each the newest first.

Contract: Kubernetes API surface, section 1.2: the first version of a group is the one that clients prefer.
"""

import re
from collections.abc import Iterable

_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?", re.ASCII)
_STAGES = {"alpha": 1, "beta": 2, None: 3}


def newest_first(versions: Iterable[str]) -> list[str]:
    """In order of preference; names that are no versions come last, by name."""
    return sorted(versions, key=_place)


def _place(version: str) -> tuple[int, int, int, int, str]:
    found = _VERSION.fullmatch(version)
    if found is None:
        return (1, 0, 0, 0, version)
    major, stage, minor = found.groups()
    return (0, -_STAGES[stage], -int(major), -int(minor or 0), "")
