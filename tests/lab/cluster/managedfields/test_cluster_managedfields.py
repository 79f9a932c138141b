"""Who owns what after updates and applies. The expected sets and orders were seen from a kube-apiserver 1.37."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.kube.merging import MapRule, rules_for
from podpass.kube.objects import Obj
from podpass.lab.cluster.managedfields.field_sets import decode, encode
from podpass.lab.cluster.managedfields.server_side_apply import apply
from podpass.lab.cluster.managedfields.tracking import Manager
from tests.lab.cluster.core_api import APPLY, MERGE, Api, opened

MAPS, PODS = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/pods"
DEPLOYMENT = rules_for("apps", "Deployment")


@pytest.fixture
async def api(cluster_keys: Path) -> AsyncIterator[Api]:
    async with opened(cluster_keys) as found:
        yield found


def config(**data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data}


def owned(obj: Obj) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", ())}


async def test_updates_own_the_maps_they_make_and_applies_do_not(api: Api) -> None:
    made = await api.made(f"{MAPS}?fieldManager=maker", config(a="1"))
    assert owned(made) == {"maker": {"f:data": {".": {}, "f:a": {}}}}
    patch = {"data": {"b": "2"}, "metadata": {"labels": {"x": "y"}}}
    patched = (await api("PATCH", f"{MAPS}/m?fieldManager=patcher", patch, content_type=MERGE)).body
    mine = {"f:data": {"f:b": {}}, "f:metadata": {"f:labels": {".": {}, "f:x": {}}}}
    assert owned(patched) == {"maker": {"f:data": {".": {}, "f:a": {}}}, "patcher": mine}
    applied = (await api("PATCH", f"{MAPS}/m?fieldManager=applier", config(b="2", c="3"), content_type=APPLY)).body
    assert owned(applied)["applier"] == {"f:data": {"f:b": {}, "f:c": {}}}
    forced = await api("PATCH", f"{MAPS}/m?fieldManager=applier&force=true", config(a="9"), content_type=APPLY)
    assert owned(forced.body)["maker"] == {"f:data": {}}
    # What the applier alone had is gone, what the patcher had as well is not.
    assert forced.body["data"] == {"a": "9", "b": "2"}


async def test_what_admission_adds_to_a_pod_has_no_owner(api: Api) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}
    fields = owned(await api.made(f"{PODS}?fieldManager=run", pod))["run"]
    assert "f:status" not in fields
    assert {"f:volumes", "f:serviceAccountName", "f:priority"}.isdisjoint(fields["f:spec"])
    container = fields["f:spec"]["f:containers"]['k:{"name":"c"}']
    assert container["."] == {}
    assert "f:volumeMounts" not in container


async def test_nobody_owns_nothing(api: Api) -> None:
    assert "managedFields" not in (await api.made(MAPS, {"metadata": {"name": "empty"}}))["metadata"]


def deployment(*names: str) -> Obj:
    containers = [{"name": name, "image": "i"} for name in names]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


def test_the_items_of_a_list_keep_their_order_around_what_is_applied() -> None:
    live: Obj | None = None
    seen = []
    for manager, names in (
        ("a", "abc"), ("o", "x"), ("o", "bx"), ("o", "xb"), ("o", "yax"), ("a", "cba"), ("a", "cna"),
    ):  # fmt: skip
        by = Manager(manager, "Apply", "apps/v1")
        live = apply(live, deployment(*names), by, DEPLOYMENT, time="2026-01-01T00:00:00Z", force=True).obj
        seen.append("".join(each["name"] for each in live["spec"]["template"]["spec"]["containers"]))
    assert seen == ["abc", "abcx", "abcx", "acxb", "yacxb", "ycxba", "ycxna"]


def test_an_item_that_its_only_manager_drops_is_gone_with_its_keys() -> None:
    one, other = Manager("one", "Apply", "apps/v1"), Manager("other", "Apply", "apps/v1")
    live = apply(None, deployment("a"), one, DEPLOYMENT, time="t", force=False).obj
    live = apply(live, deployment("b"), other, DEPLOYMENT, time="t", force=False).obj
    live = apply(live, deployment(), other, DEPLOYMENT, time="t", force=False).obj
    assert [each["name"] for each in live["spec"]["template"]["spec"]["containers"]] == ["a"]


paths = st.lists(st.sampled_from(["f:a", "f:b", 'k:{"name":"c"}', 'v:"x"']), min_size=1, max_size=4).map(tuple)


@given(st.frozensets(paths, max_size=12))
def test_sets_survive_being_written(fields: frozenset[tuple[str, ...]]) -> None:
    assert decode(encode(fields)) == fields


@given(st.lists(st.sampled_from("abcdef"), unique=True), st.lists(st.sampled_from("abcdef"), unique=True))
def test_applied_items_are_in_the_order_they_were_applied_in(live: list[str], applied: list[str]) -> None:
    rules = MapRule({"spec": DEPLOYMENT.of("spec")}) if DEPLOYMENT.of("spec") else DEPLOYMENT
    before = apply(None, deployment(*live), Manager("a", "Apply", "v1"), rules, time="t", force=True).obj
    after = apply(before, deployment(*applied), Manager("b", "Apply", "v1"), rules, time="t", force=True).obj
    names = [each["name"] for each in after["spec"]["template"]["spec"]["containers"]]
    assert sorted(names) == sorted({*live, *applied})
    assert [name for name in names if name in applied] == applied
