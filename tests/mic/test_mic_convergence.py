"""Whatever happens, and wherever MIC is killed: what machines and objects say becomes what the cluster wants."""

import asyncio
from dataclasses import dataclass

from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from instant_loop import InstantLoop
from memory_cluster import (
    OTHER,
    POOL,
    PROVIDER_IDS,
    TARGETS,
    MemoryApi,
    MemoryArm,
    Running,
    arm_id,
    binding,
    identity,
    node,
    pod,
)

from podpass.kube.client import ApiError, Unreachable
from podpass.kube.resources import NODES, PODS
from podpass.mic.targets import Target
from podpass.podidentity.resources import ASSIGNED_IDENTITIES, BINDINGS, IDENTITIES

NAMESPACES, LABELS = st.sampled_from(["x", "y"]), st.sampled_from(["web", "api", ""])
NODE_NAMES, NAMES = st.sampled_from([*PROVIDER_IDS, ""]), st.sampled_from(["a", "b"])
POD_NAMES = st.sampled_from(["web-0", "web-1", "job"])
SETTLED_SECONDS = 4 * 3600.0
KNOWN_SECONDS = 90.0
"""After that long, MIC has seen what was changed: a failed watch waits for at most 30 s."""


@dataclass(frozen=True)
class Want:
    """That a pod is to have an identity."""

    pod: tuple[str, str]
    node: str
    identity: tuple[str, str]
    arm_id: str
    """In lower case; empty for a service principal."""


def wanted(api: MemoryApi) -> set[Want]:
    """By the words of the contract, sections 2.2 and 2.3, from nothing but the objects."""
    found = set()
    nodes = {obj["metadata"]["name"] for obj in api.of(NODES)}
    for pod_ in api.of(PODS):
        label = pod_["metadata"]["labels"].get("aadpodidbinding", "")
        where = pod_["spec"].get("nodeName", "")
        if not label or where not in nodes or pod_["status"]["phase"] in ("Succeeded", "Failed"):
            continue
        for bound in api.of(BINDINGS):
            given = api.find(IDENTITIES, bound["metadata"]["namespace"], bound["spec"]["azureIdentity"])
            if bound["spec"]["selector"] != label or given is None:
                continue
            if given["spec"]["type"] == 0 and given["spec"]["resourceID"] == "nonsense":
                continue
            namespace = given["metadata"]["namespace"]
            if given["metadata"]["annotations"] and namespace != pod_["metadata"]["namespace"]:
                continue
            managed = given["spec"]["resourceID"].lower() if given["spec"]["type"] == 0 else ""
            key = (pod_["metadata"]["namespace"], pod_["metadata"]["name"])
            found.add(Want(key, where, (namespace, given["metadata"]["name"]), managed))
    return found


def held(api: MemoryApi) -> dict[str, list[Want]]:
    """What the assigned identities say, by their status."""
    found: dict[str, list[Want]] = {}
    for obj in api.of(ASSIGNED_IDENTITIES):
        spec, given = obj["spec"], obj["spec"]["azureIdentityRef"]
        managed = given["spec"]["resourceID"].lower() if given["spec"]["type"] == 0 else ""
        want = Want(
            (spec["podNamespace"], spec["pod"]),
            spec["nodename"],
            (given["metadata"]["namespace"], given["metadata"]["name"]),
            managed,
        )
        found.setdefault(obj["status"]["status"], []).append(want)
    return found


def needs(wants: set[Want]) -> dict[Target, set[str]]:
    found: dict[Target, set[str]] = {}
    for want in wants:
        if want.arm_id:
            found.setdefault(TARGETS[want.node], set()).add(want.arm_id)
    return found


