"""What vaults do by themselves as time goes by: keys rotated, certificates renewed, people told."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.lab.arm.seeding import Identity
from podpass.lab.keyvault import renewal, rotation
from podpass.lab.keyvault.agenda import MOST_AT_ONCE
from podpass.lab.keyvault.durations import Duration, NotADuration, parse
from podpass.lab.keyvault.renewal import NotAnAction
from podpass.lab.keyvault.rotation import NotAPolicy, RotationPolicy
from tests.lab.arm.azure_world import NOW, World
from tests.lab.keyvault.test_keyvault_certificates import SELF_SIGNED, Shop
from tests.lab.keyvault.test_keyvault_sdk import run

CLIENT = Path(__file__).with_name("policy_client.py")
DAY = 86_400


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world, "Key Vault Administrator")


@pytest.fixture
def orders(world: World) -> Identity:
    identity = world.identity("orders")
    vault = world.arm.seed.put_vault(world.group.id, "kv-shop")
    world.arm.seed.put_role_assignment(vault.id, "Key Vault Administrator", identity.principal_id)
    return identity


def rotate(after: str = "P30D", expiry: str | None = "P90D") -> dict[str, Any]:
    return {
        "lifetimeActions": [{"trigger": {"timeAfterCreate": after}, "action": {"type": "rotate"}}],
        "attributes": {"expiryTime": expiry} if expiry else {},
    }


async def versions(shop: Shop, path: str) -> list[dict[str, Any]]:
    found = (await shop("GET", f"{path}/versions")).body["value"]
    return sorted((one["attributes"] for one in found), key=lambda one: one["created"])


def told(shop: Shop) -> list[str]:
    return [hop.what for hop in shop.world.hops if hop.who == "the vault itself"]


# The stock clients


async def test_the_client_sets_policies_issuers_and_contacts(world: World, orders: Identity, tmp_path: Path) -> None:
    seen = await run(world, orders, "sync", tmp_path, program=CLIENT)
    set_rotation = ["P90D", [["Notify", None, "P30D"], ["Rotate", "P60D", None]], True]
    assert {name: value for name, value in seen.items() if name not in ("scopes", "tenants")} == {
        "unset rotation": [None, [["Notify", None, "P30D"]], False],
        "set rotation": set_rotation,
        "kept rotation": set_rotation,
        "expires after": 90,
        "no contacts": "ContactsNotFound",
        "set contacts": ["ops@shop.example"],
        "contacts": [["ops@shop.example", "Ops", "1"]],
        "deleted contacts": 1,
        "issuer": ["DigiCert", "7", "org", None, True],
        "changed issuer": [False, "7", "ab@shop.example"],
        "issuers": [["ca", "DigiCert"]],
        "deleted issuer": "ca",
        "no issuer": "CertificateIssuerNotFound",
        "cancelled": True,
        "deleted operation": "outside",
        "policy": [2048, "AutoRenew", 80],
        "changed policy": ["EmailContacts", 20, "CN=DefaultPolicy"],
    }


async def test_the_asynchronous_client_too(world: World, orders: Identity, tmp_path: Path) -> None:
    seen = await run(world, orders, "async", tmp_path, program=CLIENT)
    assert {name: value for name, value in seen.items() if name not in ("scopes", "tenants")} == {
        "kept rotation": ["P90D", [["Notify", None, "P30D"], ["Rotate", "P60D", None]], True],
        "contacts": ["ops@shop.example"],
        "issuers": ["ca"],
        "deleted": ["shop"],
        "restored": "shop",
    }


# Keys


async def test_a_key_is_rotated_when_its_policy_says_so(shop: Shop) -> None:
    await shop("POST", "keys/a/create", {"kty": "EC"})
    first = (await shop("GET", "keys/a")).body["key"]
    assert (await shop("PUT", "keys/A/rotationpolicy", rotate())).status == 200
    shop.world.clock.advance(30 * DAY - 1)
    assert (await shop("GET", "keys/a")).body["key"] == first
    shop.world.clock.advance(1)
    second = (await shop("GET", "keys/a")).body
    assert second["key"]["kid"] != first["kid"]
    assert second["key"]["x"] != first["x"]
    assert second["attributes"]["created"] == NOW + 30 * DAY
    assert second["attributes"]["exp"] == NOW + 120 * DAY
    assert "key a" in told(shop)
    # The older version goes on working.
    version = first["kid"].rpartition("/")[2]
    assert (await shop("GET", f"keys/a/{version}")).status == 200


async def test_rotations_that_were_missed_are_caught_up_with_their_own_times(shop: Shop) -> None:
    await shop("POST", "keys/a/create", {"kty": "EC"})
    await shop("PUT", "keys/a/rotationpolicy", rotate())
    shop.world.clock.advance(100 * DAY)
    assert [one["created"] for one in await versions(shop, "keys/a")] == [NOW + days * DAY for days in (0, 30, 60, 90)]


async def test_a_jump_of_a_century_does_not_make_keys_for_an_hour(shop: Shop) -> None:
    await shop("POST", "keys/a/create", {"kty": "EC"})
    await shop("PUT", "keys/a/rotationpolicy", rotate())
    shop.world.clock.advance(36_500 * DAY)
    await shop("GET", "keys/a")
    found = await versions(shop, "keys/a")
    assert len(found) == 1 + MOST_AT_ONCE
    assert found[-1]["created"] == NOW + 36_500 * DAY


async def test_a_rotation_on_request_puts_the_next_one_off(shop: Shop) -> None:
    await shop("POST", "keys/a/create", {"kty": "EC"})
    await shop("PUT", "keys/a/rotationpolicy", rotate())
    shop.world.clock.advance(20 * DAY)
    await shop("POST", "keys/a/rotate")
    shop.world.clock.advance(20 * DAY)
    assert len(await versions(shop, "keys/a")) == 2
    shop.world.clock.advance(10 * DAY)
    assert len(await versions(shop, "keys/a")) == 3


@pytest.mark.parametrize("state", ["disabled", "deleted"])
async def test_a_key_that_is_out_of_use_is_not_rotated_until_it_is_back(shop: Shop, state: str) -> None:
    await shop("POST", "keys/a/create", {"kty": "EC"})
    await shop("PUT", "keys/a/rotationpolicy", rotate())
    if state == "disabled":
        await shop("PATCH", "keys/a", {"attributes": {"enabled": False}})
    else:
        await shop("DELETE", "keys/a")
    shop.world.clock.advance(40 * DAY)
    await shop("GET", "keys")
    if state == "disabled":
        await shop("PATCH", "keys/a", {"attributes": {"enabled": True}})
    else:
        assert (await shop("POST", "deletedkeys/a/recover")).status == 200
    assert len(await versions(shop, "keys/a")) == 2


async def test_a_notice_is_given_once_for_each_version(shop: Shop) -> None:
    await shop("POST", "keys/a/create", {"kty": "EC", "attributes": {"exp": int(NOW) + 60 * DAY}})
    await shop("PUT", "keys/a/rotationpolicy", {"lifetimeActions": []})
    for _ in range(3):
        shop.world.clock.advance(20 * DAY)
        await shop("PATCH", "keys/a", {"tags": {}})
        await shop("GET", "keys")
    assert told(shop) == ["key a"]


async def test_rotation_policies_need_permissions_of_their_own(world: World) -> None:
    reader = Shop(world, "Key Vault Reader")
    world.arm.seed.put_role_assignment(reader.vault.id, "Key Vault Crypto User", reader.caller.principal_id)
    refused = await reader("PUT", "keys/a/rotationpolicy", rotate())
    assert refused.status == 403
    assert "Microsoft.KeyVault/vaults/keyrotationpolicies/write" in refused.message


async def test_a_purged_key_leaves_no_policy_behind(shop: Shop) -> None:
    await shop("POST", "keys/a/create", {"kty": "EC"})
    await shop("PUT", "keys/a/rotationpolicy", rotate())
    await shop("DELETE", "keys/a")
    assert (await shop("DELETE", "deletedkeys/a")).status == 204
    await shop("POST", "keys/a/create", {"kty": "EC"})
    shop.world.clock.advance(40 * DAY)
    assert len(await versions(shop, "keys/a")) == 1
    assert shop.world.store.items("keyvault", "due") == []


# Certificates


async def test_a_certificate_is_renewed_at_four_fifths_of_its_life(shop: Shop) -> None:
    policy = {**SELF_SIGNED, "x509_props": {"subject": "CN=shop.example", "validity_months": 10}}
    await shop("POST", "certificates/a/create", {"policy": policy, "tags": {"a": "b"}})
    first = (await shop("GET", "certificates/a")).body
    lasts = first["attributes"]["exp"] - first["attributes"]["nbf"]
    shop.world.clock.advance(lasts * 0.8 - 60)
    assert (await shop("GET", "certificates/a")).body["id"] == first["id"]
    shop.world.clock.advance(60)
    # Whoever only ever asks for the secret gets the new one, too.
    secret = (await shop("GET", "secrets/a")).body
    second = (await shop("GET", "certificates/a")).body
    assert second["id"] != first["id"]
    assert (second["sid"], second["tags"]) == (secret["id"], {"a": "b"})
    assert second["attributes"]["nbf"] == pytest.approx(NOW + lasts * 0.8, abs=1)
    assert told(shop) == ["certificate a"]


async def test_a_certificate_that_was_restored_is_renewed_as_before(shop: Shop) -> None:
    await shop("POST", "certificates/a/create", {"policy": SELF_SIGNED})
    blob = (await shop("POST", "certificates/a/backup")).body
    await shop("DELETE", "certificates/a")
    await shop("DELETE", "deletedcertificates/a")
    assert shop.world.store.items("keyvault", "due") == []
    assert (await shop("POST", "certificates/restore", blob)).status == 200
    shop.world.clock.advance(330 * DAY)
    assert len(await versions(shop, "certificates/a")) == 2


async def test_contacts_are_told_of_a_certificate_that_is_not_renewed(shop: Shop) -> None:
    await shop("PUT", "certificates/contacts", {"contacts": [{"email": "ops@shop.example"}]})
    action = {"trigger": {"days_before_expiry": 30}, "action": {"action_type": "EmailContacts"}}
    await shop("POST", "certificates/a/create", {"policy": {**SELF_SIGNED, "lifetime_actions": [action]}})
    for _ in range(4):
        shop.world.clock.advance(100 * DAY)
        await shop("GET", "secrets")
    (hop,) = [hop for hop in shop.world.hops if hop.who == "the vault itself"]
    assert "ops@shop.example" in hop.why
    assert len(await versions(shop, "certificates/a")) == 1


async def test_parts_of_a_policy_are_changed_and_the_others_stay(shop: Shop) -> None:
    await shop("POST", "certificates/a/create", {"policy": SELF_SIGNED})
    before = (await shop("GET", "certificates/a/policy")).body
    action = {"trigger": {"days_before_expiry": 30}, "action": {"action_type": "EmailContacts"}}
    shop.world.clock.advance(5)
    after = (await shop("PATCH", "certificates/a/policy", {"lifetime_actions": [action]})).body
    assert after == {
        **before,
        "lifetime_actions": [action],
        "attributes": {"enabled": True, "created": int(NOW), "updated": int(NOW) + 5},
    }
    refused = await shop("PATCH", "certificates/a/policy", {"x509_props": {"subject": ""}})
    assert refused.code == "BadParameter"
    assert (await shop("GET", "certificates/a/policy")).body == after


# Rules by themselves


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        pytest.param(rotate("P6D"), "at least 7 days", id="too-soon"),
        pytest.param(rotate("P85D"), "7 days before the key expires", id="too-late"),
        pytest.param(rotate(expiry="P27D"), "at least 28 days", id="expires-too-soon"),
        pytest.param(rotate("soon"), "no duration", id="no-duration"),
        pytest.param(rotate("P9999Y"), "hundred years", id="too-long"),
        pytest.param({"lifetimeActions": [{"trigger": {}, "action": {"type": "Rotate"}}]}, "either", id="no-trigger"),
        pytest.param(
            {"lifetimeActions": [{"trigger": {"timeBeforeExpiry": "P30D"}, "action": {"type": "Rotate"}}]},
            "expiryTime",
            id="expires-never",
        ),
        pytest.param(
            {"lifetimeActions": [{"trigger": {"timeAfterCreate": "P30D"}, "action": {"type": "Notify"}}]},
            "timeBeforeExpiry",
            id="notice-after-creation",
        ),
        pytest.param(
            {"lifetimeActions": [{"trigger": {"timeAfterCreate": "P30D"}, "action": {"type": "Fly"}}]},
            "Rotate",
            id="another-action",
        ),
        pytest.param({"lifetimeActions": rotate()["lifetimeActions"] * 2}, "one action", id="two-rotations"),
    ],
)
async def test_what_makes_no_rotation_policy_is_refused(shop: Shop, policy: dict[str, Any], says: str) -> None:
    await shop("POST", "keys/a/create", {"kty": "EC"})
    refused = await shop("PUT", "keys/a/rotationpolicy", policy)
    assert (refused.status, refused.code) == (400, "BadParameter")
    assert says in refused.message


def test_a_policy_before_expiry_takes_the_keys_own_expiry() -> None:
    given = RotationPolicy(
        lifetime_actions=[
            rotation.LifetimeAction(rotation.Action("Rotate"), rotation.Trigger(time_before_expiry="P30D"))
        ]
    )
    policy = rotation.checked(given, key_expires=True)
    assert policy.moment("rotate", created=0, expires=100 * DAY) == 70 * DAY
    assert policy.moment("rotate", created=0, expires=None) is None
    with pytest.raises(NotAPolicy):
        rotation.checked(given, key_expires=False)


@pytest.mark.parametrize(
    ("trigger", "months", "fits"),
    [
        ({"lifetime_percentage": 1}, 1, True),
        ({"lifetime_percentage": 99}, 1, True),
        ({"lifetime_percentage": 100}, 1, False),
        ({"days_before_expiry": 27}, 1, True),
        ({"days_before_expiry": 28}, 1, False),
        ({"days_before_expiry": 0}, 1, False),
        ({}, 1, False),
        ({"lifetime_percentage": 50, "days_before_expiry": 5}, 1, False),
    ],
)
def test_triggers_must_lie_in_a_certificates_life(trigger: dict[str, int], months: int, fits: bool) -> None:
    action = renewal.LifetimeAction(renewal.Trigger(**trigger), renewal.Action("AutoRenew"))
    if fits:
        renewal.check([action], months=months)
    else:
        with pytest.raises(NotAnAction):
            renewal.check([action], months=months)


@pytest.mark.parametrize(
    ("text", "months", "seconds"),
    [
        ("P90D", 0, 90 * DAY),
        ("P3M", 3, 0),
        ("PT48H", 0, 2 * DAY),
        ("P1Y10D", 12, 10 * DAY),
        ("P1DT1H1M1S", 0, DAY + 3_661),
    ],
)
def test_durations_are_read(text: str, months: int, seconds: int) -> None:
    assert parse(text) == Duration(months, seconds)


@pytest.mark.parametrize("text", ["", "P", "PT", "P1", "90D", "P1W", "P-1D", "P1.5D", "p1d", "P1DT"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(NotADuration):
        parse(text)


@given(st.text(max_size=40))
def test_reading_a_duration_never_breaks(text: str) -> None:
    with contextlib.suppress(NotADuration):
        parse(text)


def test_months_are_as_long_as_the_calendar_makes_them() -> None:
    january = 1_769_817_600  # 2026-01-31
    assert parse("P1M").after(january) == january + 28 * DAY
    assert parse("P1M").before(january) == january - 31 * DAY
