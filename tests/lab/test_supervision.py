"""Loops that are kept running, and end when the lab does."""

import asyncio

import structlog

from podpass.lab.supervision import Supervision


async def test_a_loop_ends_although_it_fails_on_its_way_out() -> None:
    """What a task group makes of it when one task fails while it is cancelled."""
    running = asyncio.Event()
    turns = 0

    async def loop() -> None:
        nonlocal turns
        turns += 1
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("what it calls with is closed")

    async with asyncio.timeout(5), Supervision(structlog.get_logger()) as supervision:
        supervision.start("node", loop)
        await running.wait()
    assert turns == 1


async def test_a_loop_that_fails_is_begun_anew() -> None:
    again = asyncio.Event()
    turns = 0

    async def loop() -> None:
        nonlocal turns
        turns += 1
        if turns == 2:
            again.set()
            await asyncio.Event().wait()
        raise RuntimeError("for once")

    async with asyncio.timeout(10), Supervision(structlog.get_logger()) as supervision:
        supervision.start("node", loop)
        await again.wait()
        assert supervision.report()["node"]["failures"] == 1
