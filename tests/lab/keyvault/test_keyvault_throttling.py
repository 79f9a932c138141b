"""Vaults that answer 429: what is counted, and what the stock client makes of it."""

import asyncio
from pathlib import Path

import pytest

from podpass.lab.call_windows import SECONDS
from podpass.lab.keyvault.operations import CertificateOperation, KeyOperation, Operation, SecretOperation
from podpass.lab.keyvault.throttling import Throttle
from tests.lab.arm.azure_world import NOW, World
from tests.lab.keyvault.test_keyvault_certificates import Shop
from tests.lab.keyvault.test_keyvault_sdk import run

CLIENT = Path(__file__).with_name("throttled_client.py")


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world, "Key Vault Administrator")


async def test_a_vault_that_is_called_too_often_says_when_to_come_back(shop: Shop) -> None:
    await shop("PUT", "secrets/a", {"value": "x"})
    shop.world.faults.vault_calls_per_10_seconds = 2
    assert [(await shop("GET", "secrets/a")).status for _ in range(3)] == [200, 200, 429]
    shop.world.clock.advance(4)
    refused = await shop("GET", "secrets/a")
    assert refused.body == {
        "error": {
            "code": "Throttled",
            "message": "Request was not processed because too many requests were received. Reason: "
            "VaultRequestTypeLimitReached",
        }
    }
    assert refused.headers["retry-after"] == "6"
    shop.world.clock.advance(6)
    assert (await shop("GET", "secrets/a")).status == 200
    assert {hop.wire for hop in shop.world.hops if hop.outcome == "refused"} == {"Throttled"}


async def test_a_call_without_a_token_is_not_throttled(shop: Shop) -> None:
    shop.world.faults.vault_calls_per_10_seconds = 1
    for _ in range(3):
        assert (await shop.world.vault("GET", "kv-shop/secrets/a")).status == 401


@pytest.mark.parametrize(
    ("operation", "limit", "passes"),
    [
        (SecretOperation.GET, 4_000, 4_000),
        (SecretOperation.SET, 4_000, 300),
        (KeyOperation.IMPORT, 4_000, 300),
        (KeyOperation.CREATE, 4_000, 20),
        (CertificateOperation.CREATE, 4_000, 20),
        (KeyOperation.SIGN, 7, 7),
        (KeyOperation.CREATE, 7, 7),
        (SecretOperation.GET, 0, 5_000),
    ],
)
def test_limits_are_those_of_the_service(operation: Operation, limit: int, passes: int) -> None:
    throttle = Throttle()
    answers = [throttle.refuse("kv", operation, limit=limit, now=NOW) for _ in range(passes)]
    assert set(answers) == {0}
    assert throttle.refuse("kv", operation, limit=limit, now=NOW) == (SECONDS if limit else 0)
    # Another vault, and a later time, have counts of their own.
    assert throttle.refuse("other", operation, limit=limit, now=NOW) == 0
    assert throttle.refuse("kv", operation, limit=limit, now=NOW + SECONDS) == 0


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_the_client_waits_as_long_as_it_is_told(shop: Shop, tmp_path: Path, mode: str) -> None:
    world = shop.world
    world.keyvault.set_secret("kv-shop", "greeting", "hello")
    world.faults.vault_calls_per_10_seconds = 1
    # The client's wait is real time; the vault's window ends in the lab's, of which a second is left.
    await shop("GET", "secrets/greeting")
    world.clock.advance(SECONDS - 1)

    async def let_time_pass() -> None:
        async for event in world.journal.follow():
            if event.hop.wire == "Throttled":
                world.clock.advance(1)
                return

    passing = asyncio.create_task(let_time_pass())
    seen = await run(world, shop.caller, mode, tmp_path, program=CLIENT)
    await passing
    assert seen["value"] == "hello"
    assert seen["seconds"] >= 1
    assert [hop.wire for hop in world.hops if hop.outcome == "refused"] == ["Throttled"]
