"""Continuous access evaluation: what a client says of itself, and what becomes of its tokens when they are revoked."""

import base64
import json
from typing import Any

import pytest

from podpass.lab.entra.access import Caller, Refusal
from podpass.lab.entra.claims_requests import capabilities, challenge
from podpass.tokens import jwt
from tests.lab.entra.entra_world import IDENTITY, IDENTITY_OBJECT, NOW, TENANT, World

VAULT_AUDIENCE = "https://vault.azure.net"
CP1 = '{"access_token": {"xms_cc": {"values": ["CP1"]}}}'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param(CP1, ("CP1",), id="what-az-sends"),
        pytest.param('{"access_token":{"nbf":{"value":"1"},"xms_cc":{"values":["CP1"]}}}', ("CP1",), id="both"),
        pytest.param('{"access_token":{"nbf":{"essential":true,"value":"1"}}}', (), id="a-challenge-alone"),
        pytest.param("{}", (), id="nothing"),
        pytest.param('{"id_token":{"acr":null}}', (), id="another-token"),
        pytest.param("x", None, id="no-json"),
        pytest.param("[]", None, id="a-list"),
        pytest.param('{"access_token":{"xms_cc":{"values":"CP1"}}}', None, id="values-as-text"),
        pytest.param('{"access_token":{"xms_cc":{"values":[1]}}}', None, id="values-as-numbers"),
        pytest.param(json.dumps({"access_token": {"xms_cc": {"values": ["a"] * 17}}}), None, id="too-many"),
        pytest.param("[" * 10_000, None, id="deep"),
        pytest.param("\ud800", None, id="no-unicode"),
    ],
)  # fmt: skip
def test_a_claims_parameter_names_capabilities(text: str, named: tuple[str, ...] | None) -> None:
    assert capabilities(text) == named


async def token(world: World, claims: str | None = CP1) -> str:
    reply = await world.ask(claims=claims)
    assert reply.status == 200, reply.body
    return str(reply.body["access_token"])


def read(world: World, text: str) -> Caller | Refusal:
    return world.entra.access_tokens.authenticate(f"Bearer {text}", audiences=[VAULT_AUDIENCE])


def revoke(world: World) -> int:
    application = world.directory.application(TENANT, IDENTITY)
    assert application is not None
    return world.entra.revoke_tokens(application)


async def test_a_token_says_what_its_client_can(world: World) -> None:
    assert jwt.decode(await token(world)).claims["xms_cc"] == ["CP1"]
    assert "xms_cc" not in jwt.decode(await token(world, None)).claims


async def test_a_claims_parameter_that_cannot_be_read_is_refused(world: World) -> None:
    reply = await world.ask(claims="x")
    assert (reply.status, reply.code, reply.body["error"]) == (400, 9002313, "invalid_request")


async def test_a_revoked_token_is_challenged_and_the_next_one_is_good(world: World) -> None:
    before = await token(world)
    assert isinstance(read(world, before), Caller)
    since = revoke(world)
    refusal = read(world, before)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.caller and refusal.caller.object_id) == ("revoked", IDENTITY_OBJECT)
    asked: Any = json.loads(base64.b64decode(refusal.claims))
    assert asked == {"access_token": {"nbf": {"essential": True, "value": str(since)}}}
    merged = json.dumps({"access_token": {**asked["access_token"], "xms_cc": {"values": ["CP1"]}}})
    after = await token(world, merged)
    assert jwt.decode(after).claims["nbf"] >= since
    assert isinstance(read(world, after), Caller)


async def test_a_second_revocation_within_the_same_second_counts_too(world: World) -> None:
    revoke(world)
    between = await token(world)
    revoke(world)
    assert isinstance(read(world, between), Refusal)
    assert isinstance(read(world, await token(world)), Caller)


async def test_a_client_that_cannot_answer_keeps_its_token(world: World) -> None:
    before = await token(world, None)
    revoke(world)
    assert isinstance(read(world, before), Caller)


async def test_a_token_of_long_after_is_backdated_as_ever(world: World) -> None:
    revoke(world)
    world.clock.advance(3600)
    assert jwt.decode(await token(world)).claims["iat"] == NOW + 3300


async def test_a_revocation_goes_with_its_application(world: World) -> None:
    revoke(world)
    assert world.directory.revoked(TENANT, IDENTITY_OBJECT) == NOW
    world.directory.delete_application(TENANT, IDENTITY)
    assert world.directory.revoked(TENANT, IDENTITY_OBJECT) == 0


def test_a_challenge_is_base64_as_the_clients_decode_it() -> None:
    assert base64.b64decode(challenge(1604106651)) == (
        b'{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}'
    )
