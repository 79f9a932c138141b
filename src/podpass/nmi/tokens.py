"""Tokens kept for a while, each fetched once however many pods wait for it.

Contract: pod identity, section 9 (17).
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

FRESH_SECONDS = 300.0
"""A token is given again as long as more than this is left of it."""
MAX_KEPT = 4_096


@dataclass(frozen=True, slots=True)
class Token:
    """An access token as its issuer answered. Times are seconds since the epoch."""

    access_token: str = field(repr=False)
    resource: str
    expires_on: int
    not_before: int
    expires_in: int | None = None
    """How many seconds it was good for when it was answered, where its issuer said so."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The issuer answered, and not with a token."""

    status: int
    body: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No answer came, or there is nothing to ask with."""

    why: str


Outcome = Token | Refused | Unavailable
Fetch = Callable[[], Awaitable[Outcome]]


@dataclass(slots=True)
class _Flight:
    task: asyncio.Task[Outcome]
    waiters: int = 0


@dataclass(frozen=True, slots=True)
class _Kept:
    token: Token
    until: float
    """On the clock that nobody sets: a machine's time may be wrong, or be put back."""


class TokenCache:
    """Tokens by their key. A fetch that nobody waits for any more is cancelled."""

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        most: int = MAX_KEPT,
    ) -> None:
        self._now, self._monotonic, self._most = now, monotonic, most
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._flights: dict[Hashable, _Flight] = {}

    def fresh(self, key: Hashable) -> Token | None:
        """The kept token of *key*, when there is enough left of it."""
        kept = self._kept.get(key)
        if kept is None or kept.until <= self._monotonic():
            return None
        return kept.token if kept.token.expires_on - self._now() > FRESH_SECONDS else None

    async def get(self, key: Hashable, fetch: Fetch) -> Outcome:
        """The kept token of *key*, or what *fetch* brings; callers of the same key share one fetch."""
        if (kept := self.fresh(key)) is not None:
            return kept
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(self._fetched(key, fetch)))
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                flight.task.cancel()
                if self._flights.get(key) is flight:
                    del self._flights[key]

    async def _fetched(self, key: Hashable, fetch: Fetch) -> Outcome:
        own = asyncio.current_task()
        try:
            outcome = await fetch()
        finally:
            flight = self._flights.get(key)
            if flight is not None and flight.task is own:
                del self._flights[key]
        if isinstance(outcome, Token):
            left = outcome.expires_on - self._now()
            if outcome.expires_in is not None:
                left = min(left, outcome.expires_in)
            self._kept[key] = _Kept(outcome, self._monotonic() + left - FRESH_SECONDS)
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return outcome


class Pace:
    """Keeps requests to one server below a number a second and a number at a time."""

    def __init__(self, *, per_second: int, at_once: int, now: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1.0 / per_second
        self._slots = asyncio.Semaphore(at_once)
        self._now = now
        self._next = 0.0

    async def __aenter__(self) -> None:
        await self._slots.acquire()
        now = self._now()
        wait = max(self._next - now, 0.0)
        self._next = max(self._next, now) + self._interval
        try:
            if wait:
                await asyncio.sleep(wait)
        except BaseException:
            self._slots.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._slots.release()
