"""Ephemeral containers: a path of their own, on which they are only ever added. Contract: sections 1.2 and 2.10."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from podpass.lab.node import lifecycle
from podpass.lab.node.lifecycle import Start
from podpass.lab.node.status import Running, phase, pod_status
from tests.lab.cluster.core_api import MERGE, STRATEGIC, Api, opened

POD = "/api/v1/namespaces/default/pods/p"
FIRST = {"name": "first", "image": "busybox", "targetContainerName": "app", "stdin": True}


@pytest.fixture
async def api(cluster_keys: Path) -> AsyncIterator[Api]:
    """A cluster with a pod that has one ephemeral container."""
    async with opened(cluster_keys) as found:
        spec = {"containers": [{"name": "app", "image": "busybox"}]}
        await found.made("/api/v1/namespaces/default/pods", {"metadata": {"name": "p"}, "spec": spec})
        answer = await add(found, FIRST)
        assert answer.status == 200
        yield found


async def add(api: Api, *containers: dict[str, Any]) -> Any:
    patch = {"spec": {"ephemeralContainers": list(containers)}}
    return await api("PATCH", f"{POD}/ephemeralcontainers", patch, content_type=STRATEGIC)


async def test_one_is_added_beside_those_that_are_there(api: Api) -> None:
    answer = await add(api, {"name": "second", "image": "busybox"})
    assert [each["name"] for each in answer.body["spec"]["ephemeralContainers"]] == ["first", "second"]
    assert all(each["terminationMessagePath"] for each in answer.body["spec"]["ephemeralContainers"])
    assert (await api("GET", f"{POD}/ephemeralcontainers")).body["spec"] == (await api("GET", POD)).body["spec"]


async def test_their_path_changes_nothing_else(api: Api) -> None:
    pod = (await api("GET", POD)).body
    pod["metadata"]["labels"] = {"changed": "yes"}
    pod["spec"]["containers"][0]["image"] = "other"
    pod["spec"]["ephemeralContainers"].append({"name": "second", "image": "busybox"})
    answer = await api("PUT", f"{POD}/ephemeralcontainers", pod)
    assert answer.status == 200
    assert "labels" not in answer.body["metadata"]
    assert answer.body["spec"]["containers"][0]["image"] == "busybox"
    assert len(answer.body["spec"]["ephemeralContainers"]) == 2


@pytest.mark.parametrize(
    ("containers", "words"),
    [
        pytest.param([], 'existing ephemeral containers "first" may not be removed', id="removed"),
        pytest.param(
            [{**FIRST, "image": "x"}], 'existing ephemeral containers "first" may not be changed', id="changed"
        ),
        pytest.param([FIRST, {"name": "app", "image": "x"}], 'Duplicate value: "app"', id="name-of-another"),
        pytest.param([FIRST, {"name": "b"}], "spec.ephemeralContainers[1].image: Required value", id="no-image"),
        pytest.param(
            [FIRST, {"name": "b", "image": "x", "ports": [{"containerPort": 80}]}],
            "spec.ephemeralContainers[1].ports: Forbidden: cannot be set for an Ephemeral Container",
            id="ports",
        ),
        pytest.param(
            [FIRST, {"name": "b", "image": "x", "targetContainerName": "nobody"}],
            'spec.ephemeralContainers[1].targetContainerName: Not found: "nobody"',
            id="target",
        ),
    ],
)
async def test_what_they_can_not_be_is_refused(api: Api, containers: list[Any], words: str) -> None:
    before = (await api("GET", POD)).body
    patch = {"spec": {"ephemeralContainers": containers}}
    answer = await api("PATCH", f"{POD}/ephemeralcontainers", patch, content_type=MERGE)
    assert answer.status == 422
    assert words in answer.body["message"]
    assert (await api("GET", POD)).body == before


async def test_the_pod_itself_can_not_be_written_with_them(api: Api) -> None:
    patch = {"spec": {"ephemeralContainers": [{"name": "second", "image": "busybox"}]}}
    assert (await api("PATCH", POD, patch, content_type=STRATEGIC)).status == 422
    assert (await api("PATCH", POD, {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)).status == 200
    new = {"metadata": {"name": "new"}, "spec": {**patch["spec"], "containers": [{"name": "c", "image": "x"}]}}
    answer = await api("POST", "/api/v1/namespaces/default/pods", new)
    assert answer.status == 422
    assert "spec.ephemeralContainers: Forbidden: cannot be set on create" in answer.body["message"]


def test_the_node_starts_one_at_once_and_only_once() -> None:
    pod: dict[str, Any] = {
        "metadata": {"name": "p"},
        "spec": {"initContainers": [{"name": "i", "image": "x"}], "containers": [{"name": "c", "image": "x"}]},
    }
    state = lifecycle.initial(pod, "10.0.0.1", now=0.0)
    with_one = {**pod, "spec": {**pod["spec"], "ephemeralContainers": [FIRST]}}
    state = lifecycle.seen(state, with_one)
    assert lifecycle.next_actions(state, 1.0) == [Start("first"), Start("i")]
    assert phase(state) == "Pending"
    status = pod_status(state, 1.0)
    assert [each["name"] for each in status["ephemeralContainerStatuses"]] == ["first"]
    again = lifecycle.initial({**with_one, "status": _ran(status)}, "10.0.0.1", now=2.0)
    assert lifecycle.next_actions(again, 3.0) == [Start("i")]


def test_the_node_ends_one_with_its_pod() -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [], "ephemeralContainers": [FIRST]}}
    state = lifecycle.initial(pod, "10.0.0.1", now=0.0)
    (container,) = state.ephemeral
    running = replace(state, ephemeral=(replace(container, state=Running("id", 1.0)),))
    assert [stop.name for stop in lifecycle.stop_all(running, 3.0)] == ["first"]


def _ran(status: dict[str, Any]) -> dict[str, Any]:
    (ephemeral,) = status["ephemeralContainerStatuses"]
    return {
        **status,
        "ephemeralContainerStatuses": [{**ephemeral, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}],
    }
