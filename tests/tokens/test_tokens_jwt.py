"""Tokens: signing, decoding within bounds, verifying with an allow-list."""

import base64
import contextlib
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk
from joserfc import jwt as peer

from podpass.tokens import jwt
from podpass.tokens.keys import JwkSet, PublicKey, SigningKey

CLAIMS = {"iss": "https://issuer.example.test/", "sub": "system:serviceaccount:shop:orders", "exp": 2_000_000_000}


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def keys_of(*keys: SigningKey) -> JwkSet:
    return JwkSet(tuple(key.public for key in keys))


def test_header_of_a_service_account_token_is_algorithm_and_kid_only(rsa_key: SigningKey) -> None:
    assert jwt.decode(jwt.sign(CLAIMS, rsa_key)).header == {"alg": "RS256", "kid": rsa_key.kid}


def test_what_is_signed_verifies_here_and_in_another_library(rsa_key: SigningKey, ec_key: SigningKey) -> None:
    for key in (rsa_key, ec_key):
        token = jwt.sign(CLAIMS, key, header={"typ": "JWT"})
        assert jwt.verify_signature(token, keys_of(key), algorithms=jwt.ASYMMETRIC).claims == CLAIMS
        theirs = peer.decode(token, jwk.import_key(key.public.to_jwk()), algorithms=[key.algorithm])
        assert theirs.claims == CLAIMS


def test_tokens_of_another_library_verify_here(rsa_key: SigningKey) -> None:
    theirs = jwk.RSAKey.import_key(rsa_key.to_pem())
    token = peer.encode({"alg": "RS256", "kid": rsa_key.kid}, CLAIMS, theirs)
    assert jwt.verify_signature(token, keys_of(rsa_key)).claims == CLAIMS


def test_a_token_shows_neither_signature_nor_what_is_signed(rsa_key: SigningKey) -> None:
    token = jwt.sign(CLAIMS, rsa_key)
    shown = repr(jwt.decode(token))
    assert token.rpartition(".")[2] not in shown
    assert "signature" not in shown


def test_a_changed_claim_breaks_the_signature(rsa_key: SigningKey) -> None:
    header, _, signature = jwt.sign(CLAIMS, rsa_key).split(".")
    with pytest.raises(jwt.BadSignature):
        jwt.verify_signature(f"{header}.{part({**CLAIMS, 'sub': 'admin'})}.{signature}", keys_of(rsa_key))


def test_a_key_of_the_same_kid_does_not_pass_for_the_other(rsa_key: SigningKey, other_rsa_key: SigningKey) -> None:
    impostor = JwkSet((PublicKey.of(other_rsa_key.private_key.public_key(), kid=rsa_key.kid),))
    with pytest.raises(jwt.BadSignature):
        jwt.verify_signature(jwt.sign(CLAIMS, rsa_key), impostor)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256", "HS512", "PS256", "RS1", "ES256", "rs256", ""])
def test_only_the_allowed_algorithms_pass(rsa_key: SigningKey, algorithm: str) -> None:
    token = f"{part({'alg': algorithm, 'kid': rsa_key.kid})}.{part(CLAIMS)}."
    with pytest.raises((jwt.AlgorithmNotAllowed, jwt.Malformed)):
        jwt.verify_signature(token, keys_of(rsa_key))


def test_hmac_with_the_public_key_as_secret_is_refused(rsa_key: SigningKey) -> None:
    signed = f"{part({'alg': 'HS256', 'kid': rsa_key.kid})}.{part(CLAIMS)}"
    for secret in (rsa_key.public.to_pem(), rsa_key.public.spki):
        signature = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        with pytest.raises(jwt.AlgorithmNotAllowed):
            jwt.verify_signature(f"{signed}.{part(signature)}", keys_of(rsa_key))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "PS256"])
def test_no_caller_can_allow_what_is_never_accepted(rsa_key: SigningKey, algorithm: str) -> None:
    with pytest.raises(ValueError, match="never accepted"):
        jwt.verify_signature(jwt.sign(CLAIMS, rsa_key), keys_of(rsa_key), algorithms=frozenset({algorithm}))


def test_a_key_is_never_used_for_another_algorithm(rsa_key: SigningKey, ec_key: SigningKey) -> None:
    token = f"{part({'alg': 'ES256', 'kid': rsa_key.kid})}.{part(CLAIMS)}.{part(b'0' * 64)}"
    with pytest.raises(jwt.AlgorithmNotAllowed):
        jwt.verify_signature(token, keys_of(rsa_key, ec_key), algorithms=jwt.ASYMMETRIC)


