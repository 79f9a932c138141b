"""Tokens explained."""

import pytest

from podpass.tokens import jwt
from podpass.tokens.client import DiscoveryFailed
from podpass.tokens.inspection import explain, kind_of, verify
from podpass.tokens.keys import JwkSet, SigningKey

NOW = 1_800_000_000
ISSUER = "https://issuer.example.test/c1/"
PROJECTED = {
    "aud": ["api://AzureADTokenExchange"],
    "exp": NOW + 3600,
    "iat": NOW,
    "nbf": NOW,
    "iss": ISSUER,
    "sub": "system:serviceaccount:shop:orders",
    "kubernetes.io": {"namespace": "shop", "pod": {"name": "orders-1", "uid": "u"}},
}
ORDINARY = {
    **PROJECTED,
    "aud": ["https://kubernetes.default.svc"],
    "exp": NOW + 31_536_000,
    "kubernetes.io": {"namespace": "shop", "warnafter": NOW + 3607},
}


@pytest.mark.parametrize(
    ("claims", "kind"),
    [
        (PROJECTED, "projected service-account token"),
        (ORDINARY, "ordinary service-account token"),
        ({"tid": "t", "ver": "1.0"}, "Entra access token v1"),
        ({"tid": "t", "ver": "2.0"}, "Entra access token v2"),
        ({"sub": "somebody"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_the_kind_of_a_token_is_told_by_its_claims(claims: dict, kind: str) -> None:
    assert kind_of(claims) == kind


def test_a_projected_token_is_explained(ec_key: SigningKey) -> None:
    token = jwt.sign(PROJECTED, ec_key)
    inspection = explain(token + "\n", NOW + 600)
    assert inspection.header == {"alg": "ES256", "kid": ec_key.kid}
    assert (inspection.lifetime_seconds, inspection.remaining_seconds) == (3600, 3000)
    notes = {claim.name: claim.note for claim in inspection.claims}
    assert notes["exp"] == "expiry: 2027-01-15 09:00:00Z, in 50 min"
    assert notes["iat"].endswith("10 min ago")
    assert all(notes.values())
    assert token.rpartition(".")[2] not in repr(inspection)
    assert any("list of one" in note for note in inspection.notes)


@pytest.mark.parametrize(
    ("changes", "header", "warning"),
    [
        pytest.param({}, {}, "ends with '/'", id="issuer-slash"),
        pytest.param({"exp": NOW - 90_000}, {}, "expired 1 d 1 h ago", id="expired"),
        pytest.param({"nbf": NOW + 61}, {}, "not valid for another 1 min 1 s", id="early"),
        pytest.param({"exp": None}, {}, "has no expiry", id="no-expiry"),
        pytest.param({}, {"alg": "none"}, "algorithm is none", id="alg-none"),
        pytest.param({}, {"alg": "HS256"}, "algorithm is HS256", id="alg-hmac"),
        pytest.param({}, {"kid": ""}, "names no key", id="no-kid"),
        pytest.param({"sub": "system:serviceaccount:shop:orders "}, {}, "white space", id="white-space"),
        pytest.param({"aud": []}, {}, "no audience", id="no-audience"),
        pytest.param({"aud": ["a", "b"]}, {}, "several audiences", id="several-audiences"),
        pytest.param({"iss": "http://x"}, {}, "not https", id="issuer-http"),
    ],
)
def test_what_looks_wrong_is_warned_of(ec_key: SigningKey, changes: dict, header: dict, warning: str) -> None:
    inspection = explain(jwt.sign({**PROJECTED, **changes}, ec_key, header=header), NOW)
    assert any(warning in text for text in inspection.warnings)


def test_a_sound_token_has_no_warnings(ec_key: SigningKey) -> None:
    assert explain(jwt.sign({**PROJECTED, "iss": ISSUER.rstrip("/")}, ec_key), NOW).warnings == ()


class Keys:
    def __init__(self, *keys: SigningKey, failure: str = "") -> None:
        self.keys, self.failure = JwkSet(tuple(key.public for key in keys)), failure

    async def keys_for(self, issuer: str, kid: str) -> JwkSet:
        if self.failure:
            raise DiscoveryFailed(issuer, "discovery", self.failure)
        return self.keys


async def test_verifying_says_why_not(ec_key: SigningKey) -> None:
    token, other = jwt.sign(PROJECTED, ec_key), SigningKey.generate("EC")
    good = await verify(token, ISSUER, Keys(ec_key), now=NOW)
    assert (good.genuine, good.current) == (True, True)
    late = await verify(token, ISSUER, Keys(ec_key), now=NOW + 9999)
    assert (late.genuine, late.current) == (True, False)
    for verdict, reason in (
        (await verify(token, ISSUER[:-1], Keys(ec_key), now=NOW), "issued by"),
        (await verify(token, ISSUER, Keys(other), now=NOW), "no key"),
        (await verify(token, ISSUER, Keys(failure="status 404"), now=NOW), "status 404"),
    ):
        assert not verdict.genuine
        assert reason in verdict.reason
