"""An event loop whose clock jumps: a sleep takes no time, and its end is where the clock then stands."""

import asyncio
import selectors


class _NeverWaits(selectors.SelectSelector):
    """Told to wait, it adds up how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped_seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found:
            if timeout is None:
                raise RuntimeError("nothing will ever happen: every task waits for another")
            self.skipped_seconds += max(timeout, 0.0)
        return found


class InstantLoop(asyncio.SelectorEventLoop):
    """For code without sockets and threads."""

    def __init__(self) -> None:
        self._never_waits = _NeverWaits()
        super().__init__(self._never_waits)

    def time(self) -> float:
        return self._never_waits.skipped_seconds

    def pass_seconds(self, seconds: float) -> None:
        self.run_until_complete(asyncio.sleep(seconds))
