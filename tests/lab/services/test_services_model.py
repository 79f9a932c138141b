"""What is listened on for a Service, as tables."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.lab.cluster.services.view import Backend, ServicePort, ServiceState
from podpass.lab.node.fabric.services import ATTEMPTS, Balancer
from podpass.lab.node.runtime import Listening
from podpass.lab.services.model import Door, balancer_address, balancer_status, inside, outside

READY = Backend("10.244.0.5", {"": 8080}, True, True, False)
WAITING = Backend("10.244.0.6", {"": 8080}, False, False, False)
ENDING = Backend("10.244.0.7", {"": 8080}, False, True, True)


def service(*backends: Backend, port: ServicePort | None = None, **values: Any) -> ServiceState:
    kept = {"kind": "ClusterIP", "cluster_ip": "10.96.1.1", "external_name": ""}
    ports = (port or ServicePort("", 80, "TCP"),)
    return ServiceState(
        namespace="default", name="web", uid="u", ports=ports, backends=tuple(backends), **{**kept, **values}
    )


@pytest.mark.parametrize(
    ("backends", "targets"),
    [
        pytest.param((READY, WAITING), ["10.244.0.5"], id="what-is-ready"),
        pytest.param((READY, ENDING), ["10.244.0.5"], id="not-what-ends"),
        pytest.param((ENDING, WAITING), ["10.244.0.7"], id="what-ends-where-nothing-else-serves"),
    ],
)
def test_connections_go_to_what_serves(backends: tuple[Backend, ...], targets: list[str]) -> None:
    (found,) = inside(service(*backends))
    assert [address for address, _ in found.targets] == targets


def test_a_port_with_nothing_behind_it_is_not_listened_on() -> None:
    assert list(inside(service(WAITING))) == []
    assert list(outside(service(WAITING), "127.0.10.1")) == []


def test_node_ports_are_on_every_node_and_on_this_machine() -> None:
    found = service(READY, port=ServicePort("", 80, "TCP", 30_080), kind="NodePort", affinity_seconds=60)
    targets = (("10.244.0.5", 8080),)
    assert list(inside(found)) == [
        Listening("TCP", "10.96.1.1", 80, targets, 60),
        Listening("TCP", "", 30_080, targets, 60),
    ]
    assert list(outside(found, "")) == [Door("127.0.0.1", 30_080, "", balancer=False)]
    assert Door("127.0.10.1", 80, "", balancer=True) in set(outside(found, "127.0.10.1"))


def test_a_headless_service_is_not_listened_on() -> None:
    assert list(inside(service(READY, cluster_ip=""))) == []


def test_load_balancers_keep_their_address_and_share_none() -> None:
    def given(wanted: str, *taken: str, in_use: str = "") -> str:
        return balancer_address(wanted, taken, lambda address: address not in in_use.split())

    assert given("") == "127.0.10.1"
    assert given("", "127.0.10.1") == "127.0.10.2"
    assert given("127.0.12.9", "127.0.10.1") == "127.0.12.9"
    assert given("127.0.10.1", "127.0.10.1") == "127.0.10.2"
    assert given("192.0.2.1") == "127.0.10.1"
    assert given("", in_use="127.0.10.1 127.0.10.2") == "127.0.10.3", "another lab has those"
    assert given("127.0.12.9", in_use="127.0.12.9") == "127.0.10.1", "another lab took it meanwhile"
    assert balancer_address("", (), lambda _: False) == ""
    assert balancer_status("127.0.10.1", [])["ingress"][0]["ip"] == "127.0.10.1"


TARGETS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d"]), st.integers(1, 3)), unique=True, max_size=8)


@given(targets=TARGETS, turns=st.integers(1, 40))
def test_targets_take_turns(targets: list[tuple[str, int]], turns: int) -> None:
    balancer = Balancer(targets, None)
    chosen = [balancer.choices("client") for _ in range(turns)]
    assert all(len(set(each)) == len(each) == min(ATTEMPTS, len(targets)) for each in chosen)
    counts = [sum(each[0] == target for each in chosen) for target in targets]
    assert not targets or max(counts) - min(counts) <= 1


def test_a_client_stays_with_its_target_while_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    balancer = Balancer([("a", 1), ("b", 1)], 60.0)
    first = balancer.choices("one")[0]
    balancer.took("one", first)
    assert {balancer.choices("one")[0] for _ in range(5)} == {first}
    balancer.change([each for each in (("a", 1), ("b", 1)) if each != first], 60.0)
    assert balancer.choices("one")[0] != first
    balancer.change([("a", 1), ("b", 1)], 60.0)
    now += 61
    assert {balancer.choices("one")[0] for _ in range(4)} == {("a", 1), ("b", 1)}
