"""The lab's time, the only clock of its cluster and its clouds.

Programs in pods live in real time; advancing the lab's clock is for expiry and rotation.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

LONGEST_OFFSET_SECONDS = 6_000 * 366 * 86_400
"""Times are written with four digits of the year; what the lab issues must still end inside them."""


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch."""
        ...


class SystemClock:
    def now(self) -> float:
        return time.time()


class LabClock:
    """Real time plus an offset in seconds that only grows by `advance`."""

    def __init__(self, offset_seconds: float = 0.0, *, source: Callable[[], float] = time.time) -> None:
        self._offset_seconds = offset_seconds
        self._source = source

    @property
    def offset_seconds(self) -> float:
        return self._offset_seconds

    def now(self) -> float:
        return self._source() + self._offset_seconds

    def advance(self, seconds: float) -> None:
        """Move on by *seconds*. Raises ValueError as `offset_after` does."""
        self._offset_seconds = self.offset_after(seconds)

    def offset_after(self, seconds: float) -> float:
        """The offset when *seconds* more have passed.

        Raises ValueError for less than none, as issued tokens must never come from the future, and for too many.
        """
        if seconds < 0:
            raise ValueError("the lab's clock only moves forward")
        if self._offset_seconds + seconds > LONGEST_OFFSET_SECONDS:
            raise ValueError(f"the lab's clock can be at most {LONGEST_OFFSET_SECONDS} seconds ahead")
        return self._offset_seconds + seconds


class SkewedClock:
    """A clock that differs from another one by `skew_seconds`, as an unsynchronised machine's does."""

    def __init__(self, base: Clock, skew_seconds: float = 0.0) -> None:
        self._base = base
        self.skew_seconds = skew_seconds

    def now(self) -> float:
        return self._base.now() + self.skew_seconds


def rfc3339(seconds: float) -> str:
    """*seconds* since the epoch as Kubernetes writes times: UTC, whole seconds, `Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(timestamp: object) -> float | None:
    """An RFC 3339 time in seconds since the epoch; None where there is none to read."""
    if not isinstance(timestamp, str) or not timestamp:
        return None
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except (ValueError, OverflowError):
        return None
