"""The order of checks: one row for each code, in the order in which they are found."""

import json
import re
import shlex
import uuid
from typing import Any

import pytest

from podpass.problems import CATALOGUE
from podpass.tokens.client import DiscoveryFailed
from podpass.tokens.federation import FederatedCredential
from podpass.tokens.keys import SigningKey
from tests.lab.entra.entra_world import (
    APPLICATION,
    AUDIENCE,
    BARE,
    CREDENTIAL,
    DISABLED,
    IDENTITY,
    ISSUER,
    NOW,
    SUBJECT,
    TENANT,
    World,
)

ZERO = str(uuid.UUID(int=0))
STRANGER = "dddddddd-2222-4333-8444-555555555555"

LADDER = [
    pytest.param({"tenant": ZERO}, 900021, 400, "invalid_request", "is not valid.", id="zero-tenant"),
    pytest.param({"tenant": "no tenant"}, 900023, 400, "invalid_request", "neither a valid DNS name", id="tenant-form"),
    pytest.param({"tenant": "other.example"}, 90002, 400, "invalid_request", "'other.example' not found.", id="tenant"),
    pytest.param({"tenant": "common"}, 900191, 400, "invalid_request", "requires a tenant", id="common"),
    pytest.param({"grant_type": None}, 900144, 400, "invalid_request", "parameter: 'grant_type'.", id="no-grant"),
    pytest.param({"grant_type": "password"}, 70003, 400, "unsupported_grant_type", "'password'", id="grant"),
    pytest.param({"client_id": None}, 900144, 400, "invalid_request", "parameter: 'client_id'.", id="no-client"),
    pytest.param({"scope": None}, 900144, 400, "invalid_request", "parameter: 'scope'.", id="no-scope"),
    pytest.param({"resource": "https://x"}, 901002, 400, "invalid_request", "'resource'", id="resource-at-v2"),
    pytest.param({"scope": "https://vault.azure.net"}, 1002012, 400, "invalid_scope", "/.default", id="no-default"),
    pytest.param({"scope": "a/.default b/.default"}, 70011, 400, "invalid_scope", "more than one", id="two-resources"),
    pytest.param({"scope": "openid profile"}, 1002012, 400, "invalid_scope", "/.default", id="no-resource"),
    pytest.param({"scope": " "}, 70011, 400, "invalid_scope", "well-formed", id="blank-scope"),
    pytest.param({"client_id": ZERO}, 700038, 400, "unauthorized_client", ZERO, id="zero-client"),
    pytest.param({"client_id": STRANGER}, 700016, 400, "unauthorized_client", f"'{STRANGER}'", id="unknown-client"),
    pytest.param({"client_id": DISABLED}, 7000112, 400, "unauthorized_client", "(off) is disabled.", id="disabled"),
    pytest.param(
        {"client_assertion": None, "client_assertion_type": None},
        7000216, 401, "invalid_client", "is required for the 'client_credentials' grant type.", id="no-credential",
    ),
    pytest.param(
        {"client_assertion": None, "client_assertion_type": None, "client_secret": "x"},
        7000215, 401, "invalid_client", "Invalid client secret provided.", id="secret",
    ),
    pytest.param({"client_assertion_type": None}, 7000218, 401, "invalid_client", "must contain", id="no-type"),
    pytest.param({"client_assertion": None}, 7000218, 401, "invalid_client", "must contain", id="no-assertion"),
    pytest.param({"client_assertion_type": "saml2"}, 90013, 400, "invalid_request", "Invalid input", id="type"),
    pytest.param({"client_assertion": "garbage"}, 50027, 400, "invalid_request", "invalid or malformed", id="no-jwt"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "code", "status", "error", "phrase"), LADDER)
async def test_requests_are_refused_before_the_assertion_counts(
    world: World, changes: dict, code: int, status: int, error: str, phrase: str
) -> None:
    reply = await world.ask(**changes)
    assert (reply.code, reply.status, reply.body["error"]) == (code, status, error)
    assert phrase in reply.body["error_description"]


