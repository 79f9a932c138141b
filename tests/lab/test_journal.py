"""The journal: redacted, durable, followed live, bounded."""

import asyncio
import contextlib
import sqlite3

from podpass.lab import journal as module
from podpass.lab.clock import LabClock
from podpass.lab.journal import Hop, Journal, RepeatedHop, event_members, tracing, within
from podpass.lab.store import Store


def hop(what: str = "token", **members: object) -> Hop:
    return Hop(who="a", whom="entra", what=what, outcome="granted", **members)  # type: ignore[arg-type]


def new_journal() -> Journal:
    return Journal(Store.open(None), LabClock())


def test_what_looks_like_a_token_is_replaced_before_it_is_kept() -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
    journal = new_journal()
    journal.record(hop(f"with {token}", why=f"Bearer {token}", decision={"deep": [{"token": token}]}))
    (event,) = journal.events()
    assert token not in repr(event_members(event))
    assert "[token sha256:" in event.hop.what


def test_events_of_one_request_share_a_trace() -> None:
    journal = new_journal()
    with tracing() as trace:
        journal.record(hop("one"))
        journal.record(hop("two"))
    journal.record(hop("three"))
    assert [event.hop.what for event in journal.events(trace=trace)] == ["one", "two"]


def test_an_event_tells_the_managed_cluster_that_it_happened_in() -> None:
    journal = new_journal()
    with within("red"):
        journal.record(hop("inside"))
    journal.record(hop("outside"))
    assert [event_members(event)["cluster"] for event in journal.events()] == ["red", ""]


async def test_a_follower_sees_past_and_coming_events_once_and_in_order() -> None:
    journal = new_journal()
    journal.record(hop("0"))
    seen: list[str] = []

    async def follow() -> None:
        async for event in journal.follow():
            seen.append(event.hop.what)
            if len(seen) == 1:
                journal.record(hop("1"))
            elif len(seen) == 4:
                journal.close()

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        await asyncio.sleep(0)
        journal.record(hop("2"))
        journal.record(hop("3"))
    assert sorted(seen) == ["0", "1", "2", "3"]
    assert seen[0] == "0"


async def test_a_follower_that_does_not_keep_up_is_ended_rather_than_slowing_the_lab(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "_QUEUE_LENGTH", 2)
    journal = new_journal()
    follower = journal.follow()
    first = asyncio.ensure_future(anext(follower))
    await asyncio.sleep(0)
    for number in range(6):
        journal.record(hop(str(number)))
    await first
    rest = [event async for event in follower]
    assert len(rest) < 5


def test_old_events_are_dropped(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "KEPT_EVENTS", 10)
    monkeypatch.setattr(module, "_TRIM_EVERY", 5)
    journal = new_journal()
    for number in range(40):
        journal.record(hop(str(number)))
    kept = [event.hop.what for event in journal.events()]
    assert kept[-1] == "39"
    assert len(kept) <= 15


def test_numbers_go_on_after_a_restart(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "lab.sqlite"
    store = Store.open(path)
    Journal(store, LabClock()).record(hop("before"))
    store.close()
    journal = Journal(Store.open(path), LabClock())
    journal.record(hop("after"))
    assert [(kept.number, kept.hop.what) for kept in journal.events()] == [(1, "before"), (2, "after")]


async def test_a_hop_that_is_repeated_reads_like_any_other() -> None:
    journal = new_journal()
    secret = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    again = RepeatedHop(hop(f"with {secret}", decision={"kids": ["a"]}))
    followed = journal.follow()
    reading = asyncio.ensure_future(anext(followed))
    await asyncio.sleep(0)
    for _ in range(2):
        journal.record(again)
    events = journal.events()
    assert [event.hop for event in events] == [again.hop] * 2
    assert len({event.trace for event in events}) == 2
    assert secret not in events[0].hop.what
    assert (await reading).hop == again.hop
    await followed.aclose()


async def test_a_transaction_that_is_taken_back_takes_no_events_with_it() -> None:
    store = Store.open(None)
    journal = Journal(store, LabClock())
    with contextlib.suppress(RuntimeError), store.transaction():
        journal.record(hop("refused"))
        assert journal.newest == 1
        journal.flush()
        raise RuntimeError
    assert [event.hop.what for event in journal.events()] == ["refused"]


async def test_events_reach_the_file_without_being_asked_for(tmp_path) -> None:  # type: ignore[no-untyped-def]
    store = Store.open(tmp_path / "lab.sqlite")
    journal = Journal(store, LabClock())
    journal.record(hop("soon"))
    other = sqlite3.connect(tmp_path / "lab.sqlite")
    async with asyncio.timeout(10):
        while other.execute("SELECT count(*) FROM journal").fetchone() == (0,):  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # another connection has nothing that tells it
    other.close()
