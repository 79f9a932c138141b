from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.kube import resources
from podpass.lab.clock import LabClock, rfc3339
from podpass.lab.cluster.kinds.access import access_kinds
from podpass.lab.cluster.kinds.configuration import configmaps, secrets
from podpass.lab.cluster.kinds.events import event_kinds
from podpass.lab.cluster.kinds.identities import namespaces
from podpass.lab.cluster.kinds.nodes import leases, nodes
from podpass.lab.cluster.kinds.pods import pods, summary
from podpass.lab.cluster.kinds.webhooks import webhook_kinds
from podpass.lab.cluster.registry import Kind
from podpass.lab.cluster.tables import Tables, duration, since

NOW = 1_800_000_000.0


def ago(seconds: float) -> str:
    return rfc3339(NOW - seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (90, "90s"),
        (119, "119s"),
        (120, "2m"),
        (330, "5m30s"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 12 * 60, "3h12m"),
        (8 * 3600, "8h"),
        (26 * 3600, "26h"),
        (48 * 3600, "2d"),
        (77 * 3600, "3d5h"),
        (8 * 86_400, "8d"),
        (40 * 86_400, "40d"),
        (745 * 86_400, "2y15d"),
        (9 * 365 * 86_400 + 86_400, "9y"),
    ],
)
def test_ages_are_written_in_at_most_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("timestamp", [None, "", 5, "yesterday"])
def test_an_age_without_a_time_is_unknown(timestamp: object) -> None:
    assert since(timestamp, NOW) == "<unknown>"


def container(name: str = "c", **state: Any) -> dict[str, Any]:
    ready = state.pop("ready", False)
    return {"name": name, "ready": ready, "restartCount": 0, **state.pop("status", {}), "state": state}


RUNNING = {"running": {}, "ready": True}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}


def pod(
    phase: str = "Running",
    main: list[dict[str, Any]] | None = None,
    init: list[dict[str, Any]] | None = None,
    sidecars: tuple[str, ...] = (),
    deleted: bool = False,
    **status: Any,
) -> dict[str, Any]:
    listed, started = main or [], init or []
    spec: dict[str, Any] = {"containers": [{"name": each["name"]} for each in listed] or [{"name": "c"}]}
    if started:
        spec["initContainers"] = [
            {"name": each["name"], **({"restartPolicy": "Always"} if each["name"] in sidecars else {})}
            for each in started
        ]
    metadata = {"name": "p", "creationTimestamp": ago(90), **({"deletionTimestamp": ago(0)} if deleted else {})}
    return {
        "metadata": metadata,
        "spec": spec,
        "status": {"phase": phase, "containerStatuses": listed, "initContainerStatuses": started, **status},
    }


READY = [{"type": "Ready", "status": "True"}]