ASSERTIONS = [
    pytest.param({"header": {"alg": "none"}}, 5002730, 400, "none", id="alg-none"),
    pytest.param({"header": {"alg": "HS256"}}, 5002730, 400, "HS256", id="alg-hmac"),
    pytest.param({"iss": IDENTITY}, 700027, 401, "failed signature validation.", id="self-signed"),
    pytest.param(
        {"iss": f"https://sts.windows.net/{TENANT}/", "tid": TENANT}, 700222, 401, "AAD-issued", id="entra-token"
    ),
    pytest.param({"iss": ISSUER[:-1]}, 700211, 401, f"assertion issuer '{ISSUER[:-1]}'.", id="issuer-slash"),
    pytest.param({"iss": "https://x.test"}, 700211, 401, "assertion issuer 'https://x.test'.", id="issuer"),
    pytest.param({"aud": ["other"]}, 700212, 401, "assertion audience 'other'.", id="audience"),
    pytest.param({"sub": SUBJECT + "2"}, 700213, 401, f"assertion subject '{SUBJECT}2'.", id="subject"),
    pytest.param({"sub": SUBJECT.upper()}, 7002138, 401, "case-insensitive comparison would match", id="subject-case"),
    pytest.param({"sub": "x", "aud": "y"}, 700212, 401, "audience 'y'", id="audience-before-subject"),
    pytest.param({"sub": "x", "iss": "y"}, 700211, 401, "issuer 'y'", id="issuer-before-subject"),
    pytest.param({"sub": "x", "exp": 1}, 700213, 401, "subject", id="subject-before-time"),
    pytest.param({"header": {"kid": "gone"}}, 7000272, 401, "identifier gone used to sign", id="unknown-key"),
    pytest.param({"exp": NOW - 300}, 700024, 401, "2027-01-15T07:55:00.0000000Z.", id="expired"),
    pytest.param({"nbf": NOW + 301}, 700024, 401, "assertion valid from 2027-01-15T08:05:01.0000000Z", id="early"),
    pytest.param({"exp": None}, 700024, 401, "(none)", id="no-expiry"),
]


@pytest.mark.parametrize(("changes", "code", "status", "phrase"), ASSERTIONS)
async def test_assertions_are_refused(world: World, changes: dict, code: int, status: int, phrase: str) -> None:
    reply = await world.ask(client_assertion=world.assertion(**changes))
    assert (reply.code, reply.status) == (code, status)
    assert phrase in reply.body["error_description"]


async def test_no_credentials_at_all(world: World) -> None:
    reply = await world.ask(client_id=BARE)
    assert (reply.code, reply.status) == (70025, 401)
    assert (
        f"The client '{BARE}'(bare) has no configured federated identity credentials."
        in (reply.body["error_description"])
    )


async def test_a_signature_by_another_key_of_the_same_kid(world: World, stray_key: SigningKey) -> None:
    forged = world.assertion(key=stray_key, header={"kid": world.cluster_key.kid})
    assert (await world.ask(client_assertion=forged)).code == 700027


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (DiscoveryFailed(ISSUER, "discovery", "status 404"), 50166),
        (DiscoveryFailed(ISSUER, "keys", "no answer within 10 seconds"), 50166),
        (DiscoveryFailed(ISSUER, "discovery", "the document lacks jwks_uri", missing="jwks_uri"), 70024),
    ],
)
async def test_keys_that_cannot_be_had(world: World, failure: DiscoveryFailed, code: int) -> None:
    world.issuers.failure = failure
    reply = await world.ask()
    assert (reply.code, reply.status, reply.body["error"]) == (code, 400, "invalid_request")
    assert "error_uri" not in reply.body


