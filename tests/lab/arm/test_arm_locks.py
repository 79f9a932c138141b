"""Management locks: what they keep from being deleted or changed, and how they are managed."""

import uuid
from typing import Any

import pytest

from podpass.lab.arm.locks import Level, Lock, blocking, verb_of
from podpass.problems import problem
from tests.lab.arm.azure_world import SUBSCRIPTION, World

SUB = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{SUB}/resourceGroups/shop"
LOCKS = "providers/Microsoft.Authorization/locks"
IDENTITIES = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
ORDERS = f"{IDENTITIES}/orders"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-shop"


async def lock(world: World, scope: str, level: str = "CanNotDelete", name: str = "keep", **more: Any) -> Any:
    body = {"properties": {"level": level, **more}}
    return await world.call("PUT", f"{scope}/{LOCKS}/{name}", body, version="2016-09-01")


def message(scope: str, verb: str, *locked: str) -> str:
    named = ", ".join(f"'{one}'" for one in locked)
    return (
        f"The scope '{scope}' cannot perform {verb} operation because following scope(s) are locked: {named}. Please "
        "remove the lock and try again."
    )


async def test_a_lock_is_made_read_changed_and_deleted(world: World) -> None:
    made = await lock(world, GROUP, notes="production")
    assert made.status == 201
    assert made.body == {
        "id": f"{GROUP}/{LOCKS}/keep",
        "name": "keep",
        "type": "Microsoft.Authorization/locks",
        "properties": {"level": "CanNotDelete", "notes": "production"},
    }
    assert (await world.call("GET", f"{SUB}/resourcegroups/SHOP/{LOCKS}/KEEP")).body == made.body
    changed = await lock(world, GROUP, "ReadOnly", owners=[{"applicationId": "me"}])
    assert (changed.status, changed.body["properties"]) == (
        200,
        {"level": "ReadOnly", "owners": [{"applicationId": "me"}]},
    )
    assert (await world.call("DELETE", f"{GROUP}/{LOCKS}/keep")).status == 200
    assert (await world.call("DELETE", f"{GROUP}/{LOCKS}/keep")).status == 204
    gone = await world.call("GET", f"{GROUP}/{LOCKS}/keep")
    assert (gone.status, gone.code) == (404, "LockNotFound")


@pytest.mark.parametrize("scope", [SUB, GROUP, ORDERS], ids=["subscription", "group", "resource"])
async def test_what_is_locked_is_not_deleted_and_can_be_changed(world: World, scope: str) -> None:
    world.identity("orders")
    await lock(world, scope)
    refused = await world.call("DELETE", ORDERS)
    assert (refused.status, refused.code) == (409, "ScopeLocked")
    assert refused.message == message(ORDERS, "delete", scope)
    hop = world.hops[-1]
    assert (hop.wire, hop.problem) == ("ScopeLocked", "PP311")
    assert problem(hop.problem).remedy_for(**hop.decision) == f"az lock delete --ids {scope}/{LOCKS}/keep"
    assert (await world.call("PUT", ORDERS, {"location": "eastus", "tags": {"a": "b"}})).status == 200
    await world.call("DELETE", f"{scope}/{LOCKS}/keep")
    assert (await world.call("DELETE", ORDERS)).status == 200


@pytest.mark.parametrize("scope", [SUB, GROUP, ORDERS, VAULT])
async def test_a_group_is_not_deleted_over_a_lock_on_or_in_it(world: World, scope: str) -> None:
    world.identity("orders")
    world.arm.seed.put_vault(world.group.id, "kv-shop")
    await lock(world, scope)
    refused = await world.call("DELETE", f"{SUB}/resourcegroups/shop", version="2024-11-01")
    assert (refused.status, refused.code) == (409, "ScopeLocked")
    assert f"locked: '{scope}'" in refused.message
    assert (await world.call("GET", ORDERS)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("PUT", ORDERS, {"location": "eastus"}),
        ("PUT", f"{IDENTITIES}/another", {"location": "eastus"}),
        ("PATCH", ORDERS, {"tags": {}}),
        ("DELETE", ORDERS, None),
        ("PUT", f"{VAULT}/accessPolicies/add", {"properties": {"accessPolicies": []}}),
        ("PUT", f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/{uuid.UUID(int=1)}", {"properties": {}}),
    ],
)
async def test_what_is_read_only_is_not_written(world: World, method: str, path: str, content: Any) -> None:
    world.identity("orders")
    world.arm.seed.put_vault(world.group.id, "kv-shop", rbac=False)
    await lock(world, GROUP, "ReadOnly")
    refused = await world.call(method, path, content)
    verb = "delete" if method == "DELETE" else "write"
    assert (refused.status, refused.code, refused.message) == (409, "ScopeLocked", message(path, verb, GROUP))
    assert (await world.call("GET", ORDERS)).status == 200
    assert (await lock(world, GROUP, "CanNotDelete")).status == 200


async def test_a_lock_is_for_those_who_may(world: World) -> None:
    orders = world.identity("orders")
    await lock(world, GROUP)
    refused = await world.call("DELETE", ORDERS, who=orders)
    assert refused.code == "AuthorizationFailed"
    world.arm.seed.put_role_assignment(GROUP, "Contributor", orders.principal_id)
    assert (await world.call("DELETE", f"{GROUP}/{LOCKS}/keep", who=orders)).code == "AuthorizationFailed"
    assert (await world.call("GET", f"{GROUP}/{LOCKS}/keep", who=orders)).status == 200


