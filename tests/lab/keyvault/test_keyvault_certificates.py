"""Calls on certificates: the stock client, and what is refused."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.lab.arm.seeding import Identity
from podpass.lab.keyvault import certificate_making as making
from podpass.lab.keyvault.certificate_making import NotACertificate, Policy, X509Properties
from podpass.lab.keyvault.key_material import Wanted, make
from tests.lab.arm.azure_world import NOW, SUBSCRIPTION, Reply, World
from tests.lab.keyvault.test_keyvault_sdk import run

CLIENT = Path(__file__).with_name("certificate_client.py")
SELF_SIGNED = {
    "key_props": {"kty": "EC", "crv": "P-256"},
    "x509_props": {"subject": "CN=shop.example"},
    "issuer": {"name": "Self"},
}


class Shop:
    """The vault `kv-shop` and somebody with roles in it."""

    def __init__(self, world: World, *roles: str) -> None:
        self.world = world
        self.vault = world.arm.seed.put_vault(world.group.id, "kv-shop")
        self.caller = world.identity("caller")
        for role in roles:
            world.arm.seed.put_role_assignment(self.vault.id, role, self.caller.principal_id)

    async def __call__(self, method: str, path: str, content: Any = None, **more: Any) -> Reply:
        return await self.world.vault(method, f"kv-shop/{path}", content, who=self.caller, **more)


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world, "Key Vault Administrator")


@pytest.fixture
def orders(world: World) -> Identity:
    identity = world.identity("orders")
    vault = world.arm.seed.put_vault(world.group.id, "kv-shop")
    world.arm.seed.put_role_assignment(vault.id, "Key Vault Administrator", identity.principal_id)
    return identity


async def test_the_client_does_all_it_can_do(world: World, orders: Identity, tmp_path: Path) -> None:
    seen = await run(world, orders, "sync", tmp_path, program=CLIENT)
    for unimportant in ("scopes", "tenants"):
        seen.pop(unimportant)
    assert seen == {
        "made": ["CN=shop.example,O=Shop", ["shop.example", "www.shop.example"]],
        "lifetime agrees": [True, True],
        "thumbprint agrees": True,
        "policy": ["Self", "P-256", 3],
        "a version": True,
        "a version marked": {"c": "d"},
        "operation": "completed",
        "secret": ["application/x-pkcs12", True, True, True],
        "key": True,
        "managed": [403, 403],
        "wrong password": "BadParameter",
        "imported": True,
        "pending": ["inProgress", True, "CN=outside.example"],
        "merged": ["Unknown", 1, 1],
        "versions": 2,
        "listed": ["mine", "outside", "shop"],
        "disabled": [False, False],
        "reused": "ObjectIsDeletedButRecoverable",
        "secret went along": "SecretNotFound",
        "recovered": True,
        "restored": "mine",
        "restored key": "mine",
    }


async def test_the_asynchronous_client_too(world: World, orders: Identity, tmp_path: Path) -> None:
    seen = await run(world, orders, "async", tmp_path, program=CLIENT)
    assert (seen["made"], seen["policy"]) == ("shop", "CN=shop.example, O=Shop")


async def test_creating_answers_an_operation_that_ends_at_once(shop: Shop) -> None:
    made = await shop("POST", "certificates/Shop/create", {"policy": SELF_SIGNED})
    assert made.status == 202
    csr = x509.load_der_x509_csr(base64.b64decode(made.body["csr"]))
    assert csr.subject.rfc4514_string() == "CN=shop.example"
    # The stock poller wants to have seen it in progress.
    assert made.body["status"] == "inProgress"
    pending = (await shop("GET", "certificates/shop/pending")).body
    assert {name: pending[name] for name in ("id", "issuer", "status", "target", "cancellation_requested")} == {
        "id": "https://kv-shop.vault.azure.net/certificates/Shop/pending",
        "issuer": {"name": "Self"},
        "status": "completed",
        "target": "https://kv-shop.vault.azure.net/certificates/Shop",
        "cancellation_requested": False,
    }
    found = (await shop("GET", "certificates/shop")).body
    version = found["id"].rpartition("/")[2]
    assert (found["kid"], found["sid"]) == (
        f"https://kv-shop.vault.azure.net/keys/Shop/{version}",
        f"https://kv-shop.vault.azure.net/secrets/Shop/{version}",
    )
    assert found["attributes"]["nbf"] == int(NOW)
    secret = (await shop("GET", f"secrets/shop/{version}")).body
    assert (secret["managed"], secret["kid"]) == (True, found["kid"])


@pytest.mark.parametrize(
    ("policy", "status", "says"),
    [
        pytest.param({**SELF_SIGNED, "x509_props": {}}, 400, "subject", id="no-subject"),
        pytest.param({**SELF_SIGNED, "x509_props": {"subject": "nonsense"}}, 400, "nonsense", id="no-name"),
        pytest.param(
            {**SELF_SIGNED, "x509_props": {"subject": "CN=a", "validity_months": 0}}, 400, "validity", id="no-time"
        ),
        pytest.param({**SELF_SIGNED, "x509_props": {"subject": "CN=a", "key_usage": ["fly"]}}, 400, "fly", id="usage"),
        pytest.param(
            {**SELF_SIGNED, "x509_props": {"subject": "CN=a", "ekus": ["x"]}}, 400, "not valid", id="extended-usage"
        ),
        pytest.param({**SELF_SIGNED, "x509_props": {"sans": {"ipAddresses": ["x"]}}}, 400, "not valid", id="address"),
        pytest.param({**SELF_SIGNED, "key_props": {"kty": "oct"}}, 400, "oct", id="key-type"),
        pytest.param({**SELF_SIGNED, "key_props": {"kty": "RSA", "key_size": 512}}, 400, "512", id="key-size"),
        pytest.param({**SELF_SIGNED, "secret_props": {"contentType": "x"}}, 400, "x", id="content-type"),
        pytest.param({**SELF_SIGNED, "issuer": {"name": "DigiCert"}}, 404, "DigiCert", id="issuer"),
        pytest.param(None, 400, "policy", id="no-policy"),
        pytest.param([], 400, "body", id="a-list"),
    ],
)
async def test_what_makes_no_certificate_is_refused_and_stores_nothing(
    shop: Shop, policy: Any, status: int, says: str
) -> None:
    reply = await shop("POST", "certificates/a/create", {} if policy is None else {"policy": policy})
    assert reply.status == status
    assert says in reply.message
    for plural in ("certificates", "keys", "secrets"):
        assert (await shop("GET", plural)).body["value"] == []


async def test_a_secret_of_that_name_stands_in_the_way(shop: Shop) -> None:
    await shop("PUT", "secrets/a", {"value": "x"})
    reply = await shop("POST", "certificates/a/create", {"policy": SELF_SIGNED})
    assert (reply.status, reply.code) == (409, "Conflict")
    assert (await shop("GET", "certificates")).body["value"] == []
    assert (await shop("GET", "secrets/a")).body["value"] == "x"


async def test_only_the_certificates_calls_change_its_key_and_secret(shop: Shop) -> None:
    await shop("POST", "certificates/a/create", {"policy": SELF_SIGNED})
    for method, path, body in (
        ("PUT", "secrets/a", {"value": "x"}),
        ("PATCH", "secrets/a", {"tags": {}}),
        ("DELETE", "secrets/a", None),
        ("POST", "secrets/a/backup", None),
        ("POST", "keys/a/create", {"kty": "EC"}),
        ("POST", "keys/a/rotate", None),
        ("DELETE", "keys/a", None),
    ):
        reply = await shop(method, path, body)
        assert (reply.status, reply.code) == (403, "Forbidden"), path
    await shop("DELETE", "certificates/a")
    for path in ("deletedsecrets/a/recover", "deletedkeys/a/recover"):
        assert (await shop("POST", path)).status == 403
    assert (await shop("POST", "deletedcertificates/a/recover")).status == 200
    assert (await shop("GET", "keys/a")).body["managed"] is True


async def test_a_key_that_may_not_leave_is_not_in_the_secret(shop: Shop) -> None:
    policy = {
        **SELF_SIGNED,
        "key_props": {"kty": "EC", "crv": "P-256", "exportable": False},
        "secret_props": {"contentType": "application/x-pem-file"},
    }
    await shop("POST", "certificates/a/create", {"policy": policy})
    value = (await shop("GET", "secrets/a")).body["value"]
    assert "BEGIN CERTIFICATE" in value
    assert "PRIVATE KEY" not in value


async def test_a_certificate_that_is_not_for_the_request_is_not_merged(shop: Shop) -> None:
    await shop("POST", "certificates/a/create", {"policy": {**SELF_SIGNED, "issuer": {"name": "Unknown"}}})
    assert (await shop("GET", "certificates/a")).status == 404
    other = making.self_signed(
        Policy(x509_props=X509Properties(subject="CN=a")), make(Wanted("EC")), now=NOW
    ).public_bytes(making.serialization.Encoding.DER)
    for x5c in ([base64.b64encode(other).decode()], ["AAAA"], []):
        reply = await shop("POST", "certificates/a/pending/merge", {"x5c": x5c})
        assert (reply.status, reply.code) == (400, "BadParameter")
    assert (await shop("GET", "certificates/a/pending")).body["status"] == "inProgress"
    assert (await shop("PATCH", "certificates/a/pending", {"cancellation_requested": True})).status == 200
    assert (await shop("DELETE", "certificates/a/pending")).status == 200
    assert (await shop("GET", "certificates/a/pending")).code == "PendingCertificateNotFound"


async def test_whoever_may_read_certificates_does_not_get_the_private_half(world: World) -> None:
    officer = Shop(world, "Key Vault Certificates Officer")
    assert (await officer("POST", "certificates/a/create", {"policy": SELF_SIGNED})).status == 202
    assert (await officer("GET", "certificates/a")).status == 200
    assert (await officer("GET", "secrets/a")).status == 403


async def test_no_private_half_stands_in_the_journal(shop: Shop) -> None:
    key = make(Wanted("EC"))
    certificate = making.self_signed(Policy(x509_props=X509Properties(subject="CN=a")), key, now=NOW)
    pem = making.bundled(key, certificate, (), making.PEM)
    body = {"value": pem, "pwd": "open sesame", "policy": {"secret_props": {"contentType": making.PEM}}}
    assert (await shop("POST", "certificates/a/import", body)).status == 200
    written = repr(shop.world.hops)
    assert pem.splitlines()[1] not in written
    assert "open sesame" not in written


async def test_a_pem_is_imported_when_the_policy_says_that_it_is_one(shop: Shop) -> None:
    key = make(Wanted("EC"))
    certificate = making.self_signed(Policy(x509_props=X509Properties(subject="CN=a")), key, now=NOW)
    pem = making.bundled(key, certificate, (), making.PEM)
    # The stock clients send the text in base64.
    for value in (pem, base64.b64encode(pem.encode()).decode()):
        body = {"value": value, "policy": {"secret_props": {"contentType": making.PEM}}}
        assert (await shop("POST", "certificates/a/import", body)).status == 200
        refused = await shop("POST", "certificates/a/import", {"value": value})
        assert (refused.status, refused.code) == (400, "BadParameter")
        assert "PKCS#12" in refused.message


async def test_a_purged_vault_takes_everything_along(shop: Shop) -> None:
    for name, issuer in (("a", "Self"), ("b", "Unknown")):
        policy = {**SELF_SIGNED, "issuer": {"name": issuer}}
        assert (await shop("POST", f"certificates/{name}/create", {"policy": policy})).status == 202
    world = shop.world
    assert (await world.call("DELETE", shop.vault.id)).status == 200
    deleted = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/kv-shop"
    assert (await world.call("POST", f"{deleted}/purge")).status == 200
    kept = world.store.connection
    for table in ("keyvault_versions", "keyvault_key_versions", "keyvault_certificate_versions"):
        assert kept.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    assert kept.execute("SELECT count(*) FROM documents WHERE kind LIKE 'certificate-%'").fetchone() == (0,)


async def test_what_an_authority_would_sign_is_said_to_be_missing(shop: Shop) -> None:
    await shop("PUT", "certificates/issuers/ca", {"provider": "DigiCert"})
    reply = await shop("POST", "certificates/a/create", {"policy": {**SELF_SIGNED, "issuer": {"name": "CA"}}})
    assert (reply.status, reply.code) == (501, "NotImplemented")
    assert (await shop("GET", "certificates/a/pending")).status == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("certificates/issuers/Self", {"provider": "DigiCert"}),
        ("certificates/issuers/a_b", {"provider": "DigiCert"}),
        ("certificates/issuers/ca", {"provider": "Nobody"}),
        ("certificates/issuers/ca", {}),
        ("certificates/contacts", {"contacts": []}),
        ("certificates/contacts", {"contacts": [{"email": "nobody"}]}),
        ("certificates/contacts", {"contacts": [{"email": "a@b.example"}, {"email": "A@b.example"}]}),
    ],
)
async def test_what_is_no_issuer_and_no_contact_is_refused(shop: Shop, path: str, body: Any) -> None:
    assert (await shop("PUT", path, body)).code == "BadParameter"
    assert (await shop("GET", "certificates/issuers")).body["value"] == []


async def test_an_issuers_password_is_kept_from_answers_and_journal(shop: Shop) -> None:
    body = {"provider": "digicert", "credentials": {"account_id": "7", "pwd": "open sesame"}}
    assert (await shop("PUT", "certificates/issuers/ca", body)).body["credentials"] == {"account_id": "7"}
    assert "open sesame" not in repr((await shop("GET", "certificates/issuers/ca")).body)
    assert "open sesame" not in repr(shop.world.hops)


async def test_issuers_have_permissions_of_their_own(world: World) -> None:
    reader = Shop(world, "Key Vault Reader")
    assert (await reader("GET", "certificates/issuers")).status == 200
    refused = await reader("PUT", "certificates/issuers/ca", {"provider": "DigiCert"})
    assert "Microsoft.KeyVault/vaults/certificatecas/write" in refused.message
    assert (await reader("GET", "certificates/contacts")).status == 403


# Policies by themselves


@pytest.mark.parametrize(
    ("month", "day", "months", "ends"),
    [(1, 31, 1, "2027-02-28"), (1, 15, 12, "2028-01-15"), (12, 31, 2, "2028-02-29"), (11, 30, 3, "2028-02-29")],
)
def test_months_end_on_a_day_that_there_is(month: int, day: int, months: int, ends: str) -> None:
    start = datetime(2027, month, day, tzinfo=UTC)
    policy = Policy(x509_props=X509Properties(subject="CN=a", validity_months=months))
    made = making.self_signed(policy, make(Wanted("EC")), now=start.timestamp())
    assert made.not_valid_after_utc.date().isoformat() == ends


@given(
    value=st.one_of(st.text(max_size=200), st.binary(max_size=200).map(lambda data: base64.b64encode(data).decode()))
)
@settings(max_examples=150, deadline=None)
def test_an_arbitrary_value_is_refused_and_breaks_nothing(value: str) -> None:
    for text in (value, f"-----BEGIN CERTIFICATE-----\n{value}\n-----END CERTIFICATE-----\n"):
        for content_type in (making.PFX, making.PEM):
            with pytest.raises(NotACertificate):
                making.read(text, None, content_type)


@given(subject=st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_an_arbitrary_subject_is_a_name_or_refused(subject: str) -> None:
    policy = Policy(x509_props=X509Properties(subject=subject))
    try:
        making.check(policy)
    except NotACertificate:
        return
    making.request(policy, make(Wanted("EC")))
