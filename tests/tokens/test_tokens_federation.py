"""A token against federated credentials."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.tokens.federation import FederatedCredential, Match, NearMiss, match

ISSUER = "https://issuer.example.test/c1/"
SUBJECT = "system:serviceaccount:shop:orders"
AUDIENCE = "api://AzureADTokenExchange"
CREDENTIAL = FederatedCredential("orders", ISSUER, SUBJECT, (AUDIENCE,))


def claims(**changes: object) -> dict:
    return {"iss": ISSUER, "sub": SUBJECT, "aud": [AUDIENCE], **changes}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="audience-list-of-one"),
        pytest.param({"aud": AUDIENCE}, id="audience-text"),
        pytest.param({"aud": ["x", AUDIENCE]}, id="audience-one-of-several"),
    ],
)
def test_a_token_matches(changes: dict) -> None:
    assert match(claims(**changes), [CREDENTIAL]) == Match(CREDENTIAL)


@pytest.mark.parametrize(
    ("changes", "differs", "kind"),
    [
        pytest.param({"iss": ISSUER.rstrip("/")}, ("issuer",), "trailing-slash", id="issuer-trailing-slash"),
        pytest.param({"iss": ISSUER + "/"}, ("issuer",), "trailing-slash", id="issuer-two-slashes"),
        pytest.param({"iss": ISSUER.upper()}, ("issuer",), "letter-case", id="issuer-letter-case"),
        pytest.param({"iss": f" {ISSUER}"}, ("issuer",), "white-space", id="issuer-white-space"),
        pytest.param({"iss": "https://other.example.test/"}, ("issuer",), "other", id="issuer-other"),
        pytest.param({"iss": None}, ("issuer",), "missing", id="issuer-missing"),
        pytest.param({"iss": [ISSUER]}, ("issuer",), "missing", id="issuer-a-list"),
        pytest.param({"aud": "api://azureadtokenexchange"}, ("audience",), "letter-case", id="audience-letter-case"),
        pytest.param({"aud": ["x", "y"]}, ("audience",), "other", id="audience-other"),
        pytest.param({"aud": []}, ("audience",), "missing", id="audience-empty"),
        pytest.param({"sub": SUBJECT.upper()}, ("subject",), "letter-case", id="subject-letter-case"),
        pytest.param({"sub": SUBJECT + " "}, ("subject",), "white-space", id="subject-white-space"),
        pytest.param({"sub": "system:serviceaccount:shop:*"}, ("subject",), "other", id="subject-other"),
        pytest.param({"sub": "a", "aud": "b"}, ("audience", "subject"), "other", id="audience-before-subject"),
        pytest.param({"sub": "a", "iss": "b"}, ("issuer", "subject"), "other", id="issuer-before-subject"),
    ],
)
def test_a_near_miss_says_which_claim_differs_and_how(changes: dict, differs: tuple, kind: str) -> None:
    near = match(claims(**changes), [CREDENTIAL])
    assert isinstance(near, NearMiss)
    assert near.differs == differs
    assert near.deciding.kind == kind


def test_without_credentials_there_is_nothing_to_miss() -> None:
    assert match(claims(), []) is None


def test_wildcards_in_a_credential_are_literal() -> None:
    starred = FederatedCredential("any", ISSUER, "system:serviceaccount:shop:*", (AUDIENCE,))
    assert isinstance(match(claims(), [starred]), NearMiss)


def test_a_claim_that_is_missing_matches_no_empty_credential() -> None:
    empty = FederatedCredential("empty", "", "", ("",))
    assert isinstance(match({}, [empty]), NearMiss)
    assert isinstance(match({"iss": "", "sub": "", "aud": ""}, [empty]), NearMiss)


@pytest.mark.parametrize(
    ("others", "closest"),
    [
        pytest.param(
            [("slash", ISSUER[:-1], SUBJECT), ("far", "https://x", SUBJECT)], "slash", id="slash-before-other"
        ),
        pytest.param([("far", "https://x", SUBJECT), ("near", ISSUER, "other")], "near", id="issuer-counts-most"),
        pytest.param([("a", ISSUER, "other"), ("b", ISSUER, SUBJECT.upper())], "b", id="letter-case-before-other"),
        pytest.param([("first", ISSUER, "x"), ("second", ISSUER, "y")], "first", id="first-among-equals"),
    ],
)
def test_the_closest_credential_is_named(others: list, closest: str) -> None:
    near = match(claims(), [FederatedCredential(name, issuer, sub, (AUDIENCE,)) for name, issuer, sub in others])
    assert isinstance(near, NearMiss)
    assert near.credential.name == closest


words = st.text(alphabet="aA/ é*", max_size=4)
credentials = st.builds(FederatedCredential, words, words, words, st.tuples(words))


@given(words, words, words | st.lists(words, max_size=3), st.lists(credentials, max_size=4))
def test_matching_compares_exactly(issuer: str, subject: str, audience: object, offered: list) -> None:
    audiences = [audience] if isinstance(audience, str) else audience
    expected = [
        credential
        for credential in offered
        if issuer
        and subject
        and (credential.issuer, credential.subject) == (issuer, subject)
        and credential.audiences[0] in audiences
        and credential.audiences[0]
    ]
    result = match({"iss": issuer, "sub": subject, "aud": audience}, offered)
    if expected:
        assert result == Match(expected[0])
    elif not offered:
        assert result is None
    else:
        assert isinstance(result, NearMiss)
        assert result.differences
        assert result.credential in offered
