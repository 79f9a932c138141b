"""Calls on secrets, by a caller who may do everything."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podpass.lab.keyvault import KeyVaultError
from podpass.lab.keyvault.model import MAX_VALUE_BYTES, SecretValue
from tests.lab.arm.azure_world import NOW, SUBSCRIPTION, TENANT, Reply, World

ORIGIN = "https://kv-shop.vault.azure.net"


class Shop:
    """The vault `kv-shop` and an administrator of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.vault = world.arm.seed.put_vault(world.group.id, "kv-shop")
        self.admin = world.identity("admin")
        world.arm.seed.put_role_assignment(self.vault.id, "Key Vault Administrator", self.admin.principal_id)

    async def __call__(self, method: str, path: str, content: Any = None, **more: str) -> Reply:
        return await self.world.vault(method, f"kv-shop/{path}", content, who=self.admin, **more)


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world)


async def test_a_secret_is_set_and_read(shop: Shop) -> None:
    given = {"value": "v", "contentType": "text/plain", "tags": {"a": "b"}, "attributes": {"nbf": 5, "exp": 9}}
    made = await shop("PUT", "secrets/Greeting", given)
    assert made.status == 200
    version = made.body["id"].rpartition("/")[2]
    assert len(version) == 32
    assert version == version.lower()
    assert made.body == {
        "value": "v",
        "contentType": "text/plain",
        "id": f"{ORIGIN}/secrets/Greeting/{version}",
        "attributes": {
            "enabled": True,
            "nbf": 5,
            "exp": 9,
            "created": int(NOW),
            "updated": int(NOW),
            "recoveryLevel": "Recoverable+Purgeable",
            "recoverableDays": 90,
        },
        "tags": {"a": "b"},
    }
    for path in ("secrets/Greeting", "secrets/greeting/", f"secrets/GREETING/{version}"):
        assert (await shop("GET", path)).body == made.body
    assert made.headers["x-ms-keyvault-region"] == "eastus"


async def test_the_newest_version_is_the_one_set_last(shop: Shop) -> None:
    ids = [(await shop("PUT", "secrets/a", {"value": str(number)})).body["id"] for number in range(5)]
    assert (await shop("GET", "secrets/a/")).body["value"] == "4"
    assert (await shop("GET", ids[1].removeprefix(ORIGIN + "/"))).body["value"] == "1"
    listed = (await shop("GET", "secrets/a/versions")).body["value"]
    assert [one["id"] for one in listed] == sorted(ids)
    assert all("value" not in one for one in listed)


async def test_a_disabled_newest_version_is_forbidden_without_falling_back(shop: Shop) -> None:
    await shop("PUT", "secrets/a", {"value": "1"})
    await shop("PUT", "secrets/a", {"value": "2", "attributes": {"enabled": False}})
    reply = await shop("GET", "secrets/a/")
    assert (reply.status, reply.body["error"]["innererror"]["code"]) == (403, "SecretDisabled")
    assert reply.message == "Operation get is not allowed on a disabled secret."
    assert shop.world.hops[-1].problem == "PP309"
    assert (await shop("PATCH", "secrets/a/", {"attributes": {"enabled": True}})).status == 200
    assert (await shop("GET", "secrets/a/")).body["value"] == "2"


async def test_an_expired_secret_can_be_read(shop: Shop) -> None:
    await shop("PUT", "secrets/a", {"value": "1", "attributes": {"exp": 1}})
    assert (await shop("GET", "secrets/a")).status == 200


async def test_an_update_keeps_what_it_does_not_name(shop: Shop) -> None:
    given = {"value": "v", "contentType": "text/plain", "tags": {"a": "b"}, "attributes": {"exp": 9}}
    version = (await shop("PUT", "secrets/a", given)).body["id"].rpartition("/")[2]
    shop.world.clock.advance(60)
    changed = await shop("PATCH", f"secrets/a/{version}", {"tags": {}})
    assert "value" not in changed.body
    assert (changed.body["tags"], changed.body["contentType"], changed.body["attributes"]["exp"]) == (
        {},
        "text/plain",
        9,
    )
    assert changed.body["attributes"]["updated"] == int(NOW) + 60
    assert (await shop("GET", "secrets/a")).body["value"] == "v"