@pytest.mark.parametrize(
    ("changes", "verb", "name"),
    [
        pytest.param({"iss": ISSUER[:-1]}, "update", CREDENTIAL.name, id="issuer-slash"),
        pytest.param({"sub": SUBJECT.upper()}, "update", CREDENTIAL.name, id="letter-case"),
        pytest.param({"sub": SUBJECT + "2"}, "create", "shop-orders2-", id="another-subject"),
    ],
)
async def test_the_remedy_for_an_application_is_its_own_command(
    world: World, changes: dict, verb: str, name: str
) -> None:
    await world.ask(client_id=APPLICATION, client_assertion=world.assertion(**changes))
    hop = world.hops[-1]
    command = shlex.split(CATALOGUE[hop.problem].remedy_for(**hop.decision))
    assert command[:7] == ["az", "ad", "app", "federated-credential", verb, "--id", APPLICATION]
    trust = json.loads(command[command.index("--parameters") + 1])
    assert trust["name"].startswith(name)
    assert (trust["issuer"], trust["subject"]) == (changes.get("iss", ISSUER), changes.get("sub", SUBJECT))


@pytest.mark.parametrize("issuer", ["http://issuer.example.test/", "https://127.0.0.1:6443/", ISSUER + "?a=b"])
async def test_issuers_that_cannot_be_federated_with(world: World, issuer: str) -> None:
    world.directory.put_credential(TENANT, IDENTITY, FederatedCredential("c2", issuer, SUBJECT, (AUDIENCE,)))
    assert (await world.ask(client_assertion=world.assertion(iss=issuer))).code == 70022


async def test_the_resource_is_looked_at_last(world: World) -> None:
    unknown = "https://nothing.example.test/.default"
    reply = await world.ask(scope=unknown)
    assert (reply.code, reply.status, reply.body["error"]) == (500011, 400, "invalid_resource")
    assert "named https://nothing.example.test was not found in the tenant" in reply.body["error_description"]
    assert (await world.ask(scope=unknown, client_assertion=world.assertion(exp=1))).code == 700024


async def test_a_resource_with_two_slashes_too_many_is_unknown(world: World) -> None:
    assert (await world.ask(scope="https://vault.azure.net///.default")).code == 500011


async def test_es256_is_accepted_only_when_asked_for(world: World, signing: Any, cluster_key: SigningKey) -> None:
    key = SigningKey.generate("EC")
    assertion = world.assertion(key=key)
    assert (await world.ask(client_assertion=assertion)).code == 5002730
    lenient = World(signing, key, algorithms=frozenset({"RS256", "ES256"}))
    assert (await lenient.ask(client_assertion=assertion)).status == 200
    lenient.store.close()


async def test_one_account_may_be_trusted_by_many_identities(world: World) -> None:
    for client_id in (IDENTITY, APPLICATION):
        assert (await world.ask(client_id=client_id)).status == 200


async def test_of_several_credentials_any_may_match(world: World) -> None:
    second = FederatedCredential("second", ISSUER, "system:serviceaccount:shop:second", (AUDIENCE,))
    world.directory.put_credential(TENANT, IDENTITY, second)
    assert (await world.ask(client_assertion=world.assertion(sub=second.subject))).status == 200
    assert (await world.ask(client_assertion=world.assertion(aud=["x", AUDIENCE]))).status == 200


async def test_tenants_and_clients_are_found_in_any_letter_case(world: World) -> None:
    assert (await world.ask(tenant="LAB.example", client_id=IDENTITY.upper())).status == 200


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"iss": ISSUER[:-1]}, "PP201", id="issuer-slash"),
        pytest.param({"iss": "https://x.test"}, "PP202", id="issuer"),
        pytest.param({"aud": ["other"]}, "PP203", id="audience"),
        pytest.param({"sub": "system:serviceaccount:shop:cart"}, "PP204", id="subject"),
        pytest.param({"sub": SUBJECT.upper()}, "PP205", id="subject-case"),
        pytest.param({"exp": 1}, "PP207", id="expired"),
        pytest.param({"header": {"kid": "gone"}}, "PP209", id="unknown-key"),
    ],
)
async def test_a_refusal_is_journalled_with_a_remedy_that_can_be_run(world: World, changes: dict, problem: str) -> None:
    reply = await world.ask(client_assertion=world.assertion(**changes))
    hop = world.hops[-1]
    assert (hop.whom, hop.outcome, hop.problem) == ("entra", "refused", problem)
    assert hop.wire == f"AADSTS{reply.code}" == reply.body["error_description"].partition(":")[0]
    assert hop.what == "token for https://vault.azure.net/.default"
    assert hop.who == changes.get("sub", SUBJECT)
    entry = CATALOGUE[problem]
    for text in (entry.cause_for(**hop.decision), entry.remedy_for(**hop.decision)):
        assert not re.search(r"\{\w+\}", text), text


