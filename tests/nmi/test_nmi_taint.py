"""The taint that keeps pods off a node until NMI answers there."""

import asyncio
import dataclasses
import functools
import io
from pathlib import Path
from typing import Any

import pytest
from nmi_node import NODE, nmi_node

from podpass.kube.client import AnswerUnusable, ApiError, Unreachable
from podpass.kube.credentials import CredentialsFailed
from podpass.kube.patch import apply_json_patch
from podpass.kube.resources import NODES
from podpass.nmi.taint import removal, remove
from podpass.telemetry.logging import make_logger

OURS = {"key": "podpass.dev/nmi", "value": "starting", "effect": "NoSchedule"}
OTHER = {"key": "other", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("taints", "left"),
    [([OURS], None), ([OTHER, OURS, {**OURS, "effect": "NoExecute"}], [OTHER])],
)
def test_only_its_own_taints_go(taints: list[Any], left: list[Any] | None) -> None:
    node = {"spec": {"taints": taints, "providerID": "x"}}
    patch = removal(node, "podpass.dev/nmi")
    assert patch is not None
    changed = apply_json_patch(node, patch)
    assert changed["spec"].get("taints") == left
    assert changed["spec"]["providerID"] == "x"


@pytest.mark.parametrize("spec", [{}, {"taints": None}, {"taints": [OTHER]}])
def test_nothing_is_written_where_it_is_not(spec: Any) -> None:
    assert removal({"spec": spec}, "podpass.dev/nmi") is None


async def test_a_node_s_taint_goes_once_pods_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podpass.nmi.loop.taint.remove", functools.partial(remove, again_seconds=0.01))

    def with_taint(settings: Any) -> Any:
        return dataclasses.replace(settings, startup_taint="podpass.dev/nmi")

    async with nmi_node(tmp_path, change=with_taint) as node:
        # It joins later than NMI looks for it.
        made = await node.kube.create(NODES, {"metadata": {"name": NODE}, "spec": {"taints": [OURS, OTHER]}})
        version = made["metadata"]["resourceVersion"]
        async with asyncio.timeout(20):
            async for event in node.kube.watch(NODES, resource_version=version):
                assert event.object is not None
                keys = {taint["key"] for taint in event.object["spec"]["taints"]}
                if "podpass.dev/nmi" not in keys:
                    break
        assert "other" in keys


async def test_it_is_tried_again_when_somebody_else_changed_the_taints() -> None:
    class Changing:
        """A node whose taints another program changes in between, once."""

        def __init__(self) -> None:
            self.taints: list[Any] = [OURS]
            self.raced = False

        async def get(self, *_: Any) -> Any:
            return {"spec": {"taints": list(self.taints)}}

        async def patch(self, _resource: Any, _name: str, patch: Any, **_: Any) -> Any:
            if not self.raced:
                self.raced = True
                self.taints = [OURS, OTHER]
            try:
                changed = apply_json_patch({"spec": {"taints": self.taints}}, patch)
            except Exception as error:
                raise ApiError(422, "Invalid", "test failed") from error
            self.taints = changed["spec"].get("taints", [])
            return changed

    client: Any = Changing()
    log = make_logger("nmi", stream=io.StringIO())
    async with asyncio.timeout(10):
        await remove(client, "a", "podpass.dev/nmi", log, again_seconds=0.0)
    assert client.taints == [OTHER]


async def test_it_is_tried_again_whatever_is_wrong_with_the_way_to_the_api_server() -> None:
    class Failing:
        def __init__(self) -> None:
            self.failures = [
                ApiError(503, "", "busy"),
                Unreachable("server", "refused"),
                AnswerUnusable("no node"),
                CredentialsFailed("no token"),
            ]

        async def get(self, *_: Any) -> Any:
            if self.failures:
                raise self.failures.pop()
            return {"spec": {}}

    client: Any = Failing()
    log = make_logger("nmi", stream=io.StringIO())
    async with asyncio.timeout(10):
        await remove(client, "a", "podpass.dev/nmi", log, again_seconds=0.0)
    assert not client.failures
