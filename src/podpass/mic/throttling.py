"""How long Resource Manager wants to be left alone, for each kind of machine and each kind of call.

Contract: pod identity, section 2.7.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_seconds(header: str, *, now: float) -> float:
    """Seconds, or a date; 0 for anything else."""
    header = header.strip()
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(moment.timestamp() - now, 0.0)


class Throttle:
    """Calls that must wait: the original's names are VMGet, VMUpdate, VMSSGet, VMSSUpdate."""

    def __init__(self, now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic) -> None:
        # How long is counted by a clock that nobody sets: one that is put back would stretch the wait.
        self._now, self._clock = now, clock
        self._until: dict[str, float] = {}

    def note(self, call: str, retry_after: str) -> None:
        wait = retry_after_seconds(retry_after, now=self._now())
        self._until[call] = max(self._until.get(call, 0.0), self._clock() + wait)

    def waits_seconds(self, call: str) -> float:
        """How long *call* must still wait."""
        return max(self._until.get(call, 0.0) - self._clock(), 0.0)

    def message(self, call: str) -> str:
        moment = datetime.fromtimestamp(self._now() + self.waits_seconds(call), UTC)
        return f"{call} client throttled, retry after: {moment:%Y-%m-%d %H:%M:%S} UTC"
