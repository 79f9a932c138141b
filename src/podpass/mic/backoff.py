"""How long what failed is left alone: twice as long each time.

Contract: pod identity, section 9 (13).
"""

import time
from collections.abc import Callable, Hashable

FIRST_SECONDS = 5.0
LONGEST_SECONDS = 900.0


class Backoff:
    """By key, such as a machine and an identity on it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[Hashable, tuple[int, float]] = {}

    def failed(self, key: Hashable) -> None:
        count, _ = self._failures.get(key, (0, 0.0))
        wait = min(FIRST_SECONDS * 2.0 ** min(count, 30), LONGEST_SECONDS)
        self._failures[key] = (count + 1, self._clock() + wait)

    def succeeded(self, key: Hashable) -> None:
        self._failures.pop(key, None)

    def waits_seconds(self, key: Hashable) -> float:
        """How long *key* is still to be left alone."""
        return max(self._failures.get(key, (0, 0.0))[1] - self._clock(), 0.0)
