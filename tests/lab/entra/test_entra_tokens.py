"""What a granted request gets, and who the services of the lab then see."""

import uuid

import pytest

from podpass.imds.errors import ImdsError
from podpass.imds.responses import IssuedToken
from podpass.lab.clock import LabClock
from podpass.lab.entra.access import AccessTokens, Caller, Refusal
from podpass.tokens import jwt
from podpass.tokens.federation import FederatedCredential
from podpass.tokens.keys import JwkSet, SigningKey
from tests.lab.entra.entra_world import (
    API,
    APPLICATION,
    AUDIENCE,
    BARE,
    CREDENTIAL,
    DISABLED,
    IDENTITY,
    IDENTITY_OBJECT,
    ISSUER,
    NOW,
    SUBJECT,
    TENANT,
    VAULT,
    World,
)

AUTHORITY = "https://login.microsoftonline.com"


async def access_token(world: World, **changes: str | None) -> jwt.Token:
    reply = await world.ask(**changes)
    assert reply.status == 200, reply.body
    return jwt.verify_signature(reply.body["access_token"], world.entra.keys)


async def test_an_application_gets_an_hour(world: World) -> None:
    reply = await world.ask(client_id=APPLICATION)
    body = {name: value for name, value in reply.body.items() if name != "access_token"}
    assert body == {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599}
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.headers["cache-control"] == "no-store, no-cache"
    assert reply.headers["pragma"] == "no-cache"
    uuid.UUID(reply.headers["x-ms-request-id"])


async def test_a_managed_identity_gets_a_day_and_is_told_when_to_renew(world: World) -> None:
    body = (await world.ask()).body
    assert (body["expires_in"], body["ext_expires_in"], body["refresh_in"]) == (86399, 86399, 43199)


async def test_at_the_v1_endpoint_every_member_is_a_string(world: World) -> None:
    reply = await world.ask(version=1, scope=None, resource="https://management.azure.com/", client_id=APPLICATION)
    body = {name: value for name, value in reply.body.items() if name != "access_token"}
    assert body == {
        "token_type": "Bearer",
        "expires_in": "3599",
        "ext_expires_in": "3599",
        "expires_on": str(NOW + 3600),
        "not_before": str(NOW - 300),
        "resource": "https://management.azure.com/",
    }


async def test_the_claims_of_a_v1_access_token(world: World) -> None:
    token = await access_token(world)
    kid = world.signing.signing.key.kid
    assert token.header == {"typ": "JWT", "alg": "RS256", "x5t": kid, "kid": kid}
    claims = token.claims
    assert {name: claims[name] for name in claims if name not in ("aio", "rh", "uti")} == {
        "aud": "https://vault.azure.net",
        "iss": f"https://sts.windows.net/{TENANT}/",
        "iat": NOW - 300,
        "nbf": NOW - 300,
        "exp": NOW + 86400,
        "appid": IDENTITY,
        "appidacr": "2",
        "idp": f"https://sts.windows.net/{TENANT}/",
        "idtyp": "app",
        "oid": IDENTITY_OBJECT,
        "sub": IDENTITY_OBJECT,
        "tid": TENANT,
        "ver": "1.0",
        "xms_mirid": "/subscriptions/s1/resourcegroups/shop-rg/providers/Microsoft.ManagedIdentity"
        "/userAssignedIdentities/orders",
    }
    assert len(claims["uti"]) == 22


async def test_no_two_tokens_are_alike(world: World) -> None:
    tokens = [await access_token(world) for _ in range(3)]
    assert len({token.claims["uti"] for token in tokens}) == 3


async def test_an_application_that_asks_for_v2_tokens_is_named_by_its_client_id(world: World) -> None:
    for scope in ("api://orders-api/.default", f"{API}/.default"):
        token = await access_token(world, scope=scope)
        assert token.header == {"typ": "JWT", "alg": "RS256", "kid": world.signing.signing.key.kid}
        claims = token.claims
        assert (claims["ver"], claims["aud"]) == ("2.0", API)
        assert claims["iss"] == f"{AUTHORITY}/{TENANT}/v2.0"
        assert (claims["azp"], claims["azpacr"]) == (IDENTITY, "2")
        assert "appid" not in claims


