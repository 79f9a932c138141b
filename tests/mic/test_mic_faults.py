"""Many pods at once, clouds and clusters that fail, and MIC killed in the middle, in a time that jumps."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from instant_loop import InstantLoop
from memory_cluster import OTHER, POOL, MemoryApi, MemoryArm, Running, arm_id, binding, identity, node, pod

from podpass.kube.client import ApiError
from podpass.kube.objects import Obj
from podpass.kube.resources import NODES, PODS
from podpass.mic.targets import Target
from podpass.podidentity.resources import ASSIGNED_IDENTITIES, BINDINGS, FORMER_ANNOTATION, IDENTITIES


class World:
    """A cluster with the nodes n0 and n1 of one scale set, n2 of another, and the identities `one` and `two`."""

    def __init__(self) -> None:
        self.loop, self.api, self.arm = InstantLoop(), MemoryApi(), MemoryArm()
        self.tried: list[tuple[float, Target, set[str], set[str]]] = []
        """The changes that Resource Manager was asked for: when, of what, and what to add and to remove."""
        self.arm.before_write = lambda target, add, remove: self.tried.append((self.loop.time(), target, add, remove))
        for name in ("n0", "n1", "n2"):
            self.api.put(NODES, node(name))
        for name in ("one", "two"):
            self.bound(name, name)
        self.mic = Running(self.loop, self.api, self.arm)

    def bound(self, name: str, selector: str) -> None:
        self.api.put(IDENTITIES, identity(name, name))
        self.api.put(BINDINGS, binding(name, name, selector))

    def pod(self, name: str, label: str = "one", **options: Any) -> None:
        self.api.put(PODS, pod(name, label, **options))

    def passes(self, seconds: float) -> None:
        self.loop.pass_seconds(seconds)

    def statuses(self) -> dict[str, str]:
        return {obj["metadata"]["name"]: obj["status"]["status"] for obj in self.api.of(ASSIGNED_IDENTITIES)}

    def has(self, target: Target = POOL) -> set[str]:
        return {each.rpartition("/")[2] for each in self.arm.has.get(target, ())}

    def killed(self) -> None:
        self.mic.end()
        self.api.fault = self.arm.fault = _nothing

    def started(self) -> None:
        self.mic = Running(self.loop, self.api, self.arm)

    def object(self) -> Obj:
        (found,) = self.api.of(ASSIGNED_IDENTITIES)
        return found


async def _nothing(happened: bool) -> None:
    del happened


async def _stands_still_when_done(happened: bool) -> None:
    if happened:
        await asyncio.Event().wait()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.mic.end()
    made.loop.close()


# Many at once


def test_two_thousand_pods_need_a_write_for_each_150_new_identities(world: World) -> None:
    for number in range(200):
        world.bound(f"i{number}", f"l{number}")
    world.passes(1.0)
    for number in range(2000):
        world.pod(f"p{number}", f"l{number % 200}", node=("n0", "n1", "n2")[number % 3])
    world.passes(300.0)
    assert set(world.statuses().values()) == {"Assigned"}
    assert len(world.statuses()) == 2000
    for target in (POOL, OTHER):
        assert len(world.has(target)) == 200
        assert len([each for each in world.tried if each[1] == target]) == 2


def test_pods_that_come_while_a_slow_write_runs_share_the_next(world: World) -> None:
    world.arm.seconds = 40.0
    for number in range(300):
        world.pod(f"p{number}", ("one", "two")[number % 2])
        world.passes(1 / 300)
    world.passes(300.0)
    assert set(world.statuses().values()) == {"Assigned"}
    assert len(world.tried) <= 2


def test_pods_that_go_before_their_turn_leave_nothing(world: World) -> None:
    for number in range(100):
        world.pod(f"p{number}")
    for number in range(100):
        world.api.remove(PODS, "x", f"p{number}")
    world.passes(60.0)
    assert (world.statuses(), world.has(), world.tried) == ({}, set(), [])


def test_pods_that_go_during_their_assignment_leave_nothing(world: World) -> None:
    world.arm.seconds = 40.0
    world.pod("p")
    world.passes(10.0)
    assert world.statuses() == {"p-x-one": "Created"}
    world.api.remove(PODS, "x", "p")
    world.passes(400.0)
    assert (world.statuses(), world.has()) == ({}, set())


# Resource Manager


def test_a_deleted_identity_is_tried_less_and_less_and_holds_up_no_other(world: World) -> None:
    world.arm.deleted_ids = {arm_id("two").lower()}
    world.pod("bad", "two")
    for number in range(60):
        world.pod(f"good{number}")
        world.passes(60.0)
        assert world.statuses()[f"good{number}-x-one"] == "Assigned"
    # One write was for the good one; an hour holds few of waits that double from 5 s up to 15 minutes.
    assert len(world.tried) <= 16
    assert world.statuses()["bad-x-two"] == "Created"
    world.arm.deleted_ids = set()
    world.passes(1000.0)
    assert world.statuses()["bad-x-two"] == "Assigned"


@pytest.mark.parametrize("status", [0, 401, 403, 404, 409, 429, 500])
def test_resource_manager_may_fail_for_an_hour(world: World, status: int) -> None:
    world.arm.faults = [status] * 10_000
    world.pod("p")
    world.passes(3600.0)
    assert world.statuses() == {"p-x-one": "Created"}
    assert world.arm.reads + len(world.tried) < 300
    world.arm.faults = []
    world.passes(120.0)
    assert (world.statuses(), world.has()) == ({"p-x-one": "Assigned"}, {"one"})


def test_a_change_that_was_made_without_an_answer_counts(world: World) -> None:
    world.arm.faults = []
    real = world.arm.before_write

    def unanswered(target: Target, add: set[str], remove: set[str]) -> None:
        real(target, add, remove)
        world.arm.faults = [1]

    world.arm.before_write = unanswered
    world.pod("p")
    world.passes(60.0)
    assert (world.statuses(), len(world.tried)) == ({"p-x-one": "Assigned"}, 1)


def test_an_identity_stays_recorded_until_the_machine_has_lost_it(world: World) -> None:
    world.pod("p")
    world.passes(60.0)
    world.arm.faults = [403] * 1000
    world.api.remove(PODS, "x", "p")
    world.passes(600.0)
    assert world.statuses() == {"p-x-one": "Assigned"}
    world.arm.faults = []
    world.passes(120.0)
    assert (world.statuses(), world.has()) == ({}, set())


# The cluster


def test_the_api_server_may_be_gone_for_minutes(world: World) -> None:
    world.pod("stays")
    world.passes(60.0)
    world.api.set_reachable(False)
    world.api.remove(PODS, "x", "stays")
    world.pod("comes", "two")
    world.passes(600.0)
    assert (world.statuses(), world.has()) == ({"stays-x-one": "Assigned"}, {"one"})
    world.api.set_reachable(True)
    world.api.forget_history()
    world.passes(120.0)
    assert (world.statuses(), world.has()) == ({"comes-x-two": "Assigned"}, {"two"})


def test_a_node_that_vanishes_with_its_pods_leaves_nothing(world: World) -> None:
    for number in range(50):
        world.pod(f"p{number}", node="n2")
    world.passes(60.0)
    assert world.has(OTHER) == {"one"}
    world.api.remove(NODES, "", "n2")
    world.passes(60.0)
    assert (world.statuses(), world.has(OTHER)) == ({}, set())


def test_an_identity_that_becomes_malformed_is_taken_away_and_comes_back_when_it_is_mended(world: World) -> None:
    world.pod("p")
    world.passes(60.0)
    world.api.put(IDENTITIES, identity("one", ""))
    world.passes(60.0)
    assert (world.statuses(), world.has()) == ({}, set())
    world.api.put(IDENTITIES, identity("one", "one"))
    world.passes(60.0)
    assert (world.statuses(), world.has()) == ({"p-x-one": "Assigned"}, {"one"})


def test_a_look_at_the_machines_brings_nothing_back_that_is_being_taken_away(world: World) -> None:
    world.pod("p", "one")
    world.passes(179.97)
    # The turn that this begins is also the one that restores what machines lost, every 180 s.
    world.api.remove(PODS, "x", "p")
    world.passes(60.0)
    assert (world.statuses(), world.has()) == ({}, set())


# Killed


def test_killed_between_the_machine_and_the_object(world: World) -> None:
    world.arm.fault = _stands_still_when_done
    world.pod("p")
    world.passes(60.0)
    world.killed()
    assert (world.statuses(), world.has()) == ({"p-x-one": "Created"}, {"one"})
    world.api.remove(PODS, "x", "p")
    world.started()
    world.passes(60.0)
    assert (world.statuses(), world.has()) == ({}, set())


def test_killed_after_an_edited_identity_was_written_down(world: World) -> None:
    world.pod("p")
    world.passes(60.0)
    world.api.fault = _stands_still_when_done
    world.api.put(IDENTITIES, identity("one", "three"))
    world.passes(60.0)
    world.killed()
    assert world.object()["metadata"]["annotations"] == {FORMER_ANNOTATION: arm_id("one").lower()}
    assert world.has() == {"one"}
    world.started()
    world.passes(60.0)
    assert (world.object()["status"]["status"], world.object()["metadata"]["annotations"]) == ("Assigned", {})
    assert world.has() == {"three"}


def test_an_identity_edited_twice_while_resource_manager_fails_leaves_neither(world: World) -> None:
    world.pod("p")
    world.passes(60.0)
    world.arm.faults = [500] * 1000
    for name in ("three", "four"):
        world.api.put(IDENTITIES, identity("one", name))
        world.passes(5.0)
    world.arm.faults = []
    world.passes(120.0)
    assert (world.statuses(), world.has()) == ({"p-x-one": "Assigned"}, {"four"})


def test_killed_before_the_finalizer_is_taken_away(world: World) -> None:
    world.pod("p")
    world.passes(60.0)
    writes = 0

    async def third(happened: bool) -> None:
        nonlocal writes
        writes += not happened
        if writes == 3:
            await asyncio.Event().wait()

    world.api.fault = third
    world.api.remove(PODS, "x", "p")
    world.passes(60.0)
    world.killed()
    assert world.object()["metadata"]["deletionTimestamp"]
    world.started()
    world.passes(60.0)
    assert (world.statuses(), world.has()) == ({}, set())


def test_a_conflict_is_tried_again(world: World) -> None:
    world.pod("p")
    world.passes(60.0)
    refusals = 3

    async def refused(happened: bool) -> None:
        nonlocal refusals
        if not happened and refusals:
            refusals -= 1
            raise ApiError(409, "Conflict", "it was modified")

    world.api.fault = refused
    world.api.put(IDENTITIES, identity("one", "three"))
    world.passes(60.0)
    assert (world.statuses(), world.has()) == ({"p-x-one": "Assigned"}, {"three"})
