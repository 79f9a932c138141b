"""How often something may be asked of a service: a number of times in each ten seconds of the lab's clock."""

import math
from collections.abc import Hashable
from dataclasses import dataclass

SECONDS = 10.0


@dataclass(slots=True)
class _Window:
    began: float
    calls: int = 0


class CallWindows:
    """Counts calls by whatever they are counted by. A call that is refused does not count."""

    def __init__(self) -> None:
        self._windows: dict[Hashable, _Window] = {}

    def refuse(self, counted_by: Hashable, limit: float, *, now: float) -> int:
        """After how many whole seconds the call may be tried again; 0: it may be made, and is counted.

        *limit* is how many are made in ten seconds; 0: as many as come.
        """
        if limit <= 0:
            self._windows.clear()
            return 0
        window = self._windows.get(counted_by)
        if window is None or not window.began <= now < window.began + SECONDS:
            window = self._windows[counted_by] = _Window(now)
        if window.calls >= limit:
            return max(1, math.ceil(window.began + SECONDS - now))
        window.calls += 1
        return 0