@pytest.mark.parametrize(
    ("path", "content", "version"),
    [
        pytest.param("secrets/a_b", {"value": "v"}, "7.4", id="bad-name"),
        pytest.param(f"secrets/{'a' * 128}", {"value": "v"}, "7.4", id="long-name"),
        pytest.param("secrets/a", {"value": "v" * (MAX_VALUE_BYTES + 1)}, "7.4", id="large-value"),
        pytest.param("secrets/a", {"value": "é" * (MAX_VALUE_BYTES // 2 + 1)}, "7.4", id="large-in-bytes"),
        pytest.param("secrets/a", {}, "7.4", id="no-value"),
        pytest.param("secrets/a", {"value": 5}, "7.4", id="number"),
        pytest.param("secrets/a", b"{", "7.4", id="no-json"),
        pytest.param("secrets/a", b"[" * 50_000, "7.4", id="deep"),
        pytest.param(
            "secrets/a", {"value": "v", "attributes": {"nbf": 9, "exp": 5}}, "7.4", id="ends-before-it-starts"
        ),
        pytest.param("secrets/a", {"value": "v", "tags": {str(n): "" for n in range(16)}}, "7.4", id="many-tags"),
        pytest.param("secrets/a", {"value": "v"}, "9.9", id="unknown-version"),
        pytest.param("secrets/a", {"value": "v"}, "", id="no-version"),
    ],
)
async def test_bad_parameters_are_refused_and_nothing_changes(
    shop: Shop, path: str, content: Any, version: str
) -> None:
    reply = await shop("PUT", path, content, version=version)
    assert (reply.status, reply.code) == (400, "BadParameter")
    assert (await shop("GET", "secrets")).body["value"] == []


@pytest.mark.parametrize("version", ["2016-10-01", "7.0", "7.3", "7.6", "7.6-preview.2", "2025-07-01", "2026-04-01"])
async def test_every_api_version_of_todays_clients_is_taken(shop: Shop, version: str) -> None:
    assert (await shop("GET", "secrets", version=version)).status == 200


async def test_a_value_of_the_largest_size_is_taken(shop: Shop) -> None:
    assert (await shop("PUT", "secrets/a", {"value": "v" * MAX_VALUE_BYTES})).status == 200


@pytest.mark.parametrize("path", ["secrets/none", "secrets/none/", f"secrets/a/{'0' * 32}", "secrets/none/versions"])
async def test_what_is_not_there_is_not_found(shop: Shop, path: str) -> None:
    await shop("PUT", "secrets/a", {"value": "v"})
    reply = await shop("GET", path)
    assert (reply.status, reply.code) == (404, "SecretNotFound")
    assert reply.message.startswith("A secret with (name/id) ")
    assert "was not found in this key vault." in reply.message
    assert "retry-after" not in reply.headers
    assert shop.world.hops[-1].problem == "PP303"


async def test_lists_come_in_pages_ordered_by_name(shop: Shop) -> None:
    for number in range(60):
        shop.world.keyvault.set_secret("kv-shop", f"s{number:02}", "v")
    first = await shop("GET", "secrets")
    assert len(first.body["value"]) == 25
    assert first.body["value"][0]["id"] == f"{ORIGIN}/secrets/s00"
    assert first.body["nextLink"].startswith(f"{ORIGIN}:443/secrets?api-version=7.4&$skiptoken=")
    seen, path = [], "secrets?maxresults=7"
    while True:
        reply = await shop("GET", path)
        seen += [one["id"].rpartition("/")[2] for one in reply.body["value"]]
        if reply.body["nextLink"] is None:
            break
        assert reply.body["nextLink"].endswith("&maxresults=7")
        path = reply.body["nextLink"].partition(":443/")[2].replace("api-version=7.4&", "")
    assert seen == [f"s{number:02}" for number in range(60)]
    for bad in ("maxresults=0", "maxresults=26", "maxresults=x", "$skiptoken=%ff"):
        assert (await shop("GET", f"secrets?{bad}")).code == "BadParameter"


async def test_a_deleted_secret_can_be_recovered(shop: Shop) -> None:
    await shop("PUT", "secrets/a", {"value": "v"})
    deleted = await shop("DELETE", "secrets/a")
    assert deleted.body["recoveryId"] == f"{ORIGIN}/deletedsecrets/a"
    assert deleted.body["scheduledPurgeDate"] - deleted.body["deletedDate"] == 90 * 86_400
    assert "value" not in deleted.body
    assert (await shop("GET", "secrets/a")).status == 404
    assert (await shop("GET", "secrets")).body["value"] == []
    assert (await shop("GET", "deletedsecrets/a")).body == deleted.body
    assert len((await shop("GET", "deletedsecrets")).body["value"]) == 1
    again = await shop("PUT", "secrets/A", {"value": "w"})
    assert (again.status, again.body["error"]["innererror"]["code"]) == (409, "ObjectIsDeletedButRecoverable")
    assert shop.world.hops[-1].problem == "PP307"
    assert (await shop("POST", "deletedsecrets/a/recover")).status == 200
    assert (await shop("GET", "secrets/a")).body["value"] == "v"
    missing = await shop("GET", "deletedsecrets/a")
    assert (missing.status, missing.message) == (404, "Deleted Secret not found: a")


async def test_a_purged_secret_is_gone(shop: Shop) -> None:
    await shop("PUT", "secrets/a", {"value": "v"})
    await shop("DELETE", "secrets/a")
    purged = await shop("DELETE", "deletedsecrets/a")
    assert (purged.status, purged.body) == (204, None)
    assert (await shop("GET", "deletedsecrets/a")).status == 404
    assert shop.world.store.connection.execute("SELECT count(*) FROM keyvault_versions").fetchone() == (0,)
    assert (await shop("PUT", "secrets/a", {"value": "w"})).status == 200


async def test_a_deleted_secret_is_purged_when_its_retention_ends(shop: Shop) -> None:
    await shop("PUT", "secrets/a", {"value": "v"})
    await shop("DELETE", "secrets/a")
    shop.world.clock.advance(90 * 86_400)
    assert (await shop("GET", "deletedsecrets")).body["value"] == []
    assert (await shop("PUT", "secrets/a", {"value": "w"})).status == 200


async def test_purge_protection_forbids_a_purge(shop: Shop) -> None:
    await shop.world.call("PATCH", shop.vault.id, {"properties": {"enablePurgeProtection": True}})
    made = await shop("PUT", "secrets/a", {"value": "v"})
    assert made.body["attributes"]["recoveryLevel"] == "Recoverable"
    await shop("DELETE", "secrets/a")
    assert (await shop("DELETE", "deletedsecrets/a")).status == 403


async def test_a_backup_is_sealed_and_restores_every_version(shop: Shop) -> None:
    for value in ("one", "two"):
        await shop("PUT", "secrets/a", {"value": value})
    ids = {one["id"] for one in (await shop("GET", "secrets/a/versions")).body["value"]}
    blob = (await shop("POST", "secrets/a/backup")).body["value"]
    assert "one" not in blob
    assert (await shop("POST", "secrets/restore", {"value": blob})).code == "Conflict"
    await shop("DELETE", "secrets/a")
    assert (await shop("POST", "secrets/restore", {"value": blob})).status == 409
    await shop("DELETE", "deletedsecrets/a")
    assert (await shop("POST", "secrets/restore", {"value": blob})).status == 200
    assert (await shop("GET", "secrets/a")).body["value"] == "two"
    assert {one["id"] for one in (await shop("GET", "secrets/a/versions")).body["value"]} == ids
    for bad in (blob[:-4], "A" + blob[1:], "", "é"):
        assert (await shop("POST", "secrets/restore", {"value": bad})).code in ("BadParameter", "Conflict")


async def test_a_backup_opens_in_its_own_subscription_only(shop: Shop) -> None:
    world = shop.world
    await shop("PUT", "secrets/a", {"value": "v"})
    blob = (await shop("POST", "secrets/a/backup")).body["value"]
    elsewhere = world.arm.seed.put_group(world.arm.seed.put_subscription(TENANT, "second").id, "other")
    vault = world.arm.seed.put_vault(elsewhere.id, "kv-other")
    world.arm.seed.put_role_assignment(vault.id, "Key Vault Administrator", shop.admin.principal_id)
    reply = await world.vault("POST", "kv-other/secrets/restore", {"value": blob}, who=shop.admin)
    assert reply.code == "BadParameter"


async def test_a_new_vault_of_an_old_name_is_empty(shop: Shop) -> None:
    await shop("PUT", "secrets/a", {"value": "v"})
    await shop.world.call("DELETE", shop.vault.id)
    purge = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/kv-shop/purge"
    assert (await shop.world.call("POST", purge)).status == 200
    again = Shop(shop.world)
    assert (await again("GET", "secrets")).body["value"] == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "storage", 501, "NotImplemented"),
        ("POST", "keys/a/release", 501, "NotImplemented"),
        ("POST", "rng", 501, "NotImplemented"),
        ("GET", "nothing", 404, "NotFound"),
        ("GET", "", 404, "NotFound"),
        ("POST", "secrets/a", 405, "MethodNotAllowed"),
        ("DELETE", "secrets", 405, "MethodNotAllowed"),
    ],
)
async def test_what_is_not_emulated_is_said_openly(shop: Shop, method: str, path: str, status: int, code: str) -> None:
    reply = await shop(method, path)
    assert (reply.status, reply.code) == (status, code)
    assert shop.world.hops[-1].wire == code


