"""The loop over all managed clusters: each by itself, one change after the other, and everything told."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from podpass.lab.arm.hosting import HostedCluster
from podpass.lab.clock import LabClock
from podpass.lab.environment import LabPaths
from podpass.lab.fleet.loop import Fleet
from podpass.lab.fleet.plan import MOST_NODES_EACH, OVERLAP_SECONDS, Action, Applied, Remove, Start, Stop, after
from podpass.lab.journal import Journal
from podpass.lab.store import Store
from podpass.telemetry.logging import make_logger


def cluster(name: str, **members: Any) -> HostedCluster:
    return HostedCluster(
        **{
            "guid": f"guid-of-{name}",
            "resource_id": f"/subscriptions/s/resourceGroups/g/providers/x/managedClusters/{name}",
            "name": name,
            "tenant_id": "t",
            "location": "westeurope",
            "issuer": f"https://westeurope.oic.prod-aks.azure.com/t/{name}/",
            "fqdn": f"{name}.hcp.westeurope.azmk8s.io",
            "node_count": 1,
            "workload_identity": True,
            **members,
        }
    )


@dataclass
class Asking:
    """Resource Manager's part: what is wanted, and what was told."""

    clusters: dict[str, HostedCluster] = field(default_factory=dict)
    told: asyncio.Queue[tuple[HostedCluster, str]] = field(default_factory=asyncio.Queue)

    def want(self, *clusters: HostedCluster) -> None:
        self.clusters |= {each.guid: each for each in clusters}

    def wanted(self) -> list[HostedCluster]:
        return list(self.clusters.values())

    def settled(self, cluster: HostedCluster, *, refused: str = "") -> None:
        if cluster.leaving and not refused:
            self.clusters.pop(cluster.guid)
        self.told.put_nowait((cluster, refused))

    async def next(self) -> tuple[HostedCluster, str]:
        async with asyncio.timeout(5):
            return await self.told.get()


class Machine:
    """A managed cluster that runs nowhere. A change takes until *gate* is open, and fails while *broken* says why."""

    beside = True
    embedded = None
    ca = None
    keys = Path()

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.runs = False
        self.applied: Applied | None = None
        self.done: list[str] = []
        self.at_once = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken = ""
        self.closed = False

    async def do(self, action: Action, cluster: HostedCluster) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
            if self.broken:
                raise OSError(self.broken)
            self.done.append(str(action))
            match action:
                case Start():
                    self.runs, self.applied = True, self.applied or Applied.at_first(cluster)
                case Stop() | Remove():
                    self.runs = False
                case _:
                    assert self.applied is not None
                    self.applied = after(self.applied, action, now=0.0)
        finally:
            self.at_once -= 1

    async def close(self) -> None:
        self.closed = True


@dataclass
class World:
    asking: Asking
    fleet: Fleet
    machines: dict[str, Machine]
    clock: LabClock
    journal: Journal


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    machines: dict[str, Machine] = {}
    clock = LabClock(source=lambda: 0.0)
    journal = Journal(Store.open(None), clock)
    fleet = Fleet(
        lambda wanted: machines.setdefault(wanted.name, Machine()),
        clock=clock,
        journal=journal,
        log=make_logger("test", level="error"),
        paths=LabPaths("test", tmp_path),
    )
    async with fleet:
        yield World(Asking(), fleet, machines, clock, journal)


async def test_what_is_wanted_at_the_beginning_runs_and_is_told(world: World) -> None:
    world.asking.want(cluster("a"), cluster("b"))
    world.fleet.begin(world.asking)
    await world.fleet.settled()
    assert {(await world.asking.next())[0].name for _ in range(2)} == {"a", "b"}
    assert [machine.done for machine in world.machines.values()] == [["start"], ["start"]]


async def test_each_change_is_told_even_when_there_was_nothing_to_do(world: World) -> None:
    """A repeated PUT makes Resource Manager wait again."""
    world.asking.want(cluster("a"))
    world.fleet.begin(world.asking)
    await world.asking.next()
    world.fleet.changed()
    assert await world.asking.next() == (cluster("a"), "")
    assert world.machines["a"].done == ["start"]


async def test_one_cluster_is_changed_by_one_thing_at_a_time_and_the_last_wish_counts(world: World) -> None:
    world.asking.want(cluster("a"))
    world.fleet.begin(world.asking)
    await world.asking.next()
    machine = world.machines["a"]
    machine.gate.clear()
    for nodes in (2, 3, 4):
        world.asking.want(cluster("a", node_count=nodes))
        world.fleet.changed()
        for _ in range(5):
            await asyncio.sleep(0)
    machine.gate.set()
    while (await world.asking.next())[0].node_count != 4:
        pass
    assert machine.most_at_once == 1
    assert machine.done == ["start", "change to 2 nodes", "change to 4 nodes"]


async def test_a_cluster_that_hangs_or_fails_holds_up_no_other(world: World) -> None:
    world.machines |= {"hangs": Machine(), "fails": Machine()}
    world.machines["hangs"].gate.clear()
    world.machines["fails"].broken = "the disk is full"
    world.asking.want(cluster("hangs"), cluster("fails"), cluster("works"))
    world.fleet.begin(world.asking)
    told = dict([await world.asking.next(), await world.asking.next()])
    assert told == {cluster("fails"): "the disk is full", cluster("works"): ""}
    shown = {each["name"]: (each["state"], each["doing"], each["why"]) for each in world.fleet.described()}
    assert shown == {
        "hangs": ("changing", "start", ""),
        "fails": ("failed", "", "the disk is full"),
        "works": ("running", "", ""),
    }
    assert "cluster fails: the disk is full" in world.fleet.notes()


