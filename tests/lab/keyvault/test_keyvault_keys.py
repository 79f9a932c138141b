"""Calls on keys: the stock clients, the rules of use, and what is refused."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from podpass.lab.arm.seeding import Identity
from podpass.lab.keyvault import key_material, key_operations
from podpass.lab.keyvault.key_material import JsonWebKey, NotAKey, Wanted
from podpass.lab.keyvault.key_operations import CanNot
from tests.lab.arm.azure_world import NOW, TENANT, Reply, World
from tests.lab.keyvault.test_keyvault_sdk import run

CLIENT = Path(__file__).with_name("key_client.py")
DIGEST = base64.urlsafe_b64encode(hashlib.sha256(b"a message").digest()).decode().rstrip("=")


class Shop:
    """The vault `kv-shop` and somebody with a role in it."""

    def __init__(self, world: World, role: str = "Key Vault Crypto Officer") -> None:
        self.world = world
        self.vault = world.arm.seed.put_vault(world.group.id, "kv-shop")
        self.caller = world.identity("caller")
        world.arm.seed.put_role_assignment(self.vault.id, role, self.caller.principal_id)

    async def __call__(self, method: str, path: str, content: Any = None, **more: Any) -> Reply:
        return await self.world.vault(method, f"kv-shop/{path}", content, who=self.caller, **more)


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world)


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def jwk(key: key_material.PrivateKey) -> dict[str, Any]:
    def text(number: int, size: int = 0) -> str:
        data = number.to_bytes(size or (number.bit_length() + 7) // 8)
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        return {
            "kty": "RSA",
            "n": text(numbers.public_numbers.n),
            "e": text(numbers.public_numbers.e),
            "d": text(numbers.d),
            "p": text(numbers.p),
            "q": text(numbers.q),
        }
    curve = key.private_numbers()
    size = (key.curve.key_size + 7) // 8
    point = curve.public_numbers
    return {
        "kty": "EC",
        "crv": key_material.public_members(key)["crv"],
        "x": text(point.x, size),
        "y": text(point.y, size),
        "d": text(curve.private_value, size),
    }


@pytest.fixture
def orders(world: World) -> Identity:
    identity = world.identity("orders")
    vault = world.arm.seed.put_vault(world.group.id, "kv-shop")
    world.arm.seed.put_role_assignment(vault.id, "Key Vault Crypto Officer", identity.principal_id)
    return identity


async def test_the_clients_do_all_they_can_do(world: World, orders: Identity, tmp_path: Path) -> None:
    seen = await run(world, orders, "sync", tmp_path, program=CLIENT)
    assert set(seen.pop("scopes")) == {"https://vault.azure.net/.default"}
    assert set(seen.pop("tenants")) == {TENANT}
    assert seen == {
        "made": ["RSA", ["decrypt", "encrypt", "sign", "unwrapKey", "verify", "wrapKey"], "Recoverable+Purgeable"],
        "verified here": True,
        "pss verified here": True,
        "RSA-OAEP opened": "hidden",
        "RSA-OAEP-256 opened": "hidden",
        "RSA1_5 opened": "hidden",
        "unwrapped": "0123456789abcdef",
        "newest opened": "hidden",
        "newest unwrapped": "0123456789abcdef",
        "a version marked": {"c": "d"},
        "curve": [132, "secp521r1"],
        "curve verified here": True,
        "imported": [True, True],
        "rotated": [True, True],
        "versions": 2,
        "listed": ["curve", "mine", "signer"],
        "disabled": False,
        "disabled says": "KeyDisabled",
        "reused": "ObjectIsDeletedButRecoverable",
        "deleted": ["mine"],
        "restored": "mine",
    }


async def test_the_asynchronous_clients_too(world: World, orders: Identity, tmp_path: Path) -> None:
    seen = await run(world, orders, "async", tmp_path, program=CLIENT)
    assert (seen["verified"], seen["deleted"]) == (True, "signer")


async def test_a_key_shows_its_public_half_only(shop: Shop) -> None:
    made = await shop("POST", "keys/Signer/create", {"kty": "EC", "crv": "P-256", "attributes": {"exp": int(NOW) + 9}})
    assert made.status == 200
    version = made.body["key"]["kid"].rpartition("/")[2]
    assert set(made.body["key"]) == {"kid", "kty", "key_ops", "crv", "x", "y"}
    assert made.body["key"]["kid"] == f"https://kv-shop.vault.azure.net/keys/Signer/{version}"
    assert made.body["attributes"] == {
        "enabled": True,
        "exp": int(NOW) + 9,
        "created": int(NOW),
        "updated": int(NOW),
        "recoveryLevel": "Recoverable+Purgeable",
        "recoverableDays": 90,
    }
    for path in ("keys/signer", "keys/Signer/", f"keys/SIGNER/{version}"):
        assert (await shop("GET", path)).body == made.body
    listed = (await shop("GET", "keys")).body["value"]
    assert listed == [{"kid": "https://kv-shop.vault.azure.net/keys/Signer", "attributes": made.body["attributes"]}]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        pytest.param({"kty": "RSA", "key_size": 1024}, 400, "1024", id="small"),
        pytest.param({"kty": "RSA", "key_size": 10_000_000}, 400, "10000000", id="huge"),
        pytest.param({"kty": "RSA", "public_exponent": 4}, 400, "exponent", id="exponent"),
        pytest.param({"kty": "EC", "crv": "P-1"}, 400, "P-1", id="curve"),
        pytest.param({"kty": "oct"}, 400, "oct", id="symmetric"),
        pytest.param({"kty": "RSA", "key_ops": ["fly"]}, 400, "fly", id="operation"),
        pytest.param({"kty": "RSA", "attributes": {"nbf": 9, "exp": 5}}, 400, "nbf", id="lifetime"),
        pytest.param({"kty": "RSA", "release_policy": {}}, 501, "release", id="release"),
        pytest.param({"kty": "RSA-HSM"}, 501, "hardware", id="hardware"),
        pytest.param({}, 400, "kty", id="nothing"),
        pytest.param([], 400, "body", id="a-list"),
    ],
)
async def test_what_makes_no_key_is_refused_and_stores_nothing(shop: Shop, body: Any, status: int, says: str) -> None:
    reply = await shop("POST", "keys/a/create", body)
    assert reply.status == status
    assert says in reply.message
    assert (await shop("GET", "keys")).body["value"] == []


async def test_a_key_is_used_for_what_it_is_for_and_while_it_is_valid(shop: Shop) -> None:
    use = {"alg": "ES256", "value": DIGEST}

    async def code(name: str, operation: str, body: Any) -> str:
        reply = await shop("POST", f"keys/{name}/{operation}", body)
        return "" if reply.status == 200 else reply.body["error"].get("innererror", {}).get("code") or reply.code

    await shop("POST", "keys/a/create", {"kty": "EC", "key_ops": ["verify"]})
    assert await code("a", "sign", use) == "KeyOperationForbidden"
    await shop("PATCH", "keys/a", {"key_ops": ["sign", "verify"]})
    assert await code("a", "sign", use) == ""
    signed = (await shop("POST", "keys/a/sign", use)).body["value"]
    await shop("PATCH", "keys/a", {"attributes": {"nbf": int(NOW) + 60}})
    assert await code("a", "sign", use) == "KeyNotYetValid"
    await shop("PATCH", "keys/a", {"attributes": {"nbf": 0, "exp": int(NOW)}})
    assert await code("a", "sign", use) == "KeyExpired"
    check = {"alg": "ES256", "digest": DIGEST, "value": signed}
    assert (await shop("POST", "keys/a/verify", check)).body == {"value": True}
    assert (await shop("POST", "keys/a/verify", {**check, "value": "AAAA"})).body == {"value": False}
    await shop("PATCH", "keys/a", {"attributes": {"enabled": False}})
    assert await code("a", "verify", check) == "KeyDisabled"
    assert await code("missing", "sign", use) == "KeyNotFound"


@pytest.mark.parametrize(
    ("use", "body", "says"),
    [
        ("sign", {"alg": "RS256", "value": DIGEST}, "RS256"),
        ("sign", {"alg": "ES384", "value": DIGEST}, "ES384"),
        ("sign", {"alg": "ES256", "value": "AAAA"}, "32"),
        ("sign", {"alg": "ES256", "value": "*"}, "base64url"),
        ("sign", {"alg": "ES256", "value": "A" * 5_000}, "too long"),
        ("sign", {"alg": "none", "value": DIGEST}, "none"),
        ("encrypt", {"alg": "RSA-OAEP", "value": "AAAA"}, "RSA-OAEP"),
        ("sign", {}, "alg"),
    ],
)
async def test_a_use_that_does_not_fit_the_key_is_a_bad_parameter(shop: Shop, use: str, body: Any, says: str) -> None:
    await shop("POST", "keys/a/create", {"kty": "EC", "key_ops": ["sign", "encrypt"]})
    reply = await shop("POST", f"keys/a/{use}", body)
    assert (reply.status, reply.code) == (400, "BadParameter")
    assert says in reply.message


async def test_reading_a_key_is_enough_for_what_its_public_half_does(world: World) -> None:
    owner = Shop(world)
    await owner("POST", "keys/a/create", {"kty": "RSA"})
    signed = (await owner("POST", "keys/a/sign", {"alg": "RS256", "value": DIGEST})).body["value"]
    reader = world.identity("reader")
    world.arm.seed.put_role_assignment(owner.vault.id, "Key Vault Reader", reader.principal_id)

    async def status(operation: str, **body: str) -> int:
        return (await world.vault("POST", f"kv-shop/keys/a/{operation}", body, who=reader)).status

    assert await status("verify", alg="RS256", digest=DIGEST, value=signed) == 200
    assert await status("encrypt", alg="RSA-OAEP", value="AAAA") == 200
    assert await status("sign", alg="RS256", value=DIGEST) == 403
    assert await status("decrypt", alg="RSA-OAEP", value="AAAA") == 403


async def test_a_refusal_by_policy_names_keys(world: World) -> None:
    world.arm.seed.put_vault(world.group.id, "kv-shop", rbac=False)
    reply = await world.vault("GET", "kv-shop/keys/a", who=world.identity("orders"))
    assert (reply.status, reply.body["error"]["innererror"]["code"]) == (403, "ForbiddenByPolicy")
    assert "does not have keys get permission on key vault 'kv-shop;" in reply.message


async def test_an_imported_key_works_as_the_one_at_home(shop: Shop, rsa_key: rsa.RSAPrivateKey) -> None:
    given = jwk(rsa_key)
    made = await shop("PUT", "keys/mine", {"key": given})
    assert made.body["key"]["n"] == given["n"]
    sealed = (await shop("POST", "keys/mine/encrypt", {"alg": "RSA-OAEP-256", "value": "AAAA"})).body["value"]
    opened = key_operations.decrypt(rsa_key, "RSA-OAEP-256", key_material.base64url_bytes(sealed))
    assert opened == b"\0\0\0"


@pytest.mark.parametrize("member", ["n", "d", "p"])
async def test_an_imported_key_must_be_whole(shop: Shop, rsa_key: rsa.RSAPrivateKey, member: str) -> None:
    given = jwk(rsa_key)
    for wrong in ({**given, member: "AQAB"}, {**given, member: "?"}):
        reply = await shop("PUT", "keys/mine", {"key": wrong})
        assert (reply.status, reply.code) == (400, "BadParameter"), wrong[member]
    assert (await shop("GET", "keys/mine")).status == 404


async def test_no_private_member_stands_in_the_journal(shop: Shop, rsa_key: rsa.RSAPrivateKey) -> None:
    given = jwk(rsa_key)
    await shop("PUT", "keys/mine", {"key": given})
    await shop("POST", "keys/mine/decrypt", {"alg": "RSA-OAEP", "value": "AAAA"})
    written = repr(shop.world.hops)
    assert given["d"] not in written
    assert given["p"] not in written


# The algorithms by themselves


@pytest.mark.parametrize("name", ["P-256", "P-256K", "P-384", "P-521"])
def test_a_key_pair_survives_its_text_and_its_json(name: str) -> None:
    key = key_material.make(Wanted("EC", curve=name))
    assert key_material.public_members(key_material.opened(key_material.kept(key))) == key_material.public_members(key)
    again = key_material.read(JsonWebKey(**jwk(key)))
    assert key_material.public_members(again) == key_material.public_members(key)
    assert key_material.like(key) == Wanted("EC", curve=name)


def test_an_rsa_key_needs_no_primes_to_be_read(rsa_key: rsa.RSAPrivateKey) -> None:
    members = {name: text for name, text in jwk(rsa_key).items() if name not in ("p", "q")}
    assert key_material.public_members(key_material.read(JsonWebKey(**members))) == key_material.public_members(rsa_key)


@given(
    members=st.fixed_dictionaries(
        {"kty": st.sampled_from(["RSA", "EC", "oct", ""])},
        optional=dict.fromkeys(["n", "e", "d", "p", "q", "x", "y"], st.text("AQab_-?=0", max_size=700))
        | {"crv": st.sampled_from(["P-256", "P-521", "x"])},
    )
)
@settings(max_examples=150, deadline=None)
def test_arbitrary_members_are_refused_and_break_nothing(members: dict[str, str]) -> None:
    with pytest.raises(NotAKey):
        key_material.read(JsonWebKey(**members))


@given(signature=st.binary(max_size=80))
@settings(max_examples=100, deadline=None)
def test_an_arbitrary_signature_is_never_the_keys(signature: bytes) -> None:
    key = ec.derive_private_key(7, ec.SECP256R1())
    assert key_operations.verify(key, "ES256", hashlib.sha256(b"x").digest(), signature) is False


def test_the_curve_of_a_signature_is_the_keys() -> None:
    key = ec.derive_private_key(7, ec.SECP256K1())
    with pytest.raises(CanNot):
        key_operations.sign(key, "ES256", hashlib.sha256(b"x").digest())
    assert len(key_operations.sign(key, "ES256K", hashlib.sha256(b"x").digest())) == 64
