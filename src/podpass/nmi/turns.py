"""Shares: one pod's many requests wait for each other, not the other pods' for them."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class _Line:
    slots: asyncio.Semaphore
    members: int = 0


class Turns:
    """Lets each key do *at_once* things at a time; what is more waits in that key's own line."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._lines: dict[Hashable, _Line] = {}

    @asynccontextmanager
    async def of(self, key: Hashable) -> AsyncIterator[None]:
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(asyncio.Semaphore(self._at_once))
        line.members += 1
        try:
            async with line.slots:
                yield
        finally:
            line.members -= 1
            if not line.members:
                del self._lines[key]
