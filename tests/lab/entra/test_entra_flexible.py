"""Which claims matching expressions Entra takes, and what a token request makes of flexible credentials."""

import pytest

from podpass.lab.entra.flexible import GivenExpression, Holder, expression_of
from podpass.problems import CATALOGUE
from podpass.tokens import expressions
from podpass.tokens.federation import FederatedCredential
from tests.lab.entra.entra_world import APPLICATION, AUDIENCE, BARE, ISSUER, SUBJECT, TENANT, World

GITHUB, GITLAB, TERRAFORM = (
    "https://token.actions.githubusercontent.com",
    "https://gitlab.com",
    "https://app.terraform.io",
)
REPOSITORY = "claims['repository_id'] eq '1'"
SUB = "claims['sub'] matches 'a*'"


def taken(issuer: str, text: str, holder: Holder = "application", *, version: int = 1, any_issuer: bool = False) -> str:
    """What refuses the expression, or an empty string."""
    found = expression_of(GivenExpression(text, version), issuer, holder, any_issuer=any_issuer)
    return found if isinstance(found, str) else ""


@pytest.mark.parametrize(
    ("issuer", "text"),
    [
        pytest.param(GITHUB, f"{SUB} and {REPOSITORY}", id="github-repository"),
        pytest.param(GITHUB, f"{SUB} and claims['repository_owner_id'] eq '1'", id="github-owner"),
        pytest.param(
            GITHUB, f"{REPOSITORY} and claims['job_workflow_ref'] matches 'b*' and {SUB}", id="github-workflow"
        ),
        pytest.param(GITLAB, SUB, id="gitlab"),
        pytest.param("https://gitlab.example.com", SUB, id="gitlab-com"),
        pytest.param("https://gitlab.eu.example.ca", SUB, id="gitlab-ca"),
        pytest.param(TERRAFORM, "claims['sub'] eq 'a'", id="terraform"),
        pytest.param("https://app.eu.terraform.io", SUB, id="terraform-eu"),
    ],
)
def test_applications_may_match(issuer: str, text: str) -> None:
    assert taken(issuer, text) == ""


@pytest.mark.parametrize(
    ("issuer", "text", "gist"),
    [
        pytest.param(GITHUB, SUB, "lacks all required claims", id="github-without-an-id"),
        pytest.param(GITHUB, REPOSITORY, "lacks all required claims", id="github-without-sub"),
        pytest.param(
            GITHUB, f"{SUB} and claims['repository_id'] matches '1*'", "unallowed", id="github-id-by-wildcard"
        ),
        pytest.param(
            GITHUB, f"{SUB} and {REPOSITORY} and claims['event_name'] eq 'push'", "unallowed", id="event-name"
        ),
        pytest.param(GITLAB, f"{SUB} and claims['ref'] eq 'main'", "unallowed", id="gitlab-other-claim"),
        pytest.param(GITLAB + "/", SUB, "not supported", id="trailing-slash"),
        pytest.param("https://gitlab.example.org", SUB, "not supported", id="gitlab-org"),
        pytest.param("http://gitlab.com", SUB, "not supported", id="no-https"),
        pytest.param(ISSUER, SUB, "not supported", id="kubernetes"),
        pytest.param(
            GITLAB, "sub eq 'a'", "a term begins with claims['NAME'] and one space, at position 0.", id="syntax"
        ),
    ],
)
def test_applications_may_not_match(issuer: str, text: str, gist: str) -> None:
    refusal = taken(issuer, text)
    assert refusal.startswith(
        "The FederatedIdentityCredential.ClaimsMatchingExpression.Value is invalid. Rule exception:"
    )
    assert gist in refusal


def test_there_is_one_language_version() -> None:
    assert "LanguageVersion is invalid" in taken(GITLAB, SUB, version=2)