class Life(RuleBasedStateMachine):
    """Users, other controllers, the clouds' faults, and a MIC that dies now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = InstantLoop()
        self.api, self.arm = MemoryApi(), MemoryArm()
        self.arm.before_write = self.check_write
        self.needed_since: dict[tuple[Target, str], float] = {}
        self.needed_last: dict[tuple[Target, str], float] = {}
        self.blind_until = 0.0
        """Until then MIC may not have seen what was changed."""
        self.foreign: dict[Target, set[str]] = {}
        """What was on a machine when its node went, of which nobody is left to take it away."""
        self.mic: Running | None = None
        self.log = ""
        self.it_starts()

    @initialize(present=st.sets(st.sampled_from(sorted(PROVIDER_IDS)), min_size=2))
    def nodes(self, present: set[str]) -> None:
        for name in sorted(present):
            self.api.put(NODES, node(name))
        for name, of in (("a", "one"), ("b", "two")):
            self.api.put(IDENTITIES, identity(name, of))
            self.api.put(BINDINGS, binding(name, name, "web"))

    # Users

    @rule(
        name=NAMES,
        of=st.sampled_from(["one", "two", "three", ""]),
        namespace=NAMESPACES,
        kind=st.sampled_from([0, 0, 0, 1]),
        namespaced=st.booleans(),
    )
    def an_identity_is_written(self, name: str, of: str, namespace: str, kind: int, namespaced: bool) -> None:
        self.api.put(IDENTITIES, identity(name, of, namespace=namespace, kind=kind, namespaced=namespaced))

    @rule(name=NAMES, namespace=NAMESPACES)
    def an_identity_is_removed(self, name: str, namespace: str) -> None:
        self.api.remove(IDENTITIES, namespace, name)

    @rule(name=NAMES, of=NAMES, selector=LABELS, namespace=NAMESPACES)
    def a_binding_is_written(self, name: str, of: str, selector: str, namespace: str) -> None:
        self.api.put(BINDINGS, binding(name, of, selector, namespace=namespace))

    @rule(name=NAMES, namespace=NAMESPACES)
    def a_binding_is_removed(self, name: str, namespace: str) -> None:
        self.api.remove(BINDINGS, namespace, name)

    @rule(name=POD_NAMES, namespace=NAMESPACES, where=NODE_NAMES, label=LABELS)
    def a_pod_comes(self, name: str, namespace: str, where: str, label: str) -> None:
        if self.api.find(PODS, namespace, name) is None:
            self.api.put(PODS, pod(name, label, namespace=namespace, node=where, phase="Pending"))

    @rule(name=POD_NAMES, namespace=NAMESPACES, label=LABELS, phase=st.sampled_from(["Running", "Succeeded"]))
    def a_pod_changes(self, name: str, namespace: str, label: str, phase: str) -> None:
        present = self.api.find(PODS, namespace, name)
        if present is not None:
            where = present["spec"].get("nodeName") or "n0"
            self.api.put(PODS, pod(name, label, namespace=namespace, node=where, phase=phase))

    @rule(name=POD_NAMES, namespace=NAMESPACES)
    def a_pod_goes(self, name: str, namespace: str) -> None:
        self.api.remove(PODS, namespace, name)

    @rule(name=st.sampled_from(sorted(PROVIDER_IDS)))
    def a_node_comes(self, name: str) -> None:
        self.api.put(NODES, node(name))

    @rule(name=st.sampled_from(sorted(PROVIDER_IDS)))
    def a_node_vanishes(self, name: str) -> None:
        # Whoever takes an identity away knows its machine by the node; one that died before is not heard of again.
        self.foreign.setdefault(TARGETS[name], set()).update(self.arm.has.get(TARGETS[name], ()))
        self.foreign[TARGETS[name]].update(want.arm_id for wants in held(self.api).values() for want in wants)
        self.api.remove(NODES, "", name)

    # Faults

    @rule(faults=st.lists(st.sampled_from([0, 1, 401, 403, 404, 409, 429, 500]), min_size=1, max_size=4))
    def resource_manager_fails(self, faults: list[int]) -> None:
        self.arm.faults = faults

    @rule(seconds=st.sampled_from([0.0, 1.0, 45.0]))
    def resource_manager_takes_its_time(self, seconds: float) -> None:
        self.arm.seconds = seconds

    @rule(which=st.sets(st.sampled_from(["one", "two"])))
    def managed_identities_are_deleted(self, which: set[str]) -> None:
        self.arm.deleted_ids = {arm_id(each).lower() for each in which}

    @rule()
    def watches_expire(self) -> None:
        self.api.forget_history()

    @rule(seconds=st.sampled_from([1.0, 300.0]))
    def the_api_is_gone(self, seconds: float) -> None:
        self.api.set_reachable(False)
        self.look()
        self.loop.pass_seconds(seconds)
        self.api.set_reachable(True)
        self.blind_until = self.loop.time() + KNOWN_SECONDS

    @rule(number=st.integers(1, 4), happened=st.booleans(), error=st.sampled_from([409, 500, 0]))
    def a_write_fails(self, number: int, happened: bool, error: int) -> None:
        left = number

        async def fault(after: bool) -> None:
            nonlocal left
            if after is happened:
                left -= 1
                if left == 0:
                    raise ApiError(error, "Conflict" if error == 409 else "", "no") if error else Unreachable("a", "b")

        self.api.fault = fault

    @precondition(lambda self: self.mic)
    @rule(number=st.integers(1, 5), happened=st.booleans(), at_arm=st.booleans())
    def it_is_killed_at_a_write(self, number: int, happened: bool, at_arm: bool) -> None:
        left, reached = number, False

        async def fault(after: bool) -> None:
            nonlocal left, reached
            if after is happened:
                left -= 1
                reached = reached or not left
            if reached:
                await asyncio.Event().wait()

        where = self.arm if at_arm else self.api
        where.fault = fault
        self.look()
        self.loop.pass_seconds(120.0)
        self.it_dies()

    @precondition(lambda self: self.mic)
    @rule(number=st.integers(1, 3), at_arm=st.booleans(), name=POD_NAMES, namespace=NAMESPACES)
    def it_is_killed_and_a_pod_goes(self, number: int, at_arm: bool, name: str, namespace: str) -> None:
        self.it_is_killed_at_a_write(number, True, at_arm)
        self.a_pod_goes(name, namespace)
        self.it_starts()

    @precondition(lambda self: self.mic)
    @rule()
    def it_dies(self) -> None:
        assert self.mic is not None
        self.mic.end()
        self.log += self.mic.log.getvalue() + "died\n"
        self.mic = None
        self.api.fault = self.arm.fault = _nothing

    @precondition(lambda self: not self.mic)
    @rule()
    def it_starts(self) -> None:
        self.mic = Running(self.loop, self.api, self.arm)
        self.blind_until = max(self.blind_until, self.loop.time() + 5.0)

    # Time

    @rule(seconds=st.sampled_from([0.01, 0.06, 2.0, 600.0]))
    def time_passes(self, seconds: float) -> None:
        self.look()
        self.loop.pass_seconds(seconds)

    @invariant()
    def look(self) -> None:
        """Take down since when what is needed."""
        now = self.loop.time()
        needed = {(target, each) for target, ids in needs(wanted(self.api)).items() for each in ids}
        self.needed_since = {each: self.needed_since.get(each, now) for each in needed}
        self.needed_last.update(dict.fromkeys(needed, now))

    def check_write(self, target: Target, add: set[str], remove: set[str]) -> None:
        """Of a change that Resource Manager is asked for."""
        now = self.loop.time()
        # A turn of work that waits for a slow cloud acts on what it saw at its beginning.
        slow = 1.0 + 8 * (self.arm.seconds + 1.0)
        if now < self.blind_until:
            return
        for each in remove:
            since = self.needed_since.get((target, each), now)
            assert now - since < slow, f"{each} was taken from {target}, and was needed since {since} (now {now})"
        for each in add:
            if (target, each) not in self.needed_since:
                last = self.needed_last.get((target, each))
                assert last is not None, f"{each} was put on {target}, and nobody ever wanted it"

    @rule()
    def all_is_well_in_the_end(self) -> None:
        self.arm.faults, self.arm.seconds, self.arm.deleted_ids = [], 0.0, set()
        self.api.fault = self.arm.fault = _nothing
        if self.mic is None:
            self.it_starts()
        self.look()
        self.loop.pass_seconds(SETTLED_SECONDS)
        assert self.mic is not None
        log = self.log + self.mic.log.getvalue()
        wants = wanted(self.api)
        found = held(self.api)
        assert found.keys() <= {"Assigned"}, log
        assert sorted(found.get("Assigned", []), key=str) == sorted(wants, key=str), log
        needed = needs(wants)
        for target in POOL, OTHER:
            has = self.arm.has.get(target, set())
            assert needed.get(target, set()) <= has, log
            left_over = has - needed.get(target, set()) - self.foreign.get(target, set())
            assert not left_over, f"{target} keeps {left_over}\n{log}"
        assert "turn.failed" not in log, log

    def teardown(self) -> None:
        try:
            self.all_is_well_in_the_end()
        finally:
            if self.mic is not None:
                self.mic.end()
            self.loop.close()


async def _nothing(happened: bool) -> None:
    del happened


TestLife = Life.TestCase
TestLife.settings = examples(max_examples=60, stateful_step_count=30, deadline=None)