@pytest.mark.parametrize(
    ("shown", "status", "ready"),
    [
        pytest.param(pod("Pending"), "Pending", "0/1", id="new"),
        pytest.param(
            pod("Pending", [container(waiting={"reason": "ContainerCreating"})]),
            "ContainerCreating",
            "0/1",
            id="creating",
        ),
        pytest.param(pod(main=[container(**RUNNING)]), "Running", "1/1", id="running"),
        pytest.param(
            pod(main=[container(waiting={"reason": "CrashLoopBackOff"})]), "CrashLoopBackOff", "0/1", id="crashing"
        ),
        pytest.param(pod(main=[container(waiting={"reason": "ErrImagePull"})]), "ErrImagePull", "0/1", id="no-image"),
        pytest.param(pod("Succeeded", [container(**DONE)]), "Completed", "0/1", id="completed"),
        pytest.param(
            pod("Failed", [container(terminated={"exitCode": 1, "reason": "Error"})]), "Error", "0/1", id="error"
        ),
        pytest.param(pod("Failed", [container(terminated={"exitCode": 3})]), "ExitCode:3", "0/1", id="exit-code"),
        pytest.param(
            pod("Failed", [container(terminated={"exitCode": 137, "signal": 9})]), "Signal:9", "0/1", id="signal"
        ),
        pytest.param(pod("Failed", reason="Evicted"), "Evicted", "0/1", id="evicted"),
        pytest.param(
            pod(main=[container("a", **RUNNING), container("b", **DONE)], conditions=READY),
            "Running",
            "1/2",
            id="one-done-and-ready",
        ),
        pytest.param(
            pod(main=[container("b", **DONE), container("a", **RUNNING)]), "NotReady", "1/2", id="one-done-not-ready"
        ),
        pytest.param(pod("Pending", init=[container("i", running={})]), "Init:0/1", "0/1", id="init-running"),
        pytest.param(
            pod("Pending", init=[container("i", **DONE), container("j", waiting={"reason": "PodInitializing"})]),
            "Init:1/2",
            "0/1",
            id="second-init",
        ),
        pytest.param(
            pod("Pending", init=[container("i", waiting={"reason": "ErrImagePull"})]),
            "Init:ErrImagePull",
            "0/1",
            id="init-waiting",
        ),
        pytest.param(
            pod("Failed", init=[container("i", terminated={"exitCode": 2})]), "Init:ExitCode:2", "0/1", id="init-failed"
        ),
        pytest.param(
            pod(
                main=[container(**RUNNING)],
                init=[container("proxy", running={}, ready=True, status={"started": True})],
                sidecars=("proxy",),
            ),
            "Running",
            "2/2",
            id="sidecar-counts",
        ),
        pytest.param(pod(main=[container(**RUNNING)], deleted=True), "Terminating", "1/1", id="terminating"),
        pytest.param(pod("Succeeded", [container(**DONE)], deleted=True), "Completed", "0/1", id="ended-and-deleted"),
        pytest.param(
            pod("Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]),
            "SchedulingGated",
            "0/1",
            id="gated",
        ),
    ],
)
def test_the_status_of_a_pod_is_one_word(shown: dict[str, Any], status: str, ready: str) -> None:
    found = summary(shown)
    assert (found.status, f"{found.ready}/{found.total}") == (status, ready)


def cells(kind: Kind, obj: dict[str, Any], *, wide: bool = False) -> dict[str, Any]:
    table = Tables(LabClock(source=lambda: NOW)).render(kind, [obj], metadata={"resourceVersion": "7"})
    return {
        column["name"]: cell
        for column, cell in zip(table["columnDefinitions"], table["rows"][0]["cells"], strict=True)
        if wide or column["priority"] == 0
    }


def test_restarts_say_when_the_last_one_was() -> None:
    crashed = container(
        waiting={"reason": "CrashLoopBackOff"},
        status={"restartCount": 3, "lastState": {"terminated": {"exitCode": 1, "finishedAt": ago(300)}}},
    )
    assert cells(pods(), pod(main=[crashed])) == {
        "Name": "p",
        "Ready": "0/1",
        "Status": "CrashLoopBackOff",
        "Restarts": "3 (5m ago)",
        "Age": "90s",
    }


def test_wide_columns_of_a_pod() -> None:
    placed = pod(main=[container(**RUNNING)], podIPs=[{"ip": "10.0.0.9"}])
    placed["spec"]["nodeName"] = "lab-node"
    placed["spec"]["readinessGates"] = [{"conditionType": "x"}]
    found = cells(pods(), placed, wide=True)
    assert found["IP"] == "10.0.0.9"
    assert found["Node"] == "lab-node"
    assert found["Nominated Node"] == "<none>"
    assert found["Readiness Gates"] == "0/1"


def test_an_event_shows_when_about_what_and_why() -> None:
    event = {
        "metadata": {"name": "p.1"},
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
        "reason": "BackOff",
        "type": "Warning",
        "message": " back-off \n",
        "count": 4,
        "firstTimestamp": ago(600),
        "lastTimestamp": ago(30),
        "source": {"component": "kubelet", "host": "lab-node"},
    }
    assert cells(event_kinds()[0], event, wide=True) == {
        "Last Seen": "30s",
        "Type": "Warning",
        "Reason": "BackOff",
        "Object": "pod/p",
        "Subobject": "spec.containers{c}",
        "Source": "kubelet, lab-node",
        "Message": "back-off",
        "First Seen": "10m",
        "Count": 4,
        "Name": "p.1",
    }


def test_the_same_event_in_its_newer_group() -> None:
    core, newer = event_kinds()
    assert newer.from_stored is not None
    assert newer.to_stored is not None
    stored = {
        "metadata": {"name": "e"},
        "apiVersion": "v1",
        "involvedObject": {"kind": "Pod", "name": "p"},
        "message": "m",
        "source": {"component": "kubelet"},
        "count": 2,
        "lastTimestamp": ago(5),
    }
    shown = newer.from_stored(stored)
    assert shown["regarding"] == stored["involvedObject"]
    assert shown["note"] == "m"
    assert shown["deprecatedCount"] == 2
    assert shown["apiVersion"] == "events.k8s.io/v1"
    assert newer.to_stored(shown) == stored
    assert cells(newer, shown, wide=True) == cells(core, stored, wide=True)


@pytest.mark.parametrize(
    ("kind", "obj", "expected"),
    [
        pytest.param(
            secrets(),
            {"type": "Opaque", "data": {"a": "", "b": ""}},
            {"Type": "Opaque", "Data": 2},
            id="secret",
        ),
        pytest.param(configmaps(), {"data": {"a": ""}, "binaryData": {"b": ""}}, {"Data": 2}, id="configmap"),
        pytest.param(namespaces(), {"status": {"phase": "Active"}}, {"Status": "Active"}, id="namespace"),
        pytest.param(leases(), {"spec": {"holderIdentity": "me"}}, {"Holder": "me"}, id="lease"),
        pytest.param(webhook_kinds()[0], {"webhooks": [{}, {}]}, {"Webhooks": 2}, id="webhooks"),
    ],
)
def test_the_cells_of_other_kinds(kind: Kind, obj: dict[str, Any], expected: dict[str, Any]) -> None:
    named = {"metadata": {"name": "n", "creationTimestamp": ago(3600 * 50)}, **obj}
    assert cells(kind, named) == {"Name": "n", **expected, "Age": "2d2h"}


def test_the_cells_of_a_node() -> None:
    node = {
        "metadata": {
            "name": "lab-node",
            "creationTimestamp": ago(60),
            "labels": {"node-role.kubernetes.io/worker": ""},
        },
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.37.0", "osImage": "Linux"},
        },
    }
    assert cells(nodes(), node, wide=True) == {
        "Name": "lab-node",
        "Status": "Ready,SchedulingDisabled",
        "Roles": "worker",
        "Age": "60s",
        "Version": "v1.37.0",
        "Internal-IP": "127.0.0.1",
        "External-IP": "<none>",
        "OS-Image": "Linux",
        "Kernel-Version": "<unknown>",
        "Container-Runtime": "<unknown>",
    }