async def test_remedies_of_other_refusals_can_be_run(world: World, stray_key: SigningKey) -> None:
    world.issuers.failure = DiscoveryFailed(ISSUER, "keys", "status 404")
    await world.ask()
    world.issuers.failure = None
    await world.ask(client_id=STRANGER)
    await world.ask(tenant="other.example")
    await world.ask(client_assertion="garbage")
    await world.ask(scope="api://nothing/.default")
    await world.ask(client_assertion=world.assertion(key=stray_key, header={"kid": world.cluster_key.kid}))
    world.directory.delete_credential(TENANT, IDENTITY, CREDENTIAL.name)
    await world.ask()
    assert [hop.problem for hop in world.hops] == ["PP208", "PP212", "PP213", "PP211", "PP214", "PP210", "PP206"]
    for hop in world.hops:
        entry = CATALOGUE[hop.problem]
        for text in (entry.cause_for(**hop.decision), entry.remedy_for(**hop.decision)):
            assert not re.search(r"\{\w+\}", text), text


async def test_the_remedy_for_a_trailing_slash_is_this_command(world: World) -> None:
    await world.ask(client_assertion=world.assertion(iss=ISSUER[:-1]))
    hop = world.hops[-1]
    assert CATALOGUE["PP201"].remedy_for(**hop.decision) == (
        "az identity federated-credential update --name orders-cred --identity-name orders --resource-group shop-rg"
        f" --issuer {ISSUER[:-1]} --subject {SUBJECT} --audiences {AUDIENCE}"
    )
    assert "issuer decided" in hop.why
    assert "only by the slash at the end" in hop.why
    rows = {row["claim"]: row for row in hop.decision["compared"]}
    assert rows["issuer"] == {
        "claim": "issuer", "token": [ISSUER[:-1]], "credential": [ISSUER], "equal": False, "how": "trailing-slash",
    }  # fmt: skip
    assert rows["subject"]["equal"]
    assert rows["audience"]["equal"]


async def test_claims_cannot_smuggle_a_command_into_a_remedy(world: World) -> None:
    await world.ask(client_assertion=world.assertion(sub="x; rm -rf ~ $(id) 'y'"))
    remedy = CATALOGUE["PP204"].remedy_for(**world.hops[-1].decision)
    assert """--subject 'x; rm -rf ~ $(id) '"'"'y'"'"'' --audiences""" in remedy


async def test_a_new_credential_gets_a_legal_name_of_its_own(world: World) -> None:
    await world.ask(client_assertion=world.assertion(sub="system:serviceaccount:Shop.x:cart_y"))
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9-_]{2,119}", world.hops[-1].decision["new_credential"])


async def test_neither_journal_nor_answer_holds_the_assertion(world: World) -> None:
    for changes in ({}, {"iss": "x"}, {"exp": 1}, {"header": {"kid": "gone"}}):
        assertion = world.assertion(**changes)
        reply = await world.ask(client_assertion=assertion, client_id=IDENTITY)
        kept = str(world.store.connection.execute("SELECT body FROM journal").fetchall())
        for part in assertion.split("."):
            assert part not in kept
            assert part not in str(reply.body)
        assert reply.body.get("access_token", "no token") not in kept