@pytest.mark.parametrize(
    ("scope", "audience"),
    [
        ("https://vault.azure.net/.default", "https://vault.azure.net"),
        ("https://management.core.windows.net//.default", "https://management.core.windows.net/"),
        ("https://management.azure.com/.default", "https://management.azure.com"),
        ("https://graph.microsoft.com/.default", "https://graph.microsoft.com"),
        (
            "https://storage.azure.com/.default https://storage.azure.com/user_impersonation",
            "https://storage.azure.com",
        ),
        # As MSAL for Go asks.
        ("https://vault.azure.net/.default openid offline_access profile", "https://vault.azure.net"),
    ],
)
async def test_the_audience_is_the_scope_without_default(world: World, scope: str, audience: str) -> None:
    assert (await access_token(world, scope=scope)).claims["aud"] == audience


async def test_unknown_parameters_are_ignored(world: World) -> None:
    assert (await world.ask(client_info="1", claims='{"access_token":{}}')).status == 200


async def test_a_grant_is_journalled_with_the_claims_compared(world: World) -> None:
    await world.ask()
    hop = world.hops[-1]
    assert (hop.who, hop.whom, hop.what, hop.outcome) == (SUBJECT, "entra", f"token for {VAULT}", "granted")
    assert (hop.wire, hop.problem) == ("", "")
    assert [row["equal"] for row in hop.decision["compared"]] == [True, True, True]
    assert hop.decision["credential"] == "orders-cred"
    assert hop.decision["issued"].startswith("sha256:")


async def test_changed_credentials_stay_unseen_for_the_delay(world: World) -> None:
    credential = world.directory.credentials(TENANT, IDENTITY)[0]
    world.clock.advance(3600)
    world.directory.delete_credential(TENANT, IDENTITY, credential.name)
    fresh = world.assertion(exp=NOW + 9000)
    assert (await world.ask(client_assertion=fresh)).code == 70025
    world.faults.propagation_delay_seconds = 60
    assert (await world.ask(client_assertion=fresh)).status == 200
    world.clock.advance(61)
    assert (await world.ask(client_assertion=fresh)).code == 70025
    world.directory.put_credential(TENANT, IDENTITY, credential)
    assert (await world.ask(client_assertion=fresh)).code == 70025
    world.clock.advance(60)
    assert (await world.ask(client_assertion=fresh)).status == 200


async def test_a_miss_stays_for_a_while_when_that_is_asked_for(world: World) -> None:
    async def code(subject: str) -> int:
        reply = await world.ask(client_id=BARE, client_assertion=world.assertion(sub=subject, exp=NOW + 9000))
        return 0 if reply.status == 200 else reply.code

    def trust(subject: str) -> None:
        world.directory.put_credential(
            TENANT, BARE, FederatedCredential(f"for-{subject}", ISSUER, subject, (AUDIENCE,))
        )

    world.faults.negative_cache_seconds = 120
    assert await code("a") == 70025
    trust("a")
    world.clock.advance(119)
    assert await code("a") == 70025, "asking early makes it worse"
    world.clock.advance(1)
    assert await code("a") == 0
    assert await code("b") == 700213
    trust("b")
    assert await code("b") == 700213
    assert await code("a") == 0, "what is seen is seen"
    world.faults.negative_cache_seconds = 0
    assert await code("b") == 0


async def test_a_new_credential_is_seen_after_both_delays(world: World) -> None:
    world.faults.propagation_delay_seconds, world.faults.negative_cache_seconds = 30, 60
    world.directory.put_credential(TENANT, BARE, CREDENTIAL)

    async def status() -> int:
        return (await world.ask(client_id=BARE, client_assertion=world.assertion(exp=NOW + 9000))).status

    world.clock.advance(29)
    assert await status() == 401
    assert (world.hops[-1].problem, world.hops[-1].decision["credential"]) == ("PP218", CREDENTIAL.name)
    world.clock.advance(59)
    assert await status() == 401
    world.clock.advance(1)
    assert await status() == 200


async def test_an_unreachable_issuer_is_a_fault_that_can_be_set(world: World) -> None:
    world.faults.issuer_unreachable = True
    assert (await world.ask()).code == 50166
    fetched, refused = world.hops
    assert (fetched.who, fetched.whom, fetched.outcome, fetched.problem) == ("entra", "issuer", "failed", "PP208")
    assert refused.problem == "PP208"
    world.faults.issuer_unreachable = False
    assert (await world.ask()).status == 200


@pytest.fixture
def reader(world: World) -> AccessTokens:
    return world.entra.access_tokens


async def bearer(world: World, **changes: str | None) -> str:
    return "Bearer " + (await world.ask(**changes)).body["access_token"]