def test_managed_identities_can_trust_gitlab_but_not_github() -> None:
    assert taken(GITLAB, SUB, "managed-identity") == ""
    assert "lacks all required claims" in taken(GITHUB, SUB, "managed-identity")
    assert "unallowed" in taken(GITHUB, f"{SUB} and {REPOSITORY}", "managed-identity")


def test_a_lab_may_allow_any_issuer_to_be_matched_by_subject() -> None:
    assert taken(ISSUER, "claims['sub'] matches 'system:serviceaccount:*:app'", any_issuer=True) == ""
    assert "unallowed" in taken(ISSUER, "claims['namespace'] eq 'a'", any_issuer=True)
    assert "lacks all required claims" in taken(GITHUB, SUB, any_issuer=True)


def flexible(name: str, text: str, issuer: str = ISSUER) -> FederatedCredential:
    expression = expressions.parse(text)
    assert isinstance(expression, expressions.Expression)
    return FederatedCredential(name, issuer, "", (AUDIENCE,), expression)


async def test_an_expression_trusts_every_subject_it_accepts(world: World) -> None:
    world.directory.put_credential(
        TENANT, BARE, flexible("shop", "claims['sub'] matches 'system:serviceaccount:*:app'")
    )
    for namespace in ("shop", "billing"):
        subject = f"system:serviceaccount:{namespace}:app"
        reply = await world.ask(client_id=BARE, client_assertion=world.assertion(sub=subject))
        assert reply.status == 200, reply.body
    hop = world.hops[-1]
    assert "flexible federated credential shop" in hop.why
    assert hop.decision["compared"][-1] == {
        "claim": "sub",
        "token": ["system:serviceaccount:billing:app"],
        "credential": ["claims['sub'] matches 'system:serviceaccount:*:app'"],
        "equal": True,
    }


async def test_a_token_that_no_expression_accepts_is_refused_with_a_code_of_its_own(world: World) -> None:
    expression = "claims['sub'] matches 'system:serviceaccount:*:app' and claims['ref'] eq 'main'"
    world.directory.put_credential(TENANT, APPLICATION, flexible("shop", expression))
    reply = await world.ask(client_id=APPLICATION, client_assertion=world.assertion(sub=SUBJECT + "2"))
    assert (reply.code, reply.status, reply.body["error"]) == (7002131, 401, "invalid_client")
    phrase = f"assertion subject '{SUBJECT}2' or no federated identity credential expression matched."
    assert phrase in reply.body["error_description"]
    hop = world.hops[-1]
    assert (hop.problem, hop.wire) == ("PP216", CATALOGUE["PP216"].wire)
    assert hop.decision["differs"] == ["expression"]
    assert hop.decision["credential_expression"] == expression
    assert [(row["claim"], row.get("how")) for row in hop.decision["compared"][2:]] == [
        ("sub", "other"),
        ("ref", "missing"),
    ]
    assert "system:serviceaccount:*:app" in CATALOGUE["PP216"].cause_for(**hop.decision)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"iss": ISSUER[:-1]}, 700211, id="issuer"),
        pytest.param({"aud": "other"}, 700212, id="audience"),
        pytest.param({"sub": SUBJECT.upper()}, 7002138, id="a-classic-one-but-for-letter-case"),
        pytest.param({"sub": SUBJECT}, 0, id="a-classic-one"),
    ],
)
async def test_flexible_and_classic_credentials_stand_beside_each_other(world: World, changes: dict, code: int) -> None:
    world.directory.put_credential(TENANT, APPLICATION, flexible("shop", "claims['sub'] eq 'x'"))
    reply = await world.ask(client_id=APPLICATION, client_assertion=world.assertion(**changes))
    assert (reply.code if code else reply.status) == (code or 200)


async def test_a_missing_subject_matches_no_expression(world: World) -> None:
    world.directory.put_credential(TENANT, BARE, flexible("any", "claims['sub'] matches '*'"))
    assert (await world.ask(client_id=BARE, client_assertion=world.assertion(sub=None))).code == 7002131