def test_setting_a_secret_twice_makes_one_version(shop: Shop) -> None:
    seeded = shop.world.keyvault.set_secret("kv-shop", "a", "v")
    assert shop.world.keyvault.set_secret("KV-shop", "A", "v") == seeded
    assert shop.world.keyvault.set_secret("kv-shop", "a", "w") != seeded
    with pytest.raises(KeyVaultError, match="VaultNotFound"):
        shop.world.keyvault.set_secret("kv-none", "a", "v")
    with pytest.raises(KeyVaultError, match="BadParameter"):
        shop.world.keyvault.set_secret("kv-shop", "a_b", "v")


def test_a_value_does_not_show_itself(shop: Shop) -> None:
    secret = shop.world.keyvault.set_secret("kv-shop", "a", "correct horse")
    for text in (repr(secret), str(secret.value), f"{secret.value}", repr(SecretValue("correct horse"))):
        assert "horse" not in text


async def test_no_value_reaches_the_journal(shop: Shop) -> None:
    await shop("PUT", "secrets/a", {"value": "correct horse"})
    await shop("GET", "secrets/a")
    await shop("PUT", "secrets/a", {"value": ["correct horse"]})
    assert "horse" not in str(shop.world.hops)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD"]),
    path=st.lists(st.sampled_from(["secrets", "deletedsecrets", "a", "/", "%20", "restore", "versions", "?x", "%"])),
    body=st.one_of(st.binary(max_size=20), st.just(b'{"value":"x"}')),
)
async def test_no_request_breaks_a_vault(shop: Shop, method: str, path: list[str], body: bytes) -> None:
    reply = await shop(method, "/".join(path), body)
    assert reply.status < 500 or reply.status == 501


async def test_pages_stay_whole_while_thousands_of_secrets_come_and_go(shop: Shop) -> None:
    world = shop.world
    names = [f"s-{number:04}" for number in range(0, 4_000, 2)]
    with world.store.transaction():
        for name in names:
            world.keyvault.set_secret("kv-shop", name, "x")
    seen: list[str] = []
    path = "secrets?maxresults=25"
    while path:
        page = (await shop("GET", path)).body
        seen += [one["id"].rpartition("/")[2] for one in page["value"]]
        # What lies behind the mark changes, and so does the secret that the mark names.
        await shop("DELETE", f"secrets/{seen[-1]}")
        await shop("PUT", "secrets/r-before-all", {"value": "x"})
        await shop("PUT", f"secrets/{seen[-1]}-1", {"value": "x"})
        path = (page["nextLink"] or "").partition(".net:443/")[2]
    assert len(seen) == len(set(seen))
    assert set(names) <= set(seen)
    assert seen == sorted(seen)
