"""Where pods go, and the words for why they go nowhere."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.lab.scheduler.decide import Bind, Unschedulable, schedule
from podpass.lab.scheduler.model import NodeState, node_state, placed, requests

ALLOCATABLE = {"cpu": "2", "memory": "4Gi", "pods": "10"}


def node(name: str, *pods: dict[str, Any], labels: dict[str, str] | None = None, **spec: Any) -> NodeState:
    allocatable = {**ALLOCATABLE, **spec.pop("allocatable", {})}
    body = {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": spec,
        "status": {"allocatable": allocatable},
    }
    return node_state(body, {found.uid: found for found in (placed(each) for each in pods)})


def pod(name: str = "p", *, labels: dict[str, str] | None = None, owner: str = "", **spec: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": labels or {}}
    if owner:
        meta["ownerReferences"] = [{"uid": owner, "controller": True}]
    return {"metadata": meta, "spec": {"containers": [{"name": "c"}], **spec}}


def asking(name: str = "p", **amounts: str) -> dict[str, Any]:
    return pod(name, containers=[{"name": "c", "resources": {"requests": amounts}}])


def why(found: object) -> str:
    assert isinstance(found, Unschedulable)
    return found.message.partition(" preemption:")[0]


TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({}, True),
        ({"nodeSelector": {"kubernetes.io/os": "linux"}}, True),
        ({"nodeSelector": {"kubernetes.io/os": "windows"}}, False),
        ({"nodeSelector": {"disk": "ssd"}}, False),
        ({"operator": "In", "key": "kubernetes.io/os", "values": ["linux"]}, True),
        ({"operator": "NotIn", "key": "kubernetes.io/os", "values": ["linux"]}, False),
        ({"operator": "Exists", "key": "gpu"}, False),
        ({"operator": "DoesNotExist", "key": "gpu"}, True),
        ({"operator": "Gt", "key": "cores", "values": ["3"]}, True),
        ({"operator": "Lt", "key": "cores", "values": ["3"]}, False),
    ],
)
def test_selectors_and_affinity(spec: dict[str, Any], fits: bool) -> None:
    if "operator" in spec:
        terms = [{"matchExpressions": [spec]}]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        spec = {"affinity": {"nodeAffinity": required}}
    found = schedule(pod(**spec), [node("a", labels={"kubernetes.io/os": "linux", "cores": "4"})])
    assert found == Bind("a") if fits else isinstance(found, Unschedulable)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        pytest.param(schedule(pod(), []), "no nodes available to schedule pods", id="none"),
        pytest.param(
            schedule(pod(), [node("a", unschedulable=True), node("b", taints=[TAINT])]),
            "0/2 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were unschedulable.",
            id="each-reason-is-counted",
        ),
        pytest.param(
            schedule(pod(nodeSelector={"disk": "ssd"}), [node("a"), node("b")]),
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
            id="selector",
        ),
        pytest.param(
            schedule(asking(cpu="3", memory="8Gi"), [node("a")]),
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.",
            id="both-resources",
        ),
        pytest.param(
            schedule(asking(cpu="1"), [node("a", asking("q", cpu="1500m"))]),
            "0/1 nodes are available: 1 Insufficient cpu.",
            id="what-others-asked-for-is-taken",
        ),
        pytest.param(
            schedule(pod(), [node("a", pod("q"), allocatable={"pods": "1"})]),
            "0/1 nodes are available: 1 Too many pods.",
            id="pods",
        ),
        pytest.param(
            schedule(asking(**{"example.com/gpu": "1"}), [node("a")]),
            "0/1 nodes are available: 1 Insufficient example.com/gpu.",
            id="unknown-resource",
        ),
    ],
)
def test_the_words_for_no_node(found: object, message: str) -> None:
    assert why(found) == message


def test_the_message_says_whether_others_would_have_to_go() -> None:
    found = schedule(pod(), [node("a", unschedulable=True), node("b", pod("q"), allocatable={"pods": "1"})])
    assert isinstance(found, Unschedulable)
    assert found.message.endswith(
        " preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod,"
        " 1 Preemption is not helpful for scheduling."
    )


@pytest.mark.parametrize(
    ("tolerations", "fits"),
    [
        pytest.param([], False, id="none"),
        pytest.param([{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}], True, id="equal"),
        pytest.param([{"key": "gpu", "value": "no"}], False, id="other-value"),
        pytest.param([{"key": "gpu", "operator": "Exists"}], True, id="exists-any-effect"),
        pytest.param([{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}], False, id="other-effect"),
        pytest.param([{"operator": "Exists"}], True, id="everything"),
    ],
)
def test_taints_and_tolerations(tolerations: list[dict[str, str]], fits: bool) -> None:
    found = schedule(pod(tolerations=tolerations), [node("a", taints=[TAINT])])
    assert found == Bind("a") if fits else isinstance(found, Unschedulable)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        pytest.param({"hostPort": 80}, False, id="same"),
        pytest.param({"hostPort": 81}, True, id="other-number"),
        pytest.param({"hostPort": 80, "protocol": "UDP"}, True, id="other-protocol"),
        pytest.param({"hostPort": 80, "hostIP": "127.0.0.1"}, False, id="an-address-of-all"),
    ],
)
def test_host_ports_collide(wanted: dict[str, Any], fits: bool) -> None:
    def with_port(name: str, port: dict[str, Any]) -> dict[str, Any]:
        return pod(name, containers=[{"name": "c", "ports": [{"containerPort": 80, **port}]}])

    found = schedule(with_port("p", wanted), [node("a", with_port("q", {"hostPort": 80}))])
    assert found == Bind("a") if fits else "free ports for the requested pod ports" in why(found)


def term(**labels: str) -> dict[str, Any]:
    return {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}


def required(kind: str, found: dict[str, Any]) -> dict[str, Any]:
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [found]}}}


def test_pods_that_want_to_be_together_are() -> None:
    nodes = [node("a"), node("b", pod("q", labels={"app": "db"}))]
    assert schedule(pod(**required("podAffinity", term(app="db"))), nodes) == Bind("b")
    alone = schedule(pod(**required("podAffinity", term(app="web"))), nodes)
    assert why(alone) == "0/2 nodes are available: 2 node(s) didn't match pod affinity rules."
    first = pod(labels={"app": "web"}, **required("podAffinity", term(app="web")))
    assert isinstance(schedule(first, nodes), Bind)


def test_pods_that_want_to_be_apart_are_on_either_side() -> None:
    web = {"app": "web"}
    apart = required("podAntiAffinity", term(app="web"))
    nodes = [node("a", pod("q", labels=web)), node("b")]
    assert schedule(pod(labels=web, **apart), nodes) == Bind("b")
    nobody = schedule(pod(labels=web, **apart), nodes[:1])
    assert why(nobody) == "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
    kept_out = schedule(pod(labels=web), [node("a", pod("q", labels={"app": "db"}, **apart))])
    assert why(kept_out) == "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules."


def test_spread_constraints_hold() -> None:
    web = {"app": "web"}
    constraint = {"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", **term(app="web")}
    nodes = [node("a", pod("q", labels=web)), node("b")]
    assert schedule(pod(labels=web, topologySpreadConstraints=[constraint]), nodes) == Bind("b")
    full = [nodes[0], node("b", allocatable={"pods": "0"})]
    refused = schedule(pod(labels=web, topologySpreadConstraints=[constraint]), full)
    assert "1 node(s) didn't match pod topology spread constraints" in why(refused)
    elsewhere = {**constraint, "topologyKey": "zone"}
    assert "(missing required label)" in why(schedule(pod(topologySpreadConstraints=[elsewhere]), nodes))


def test_the_emptier_node_is_better_and_owners_spread() -> None:
    assert schedule(pod(), [node("a", pod("q")), node("b")]) == Bind("b")
    nodes = [node("a", pod("q", owner="rs")), node("b", pod("r"), pod("s"))]
    assert schedule(pod(owner="rs"), nodes) == Bind("b")


def test_preferences_weigh() -> None:
    preferred = {"weight": 50, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
    spec = {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}}}
    assert schedule(pod(**spec), [node("a"), node("b", labels={"disk": "ssd"})]) == Bind("b")
    avoided = {"key": "slow", "effect": "PreferNoSchedule"}
    assert schedule(pod(), [node("a", taints=[avoided]), node("b", pod("q"))]) == Bind("b")


@pytest.mark.parametrize(
    "unwanted",
    [
        pod(nodeName="other"),
        pod(schedulerName="mine"),
        pod(schedulingGates=[{"name": "g"}]),
        {**pod(), "metadata": {"deletionTimestamp": "x"}},
        {**pod(), "status": {"phase": "Failed"}},
    ],
)
def test_pods_that_are_not_the_schedulers(unwanted: dict[str, Any]) -> None:
    assert schedule(unwanted, [node("a")]) is None


def test_requests_are_those_of_the_hungriest_moment() -> None:
    def container(cpu: str, **more: Any) -> dict[str, Any]:
        return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "initContainers": [container("100m", restartPolicy="Always"), container("2")],
        "containers": [container("500m"), container("250m")],
        "overhead": {"cpu": "50m"},
    }
    assert requests(pod(**spec))["cpu"] == Decimal("2.15")


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(1, 12))
def test_no_node_gets_more_than_it_has_room_for(rooms: list[int], wanted: int) -> None:
    nodes = [node(f"n{number}", allocatable={"pods": str(room)}) for number, room in enumerate(rooms)]
    by_name = {each.name: each for each in nodes}
    bound = 0
    for number in range(wanted):
        found = schedule(pod(f"p{number}"), nodes)
        if isinstance(found, Bind):
            bound += 1
            by_name[found.node].pods[str(number)] = placed(pod(f"p{number}"))
    assert bound == min(wanted, sum(rooms))
    assert all(len(each.pods) <= room for each, room in zip(nodes, rooms, strict=True))