async def test_a_service_sees_who_calls(world: World, reader: AccessTokens) -> None:
    caller = reader.authenticate(await bearer(world), audiences=["https://vault.azure.net/"])
    assert isinstance(caller, Caller)
    assert (caller.object_id, caller.client_id, caller.tenant_id) == (IDENTITY_OBJECT, IDENTITY, TENANT)
    assert caller.resource_id.endswith("/userAssignedIdentities/orders")
    assert str(caller) == f"client {IDENTITY}"
    v2 = reader.authenticate(await bearer(world, scope=f"{API}/.default"), audiences=[API], tenant_id=TENANT)
    assert isinstance(v2, Caller)
    assert v2.client_id == IDENTITY


async def test_a_token_for_another_service_is_refused(world: World, reader: AccessTokens) -> None:
    refusal = reader.authenticate(await bearer(world), audiences=["https://management.azure.com/"])
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.found) == ("audience", "https://vault.azure.net")


async def test_a_token_of_another_tenant_is_refused(world: World, reader: AccessTokens) -> None:
    other = "11111111-0000-4333-8444-555555555555"
    refusal = reader.authenticate(await bearer(world), audiences=["https://vault.azure.net"], tenant_id=other)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "issuer"


async def test_a_token_expires_with_the_lab_clock(world: World, reader: AccessTokens) -> None:
    header = await bearer(world, client_id=APPLICATION)
    world.clock.advance(3600 + 299)
    assert isinstance(reader.authenticate(header, audiences=["https://vault.azure.net"]), Caller)
    world.clock.advance(1)
    refusal = reader.authenticate(header, audiences=["https://vault.azure.net"])
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.message) == ("expired", "The access token expired 300 seconds ago.")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "missing"),
        ("", "missing"),
        ("Basic dXNlcjpwYXNz", "malformed"),
        ("Bearer", "malformed"),
        ("Bearer nonsense", "malformed"),
        ("Bearer " + "x" * 100_000, "malformed"),
    ],
)
def test_headers_that_say_nothing(world: World, reader: AccessTokens, header: str | None, code: str) -> None:
    refusal = reader.authenticate(header, audiences=["https://vault.azure.net"])
    assert isinstance(refusal, Refusal)
    assert refusal.code == code


def test_tokens_that_this_authority_did_not_sign(signing: object, stray_key: SigningKey, world: World) -> None:
    claims = {"tid": TENANT, "aud": "a", "exp": NOW + 60, "iss": f"https://sts.windows.net/{TENANT}/"}
    reader = world.entra.access_tokens
    for token in (
        jwt.sign(claims, stray_key),
        jwt.sign(claims, stray_key, header={"kid": world.signing.signing.key.kid}),
        jwt.sign(claims, stray_key, header={"kid": world.signing.signing.key.kid, "alg": "none"}),
        world.assertion(),
    ):
        refusal = reader.authenticate(f"Bearer {token}", audiences=["a"])
        assert isinstance(refusal, Refusal)
        assert refusal.code == "bad-signature"


def test_an_issuer_must_be_the_tenants_own(stray_key: SigningKey) -> None:
    reader = AccessTokens(lambda: JwkSet((stray_key.public,)), LabClock(source=lambda: NOW), AUTHORITY)
    for issuer, tid in (("https://evil.example/", TENANT), (f"https://sts.windows.net/{TENANT}/", ""), ("", "")):
        token = jwt.sign({"iss": issuer, "tid": tid, "aud": "a", "exp": NOW + 60}, stray_key)
        refusal = reader.authenticate(f"Bearer {token}", audiences=["a"])
        assert isinstance(refusal, Refusal)
        assert refusal.code == "issuer"


def test_the_platform_vouches_for_a_managed_identity(world: World) -> None:
    issued = world.entra.issue(TENANT, IDENTITY_OBJECT, "https://vault.azure.net")
    assert isinstance(issued, IssuedToken)
    claims = jwt.verify_signature(issued.access_token, world.entra.keys).claims
    assert (claims["oid"], claims["aud"], claims["appidacr"]) == (IDENTITY_OBJECT, "https://vault.azure.net", "2")
    assert claims["xms_mirid"].endswith("/userAssignedIdentities/orders")
    assert (issued.client_id, issued.not_before, issued.expires_on) == (IDENTITY, claims["nbf"], claims["exp"])


@pytest.mark.parametrize(
    ("principal", "resource", "text"),
    [
        ("nobody", "https://vault.azure.net", "Identity not found"),
        (DISABLED[::-1], "https://vault.azure.net", "Identity not found"),
        (IDENTITY_OBJECT, "api://nothing", "AADSTS500011: The resource principal named api://nothing"),
    ],
)
def test_the_platform_vouches_for_nobody_else(world: World, principal: str, resource: str, text: str) -> None:
    refused = world.entra.issue(TENANT, principal, resource)
    assert isinstance(refused, ImdsError)
    assert refused.description.startswith(text)
