"""Commands of kubectl that are rarely typed, over a real socket."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.lab.cluster.api_server import ApiServer, api_server, kubectls

CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1", "b": "2"}}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with api_server(tmp_path) as found:
        yield found


async def said(server: ApiServer, *arguments: str, stdin: object = "") -> str:
    ran = await server.kubectl(kubectls()[0], *arguments, stdin=stdin)  # type: ignore[arg-type]
    assert ran.code == 0, ran.err
    return ran.out


async def test_fields_of_a_client_side_apply_move_to_the_server_side(server: ApiServer) -> None:
    await said(server, "apply", "-f", "-", stdin=CONFIG)
    less = {**CONFIG, "data": {"a": "1"}}
    await said(server, "apply", "--server-side", "-f", "-", stdin=less)
    found = json.loads(await said(server, "get", "cm", "c", "-o", "json", "--show-managed-fields"))
    managers = {(entry["manager"], entry["operation"]) for entry in found["metadata"]["managedFields"]}
    assert ("kubectl", "Apply") in managers
    assert ("kubectl-client-side-apply", "Update") not in managers
    # What the client-side apply had set and the server-side one no longer lists is gone.
    assert found["data"] == {"a": "1"}


async def test_rights_are_reconciled(server: ApiServer) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader", "namespace": "shop"},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
    }
    assert "reconciled" in await said(server, "auth", "reconcile", "-f", "-", stdin=role)
    role["rules"] = [{"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}]
    await said(server, "auth", "reconcile", "-f", "-", stdin=role)
    verbs = await said(server, "get", "role", "reader", "-o", "jsonpath={.rules[*].verbs[*]}")
    assert sorted(verbs.split()) == ["get", "list"]


async def test_what_the_server_has_is_listed(server: ApiServer) -> None:
    wide = await said(server, "api-resources", "-o", "wide", "--api-group=storage.k8s.io")
    assert "create,delete,deletecollection,get,list,patch,update,watch" in wide
    assert json.loads(await said(server, "get", "--raw", "/version"))["minor"] == "37"
    assert "readyz check passed" in await said(server, "get", "--raw", "/readyz?verbose")
    assert "Kubernetes control plane" in await said(server, "cluster-info")
    assert "containers\t<[]Container>" in await said(server, "explain", "pod", "--recursive")
    rights = await said(server, "auth", "can-i", "--list")
    assert "*.*" in rights


async def test_a_patch_is_refused_with_what_it_left(server: ApiServer) -> None:
    await said(server, "apply", "-f", "-", stdin=CONFIG)
    ran = await server.kubectl(
        kubectls()[0], "patch", "cm", "c", "--type=json", '-p=[{"op":"remove","path":"/data/x"}]'
    )
    assert (ran.code, ran.err) == (
        1,
        "The request is invalid: the server rejected our request due to an error in our request\n",
    )
    edited = {**CONFIG, "dta": {}}
    ran = await server.kubectl(kubectls()[0], "apply", "-f", "-", stdin=edited)
    assert 'unknown field "dta"' in ran.err
