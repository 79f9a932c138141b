"""What is decided for StatefulSets and DaemonSets, and on which nodes a pod belongs, as tables."""

from typing import Any

import pytest

from podpass.lab.cluster.workloads import daemonset, statefulset
from podpass.lab.cluster.workloads.daemonset_nodes import bound_to, node_of, place
from podpass.lab.cluster.workloads.pods import Pod
from podpass.lab.cluster.workloads.statefulset import REVISION_LABEL, Wanted
from tests.lab.cluster.workloads.workload_pods import NOW, a_pod

OLD, NEW = {REVISION_LABEL: "old"}, {REVISION_LABEL: "new"}


def number(name: str, **members: Any) -> tuple[int, Pod]:
    found = statefulset.ordinal(name, "db")
    assert found is not None
    return found, a_pod(name, **{"labels": NEW, **members})


def steady(replicas: int, **members: Any) -> Wanted:
    return Wanted(**{"replicas": replicas, "current": "new", "update": "new", **members})


def rolling(replicas: int, **members: Any) -> Wanted:
    return Wanted(**{"replicas": replicas, "current": "old", "update": "new", **members})


ILL = {"ready": None}


@pytest.mark.parametrize(
    ("wanted", "pods", "expected"),
    [
        pytest.param(steady(3), [], ["create pod 0 of new"], id="the-first-first"),
        pytest.param(steady(3), [number("db-0", **ILL)], [], id="waits-until-it-is-ready"),
        pytest.param(steady(3), [number("db-0")], ["create pod 1 of new"], id="then-the-next"),
        pytest.param(steady(2), [number("db-1")], ["create pod 0 of new"], id="a-gap-is-filled"),
        pytest.param(
            steady(3, parallel=True),
            [],
            ["create pod 0 of new", "create pod 1 of new", "create pod 2 of new"],
            id="all-at-once",
        ),
        pytest.param(steady(2, start=5), [], ["create pod 5 of new"], id="numbers-begin-elsewhere"),
        pytest.param(steady(2, min_ready_seconds=60), [number("db-0", ready=30)], [], id="ready-but-not-for-long"),
        pytest.param(
            steady(1), [number("db-0", phase="Failed")], ["delete db-0, failed"], id="a-failed-pod-is-replaced"
        ),
        pytest.param(
            steady(1),
            [number("db-0"), number("db-1"), number("db-2")],
            ["delete db-2, condemned"],
            id="the-last-goes-first",
        ),
        pytest.param(
            steady(1), [number("db-0"), number("db-1"), number("db-2", deleting=True)], [], id="one-goes-at-a-time"
        ),
        pytest.param(
            steady(1),
            [number("db-0"), number("db-1", **ILL), number("db-2")],
            ["delete db-2, condemned"],
            id="well-above-ill",
        ),
        pytest.param(
            steady(1), [number("db-0"), number("db-1", **ILL), number("db-2", **ILL)], [], id="two-ill-ones-wait"
        ),
        pytest.param(
            steady(1, parallel=True),
            [number("db-0"), number("db-1"), number("db-2")],
            ["delete db-2, condemned", "delete db-1, condemned"],
            id="all-go-at-once",
        ),
        pytest.param(
            rolling(2), [number("db-0", labels=OLD), number("db-1", labels=OLD)], ["delete db-1, outdated"], id="update"
        ),
        pytest.param(
            rolling(2), [number("db-0", labels=OLD), number("db-1", **ILL)], [], id="update-waits-for-the-new-pod"
        ),
        pytest.param(rolling(2), [number("db-0", labels=OLD)], ["create pod 1 of new"], id="the-new-pod-is-new"),
        pytest.param(
            rolling(3, partition=2),
            [number(f"db-{each}", labels=OLD) for each in range(3)],
            ["delete db-2, outdated"],
            id="only-above-the-partition",
        ),
        pytest.param(
            rolling(3, partition=3),
            [number(f"db-{each}", labels=OLD) for each in range(3)],
            [],
            id="held-by-the-partition",
        ),
        pytest.param(
            rolling(3, partition=2),
            [number("db-0", labels=OLD), number("db-2")],
            ["create pod 1 of old"],
            id="below-the-partition-pods-stay-old",
        ),
        pytest.param(rolling(1, on_delete=True), [number("db-0", labels=OLD)], [], id="on-delete-replaces-nothing"),
        pytest.param(rolling(1, on_delete=True), [], ["create pod 0 of new"], id="on-delete-makes-new-ones"),
        pytest.param(
            rolling(4, most_unavailable=2),
            [number(f"db-{each}", labels=OLD) for each in range(4)],
            ["delete db-3, outdated", "delete db-2, outdated"],
            id="as-many-as-may-be-unavailable",
        ),
        pytest.param(
            rolling(4, most_unavailable=2, parallel=True),
            [*(number(f"db-{each}", labels=OLD) for each in range(3)), number("db-3", **ILL)],
            ["delete db-2, outdated"],
            id="an-ill-one-counts",
        ),
    ],
)
def test_a_statefulset_goes_in_order(wanted: Wanted, pods: list[tuple[int, Pod]], expected: list[str]) -> None:
    assert [str(each) for each in statefulset.decide(wanted, pods, NOW)] == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("db-0", 0), ("db-12", 12), ("db-01", None), ("db-", None), ("db", None), ("x-db-1", None), ("db-x-1", None)],
)
def test_a_pods_number_is_read_from_its_name(name: str, expected: int | None) -> None:
    assert statefulset.ordinal(name, "db") == expected


