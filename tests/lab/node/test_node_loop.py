"""The node and the scheduler, against an API of a few lines: registration, scheduling, pods, logs, stop."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from podpass.kube.client import ApiError, Listing, WatchEvent
from podpass.kube.config import Access
from podpass.kube.resources import NODES
from podpass.lab.node import registration
from podpass.lab.node.lifecycle import BackOffTimes
from podpass.lab.node.logs import LogOptions
from podpass.lab.node.loop import Node, NoLog
from podpass.lab.scheduler.loop import Scheduler
from tests.lab.node.memory_api import InMemoryApi


class SmallCluster(InMemoryApi):
    """Pods with list, watch, binding and status; everything else as InMemoryApi does it."""

    def __init__(self) -> None:
        super().__init__()
        self.access = Access(server="https://127.0.0.1:6443")
        self.pods: dict[str, dict[str, Any]] = {}
        self.nodes: dict[str, dict[str, Any]] = {}
        self.created: list[tuple[str, str]] = []
        self._watchers: list[tuple[str, asyncio.Queue[WatchEvent]]] = []
        self._version = 1

    async def pages(self, resource, namespace=None, **options) -> AsyncIterator[Listing]:
        found = self.pods if resource.plural == "pods" else self.nodes
        yield Listing(list(found.values()), str(self._version))

    async def watch(self, resource, namespace=None, **options) -> AsyncIterator[WatchEvent]:
        changes: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self._watchers.append((resource.plural, changes))
        while True:
            yield await changes.get()

    def apply(self, pod: dict[str, Any], kind: str = "MODIFIED") -> None:
        self._version += 1
        pod = {**pod, "metadata": {**pod["metadata"], "resourceVersion": str(self._version)}}
        name = pod["metadata"]["name"]
        if kind == "DELETED":
            self.pods.pop(name, None)
        else:
            self.pods[name] = pod
        self._tell_watchers("pods", kind, pod)

    def _tell_watchers(self, plural: str, kind: str, obj: dict[str, Any]) -> None:
        for watched, changes in self._watchers:
            if watched == plural:
                changes.put_nowait(WatchEvent(kind, obj, str(self._version)))

    def _apply_node(self, node: dict[str, Any], kind: str) -> None:
        self._version += 1
        node = {**node, "metadata": {**node["metadata"], "resourceVersion": str(self._version)}}
        self.nodes[node["metadata"]["name"]] = node
        self._tell_watchers("nodes", kind, node)

    async def get(self, resource, name, namespace=None) -> dict[str, Any]:
        return self.nodes[name] if resource.plural == "nodes" else await super().get(resource, name, namespace)

    async def create(self, resource, obj, namespace=None) -> dict[str, Any]:
        self.created.append((resource.plural, obj["metadata"]["name"]))
        if resource.plural == "nodes":
            self._apply_node(obj, "ADDED")
        return await super().create(resource, obj, namespace) if resource.plural == "events" else obj

    async def patch(self, resource, name, patch, namespace=None, **options) -> dict[str, Any]:
        if resource.plural == "leases" and ("leases", name) not in self.created:
            raise ApiError(404, "NotFound", "no lease")
        if resource.plural == "nodes" and "status" in patch:
            self._apply_node({**self.nodes[name], "status": patch["status"]}, "MODIFIED")
        if resource.plural != "pods":
            return patch
        if name not in self.pods:
            raise ApiError(404, "NotFound", f'pods "{name}" not found')
        self.apply({**self.pods[name], "status": {**self.pods[name].get("status", {}), **patch["status"]}})
        return await super().patch(resource, name, patch, namespace, **options)

    async def delete(self, resource, name, namespace=None, **options) -> dict[str, Any]:
        self.apply(self.pods[name], "DELETED")
        return await super().delete(resource, name, namespace, **options)

    async def create_subresource(self, resource, name, subresource, body, namespace=None) -> dict[str, Any]:
        if subresource != "binding":
            return await super().create_subresource(resource, name, subresource, body, namespace)
        pod = self.pods[name]
        self.apply({**pod, "spec": {**pod["spec"], "nodeName": body["target"]["name"]}})
        return {}


@pytest.fixture
def api() -> SmallCluster:
    return SmallCluster()


@pytest.fixture
def make_node(api, clock, journal, plain, tmp_path) -> Callable[..., Node]:
    def make(**options: Any) -> Node:
        return Node(
            name="lab-node",
            client=api,
            runtime=plain,
            clock=clock,
            journal=journal,
            state_directory=tmp_path / "state",
            **options,
        )

    return make


@pytest.fixture
async def node(make_node, api, clock) -> AsyncIterator[Node]:
    made = make_node(times=BackOffTimes(0.02, 0.05), retry_seconds=0.02)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.run())
        scheduling = tasks.create_task(Scheduler(api, clock).run())
        async with asyncio.timeout(10):
            await made.ready.wait()
        yield made
        running.cancel()
        scheduling.cancel()


def unbound(pod: dict[str, Any]) -> dict[str, Any]:
    return {**pod, "spec": {key: value for key, value in pod["spec"].items() if key != "nodeName"}}


async def text(node: Node, name: str, **options: Any) -> str:
    async with asyncio.timeout(20):
        return b"".join([chunk async for chunk in node.logs("shop", name, "", LogOptions(**options))]).decode()


async def test_the_node_registers_and_renews_its_lease(node, api) -> None:
    await api.until(lambda: True)
    assert ("nodes", "lab-node") in api.created
    assert ("leases", "lab-node") in api.created


async def test_a_pod_is_bound_run_and_read(node, api, pod_object, container) -> None:
    api.apply(unbound(pod_object(container("echo hello"))), "ADDED")
    await api.status(lambda status: status["phase"] == "Succeeded")
    assert await text(node, "orders", follow=True) == "hello\n"
    await api.until(lambda: "Scheduled" in api.reasons())
    scheduled = next(event for event in api.events if event["reason"] == "Scheduled")
    assert scheduled["message"] == "Successfully assigned shop/orders to lab-node"
    assert scheduled["source"]["component"] == "default-scheduler"


async def test_a_pod_that_fits_no_node_stays_pending(node, api, pod_object, container) -> None:
    api.apply(unbound(pod_object(container("exit 0"), nodeSelector={"disk": "ssd"})), "ADDED")
    await api.until(lambda: "FailedScheduling" in api.reasons())
    condition = api.statuses[-1]["conditions"][0]
    assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")


@pytest.fixture
def room_for_one(monkeypatch) -> None:
    monkeypatch.setattr(registration, "MOST_PODS", 1)


@pytest.mark.usefixtures("room_for_one")
async def test_a_full_node_keeps_a_pod_waiting_until_there_is_room(api, node, pod_object, container) -> None:
    first = pod_object(container("exec sleep 300"), name="first")
    api.apply(first, "ADDED")
    await api.until(lambda: "Started" in api.reasons())
    api.apply(unbound(pod_object(container("echo hello"), name="second")), "ADDED")
    await api.until(lambda: "FailedScheduling" in api.reasons())
    refused = next(event for event in api.events if event["reason"] == "FailedScheduling")
    assert "1 Too many pods." in refused["message"]
    assert "nodeName" not in api.pods["second"]["spec"]
    api.apply(api.pods["first"], "DELETED")
    await api.until(lambda: api.pods["second"].get("status", {}).get("phase") == "Succeeded")


async def test_a_pod_that_is_bound_to_a_full_node_fails(node, api, pod_object, container, monkeypatch) -> None:
    monkeypatch.setattr(registration, "MOST_PODS", 1)
    api.apply(pod_object(container("exec sleep 300"), name="first"), "ADDED")
    await api.until(lambda: "Started" in api.reasons())
    api.apply(pod_object(container("echo hello"), name="second"), "ADDED")
    await api.until(lambda: api.pods["second"].get("status", {}).get("phase") == "Failed")
    assert api.pods["second"]["status"]["reason"] == "OutOfpods"


async def test_a_pod_of_another_node_is_left_alone(node, api, pod_object, container) -> None:
    api.apply(pod_object(container("exit 0"), name="elsewhere", nodeName="other"), "ADDED")
    api.apply(pod_object(container("exit 0")), "ADDED")
    await api.status(lambda status: status["phase"] == "Succeeded")
    with pytest.raises(NoLog, match='pods "elsewhere" not found'):
        node.logs("shop", "elsewhere")


async def test_a_pod_of_the_same_name_follows_the_deleted_one(node, api, pod_object, container) -> None:
    first = pod_object(container("echo first; exec sleep 300"))
    api.apply(first, "ADDED")
    await api.status(lambda status: status["phase"] == "Running")
    api.apply(api.pods["orders"], "DELETED")
    second = pod_object(container("echo second"))
    second["metadata"]["uid"] = "another"
    api.apply(second, "ADDED")
    await api.status(lambda status: status["phase"] == "Succeeded")
    assert await text(node, "orders") == "second\n"


async def test_the_previous_run_can_be_read(node, api, pod_object, container) -> None:
    script = 'echo run; test -e "$LAB_ROOT/data/been" && exec sleep 300; touch "$LAB_ROOT/data/been"; exit 1'
    api.apply(
        pod_object(
            container(script, volumeMounts=[{"name": "data", "mountPath": "/data"}]),
            restartPolicy="OnFailure",
            volumes=[{"name": "data", "emptyDir": {}}],
        ),
        "ADDED",
    )
    await api.status(
        lambda status: (
            status["containerStatuses"][0]["restartCount"] == 1 and "running" in status["containerStatuses"][0]["state"]
        )
    )
    assert await text(node, "orders", previous=True) == "run\n"
    with pytest.raises(NoLog, match="is not valid"):
        node.logs("shop", "orders", "nobody")


async def test_logs_of_a_container_that_waits_say_why(node, api, pod_object, container) -> None:
    api.apply(pod_object(container(image="acme/none")), "ADDED")
    await api.until(lambda: any("ImagePullBackOff" in str(status) for status in api.statuses))
    with pytest.raises(NoLog, match=r'container "app" in pod "orders" is waiting to start: (Image|Err)'):
        node.logs("shop", "orders")


async def test_moving_the_clock_refreshes_tokens(node, api, pod_object, container, clock) -> None:
    volume = {
        "name": "token",
        "projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}]},
    }
    api.apply(pod_object(container("exec sleep 300"), volumes=[volume]), "ADDED")
    await api.status(lambda status: status["phase"] == "Running")
    clock.advance(3000)

    async def refreshed() -> None:
        async for event in node._journal.follow():
            if event.hop.what == "refresh token into volume token":
                return

    async with asyncio.timeout(10):
        await refreshed()
    assert len(api.token_requests) == 2


async def test_a_node_that_was_given_up_says_that_it_is_ready(node, api, clock) -> None:
    unknown = [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]

    async def told() -> list[str]:
        async for change in api.watch(NODES):
            conditions = change.object.get("status", {}).get("conditions", ())
            if found := [each["status"] for each in conditions if each["type"] == "Ready"]:
                return found
        return []

    said = asyncio.ensure_future(told())
    await asyncio.sleep(0)
    api.nodes[node.name]["status"] = {"conditions": unknown}
    # Which has it renew its lease at once.
    clock.advance(3000)
    async with asyncio.timeout(20):
        assert await said == ["True"]


async def test_a_lost_helper_is_replaced_and_pods_start_again(node, api, pod_object, container, plain) -> None:
    api.apply(pod_object(container("exec sleep 300"), restartPolicy="Always"), "ADDED")
    await api.status(lambda status: status["phase"] == "Running")
    os.kill(plain.pid, signal.SIGKILL)
    status = await api.status(
        lambda status: (
            status["containerStatuses"][0]["restartCount"] == 1 and "running" in status["containerStatuses"][0]["state"]
        )
    )
    ended = status["containerStatuses"][0]["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")


async def test_what_deleted_pods_left_is_removed_and_others_stay(make_node, api, tmp_path, pod_object, container):
    pod = pod_object(container("exit 0"))
    pod["status"] = {"phase": "Succeeded"}
    api.apply(pod, "ADDED")
    directory = tmp_path / "state" / "logs"
    for name in ("shop_gone_uid-of-gone", "shop_orders_uid-of-orders"):
        (directory / name).mkdir(parents=True)
    node = make_node()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(node.run())
        async with asyncio.timeout(10):
            await node.ready.wait()
        running.cancel()
    assert os.listdir(directory) == ["shop_orders_uid-of-orders"]


async def test_stopping_the_node_ends_its_containers(make_node, api, pod_object, container) -> None:
    node = make_node()
    api.apply(pod_object(container("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done")), "ADDED")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(node.run())
        await api.status(lambda status: status["phase"] == "Running")
        following = aiter(node.logs("shop", "orders", "", LogOptions(follow=True)))
        assert await anext(following) == b"up\n"
        running.cancel()
        assert [chunk async for chunk in following] == [b"bye\n"]
    assert api.deleted == []
