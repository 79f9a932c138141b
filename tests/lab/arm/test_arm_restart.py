"""What was acknowledged is still there after the lab was killed."""

import contextlib
from pathlib import Path

from podpass.lab.arm import Allowed
from podpass.lab.store import Store
from podpass.tokens.keys import SigningKey
from tests.lab.arm.azure_world import VAULT_AUDIENCE, World, send

URL = "https://kv-shop.vault.azure.net/secrets/greeting/?api-version=7.4"


async def test_everything_is_kept_with_its_ids(signing_key: SigningKey, tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with contextlib.closing(Store.open(path)) as store:
        world = World(signing_key, store=store)
        orders = world.identity("orders")
        credential = world.arm.seed.put_federated_credential(orders.id, "kube", issuer="https://i", subject="s")
        vault = world.arm.seed.put_vault(world.group.id, "kv-shop")
        secret = world.keyvault.set_secret("kv-shop", "greeting", "hello")
        assignment = world.arm.seed.put_role_assignment(vault.id, "Key Vault Secrets User", orders.principal_id)
    assert path.stat().st_mode & 0o777 == 0o600
    with contextlib.closing(Store.open(path)) as store:
        world = World(signing_key, store=store)
        assert world.identity("orders") == orders
        assert world.directory.credentials(orders.tenant_id, orders.client_id) == (credential,)
        assert world.arm.vault("kv-shop") == vault
        decision = world.arm.decide(
            principal_id=orders.principal_id,
            action="Microsoft.KeyVault/vaults/secrets/getSecret/action",
            scope=vault.id,
            is_data_action=True,
        )
        assert isinstance(decision, Allowed)
        assert decision.assignment.id == assignment.id
        reply = await send(world.keyvault.app, "GET", URL, token=world.token(orders, VAULT_AUDIENCE))
        assert reply.body["value"] == "hello"
        assert reply.body["id"].endswith(secret.version)


async def test_a_refused_change_leaves_nothing_behind(signing_key: SigningKey) -> None:
    with contextlib.closing(Store.open(None)) as store:
        world = World(signing_key, store=store)
        orders = world.identity("orders")
        before = list(store.connection.iterdump())
        body = {"properties": {"issuer": "https://i", "subject": "s", "audiences": []}}
        await world.call("PUT", f"{orders.id}/federatedIdentityCredentials/kube", body)
        await world.call("PUT", f"{world.group.id}/providers/Microsoft.KeyVault/vaults/kv-shop", {"location": "eastus"})
        after = list(store.connection.iterdump())
        assert [line for line in after if "journal" not in line] == [line for line in before if "journal" not in line]
