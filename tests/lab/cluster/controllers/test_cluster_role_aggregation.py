"""Roles that are made of others."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from podpass.kube import resources
from podpass.kube.objects import Obj
from podpass.kube.status import StatusError
from podpass.lab.cluster.controllers.roles import aggregated
from podpass.lab.cluster.extension import User
from tests.lab.cluster.core_api import Api, opened

ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
LABEL = "rbac.authorization.k8s.io/aggregate-to-view"


def rule(name: str) -> Obj:
    return {"verbs": ["get"], "apiGroups": ["x.io"], "resources": [name]}


def role(name: str, *rules: Obj, labels: dict[str, str] | None = None, **members: Any) -> Obj:
    return {"metadata": {"name": name, "labels": labels or {}}, "rules": list(rules), **members}


def test_each_rule_is_there_once_in_the_order_of_the_roles() -> None:
    whole = role("whole", aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a": "1"}}]})
    others = [role("a", rule("x"), rule("y"), labels={"a": "1"}), role("b", rule("y"), rule("z"), labels={"a": "1"})]
    assert aggregated(whole, [*others, role("c", rule("q")), whole]) == [rule("x"), rule("y"), rule("z")]


def test_no_selector_selects_nothing() -> None:
    assert aggregated(role("whole", aggregationRule={}), [role("a", rule("x"))]) == []


async def test_a_labelled_role_becomes_part_of_view_and_so_of_edit(cluster_keys: Path) -> None:
    async with opened(cluster_keys) as api:
        running = asyncio.create_task(api.cluster.run())
        try:
            await api.made(ROLES, role("things", rule("things"), labels={LABEL: "true"}))
            for name in ("view", "edit", "admin"):
                await _until(api, name)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def _until(api: Api, name: str) -> None:
    changed = asyncio.Event()
    api.cluster.storage.listen(lambda _: changed.set())
    async with asyncio.timeout(10):
        while rule("things") not in (await api("GET", f"{ROLES}/{name}")).body["rules"]:
            changed.clear()
            await changed.wait()


async def test_only_who_may_do_everything_says_what_a_role_is_made_of(cluster_keys: Path) -> None:
    async with opened(cluster_keys) as api:
        body = role("mine", aggregationRule={"clusterRoleSelectors": [{}]})
        with pytest.raises(StatusError, match="must have cluster-admin privileges to use an aggregationRule"):
            await api.cluster.verbs.create(resources.CLUSTERROLES, body, user=User("ann"))
        assert (await api("GET", f"{ROLES}/mine")).status == 404
