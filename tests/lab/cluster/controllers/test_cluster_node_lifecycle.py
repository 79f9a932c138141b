"""Silent nodes: marked, tainted, and left by the pods on them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from podpass.kube.resources import LEASES, NODES, PODS
from podpass.lab.clock import rfc3339
from podpass.lab.cluster.controllers import node_health
from podpass.lab.cluster.controllers.nodes import NodeLifecycle
from podpass.lab.node.registration import micro_time
from tests.lab.cluster.core_api import Api, opened


@pytest.fixture
async def api(cluster_keys: Path) -> AsyncIterator[Api]:
    async with opened(cluster_keys) as found:
        yield found


async def make_node(api: Api, name: str) -> None:
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "up"}
    await api.cluster.verbs.create(NODES, {"metadata": {"name": name}, "status": {"conditions": [condition]}})
    spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": micro_time(api.clock.now())}
    body = {"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": spec}
    await api.cluster.verbs.create(LEASES, body, "kube-node-lease")


async def renew(api: Api, name: str) -> None:
    lease = api.cluster.verbs.get(LEASES, name, "kube-node-lease")
    spec = {**lease["spec"], "renewTime": micro_time(api.clock.now())}
    await api.cluster.verbs.update(LEASES, {**lease, "spec": spec})


async def make_pod(api: Api, name: str, node: str, **spec: Any) -> None:
    body = {"metadata": {"name": name}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}], **spec}}
    await api.cluster.verbs.create(PODS, body, "default")
    pod = api.cluster.verbs.get(PODS, name, "default")
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await api.cluster.verbs.update(PODS, {**pod, "status": status}, subresource="status")


def node_of(api: Api, name: str) -> dict[str, Any]:
    return api.cluster.verbs.get(NODES, name)


def keys(node: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["key"], each["effect"]) for each in node.get("spec", {}).get("taints") or ()}


async def test_a_silent_node_is_not_ready_and_its_pods_leave_after_five_minutes(api: Api) -> None:
    lifecycle = NodeLifecycle(api.cluster.verbs, settle_seconds=0)
    await make_node(api, "a")
    await make_pod(api, "patient", "a")
    await make_pod(api, "for-ever", "a", tolerations=[{"operator": "Exists"}])
    await lifecycle.look()
    assert keys(node_of(api, "a")) == set()
    api.clock.advance(41)
    await lifecycle.look()
    node = node_of(api, "a")
    (ready,) = node["status"]["conditions"]
    assert (ready["status"], ready["reason"], ready["message"]) == (
        "Unknown",
        "NodeStatusUnknown",
        "Kubelet stopped posting node status.",
    )
    unreachable = "node.kubernetes.io/unreachable"
    assert keys(node) == {(unreachable, "NoSchedule"), (unreachable, "NoExecute")}
    (condition,) = api.cluster.verbs.get(PODS, "patient", "default")["status"]["conditions"]
    assert condition["status"] == "False"
    api.clock.advance(290)
    await lifecycle.look()
    assert "deletionTimestamp" not in api.cluster.verbs.get(PODS, "patient", "default")["metadata"]
    api.clock.advance(11)
    await lifecycle.look()
    assert "deletionTimestamp" in api.cluster.verbs.get(PODS, "patient", "default")["metadata"]
    assert "deletionTimestamp" not in api.cluster.verbs.get(PODS, "for-ever", "default")["metadata"]


async def test_a_node_that_speaks_again_loses_its_taints(api: Api) -> None:
    lifecycle = NodeLifecycle(api.cluster.verbs, settle_seconds=0)
    await make_node(api, "a")
    api.clock.advance(41)
    await lifecycle.look()
    await renew(api, "a")
    node = node_of(api, "a")
    ready = {"type": "Ready", "status": "True"}
    await api.cluster.verbs.update(NODES, {**node, "status": {"conditions": [ready]}}, subresource="status")
    await lifecycle.look()
    assert keys(node_of(api, "a")) == set()


async def test_nodes_get_time_to_be_heard_of_when_the_clock_jumps(api: Api) -> None:
    lifecycle = NodeLifecycle(api.cluster.verbs, settle_seconds=60)
    await make_node(api, "a")
    await lifecycle.look()
    api.clock.advance(25 * 3600)
    await lifecycle.look()
    assert keys(node_of(api, "a")) == set()


async def test_a_cordoned_node_is_tainted_and_keeps_the_taints_of_others(api: Api) -> None:
    lifecycle = NodeLifecycle(api.cluster.verbs, settle_seconds=0)
    await make_node(api, "a")
    node = node_of(api, "a")
    own = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    await api.cluster.verbs.update(NODES, {**node, "spec": {"unschedulable": True, "taints": [own]}})
    await lifecycle.look()
    assert keys(node_of(api, "a")) == {("gpu", "NoSchedule"), ("node.kubernetes.io/unschedulable", "NoSchedule")}


async def test_the_pods_of_a_node_that_was_deleted_go(api: Api) -> None:
    lifecycle = NodeLifecycle(api.cluster.verbs, settle_seconds=0)
    await make_node(api, "a")
    await make_pod(api, "left", "a")
    await api.cluster.verbs.delete(NODES, "a")
    await lifecycle.look()
    assert api.cluster.verbs.find(PODS, "left", "default") is None


T0 = 1_700_000_000.0
OUT = {"key": "maintenance", "effect": "NoExecute", "timeAdded": rfc3339(T0)}


@pytest.mark.parametrize(
    ("tolerations", "at"),
    [
        pytest.param([], T0, id="no-toleration"),
        pytest.param([{"key": "maintenance", "operator": "Exists"}], None, id="for-ever"),
        pytest.param([{"key": "maintenance", "operator": "Exists", "tolerationSeconds": 60}], T0 + 60, id="a-while"),
        pytest.param(
            [{"operator": "Exists", "tolerationSeconds": 60}, {"key": "maintenance", "operator": "Exists"}],
            T0 + 60,
            id="the-shortest-counts",
        ),
        pytest.param([{"operator": "Exists", "effect": "NoSchedule"}], T0, id="another-effect"),
        pytest.param([{"key": "maintenance", "value": "no"}], T0, id="another-value"),
        pytest.param([{"operator": "Exists", "tolerationSeconds": -5}], T0, id="less-than-nothing"),
    ],
)
def test_when_a_pod_has_to_leave(tolerations: list[dict[str, Any]], at: float | None) -> None:
    assert node_health.evicted_at({"spec": {"tolerations": tolerations}}, [(OUT, T0)]) == at


async def test_a_node_that_was_made_by_hand_is_not_waited_for(api: Api) -> None:
    lifecycle = NodeLifecycle(api.cluster.verbs, settle_seconds=0)
    ready = {"type": "Ready", "status": "True"}
    await api.cluster.verbs.create(NODES, {"metadata": {"name": "paper"}, "status": {"conditions": [ready]}})
    api.clock.advance(3600)
    await lifecycle.look()
    assert keys(node_of(api, "paper")) == set()
