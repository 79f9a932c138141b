"""Secrets and certificates of applications: which one counts, and why not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from podpass.lab.entra.client_credentials import (
    ClientCertificate,
    ClientSecret,
    NotProven,
    certificate_of,
    check_certificate,
    check_secret,
    digest_of,
)
from podpass.tokens import jwt
from podpass.tokens.encoding import to_base64url

NOW = 1_800_000_000.0
CLIENT = "88888888-2222-4333-8444-555555555555"
ENDPOINT = "https://login.microsoftonline.com/t/oauth2/v2.0/token"


def secret(text: str, starts: float = NOW - 10, ends: float = NOW + 10) -> ClientSecret:
    return ClientSecret(key_id=text, digest=digest_of(text), hint="", display_name=None, starts=starts, ends=ends)


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        pytest.param([secret("a")], "a", id="the-one"),
        pytest.param([secret("b"), secret("a")], "a", id="among-others"),
        pytest.param([], 7000215, id="none"),
        pytest.param([secret("b")], 7000215, id="another"),
        pytest.param([secret("A")], 7000215, id="letter-case"),
        pytest.param([secret("a", ends=NOW)], 7000222, id="expired"),
        pytest.param([secret("a", starts=NOW + 1)], 7000222, id="not-yet-valid"),
        pytest.param([secret("a", ends=NOW - 1), secret("a")], "a", id="expired-and-renewed"),
    ],
)
def test_a_secret_counts_while_it_is_valid(kept: list[ClientSecret], expected: Any) -> None:
    found = check_secret("a", kept, now=NOW)
    assert (found.code if isinstance(found, NotProven) else found.key_id) == expected


def test_a_secret_shows_nothing_of_itself() -> None:
    assert digest_of("hidden") not in repr(secret("hidden")).replace("key_id='hidden'", "")


class Certified:
    """A key with its certificate, and assertions that it signs."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.kept = ClientCertificate(
            key_id="k", der=certificate(self.key), display_name=None, starts=NOW - 10, ends=NOW + 10
        )

    def assertion(self, algorithm: str = "RS256", header: dict[str, Any] | None = None, **claims: Any) -> jwt.Token:
        given = {"alg": algorithm, "x5t": self.kept.thumbprints[0]} if header is None else header
        told = {"iss": CLIENT, "sub": CLIENT, "aud": ENDPOINT, "exp": NOW + 60, **claims}
        signed = ".".join(to_base64url(jwt.msgspec.json.encode(part)) for part in (given, told))
        hashed = hashes.SHA256()
        how: Any = padding.PSS(padding.MGF1(hashed), 32) if algorithm == "PS256" else padding.PKCS1v15()
        return jwt.decode(f"{signed}.{to_base64url(self.key.sign(signed.encode(), how, hashed))}")


def certificate(key: Any) -> bytes:
    name = x509.Name.from_rfc4514_string("CN=orders")
    start = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.DER)


@pytest.fixture(scope="module")
def certified() -> Certified:
    return Certified()


def outcome(token: jwt.Token, *kept: ClientCertificate, now: float = NOW) -> int:
    found = check_certificate(token, kept, client_id=CLIENT, audiences=[ENDPOINT], now=now)
    return found.code if isinstance(found, NotProven) else 0


def test_a_certificate_is_found_by_either_thumbprint(certified: Certified) -> None:
    sha1, sha256 = certified.kept.thumbprints
    for algorithm, header in (
        ("RS256", {"alg": "RS256", "x5t": sha1}),
        ("PS256", {"alg": "PS256", "x5t#S256": sha256}),
        ("RS256", {"alg": "RS256", "kid": certified.kept.sha1.hex().upper()}),
    ):
        assert outcome(certified.assertion(algorithm, header), certified.kept) == 0
    assert outcome(certified.assertion(header={"alg": "RS256"}), certified.kept) == 700027
    assert outcome(certified.assertion(header={"alg": "RS256", "x5t": ""}), certified.kept) == 700027
    assert outcome(certified.assertion()) == 700027


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"sub": "somebody"}, 700021),
        ({"aud": "https://elsewhere.example"}, 700023),
        ({"aud": ["https://elsewhere.example", ENDPOINT]}, 0),
        ({"sub": CLIENT.upper()}, 0),
    ],
)
def test_an_assertion_is_about_its_client_and_for_this_endpoint(
    certified: Certified, claims: dict[str, Any], code: int
) -> None:
    assert outcome(certified.assertion(**claims), certified.kept) == code


def test_another_keys_signature_does_not_count(certified: Certified) -> None:
    other = Certified()
    token = other.assertion(header={"alg": "RS256", "x5t": certified.kept.thumbprints[0]})
    assert outcome(token, certified.kept) == 700027
    # The algorithm in the header is the one that is verified.
    token = certified.assertion("RS256", {"alg": "PS256", "x5t": certified.kept.thumbprints[0]})
    assert outcome(token, certified.kept) == 700027


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256", "RS512"])
def test_only_two_algorithms_count(certified: Certified, algorithm: str) -> None:
    token = certified.assertion(header={"alg": algorithm, "x5t": certified.kept.thumbprints[0]})
    assert outcome(token, certified.kept) == 5002730


def test_a_certificate_counts_while_it_is_valid(certified: Certified) -> None:
    for now in (NOW - 11, NOW + 10):
        assert outcome(certified.assertion(), certified.kept, now=now) == 700027


def test_only_rsa_certificates_are_taken() -> None:
    for der, why in (
        (certificate(ec.generate_private_key(ec.SECP256R1())), "RSA"),
        (b"", "parsing"),
        (b"0", "parsing"),
    ):
        with pytest.raises(ValueError, match=why):
            certificate_of(der)