def test_the_cells_of_roles_and_bindings() -> None:
    role, _, binding, _ = access_kinds()
    created = ago(0)
    assert cells(role, {"metadata": {"name": "r", "creationTimestamp": created}}) == {
        "Name": "r",
        "Created At": created,
    }
    bound = {
        "metadata": {"name": "b", "namespace": "shop", "creationTimestamp": created},
        "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [
            {"kind": "User", "name": "ann"},
            {"kind": "User", "name": "bob"},
            {"kind": "ServiceAccount", "name": "orders", "namespace": "shop"},
        ],
    }
    found = cells(binding, bound, wide=True)
    assert found["Role"] == "ClusterRole/view"
    assert (found["Users"], found["Groups"], found["ServiceAccounts"]) == ("ann, bob", "", "shop/orders")


def test_rows_carry_as_much_of_the_object_as_is_asked_for() -> None:
    tables = Tables(LabClock(source=lambda: NOW))
    obj = {"metadata": {"name": "n"}, "data": {"k": "v"}}

    def row(include: Any) -> Any:
        return tables.render(configmaps(), [obj], metadata={}, include_object=include)["rows"][0]["object"]

    assert row("None") is None
    assert row("Metadata") == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "n"},
    }
    assert row("Object") == {"kind": "ConfigMap", "apiVersion": "v1", **obj}


def test_only_the_first_event_of_a_watch_carries_the_columns() -> None:
    table = Tables(LabClock()).render(configmaps(), [], metadata={}, with_columns=False)
    assert table["columnDefinitions"] is None


def test_a_kind_without_columns_shows_name_and_age() -> None:
    widget = resources.Resource("x.io", "v1", "widgets", "Widget", True)
    obj = {"metadata": {"name": "w", "creationTimestamp": ago(7)}}
    assert cells(Kind(resource=widget), obj) == {"Name": "w", "Age": "7s"}


@given(st.dictionaries(st.sampled_from(["containerStatuses", "initContainerStatuses"]), st.lists(
    st.fixed_dictionaries({"name": st.just("c"), "state": st.dictionaries(
        st.sampled_from(["waiting", "running", "terminated"]), st.dictionaries(
            st.sampled_from(["reason", "signal"]), st.just("x"), max_size=2), max_size=2)}), max_size=3)))  # fmt: skip
def test_no_status_crashes_the_summary(status: dict[str, Any]) -> None:
    assert isinstance(summary({"spec": {"containers": [{}]}, "status": status}).status, str)