def test_a_statefulset_is_updated_when_all_its_pods_are() -> None:
    owner = {"metadata": {"generation": 2}, "status": {}}
    half = [a_pod("db-0", labels=OLD), a_pod("db-1", labels=NEW)]
    status = statefulset.status(owner, rolling(2), half, 0, NOW)
    assert (status["currentRevision"], status["currentReplicas"], status["updatedReplicas"]) == ("old", 1, 1)
    done = [a_pod("db-0", labels=NEW), a_pod("db-1", labels=NEW)]
    status = statefulset.status(owner, rolling(2), done, 0, NOW)
    assert (status["currentRevision"], status["currentReplicas"]) == ("new", 2)


def test_a_numbered_pod_has_its_name_and_its_claims() -> None:
    owner = {
        "metadata": {"name": "db"},
        "spec": {"serviceName": "peers", "volumeClaimTemplates": [{"metadata": {"name": "data"}}]},
    }
    pod = {
        "metadata": {"labels": {"app": "db"}},
        "spec": {"volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]},
    }
    made = statefulset.identified(pod, owner, 3, "db-abc")
    assert made["metadata"]["name"] == made["spec"]["hostname"] == "db-3"
    assert made["spec"]["subdomain"] == "peers"
    assert made["metadata"]["labels"] == {
        "app": "db",
        "statefulset.kubernetes.io/pod-name": "db-3",
        "apps.kubernetes.io/pod-index": "3",
        "controller-revision-hash": "db-abc",
    }
    assert made["spec"]["volumes"] == [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-3"}},
        {"name": "tmp", "emptyDir": {}},
    ]


# DaemonSets


def on(node: str, **members: Any) -> tuple[str, Pod]:
    name = members.pop("name", f"p-{node}")
    return node, a_pod(name, **{"node": node, "labels": NEW, **members})


def everywhere(*nodes: str, **members: Any) -> daemonset.Wanted:
    return daemonset.Wanted(**{"hash": "new", "places": dict.fromkeys(nodes, "run"), **members})


@pytest.mark.parametrize(
    ("wanted", "pods", "expected"),
    [
        pytest.param(everywhere("a", "b"), [], ["create a pod on a", "create a pod on b"], id="one-on-each-node"),
        pytest.param(everywhere("a", "b"), [on("a")], ["create a pod on b"], id="a-new-node"),
        pytest.param(everywhere("a"), [on("a"), on("gone")], ["delete p-gone, misplaced"], id="a-node-that-went"),
        pytest.param(
            everywhere(places={"a": "no"}), [on("a")], ["delete p-a, misplaced"], id="a-node-it-is-no-longer-for"
        ),
        pytest.param(everywhere(places={"a": "keep"}), [on("a")], [], id="a-tainted-node-keeps-its-pod"),
        pytest.param(everywhere(places={"a": "keep"}), [], [], id="a-tainted-node-gets-none"),
        pytest.param(everywhere("a"), [on("a", phase="Failed")], ["delete p-a, failed"], id="a-failed-pod"),
        pytest.param(everywhere("a"), [on("a", deleting=True)], [], id="waits-until-the-old-one-is-gone"),
        pytest.param(
            everywhere("a"), [on("a", age=50), on("a", name="twin", age=9)], ["delete twin, surplus"], id="one-too-many"
        ),
        pytest.param(
            everywhere("a", "b"), [on("a", labels=OLD), on("b", labels=OLD)], ["delete p-a, outdated"], id="update-one"
        ),
        pytest.param(
            everywhere("a", "b", max_unavailable=2),
            [on("a", labels=OLD), on("b", labels=OLD)],
            ["delete p-a, outdated", "delete p-b, outdated"],
            id="update-two",
        ),
        pytest.param(
            everywhere("a", "b"), [on("a", **ILL), on("b", labels=OLD)], [], id="update-waits-for-the-one-before"
        ),
        pytest.param(
            everywhere("a", "b"),
            [on("a", labels=OLD, **ILL), on("b", labels=OLD)],
            ["delete p-a, outdated"],
            id="the-ill-one-first",
        ),
        pytest.param(everywhere("a", on_delete=True), [on("a", labels=OLD)], [], id="on-delete"),
        pytest.param(
            everywhere("a", "b", max_unavailable=0, max_surge=1),
            [on("a", labels=OLD), on("b", labels=OLD)],
            ["create a pod on a"],
            id="surge-begins-with-a-second-pod",
        ),
        pytest.param(
            everywhere("a", max_unavailable=0, max_surge=1),
            [on("a", labels=OLD), on("a", name="new", **ILL)],
            [],
            id="surge-waits",
        ),
        pytest.param(
            everywhere("a", max_unavailable=0, max_surge=1),
            [on("a", labels=OLD), on("a", name="new")],
            ["delete p-a, surplus"],
            id="surge-ends-the-old-pod",
        ),
    ],
)
def test_a_daemonset_has_one_pod_where_one_belongs(
    wanted: daemonset.Wanted, pods: list[tuple[str, Pod]], expected: list[str]
) -> None:
    assert [str(each) for each in daemonset.decide(wanted, pods, NOW)] == expected


def test_a_daemonsets_status_counts_nodes() -> None:
    wanted = everywhere(places={"a": "run", "b": "run", "c": "no"})
    pods = [on("a"), on("b", labels=OLD, **ILL), on("c")]
    assert daemonset.status({"metadata": {"generation": 4}}, wanted, pods, 0, NOW) == {
        "observedGeneration": 4,
        "currentNumberScheduled": 2,
        "numberMisscheduled": 1,
        "desiredNumberScheduled": 2,
        "numberReady": 1,
        "updatedNumberScheduled": 1,
        "numberAvailable": 1,
        "numberUnavailable": 1,
    }


def a_node(taint: tuple[str, str] | None = None, **labels: str) -> dict[str, Any]:
    taints = [] if taint is None else [{"key": taint[0], "effect": taint[1], "value": "v"}]
    return {"metadata": {"name": "n", "labels": labels}, "spec": {"taints": taints}}


def required(**term: Any) -> dict[str, Any]:
    terms = {"nodeSelectorTerms": [term]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}


@pytest.mark.parametrize(
    ("spec", "node", "expected"),
    [
        pytest.param({}, a_node(), "run", id="anywhere"),
        pytest.param({"nodeSelector": {"disk": "ssd"}}, a_node(disk="ssd"), "run", id="selected"),
        pytest.param({"nodeSelector": {"disk": "ssd"}}, a_node(), "no", id="not-selected"),
        pytest.param({"nodeName": "other"}, a_node(), "no", id="another-node-by-name"),
        pytest.param({}, a_node(("k", "NoSchedule")), "keep", id="tainted-for-new-ones"),
        pytest.param({}, a_node(("k", "NoExecute")), "no", id="tainted-for-all"),
        pytest.param({}, a_node(("k", "PreferNoSchedule")), "run", id="a-mere-preference"),
        pytest.param({"tolerations": [{"operator": "Exists"}]}, a_node(("k", "NoExecute")), "run", id="tolerates-all"),
        pytest.param(
            {"tolerations": [{"key": "k", "value": "v"}]}, a_node(("k", "NoSchedule")), "run", id="tolerates-this"
        ),
        pytest.param(
            {"tolerations": [{"key": "k", "value": "w"}]}, a_node(("k", "NoSchedule")), "keep", id="another-value"
        ),
        pytest.param({}, a_node(("node.kubernetes.io/unschedulable", "NoSchedule")), "run", id="cordoned"),
        pytest.param({}, a_node(("node.kubernetes.io/network-unavailable", "NoSchedule")), "keep", id="no-network"),
        pytest.param(
            {"hostNetwork": True},
            a_node(("node.kubernetes.io/network-unavailable", "NoSchedule")),
            "run",
            id="host-network",
        ),
        pytest.param(
            required(matchExpressions=[{"key": "z", "operator": "In", "values": ["a"]}]), a_node(z="a"), "run", id="in"
        ),
        pytest.param(
            required(matchExpressions=[{"key": "z", "operator": "NotIn", "values": ["a"]}]),
            a_node(z="a"),
            "no",
            id="not-in",
        ),
        pytest.param(
            required(matchExpressions=[{"key": "z", "operator": "Gt", "values": ["3"]}]),
            a_node(z="4"),
            "run",
            id="greater",
        ),
        pytest.param(required(), a_node(), "no", id="an-empty-term-matches-nothing"),
    ],
)
def test_where_a_pod_belongs(spec: dict[str, Any], node: dict[str, Any], expected: str) -> None:
    assert place(spec, node) == expected


def test_a_pod_is_made_for_one_node() -> None:
    made = bound_to({"affinity": {"podAffinity": {}}}, "n7")
    assert node_of(made) == "n7"
    assert "podAffinity" in made["affinity"]
    assert node_of({"nodeName": "n1"}) == "n1"
    assert node_of({}) == ""
