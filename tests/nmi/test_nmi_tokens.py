"""Tokens are fetched once for all who wait, kept while they are good, and not fetched for nobody."""

import asyncio

import pytest

from podpass.nmi.tokens import FRESH_SECONDS, Outcome, Pace, Refused, Token, TokenCache


class Source:
    """Fetches that end when the test says."""

    def __init__(self, outcome: Outcome | None = None) -> None:
        self.outcome = outcome or Token("t", "r", 10_000, 0)
        self.began = asyncio.Event()
        self.go = asyncio.Event()
        self.calls = self.cancelled = 0

    async def fetch(self) -> Outcome:
        self.calls += 1
        self.began.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.outcome


async def test_callers_of_one_key_share_one_fetch() -> None:
    source, cache = Source(), TokenCache(now=lambda: 0.0)
    waiting = [asyncio.create_task(cache.get("k", source.fetch)) for _ in range(50)]
    await source.began.wait()
    source.go.set()
    assert set(await asyncio.gather(*waiting)) == {source.outcome}
    assert source.calls == 1
    assert await cache.get("k", source.fetch) == source.outcome
    assert source.calls == 1


async def test_a_token_is_fetched_again_shortly_before_its_end() -> None:
    now = 0.0
    source, cache = Source(), TokenCache(now=lambda: now)
    source.go.set()
    await cache.get("k", source.fetch)
    now = 10_000 - FRESH_SECONDS - 1
    assert cache.fresh("k")
    now += 1
    assert cache.fresh("k") is None
    await cache.get("k", source.fetch)
    assert source.calls == 2


@pytest.mark.parametrize("expires_in", [None, 3_600])
async def test_a_token_ends_in_its_time_though_the_clock_is_put_back(expires_in: int | None) -> None:
    now, monotonic = 100_000.0, 50.0
    # Where the issuer tells how long it is good for, the clock may have been wrong from the start.
    expires_on = 103_600 if expires_in is None else 190_000
    source = Source(Token("t", "r", expires_on, 0, expires_in))
    cache = TokenCache(now=lambda: now, monotonic=lambda: monotonic)
    source.go.set()
    await cache.get("k", source.fetch)
    now -= 86_400
    monotonic += 3_600 - FRESH_SECONDS - 1
    assert cache.fresh("k")
    monotonic += 1
    assert cache.fresh("k") is None


async def test_a_refusal_is_not_kept() -> None:
    source, cache = Source(Refused(400, "no", "here")), TokenCache(now=lambda: 0.0)
    source.go.set()
    for _ in range(2):
        assert await cache.get("k", source.fetch) == source.outcome
    assert source.calls == 2


async def test_a_fetch_goes_on_while_anybody_waits_and_ends_with_the_last() -> None:
    source, cache = Source(), TokenCache(now=lambda: 0.0)
    first, second = (asyncio.create_task(cache.get("k", source.fetch)) for _ in range(2))
    await source.began.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not source.cancelled
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    later = Source()
    later.go.set()
    assert await cache.get("k", later.fetch) == later.outcome
    assert (source.cancelled, later.calls) == (1, 1)


async def test_the_oldest_tokens_are_let_go() -> None:
    source, cache = Source(), TokenCache(now=lambda: 0.0, most=2)
    source.go.set()
    for key in "abc":
        await cache.get(key, source.fetch)
    assert [bool(cache.fresh(key)) for key in "abc"] == [False, True, True]


async def test_pace_bounds_how_many_are_at_once() -> None:
    pace, most, now = Pace(per_second=10_000, at_once=2), 0, 0

    async def one() -> None:
        nonlocal most, now
        async with pace:
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    await asyncio.gather(*(one() for _ in range(20)))
    assert most == 2
