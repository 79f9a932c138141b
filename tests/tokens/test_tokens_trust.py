"""What matches and misses mean to a person."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.problems import CATALOGUE
from podpass.tokens import trust
from podpass.tokens.federation import FederatedCredential, NearMiss, match

CREDENTIAL = FederatedCredential("orders", "https://i.test/c/", "system:serviceaccount:shop:orders", ("aud",))
CLAIMS = {"iss": CREDENTIAL.issuer, "sub": CREDENTIAL.subject, "aud": ["aud"]}


@pytest.mark.parametrize(
    ("changes", "problem", "wire"),
    [
        pytest.param({"iss": "https://i.test/c"}, "PP201", "AADSTS700211", id="issuer-slash"),
        pytest.param({"iss": "https://I.test/c/"}, "PP202", "AADSTS700211", id="issuer"),
        pytest.param({"aud": "b"}, "PP203", "AADSTS700212", id="audience"),
        pytest.param({"sub": "b"}, "PP204", "AADSTS700213", id="subject"),
        pytest.param({"sub": CREDENTIAL.subject.upper()}, "PP205", "AADSTS7002138", id="subject-case"),
    ],
)
def test_each_miss_has_its_problem(changes: dict, problem: str, wire: str) -> None:
    near = match({**CLAIMS, **changes}, [CREDENTIAL])
    assert trust.problem_of(near) == problem
    assert CATALOGUE[problem].wire == wire
    assert isinstance(near, NearMiss)
    assert trust.sentence(near).startswith(f"The {near.deciding.claim} decided")


def test_a_match_is_no_problem_and_nothing_to_match_is_one() -> None:
    assert trust.problem_of(match(CLAIMS, [CREDENTIAL])) == ""
    assert trust.problem_of(match(CLAIMS, [])) == "PP206"


@given(st.text(max_size=200), st.text(max_size=50))
def test_the_new_credentials_name_is_legal(subject: str, issuer: str) -> None:
    for name in (subject, f"system:serviceaccount:{subject}:x"):
        named = trust.new_credential_name({"sub": name, "iss": issuer})
        assert re.fullmatch(r"[a-zA-Z0-9]{1}[a-zA-Z0-9-_]{2,119}", named)


def test_the_new_credentials_name_belongs_to_issuer_and_subject() -> None:
    one, other = trust.new_credential_name(CLAIMS), trust.new_credential_name({**CLAIMS, "iss": "https://j.test/"})
    assert one.startswith("shop-orders-")
    assert other.startswith("shop-orders-")
    assert one != other


def test_what_a_token_does_not_say_is_left_out() -> None:
    assert "namespace" not in trust.claim_values({"sub": "somebody"})
    assert "new_credential" not in trust.claim_values({})
    pod = {"kubernetes.io": {"pod": {"name": "orders-1"}}}
    assert trust.claim_values({**CLAIMS, **pod}) == {
        "issuer": CREDENTIAL.issuer,
        "subject": CREDENTIAL.subject,
        "audience": "aud",
        "discovery_url": "https://i.test/c/.well-known/openid-configuration",
        "new_credential": trust.new_credential_name(CLAIMS),
        "namespace": "shop",
        "service_account": "orders",
        "pod": "orders-1",
    }
