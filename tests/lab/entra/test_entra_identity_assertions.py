"""Applications that trust a managed identity: its token is their assertion."""

from dataclasses import replace

import pytest

from podpass.imds.responses import IssuedToken
from podpass.lab.entra.resources import EXCHANGE_ID
from podpass.tokens import jwt
from podpass.tokens.federation import FederatedCredential
from podpass.tokens.keys import SigningKey
from tests.lab.entra.entra_world import APPLICATION, AUDIENCE, BARE, IDENTITY, IDENTITY_OBJECT, TENANT, World

ISSUER = f"https://login.microsoftonline.com/{TENANT}/v2.0"
TRUST = FederatedCredential("orders-identity", ISSUER, IDENTITY_OBJECT, (AUDIENCE,))


def issued(world: World, resource: str = AUDIENCE) -> str:
    """What the metadata service gives the machine that holds the identity."""
    found = world.entra.issue(TENANT, IDENTITY_OBJECT, resource)
    assert isinstance(found, IssuedToken)
    return found.access_token


async def test_an_application_signs_in_with_the_token_of_an_identity_it_trusts(world: World) -> None:
    world.directory.put_credential(TENANT, BARE, TRUST)
    assertion = issued(world)
    claims = jwt.verify_signature(assertion, world.entra.keys).claims
    assert (claims["iss"], claims["aud"], claims["sub"], claims["ver"]) == (ISSUER, EXCHANGE_ID, IDENTITY_OBJECT, "2.0")
    reply = await world.ask(client_id=BARE, client_assertion=assertion)
    assert reply.status == 200, reply.body
    granted = jwt.verify_signature(reply.body["access_token"], world.entra.keys).claims
    assert (granted["appid"], granted["appidacr"]) == (BARE, "2")
    assert "orders-identity" in world.hops[-1].why
    assert [hop.whom for hop in world.hops] == ["entra"], "no issuer is fetched for the authority's own keys"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"subject": IDENTITY}, 7002137, id="client-id-for-object-id"),
        pytest.param({"issuer": f"https://sts.windows.net/{TENANT}/"}, 7000227, id="v1-issuer"),
        pytest.param({"audiences": (EXCHANGE_ID,)}, 7000227, id="exchange-by-its-id"),
    ],
)
async def test_credentials_that_name_the_identity_wrongly(world: World, changes: dict, code: int) -> None:
    world.directory.put_credential(TENANT, BARE, replace(TRUST, **changes))
    reply = await world.ask(client_id=BARE, client_assertion=issued(world))
    assert (reply.status, reply.code, reply.body["error"]) == (401, code, "invalid_client")


async def test_an_application_without_credentials_trusts_no_identity(world: World) -> None:
    reply = await world.ask(client_id=BARE, client_assertion=issued(world))
    assert (reply.status, reply.code, world.hops[-1].problem) == (401, 7000226, "PP206")
    assert f"found on application ({BARE})" in reply.body["error_description"]


async def test_a_token_for_another_resource_is_no_assertion(world: World) -> None:
    world.directory.put_credential(TENANT, BARE, TRUST)
    reply = await world.ask(client_id=BARE, client_assertion=issued(world, "https://vault.azure.net"))
    assert reply.code == 7000227


async def test_tokens_of_others_than_identities_are_refused(world: World, stray_key: SigningKey) -> None:
    world.directory.put_credential(TENANT, BARE, TRUST)
    of_application = await world.ask(client_id=APPLICATION, scope=f"{AUDIENCE}/.default")
    assert (await world.ask(client_id=BARE, client_assertion=of_application.body["access_token"])).code == 700222
    claims = jwt.decode(issued(world)).claims
    about_a_user = jwt.sign({**claims, "idtyp": "user", "scp": "user_impersonation"}, stray_key)
    assert (await world.ask(client_id=BARE, client_assertion=about_a_user)).code == 700229
    forged = jwt.sign(claims, stray_key, header={"kid": world.signing.signing.key.kid})
    assert (await world.ask(client_id=BARE, client_assertion=forged)).code == 700027


async def test_an_identity_trusts_no_other_identity(world: World) -> None:
    world.directory.put_credential(TENANT, IDENTITY, TRUST)
    assert (await world.ask(client_assertion=issued(world))).code == 700222
