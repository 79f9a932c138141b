"""The stock SecretClient, unmodified, against a vault by its real name."""

from pathlib import Path
from typing import Any

import pytest

from podpass.lab.arm.seeding import Identity
from tests.lab.arm.azure_doors import run_client
from tests.lab.arm.azure_world import TENANT, VAULT_AUDIENCE, World

PROGRAM = Path(__file__).with_name("secret_client.py")


async def run(
    world: World, who: Identity, mode: str, directory: Path, vault: str = "kv-shop", *, program: Path = PROGRAM
) -> dict[str, Any]:
    """What *program* saw as *who*."""
    url = f"https://{vault}.vault.azure.net"
    return await run_client(world, directory, program, mode, url, token=world.token(who, VAULT_AUDIENCE))


@pytest.fixture
def orders(world: World) -> Identity:
    identity = world.identity("orders")
    world.arm.seed.put_vault(world.group.id, "kv-shop")
    return identity


def administer(world: World, who: Identity) -> None:
    world.arm.seed.put_role_assignment(world.group.id, "Key Vault Administrator", who.principal_id)


async def test_the_client_does_all_it_can_do(world: World, orders: Identity, tmp_path: Path) -> None:
    administer(world, orders)
    seen = await run(world, orders, "sync", tmp_path)
    assert seen == {
        "scopes": ["https://vault.azure.net/.default"],
        "tenants": [TENANT],
        "newest": "two",
        "older": "one",
        "versions": 2,
        "changed": [{"c": "d"}, "text/plain", "Recoverable+Purgeable"],
        "listed": 31,
        "deleted": ["greeting"],
        "reused": "ObjectIsDeletedButRecoverable",
        "recovered": "two",
        "missing": "SecretNotFound",
        "restored": "greeting",
        "restored_value": "two",
    }


async def test_the_asynchronous_client_too(world: World, orders: Identity, tmp_path: Path) -> None:
    administer(world, orders)
    seen = await run(world, orders, "async", tmp_path)
    assert seen == {
        "scopes": ["https://vault.azure.net/.default"],
        "tenants": [TENANT],
        "newest": "one",
        "listed": 1,
        "deleted": "greeting",
        "recovered": "one",
    }


@pytest.mark.parametrize(("rbac", "code"), [(True, "ForbiddenByRbac"), (False, "ForbiddenByPolicy")])
async def test_the_client_is_told_why_it_is_refused(world: World, tmp_path: Path, rbac: bool, code: str) -> None:
    orders = world.identity("orders")
    world.arm.seed.put_vault(world.group.id, "kv-shop", rbac=rbac)
    world.keyvault.set_secret("kv-shop", "greeting", "x")
    seen = await run(world, orders, "refused", tmp_path)
    assert (seen["status"], seen["code"]) == (403, code)
    assert orders.principal_id in seen["message"]
    assert [hop.outcome for hop in world.hops if hop.whom == "keyvault"] == ["noted", "refused"]
