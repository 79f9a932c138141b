"""Stock management clients, unmodified, synchronous and not: a round of each through a resource's whole life."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.lab.arm.azure_doors import run_client
from tests.lab.arm.azure_world import SUBSCRIPTION, TENANT, World

PROGRAM = Path(__file__).with_name("management_client.py")
MODES = pytest.mark.parametrize("mode", ["sync", "async"])


async def run(world: World, client: str, mode: str, directory: Path) -> dict[str, Any]:
    """What the round with *client* saw, with the lab's time going by as the client's does."""
    began = time.monotonic()
    world.passed = lambda: time.monotonic() - began
    identity = world.identity("worker")
    seen = await run_client(
        world,
        directory,
        PROGRAM,
        *(client, mode, SUBSCRIPTION, "shop", identity.id),
        token=world.token(),
        PODPASS_TEST_TENANT=TENANT,
        PODPASS_TEST_PRINCIPAL=identity.principal_id,
    )
    assert seen.pop("scopes") == ["https://management.azure.com/.default"]
    return seen


@MODES
async def test_the_client_of_key_vault(world: World, tmp_path: Path, mode: str) -> None:
    assert await run(world, "keyvault", mode, tmp_path) == {
        "created": ["https://kv-round.vault.azure.net/", 7, {"a": "b"}],
        "updated": "Deny",
        "read": ["10.0.0.0/8", {"a": "b"}],
        "policies": [["get"]],
        "listed": ["kv-round"],
        "taken": "AlreadyExists",
        "gone": [404, "ResourceNotFound"],
        "deleted": ["kv-round", ["kv-round"]],
        "in the way": [409, "ConflictError"],
        "recovered": "kv-round",
        "purged": [404, "DeletedVaultNotFound"],
    }


@MODES
async def test_the_client_of_compute(world: World, tmp_path: Path, mode: str) -> None:
    assert await run(world, "compute", mode, tmp_path) == {
        "created": ["Succeeded", 2, {"a": "b"}],
        "assigned": True,
        "read": [3, "UserAssigned"],
        "instances": ["0", "1", "2"],
        "listed": [["pool"], ["pool"]],
        "none left": True,
        "machine": ["Succeeded", True],
        "both": [True, "SystemAssigned, UserAssigned"],
        "machines": ["vm-1"],
        "gone": [[404, "ResourceNotFound"], [404, "ResourceNotFound"]],
    }


@MODES
async def test_the_client_of_redis(world: World, tmp_path: Path, mode: str) -> None:
    assert await run(world, "redis", mode, tmp_path) == {
        "created": ["Succeeded", "votes.redis.cache.windows.net", 6379, 6380, "6.0"],
        "keys": [True, False],
        "updated": ["Standard", True],
        "listed": ["votes"],
        "taken": [409, "NameNotAvailable"],
        "gone": [404, "ResourceNotFound"],
    }


@MODES
async def test_the_client_of_authorization(world: World, tmp_path: Path, mode: str) -> None:
    assert await run(world, "authorization", mode, tmp_path) == {
        "defined": ["Watcher", "CustomRole", ["Microsoft.KeyVault/*/read"], True],
        "renamed": "Looker",
        "read": ["Looker", ["*/deletedVaults/read"], True],
        "custom": ["Looker"],
        "built-in": True,
        "assigned": ["ServicePrincipal", True, True],
        "described": "why",
        "twice": [409, "RoleAssignmentExists"],
        "in use": [400, "RoleDefinitionHasAssignments"],
        "listed": [[True], [True], [True]],
        "by id": True,
        "permitted": [["*"]],
        "taken": True,
        "taken again": None,
        "gone": [[404, "RoleAssignmentNotFound"], "Looker", [404, "RoleDefinitionDoesNotExist"]],
    }
