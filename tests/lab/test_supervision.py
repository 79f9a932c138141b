"""Loops that are kept running, and end when the lab does."""

import asyncio

import structlog

from podpass.lab.clock import LabClock
from podpass.lab.journal import Hop, Journal, within
from podpass.lab.store import Store
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


async def test_a_loop_sees_the_context_of_where_its_owner_was_made_whoever_starts_it() -> None:
    """A node that a person adds to a managed cluster records what happens there as of that cluster."""
    told: asyncio.Queue[str] = asyncio.Queue()
    journal = Journal(Store.open(None), LabClock())

    async def loop() -> None:
        journal.record(Hop(who="kubelet", whom="node", what="run", outcome="done"))
        told.put_nowait(journal.events()[-1].cluster)
        await asyncio.Event().wait()

    with within("red"):
        supervision = Supervision(structlog.get_logger())
    async with asyncio.timeout(5), supervision:
        with within("blue"):
            supervision.start("node", loop)
        assert await told.get() == "red"
