"""What an application itself may sign in with: a secret, or a certificate whose key signs an assertion.

Of a secret only a digest is kept. Of a certificate the lab has the public half alone.
Contract: azure workload identity, sections 5.6 and 5.7; RFC 7523.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from podpass.tokens import claims as read
from podpass.tokens.encoding import to_base64url
from podpass.tokens.jwt import Token

ALGORITHMS = ("RS256", "PS256")
"""Of assertions that a certificate's key signs. MSAL uses the first with a SHA-1 thumbprint, else the second."""

Holder = Literal["application", "servicePrincipal"]
"""The object in Graph that a credential was added to; either one signs the same client in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecret:
    """A password of an application. Times are seconds since the epoch."""

    key_id: str
    digest: str = field(repr=False)
    """SHA-256 of the secret, in hex. It is random and long, so no slow hash is needed."""
    hint: str
    """Its first three characters, which Graph shows."""
    display_name: str | None
    starts: float
    ends: float
    holder: Holder = "application"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """A certificate of an application. Times are seconds since the epoch."""

    key_id: str
    der: bytes = field(repr=False)
    display_name: str | None
    starts: float
    ends: float
    holder: Holder = "application"

    @property
    def sha1(self) -> bytes:
        return hashlib.sha1(self.der, usedforsecurity=False).digest()

    @property
    def thumbprints(self) -> tuple[str, str]:
        """As the headers x5t and x5t#S256 write them."""
        return to_base64url(self.sha1), to_base64url(hashlib.sha256(self.der).digest())


@dataclass(frozen=True, slots=True)
class Platform:
    """Azure itself vouches for the client: it runs on the machine that holds the identity."""


@dataclass(frozen=True, slots=True)
class NotProven:
    """Why a secret or certificate does not count: the AADSTS code and the sentence's own values."""

    code: int
    reason: str = ""
    kid: str = ""


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def check_secret(given: str, secrets: Iterable[ClientSecret], *, now: float) -> ClientSecret | NotProven:
    """The secret that *given* is. One that has expired is told apart, as the real service does."""
    digest = digest_of(given)
    expired = False
    for secret in secrets:
        if hmac.compare_digest(secret.digest, digest):
            if secret.starts <= now < secret.ends:
                return secret
            expired = True
    return NotProven(7000222 if expired else 7000215)


def check_certificate(
    token: Token, certificates: Iterable[ClientCertificate], *, client_id: str, audiences: Iterable[str], now: float
) -> ClientCertificate | NotProven:
    """The certificate whose key signed *token*, an assertion that the application made of itself.

    Its own lifetime is the caller's to check, as it is for every other assertion.
    """
    # MSAL for Python pads thumbprints, which RFC 7515 does not.
    given = tuple(read.text(token.header, name).rstrip("=") for name in ("x5t", "x5t#S256"))
    named = given[1] or given[0] or token.kid
    found = next(
        (
            one
            for one in certificates
            if any(mine and mine == theirs for mine, theirs in zip(given, one.thumbprints, strict=True))
            or (token.kid and token.kid.lower() == one.sha1.hex())
        ),
        None,
    )
    if found is None:
        return NotProven(700027, f"The application has no certificate with the thumbprint '{named[:64]}'", named[:64])
    if not found.starts <= now < found.ends:
        return NotProven(700027, "The certificate is not within its valid time range", named[:64])
    if token.algorithm not in ALGORITHMS:
        return NotProven(5002730)
    if read.subject(token.claims).lower() != client_id:
        return NotProven(700021)
    if not set(read.audiences(token.claims)) & set(audiences):
        return NotProven(700023)
    if not _signed(token, found.der):
        return NotProven(700027, "The certificate's key did not make this signature", named[:64])
    return found


def certificate_of(der: bytes) -> x509.Certificate:
    """Raises ValueError for what is no certificate, or one whose key can't sign an assertion."""
    certificate = x509.load_der_x509_certificate(der)
    if not isinstance(certificate.public_key(), rsa.RSAPublicKey):
        raise ValueError("the certificate's key must be RSA")
    return certificate


def lifetime_of(certificate: x509.Certificate) -> tuple[float, float]:
    """From when and until when it is valid, in seconds since the epoch."""
    return certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()


def _signed(token: Token, der: bytes) -> bool:
    key = certificate_of(der).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    hashed = hashes.SHA256()
    how = padding.PSS(padding.MGF1(hashed), hashed.digest_size) if token.algorithm == "PS256" else padding.PKCS1v15()
    try:
        key.verify(token.signature, token.signed, how, hashed)
    except InvalidSignature:
        return False
    return True
