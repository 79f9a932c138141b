"""What turns the controllers, and the index in which they find pods."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.kube.resources import PODS
from podpass.kube.selectors import parse_labels
from podpass.kube.status import StatusError
from podpass.lab.clock import LabClock
from podpass.lab.cluster.collection import Change, Stored
from podpass.lab.cluster.controllers.loop import Loop, Task
from podpass.lab.cluster.controllers.pod_index import PodIndex
from podpass.lab.cluster.controllers.replicaset import Numbers
from podpass.lab.cluster.storage import Storage
from podpass.lab.store import Store


class Care:
    """A controller that does what the test says."""

    name = "care"

    def __init__(self, reconcile: Callable[[Task], Awaitable[float | None]]) -> None:
        self._reconcile = reconcile

    def concerns(self, _: Change) -> Iterator[Task]:
        return iter(())

    def everything(self) -> Iterator[Task]:
        return iter(())

    async def reconcile(self, task: Task) -> float | None:
        return await self._reconcile(task)


@contextlib.asynccontextmanager
async def running(loop: Loop) -> AsyncIterator[None]:
    task = asyncio.create_task(loop.run())
    try:
        async with asyncio.timeout(10):
            yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_slow_task_holds_up_no_other_and_runs_once_at_a_time() -> None:
    free, seen, under_way = asyncio.Event(), asyncio.Queue[str](), 0

    async def reconcile(task: Task) -> None:
        nonlocal under_way
        seen.put_nowait(task[0])
        if task[0] == "slow":
            under_way += 1
            assert under_way == 1
            await free.wait()
            under_way -= 1

    loop = Loop(Care(reconcile), workers=2)
    async with running(loop):
        loop.add(("slow",))
        assert await seen.get() == "slow"
        loop.add(("slow",))
        loop.add(("quick",))
        assert await seen.get() == "quick"
        assert seen.empty()
        free.set()
        assert await seen.get() == "slow"


async def test_a_task_comes_again_when_it_asked_for_that_or_the_clock_jumped() -> None:
    turns = asyncio.Queue[str]()

    async def reconcile(task: Task) -> float | None:
        turns.put_nowait(task[0])
        return 0.01 if task[0] == "soon" and turns.qsize() < 3 else 1000.0 if task[0] == "late" else None

    loop = Loop(Care(reconcile))
    async with running(loop):
        loop.add(("late",))
        assert await turns.get() == "late"
        await asyncio.sleep(0)
        loop.hurry()
        assert await turns.get() == "late"
        loop.add(("soon",))
        assert [await turns.get() for _ in range(2)] == ["soon", "soon"]


async def test_a_refusal_is_tried_again_and_a_fault_is_told_and_ends_nothing() -> None:
    left = {"refused": 2, "broken": 1}
    done, broke = asyncio.Queue[str](), asyncio.Event()

    async def reconcile(task: Task) -> None:
        if left[task[0]]:
            left[task[0]] -= 1
            if task[0] == "broken":
                broke.set()
                raise ZeroDivisionError
            raise StatusError.bad_request("not now")
        done.put_nowait(task[0])

    loop = Loop(Care(reconcile))
    async with running(loop):
        loop.add(("broken",))
        await broke.wait()
        assert loop.fault == "care: ZeroDivisionError"
        loop.add(("refused",))
        assert {await done.get(), await done.get()} == {"broken", "refused"}
        assert loop.fault == ""


async def test_a_task_that_took_long_rests() -> None:
    times: list[float] = []
    began, again = asyncio.Event(), asyncio.Event()

    async def reconcile(_: Task) -> None:
        times.append(asyncio.get_running_loop().time())
        (again if began.is_set() else began).set()
        await asyncio.sleep(0.02)

    loop = Loop(Care(reconcile), rest=3.0)
    async with running(loop):
        loop.add(("x",))
        await began.wait()
        loop.add(("x",))
        await again.wait()
    assert times[1] - times[0] >= 0.08


# The index

names = st.sampled_from(["a", "b", "c"])
states = st.fixed_dictionaries(
    {
        "owner": st.sampled_from(["", "one", "two"]),
        "app": st.sampled_from(["x", "y"]),
        "phase": st.sampled_from(["Pending", "Running", "Failed"]),
        "ready": st.booleans(),
        "deleting": st.booleans(),
    }
)


def body(name: str, state: dict[str, object]) -> bytes:
    meta: dict[str, object] = {"name": name, "namespace": "shop", "uid": name, "labels": {"app": state["app"]}}
    if state["owner"]:
        meta["ownerReferences"] = [{"kind": "ReplicaSet", "name": "r", "uid": state["owner"], "controller": True}]
    if state["deleting"]:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    conditions = [{"type": "Ready", "status": "True"}] if state["ready"] else []
    return msgspec.json.encode({"metadata": meta, "status": {"phase": state["phase"], "conditions": conditions}})


@settings(max_examples=60)
@given(st.lists(st.tuples(names, st.none() | states), max_size=12))
def test_the_index_knows_at_every_moment_what_a_recount_would_find(
    writes: list[tuple[str, dict[str, object] | None]],
) -> None:
    store = Store.open(None)
    index = PodIndex(Storage(store, LabClock(), cluster="test"))
    asyncio.run(index.load())
    there: dict[str, dict[str, object]] = {}
    for name, state in writes:
        if state is None and name not in there:
            continue
        kind = "DELETED" if state is None else "MODIFIED" if name in there else "ADDED"
        stored = Stored(("shop", name), 1, body(name, state or there[name]))
        index.notice(Change(1, kind, PODS, stored, None, 0.0))  # type: ignore[arg-type]
        if state is None:
            del there[name]
        else:
            there[name] = state
        for owner in ("one", "two"):
            pods = index.owned_by(owner)
            assert {pod.name for pod in pods} == {each for each, found in there.items() if found["owner"] == owner}
            tally, recount = index.tally(owner), Numbers.of({}, pods, 0.0)
            assert (tally.active, tally.ready, tally.terminating) == (
                recount.active,
                recount.ready,
                recount.terminating,
            )
            assert sum(tally.labels.values()) == recount.active
            assert sum(tally.strange.values()) == len(pods) - recount.active
        for app in ("x", "y"):
            selector = parse_labels(f"app={app}")
            matching = {each for each, found in there.items() if found["app"] == app}
            assert {pod.name for pod in index.matching("shop", selector)} == matching
            orphans = {each for each in matching if not there[each]["owner"]}
            assert {pod.name for pod in index.orphans("shop", selector)} == orphans
        assert {pod.name for pod in index.matching("shop", parse_labels("app!=x"))} == {
            each for each, found in there.items() if found["app"] != "x"
        }
    store.close()


async def test_pods_that_change_while_the_index_is_loaded_are_in_it_as_they_are() -> None:
    store = Store.open(None)
    storage = Storage(store, LabClock(), cluster="test")

    def pod(name: str, app: str) -> dict[str, object]:
        return {"metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": app}}}

    stored = [storage.create(PODS, ("shop", f"p{n:03}"), pod(f"p{n:03}", "old")) for n in range(600)]
    index = PodIndex(storage)
    storage.listen(index.notice)
    loading = asyncio.create_task(index.load())
    await asyncio.sleep(0)
    for each in (stored[0], stored[599]):
        storage.update(PODS, pod(each.key[1], "new"), each)
    for each in (stored[1], stored[598]):
        storage.delete(PODS, pod(each.key[1], "old"), each)
    storage.create(PODS, ("shop", "q"), pod("q", "new"))
    await loading
    assert [pod.name for pod in index.matching("shop", parse_labels("app=new"))] == ["p000", "p599", "q"]
    old = {pod.name for pod in index.matching("shop", parse_labels("app=old"))}
    assert old == {f"p{n:03}" for n in range(2, 598)}
    store.close()