@pytest.mark.parametrize("kid", ["../../etc/passwd", "https://evil.example/keys", "' OR 1=1 --", "other"])
def test_kid_only_looks_a_key_up(rsa_key: SigningKey, kid: str) -> None:
    token = jwt.sign(CLAIMS, rsa_key, header={"kid": kid})
    with pytest.raises(jwt.UnknownKey) as caught:
        jwt.verify_signature(token, keys_of(rsa_key))
    assert caught.value.kid == kid


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
def test_a_key_brought_along_in_the_header_is_ignored(
    rsa_key: SigningKey, other_rsa_key: SigningKey, member: str
) -> None:
    extra = {"kid": rsa_key.kid, member: other_rsa_key.public.to_jwk()}
    with pytest.raises(jwt.BadSignature):
        jwt.verify_signature(jwt.sign(CLAIMS, other_rsa_key, header=extra), keys_of(rsa_key))


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("abc", id="one-part"),
        pytest.param("a.b", id="two-parts"),
        pytest.param("a.b.c.d", id="four-parts"),
        pytest.param("a.b.c.d.e", id="encrypted"),
        pytest.param("é.é.é", id="not-ascii"),
        pytest.param(f"{part({'alg': 'RS256'})}=.{part({})}.", id="padding"),
        pytest.param(f"{part({'alg': 'RS256'})}.{part({})}.a+/b", id="standard-base64"),
        pytest.param(f"{part({'alg': 'RS256'})}\n.{part({})}.", id="newline"),
        pytest.param(f"{part(b'{')}.{part({})}.", id="header-not-json"),
        pytest.param(f"{part([])}.{part({})}.", id="header-not-an-object"),
        pytest.param(f"{part({})}.{part({})}.", id="no-algorithm"),
        pytest.param(f"{part({'alg': 7})}.{part({})}.", id="algorithm-not-text"),
        pytest.param(f"{part({'alg': 'RS256', 'kid': 7})}.{part({})}.", id="kid-not-text"),
        pytest.param(f"{part({'alg': 'RS256', 'kid': 'k' * 300})}.{part({})}.", id="kid-too-long"),
        pytest.param(f"{part({'alg': 'RS256', 'crit': ['b64'], 'b64': False})}.{part({})}.", id="crit"),
        pytest.param(f"{part({'alg': 'RS256'})}.{part(b'7')}.", id="claims-not-an-object"),
        pytest.param(f"{part({'alg': 'RS256'})}.{part(bytes([255, 254]))}.", id="claims-not-utf8"),
        pytest.param(f"{part({'alg': 'RS256'})}.{part(b'[' * 9000)}.", id="nested-without-end"),
        pytest.param(f"{part({'alg': 'RS256'})}.{part({'a': [[[[[[[[1]]]]]]]]})}.", id="nested-too-deep"),
    ],
)
def test_what_is_no_token_is_malformed(token: str) -> None:
    with pytest.raises(jwt.Malformed):
        jwt.decode(token)


def test_brackets_in_a_text_are_not_nesting() -> None:
    claims = {"note": "{[" * 100, "a": {"b": {"c": 1}}}
    assert jwt.decode(f"{part({'alg': 'RS256'})}.{part(claims)}.").claims == claims


@pytest.mark.parametrize("claims", [{f"c{number}": number for number in range(10_000)}, {"blob": "x" * 1_048_576}])
def test_an_oversized_token_is_refused_before_it_is_read(claims: dict) -> None:
    with pytest.raises(jwt.Malformed, match="longer"):
        jwt.decode(f"{part({'alg': 'RS256'})}.{part(claims)}.")


def test_many_claims_are_refused_even_in_a_short_token() -> None:
    claims = {f"{number:x}": 0 for number in range(1000)}
    with pytest.raises(jwt.Malformed, match="members"):
        jwt.decode(f"{part({'alg': 'RS256'})}.{part(claims)}.")
    nested = {"a": {f"{number:x}": 0 for number in range(300)}}
    with pytest.raises(jwt.Malformed, match="members"):
        jwt.decode(f"{part({'alg': 'RS256'})}.{part(nested)}.")


@given(st.text(max_size=400))
def test_decoding_any_text_gives_a_token_or_malformed(text: str) -> None:
    with contextlib.suppress(jwt.Malformed):
        jwt.decode(text)


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=80))
def test_decoding_any_three_parts_gives_a_token_or_malformed(header: bytes, claims: bytes, signature: bytes) -> None:
    with contextlib.suppress(jwt.Malformed):
        jwt.decode(f"{part(header)}.{part(claims)}.{part(signature)}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=10), json_values, max_size=6))
def test_claims_survive_signing_or_are_beyond_the_bounds(ec_key: SigningKey, claims: dict) -> None:
    try:
        token = jwt.verify_signature(jwt.sign(claims, ec_key), keys_of(ec_key), algorithms=jwt.ASYMMETRIC)
    except jwt.Malformed as error:
        assert "nested" in error.reason
    else:
        assert token.claims == claims


NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("claims", "kind"),
    [
        pytest.param({"exp": NOW + 1}, None, id="current"),
        pytest.param({"exp": NOW - 299}, None, id="expired-within-the-leeway"),
        pytest.param({"exp": NOW - 300}, "expired", id="expired"),
        pytest.param({"exp": NOW + 9, "nbf": NOW + 300}, None, id="early-within-the-leeway"),
        pytest.param({"exp": NOW + 9, "nbf": NOW + 301}, "not-yet-valid", id="nbf-ahead"),
        pytest.param({"exp": NOW + 9, "iat": NOW + 301, "nbf": NOW}, "not-yet-valid", id="iat-ahead"),
        pytest.param({}, "no-expiry", id="no-expiry"),
        pytest.param({"exp": str(NOW + 9)}, "no-expiry", id="expiry-is-text"),
        pytest.param({"exp": True}, "no-expiry", id="expiry-is-a-boolean"),
        pytest.param({"exp": 10**400}, "no-expiry", id="expiry-beyond-numbers"),
        pytest.param({"exp": NOW + 9.5}, None, id="fraction"),
    ],
)
def test_times_are_checked_with_a_leeway_of_five_minutes(claims: dict, kind: str | None) -> None:
    problem = jwt.check_times(claims, now=NOW)
    assert (problem.kind if problem else None) == kind