async def test_a_list_shows_locks_above_and_below(world: World) -> None:
    world.identity("orders")
    for scope, name in ((SUB, "all"), (GROUP, "shop"), (ORDERS, "orders")):
        await lock(world, scope, name=name)

    async def names(scope: str, query: str = "") -> list[str]:
        reply = await world.call("GET", f"{scope}/{LOCKS}{query}")
        return sorted(one["name"] for one in reply.body["value"])

    assert await names(SUB) == ["all", "orders", "shop"]
    assert await names(ORDERS) == ["all", "orders", "shop"]
    assert await names(GROUP, "?$filter=atScope()") == ["all", "shop"]
    assert (await world.call("GET", f"{SUB}/{LOCKS}?$filter=level%20eq%20'x'")).code == "InvalidFilterInQueryString"


async def test_a_lock_of_a_child_is_addressed_as_az_does(world: World) -> None:
    world.identity("orders")
    doubled = f"{SUB}/resourcegroups/shop/providers/Microsoft.ManagedIdentity//userAssignedIdentities/orders"
    assert (await lock(world, doubled)).body["id"] == f"{ORDERS}/{LOCKS}/keep"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        pytest.param(f"{GROUP}/{LOCKS}/keep", {"properties": {}}, 400, "InvalidRequestContent", id="no-level"),
        pytest.param(
            f"{GROUP}/{LOCKS}/keep", {"properties": {"level": "Delete"}}, 400, "InvalidRequestContent", id="level"
        ),
        pytest.param(f"{GROUP}/{LOCKS}/k:p", {"properties": {"level": "ReadOnly"}}, 400, "InvalidLockName", id="name"),
        pytest.param(
            f"{GROUP}/{LOCKS}/keep",
            {"properties": {"level": "ReadOnly", "notes": "n" * 513}},
            400,
            "BadRequest",
            id="notes",
        ),
        pytest.param(
            f"{ORDERS}/{LOCKS}/keep", {"properties": {"level": "ReadOnly"}}, 404, "ResourceNotFound", id="absent"
        ),
        pytest.param(
            f"{SUB}/resourceGroups/nope/{LOCKS}/keep",
            {"properties": {"level": "ReadOnly"}},
            404,
            "ResourceGroupNotFound",
            id="absent-group",
        ),
    ],
)
async def test_a_lock_that_can_not_be_is_refused(world: World, path: str, body: Any, status: int, code: str) -> None:
    reply = await world.call("PUT", path, body)
    assert (reply.status, reply.code) == (status, code)


async def test_a_scope_has_only_so_many_locks(world: World) -> None:
    for number in range(20):
        assert (await lock(world, GROUP, name=f"lock-{number}")).status == 201
    assert (await lock(world, GROUP, name="one-more")).code == "BadRequest"
    assert (await lock(world, GROUP, "ReadOnly", name="lock-3")).status == 200


async def test_the_data_of_a_locked_vault_can_be_changed(world: World) -> None:
    vault = world.arm.seed.put_vault(world.group.id, "kv-shop")
    await lock(world, vault.id, "ReadOnly")
    world.arm.seed.put_role_assignment(vault.id, "Key Vault Secrets Officer", world.owner.object_id)
    assert (await world.vault("PUT", "kv-shop/secrets/one", {"value": "x"}, who=world.owner)).status == 200


def a_lock(scope: str, level: Level) -> Lock:
    return Lock("l", scope, level)


@pytest.mark.parametrize(
    ("action", "verb"),
    [
        ("Microsoft.KeyVault/vaults/read", None),
        ("Microsoft.KeyVault/vaults/write", "write"),
        ("Microsoft.KeyVault/vaults/DELETE", "delete"),
        ("Microsoft.Cache/redis/listKeys/action", "write"),
        ("Microsoft.Authorization/locks/delete", None),
        ("Microsoft.Authorization/roleAssignments/delete", "delete"),
        ("Microsoft.KeyVault/checkNameAvailability/read", None),
        ("", None),
    ],
)
def test_an_action_reads_writes_or_deletes(action: str, verb: str | None) -> None:
    assert verb_of(action) == verb


@pytest.mark.parametrize(
    ("locked", "level", "action", "scope", "stands"),
    [
        (GROUP, "CanNotDelete", "a/delete", ORDERS, True),
        (GROUP.upper(), "CanNotDelete", "a/delete", ORDERS, True),
        (ORDERS, "CanNotDelete", "a/delete", GROUP, True),
        (ORDERS, "CanNotDelete", "a/write", GROUP, False),
        (GROUP, "CanNotDelete", "a/write", ORDERS, False),
        (GROUP, "ReadOnly", "a/write", ORDERS, True),
        (ORDERS, "ReadOnly", "a/write", GROUP, False),
        (f"{GROUP}2", "ReadOnly", "a/delete", GROUP, False),
    ],
)
def test_a_lock_counts_below_and_for_deletes_above(
    locked: str, level: Level, action: str, scope: str, stands: bool
) -> None:
    assert bool(blocking([a_lock(locked, level)], action, scope)) is stands
