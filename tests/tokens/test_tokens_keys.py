"""Keys, their kids and JWK Sets."""

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwk
from joserfc.errors import JoseError

from podpass.tokens.keys import (
    MAX_KEYS,
    JwkSet,
    PublicKey,
    SigningKey,
    UnusableKey,
    kubernetes_kid,
    public_keys_from_pem,
)

EC_SPKI = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEl4s9eyFwJ3GXOOcCFAqUZ4qQECtGjUzopT6ON/E+MEwPGi7gMQYNIAJVD7Sr7T/aF9vhrpdk3WYB6"
    "GVZy3GBaQ=="
)
RSA_SPKI = (
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAyGzIguz8/0GXn205ScUC2izX4EAcjZDNkh2YTVWqSQvBJUVQlHizEqvyCL3AG96s7251"
    "889z4YowZBiRdhFamdF1O6VtGklLwV82C81122eB07vKhDNwiHAlbroU6PyGcoTh3UMU11WkRKFEEGgt35w4nWELCB1y9Hxw340/S6I+mCMyFOYY"
    "N+IjDVEPkES7jCviCmA3DWw5XFAAuSGynSsaC8801DOkR8jZZC4ikkQfOS4/bN3T6j6Osc8L4tVuhNjuR+Zma6LbvHE/9BmHj5kNgKoz5PavsaCP"
    "b4nGJd7IidjFsWfopxc28sFrq96w3MmD++Zasjh4Sdy7oK3m1QIDAQAB"
)


def pem(spki: str) -> bytes:
    return f"-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----\n".encode()


@pytest.mark.parametrize(
    ("spki", "kid"),
    [
        pytest.param(EC_SPKI, "I-soeEKKbzeLe2493__w8zcE3DRj94kwJyD3ztmST1w", id="ec"),
        pytest.param(RSA_SPKI, "Z5kUV3GmDShEmValoQLpSjURbVld5DMfn3-2tf3-xCA", id="rsa"),
    ],
)
def test_kid_is_the_hash_of_the_public_key_as_kubernetes_makes_it(spki: str, kid: str) -> None:
    assert kubernetes_kid(base64.b64decode(spki)) == kid
    assert PublicKey.from_pem(pem(spki)).kid == kid


def test_elliptic_curve_jwk_has_the_published_coordinates() -> None:
    assert PublicKey.from_pem(pem(EC_SPKI)).to_jwk() == {
        "use": "sig",
        "kty": "EC",
        "kid": "I-soeEKKbzeLe2493__w8zcE3DRj94kwJyD3ztmST1w",
        "crv": "P-256",
        "alg": "ES256",
        "x": "l4s9eyFwJ3GXOOcCFAqUZ4qQECtGjUzopT6ON_E-MEw",
        "y": "Dxou4DEGDSACVQ-0q-0_2hfb4a6XZN1mAehlWctxgWk",
    }


def test_jwk_members_stand_in_the_order_kubernetes_writes_them(rsa_key: SigningKey) -> None:
    assert list(rsa_key.public.to_jwk({"x5t": "a"})) == ["use", "kty", "kid", "alg", "n", "e", "x5t"]


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_an_elliptic_curve_key_survives_pem_and_jwk(curve: str) -> None:
    key = SigningKey.generate("EC", curve=curve)
    again = SigningKey.from_pem(key.to_pem())
    assert (again.kid, again.algorithm) == (key.kid, key.algorithm)
    public = PublicKey.from_jwk(key.public.to_jwk())
    assert public.verifies(b"data", again.sign(b"data"))
    assert not public.verifies(b"date", again.sign(b"data"))
    assert not public.verifies(b"data", again.sign(b"data")[:-1])


def test_another_library_reads_the_jwk(rsa_key: SigningKey, ec_key: SigningKey) -> None:
    for key in (rsa_key, ec_key):
        try:
            theirs = jwk.import_key(key.public.to_jwk())
        except JoseError as error:  # pragma: no cover - the assertion's message
            pytest.fail(str(error))
        assert theirs.as_pem(private=False) == key.public.to_pem()


def test_a_private_key_shows_only_its_kid(rsa_key: SigningKey) -> None:
    assert repr(rsa_key) == f"SigningKey(kid={rsa_key.kid!r}, algorithm='RS256')"
    assert "key=" not in repr(rsa_key.public)


def test_a_key_of_our_own_is_read_as_any_other_but_not_in_parts_of_two() -> None:
    key, other = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    assert SigningKey.from_pem(pem_of(key), own=True).kid == SigningKey(key).kid
    mine, foreign = key.private_numbers(), other.private_numbers()
    mixed = rsa.RSAPrivateNumbers(
        mine.p, mine.q, foreign.d, foreign.dmp1, mine.dmq1, mine.iqmp, mine.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    for own in (True, False):
        with pytest.raises(UnusableKey):
            SigningKey.from_pem(pem_of(mixed), own=own)
        with pytest.raises(UnusableKey):
            SigningKey.from_pem(b"nothing", own=own)


def pem_of(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_every_block_of_a_pem_file_is_read(rsa_key: SigningKey, ec_key: SigningKey) -> None:
    keys = public_keys_from_pem(rsa_key.to_pem() + b"\n" + ec_key.public.to_pem())
    assert [key.kid for key in keys] == [rsa_key.kid, ec_key.kid]
    with pytest.raises(UnusableKey):
        public_keys_from_pem(b"nothing")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"kty": "oct", "k": "c2VjcmV0"}, id="symmetric"),
        pytest.param({"use": "enc"}, id="for-encryption"),
        pytest.param({"kid": None}, id="no-kid"),
        pytest.param({"kid": 7}, id="kid-not-text"),
        pytest.param({"alg": "HS256"}, id="algorithm-of-another-type"),
        pytest.param({"n": "AQAB"}, id="modulus-too-small"),
        pytest.param({"n": "A" * 4000}, id="modulus-too-big"),
        pytest.param({"n": 5}, id="modulus-not-text"),
        pytest.param({"e": "!"}, id="exponent-not-base64url"),
        pytest.param({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}, id="unknown-curve"),
        pytest.param({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}, id="point-not-on-the-curve"),
    ],
)
def test_keys_that_cannot_be_used_are_skipped(rsa_key: SigningKey, ec_key: SigningKey, change: dict) -> None:
    bad = {**rsa_key.public.to_jwk(), **change}
    assert JwkSet.from_dict({"keys": [bad, "text", ec_key.public.to_jwk()]}).kids == (ec_key.kid,)


@pytest.mark.parametrize("document", [None, [], {"keys": {}}, {"keys": None}, {"keys": [{}] * (MAX_KEYS + 1)}])
def test_what_is_no_short_list_of_keys_is_refused(document: object) -> None:
    with pytest.raises(UnusableKey):
        JwkSet.from_dict(document)


def test_of_two_keys_with_one_kid_the_first_counts(rsa_key: SigningKey, other_rsa_key: SigningKey) -> None:
    second = PublicKey.of(other_rsa_key.private_key.public_key(), kid=rsa_key.kid)
    assert JwkSet((rsa_key.public, second)).get(rsa_key.kid) is rsa_key.public
    assert JwkSet.of((rsa_key.public, second)).keys == (rsa_key.public,)
