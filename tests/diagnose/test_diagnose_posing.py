"""Which pods may pose as others."""

from typing import Any

import pytest

from podpass.diagnose.posing import keeps, posing_pods
from podpass.diagnose.snapshot import Network, Snapshot, network_of
from podpass.podidentity.objects import Binding


def pod(
    name: str, *, label: str = "", node: str = "a", namespace: str = "shop", phase: str = "Running", **spec: Any
) -> Any:
    containers = spec.pop("containers", [{"name": "web"}])
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"aadpodidbinding": label} if label else {}},
        "spec": {"nodeName": node, "containers": containers, **spec},
        "status": {"phase": phase},
    }


SAFE = [{"name": "web", "securityContext": {"capabilities": {"drop": ["ALL"]}}}]
BINDINGS = [
    Binding(namespace="shop", name="b", identity="orders", selector="web"),
    Binding(namespace="bank", name="b", identity="money", selector="money"),
    Binding(namespace="bank", name="empty", identity="never", selector=""),
]


def names(*pods: Any, network: Network = "kubenet") -> dict[str, tuple[str, ...]]:
    return {found.pod: found.identities for found in posing_pods(Snapshot(network, "", pods, BINDINGS))}


def test_a_pod_reaches_what_its_neighbours_have_and_it_has_not() -> None:
    found = names(
        pod("victim", label="web", containers=SAFE),
        pod("rich", label="money", node="b", namespace="bank", containers=SAFE),
        pod("poser"),
        pod("poser-with-its-own", label="web"),
        pod("far", node="b"),
    )
    assert found == {"poser": ("shop/orders",), "poser-with-its-own": (), "far": ("bank/money",)}


@pytest.mark.parametrize(
    "harmless",
    [
        pod("p", containers=SAFE),
        pod("p", phase="Succeeded"),
        pod("p", namespace="kube-system"),
        pod("p", hostNetwork=True),
        pod("p", node=""),
    ],
    ids=["drops", "ended", "system", "of-its-node", "not-scheduled"],
)
def test_pods_that_can_t(harmless: Any) -> None:
    assert names(pod("victim", label="web", containers=SAFE), harmless) == {}


@pytest.mark.parametrize("network", ["protected", "unknown"])
def test_only_the_network_makes_it_possible(network: Network) -> None:
    assert names(pod("victim", label="web"), pod("poser"), network=network) == {}


@pytest.mark.parametrize("member", ["initContainers", "ephemeralContainers"])
def test_every_container_counts_and_is_named(member: str) -> None:
    (found,) = posing_pods(Snapshot("kubenet", "", [pod("p", containers=SAFE, **{member: [{"name": "x"}]})], []))
    assert found.containers == ("x",)


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({}, True),
        ({"capabilities": {"drop": ["NET_RAW"]}}, False),
        ({"capabilities": {"drop": ["ALL"]}}, False),
        ({"capabilities": {"drop": ["MKNOD"]}}, True),
        ({"capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}}, True),
        ({"capabilities": {"drop": ["ALL"], "add": ["CAP_NET_RAW"]}}, True),
        ({"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}, False),
        ({"capabilities": {"drop": ["ALL"]}, "privileged": True}, True),
        ({"capabilities": None}, True),
    ],
)
def test_who_keeps_net_raw(context: dict[str, Any], expected: bool) -> None:
    assert keeps({"name": "c", "securityContext": context}) is expected


def agent(*words: str) -> Any:
    spec = {"template": {"spec": {"containers": [{"name": "nmi", "args": list(words)}]}}}
    return {"metadata": {"name": "nmi", "namespace": "kube-system"}, "spec": spec}


def node(reason: str) -> Any:
    conditions = [{"type": "NetworkUnavailable", "status": "False", "reason": reason}]
    return {"metadata": {"name": "a"}, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("nodes", "agents", "expected"),
    [
        ([], [], "unknown"),
        ([node("CalicoIsUp")], [agent("--node=a")], "unknown"),
        ([], [agent("--allow-network-plugin-kubenet")], "kubenet"),
        ([], [agent("--allow-network-plugin-kubenet=true")], "kubenet"),
        ([], [agent("--allow-network-plugin-kubenet=false")], "unknown"),
        ([node("RouteCreated")], [], "kubenet"),
    ],
)
def test_what_tells_the_network(nodes: list[Any], agents: list[Any], expected: Network) -> None:
    assert network_of(nodes, agents)[0] == expected