async def test_more_nodes_than_run_are_told(world: World) -> None:
    world.asking.want(cluster("a", node_count=MOST_NODES_EACH + 1))
    world.fleet.begin(world.asking)
    await world.fleet.settled()
    assert world.fleet.notes() == ["cluster a: 11 nodes were asked for; 10 run, the most of one cluster"]


async def test_a_cluster_that_can_not_even_be_looked_at_holds_up_no_other(tmp_path: Path) -> None:
    clock = LabClock(source=lambda: 0.0)

    def make(wanted: HostedCluster) -> Machine:
        if wanted.name == "fails":
            raise OSError("the disk is full")
        return Machine()

    asking = Asking()
    asking.want(cluster("fails"), cluster("works"))
    journal, paths = Journal(Store.open(None), clock), LabPaths("test", tmp_path)
    log = make_logger("test", level="error")
    async with Fleet(make, clock=clock, journal=journal, log=log, paths=paths) as fleet:
        fleet.begin(asking)
        told = dict([await asking.next(), await asking.next()])
    assert told == {cluster("fails"): "the disk is full", cluster("works"): ""}


async def test_what_failed_is_tried_again_at_the_next_look(world: World) -> None:
    world.machines["a"] = machine = Machine()
    machine.broken = "no"
    world.asking.want(cluster("a"))
    world.fleet.begin(world.asking)
    assert (await world.asking.next())[1] == "no"
    machine.broken = ""
    world.fleet.changed()
    assert (await world.asking.next())[1] == ""
    assert world.fleet.notes() == []


async def test_a_cluster_that_leaves_is_forgotten(world: World) -> None:
    world.asking.want(cluster("a"), cluster("b"))
    world.fleet.begin(world.asking)
    await world.fleet.settled()
    world.asking.want(cluster("a", leaving=True))
    world.fleet.changed()
    while not (await world.asking.next())[0].leaving:
        pass
    await world.fleet.settled()
    assert [each["name"] for each in world.fleet.described()] == ["b"]
    assert world.machines["a"].done == ["start", "remove"]


async def test_a_look_while_a_cluster_leaves_disturbs_no_other(world: World) -> None:
    world.asking.want(cluster("a"))
    world.fleet.begin(world.asking)
    await world.asking.next()
    world.machines["a"].gate.clear()
    world.machines["b"] = Machine()
    world.machines["b"].gate.clear()
    world.asking.want(cluster("a", leaving=True), cluster("b"))
    for _ in range(3):
        world.fleet.changed()
        for _ in range(5):
            await asyncio.sleep(0)
    world.machines["a"].gate.set()
    while not (await world.asking.next())[0].leaving:
        pass
    world.machines["b"].gate.set()
    assert (await world.asking.next())[0].name == "b"
    await world.fleet.settled()
    assert world.fleet.report()["fleet"]["failures"] == 0
    assert world.machines["a"].done == ["start", "remove"]


async def test_a_cluster_that_nobody_wants_any_more_is_removed_without_a_word(world: World) -> None:
    world.asking.want(cluster("a"))
    world.fleet.begin(world.asking)
    await world.asking.next()
    world.asking.clusters.clear()
    world.fleet.changed()
    await asyncio.sleep(0.01)
    await world.fleet.settled()
    assert world.machines["a"].done == ["start", "remove"]
    assert world.asking.told.empty()


async def test_a_key_is_withdrawn_when_its_overlap_ends_by_the_labs_clock(world: World) -> None:
    world.asking.want(cluster("a"))
    world.fleet.begin(world.asking)
    await world.asking.next()
    world.asking.want(cluster("a", key_generation=1))
    world.fleet.changed()
    await world.asking.next()
    world.clock.advance(OVERLAP_SECONDS + 1)
    world.fleet.clock_moved()
    await world.asking.next()
    assert world.machines["a"].done == ["start", "rotate the keys of tokens (1)", "withdraw the older key of tokens"]


async def test_what_was_done_is_in_the_journal(world: World) -> None:
    world.machines |= {"b": Machine()}
    world.machines["b"].broken = "no"
    world.asking.want(cluster("a"), cluster("b"))
    world.fleet.begin(world.asking)
    await world.fleet.settled()
    hops = [event.hop for event in world.journal.events()]
    assert sorted((hop.decision["cluster"], hop.what, hop.outcome, hop.why) for hop in hops) == [
        ("a", "a: start", "done", ""),
        ("b", "b: start", "failed", "no"),
    ]


async def test_all_end_when_the_lab_ends(tmp_path: Path, world: World) -> None:
    world.asking.want(cluster("a"), replace(cluster("b"), running=False))
    world.fleet.begin(world.asking)
    await world.fleet.settled()
    await world.fleet.__aexit__(None, None, None)
    assert all(machine.closed for machine in world.machines.values())


async def test_the_kubeconfig_of_a_cluster_that_does_not_run_is_a_key_error(world: World) -> None:
    world.asking.want(cluster("a", running=False))
    world.fleet.begin(world.asking)
    await world.fleet.settled()
    for guid in ("guid-of-a", "another"):
        with pytest.raises(KeyError):
            world.fleet.kubeconfig(guid, admin=True)
