"""The authority's signing keys: one signs, one is published to follow it, and those before it stay for a while.

A client that keeps the published keys knows the next one before it is used, so a rotation passes it unnoticed; a token
is good for as long as it says, because the key that signed it leaves only when the last of its tokens has expired.
All are kept in one file, replaced as a whole, so that tokens outlive a restart and a rotation is done or not.

Each key has a self-signed certificate, because its `kid` is the certificate's SHA-1 thumbprint.
Contract: azure workload identity, section 5.4.
"""

import asyncio
import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from podpass.lab.clock import Clock, rfc3339
from podpass.lab.private_files import replace_file
from podpass.tokens import jwt
from podpass.tokens.encoding import to_base64url
from podpass.tokens.keys import JwkSet, PublicKey, SigningKey, UnusableKey

FILE_NAME = "entra-keys.json"
KEPT_SECONDS = 86_400 + jwt.LEEWAY_SECONDS
"""How long a key that signs no more is published and accepted: the longest life of an access token, and the leeway."""

_SUBJECT = "accounts.accesscontrol.windows.net"
_VALID = timedelta(days=5 * 365)


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """The public half of a key, with its certificate."""

    key: PublicKey
    certificate: bytes
    """DER."""

    def to_jwk(self) -> dict[str, object]:
        """The key as the authority publishes it; v2.0 documents add `issuer`."""
        jwk = self.key.to_jwk()
        return {
            "kty": "RSA",
            "use": "sig",
            "kid": self.key.kid,
            "x5t": self.key.kid,
            "n": jwk["n"],
            "e": jwk["e"],
            "x5c": [base64.b64encode(self.certificate).decode()],
            "cloud_instance_name": "microsoftonline.com",
        }


class SigningIdentity:
    """A key that signs access tokens, with its certificate and the headers of what it signs."""

    def __init__(self, key: SigningKey, certificate: bytes) -> None:
        self.key = key
        self.published = PublishedKey(key.public, certificate)
        self.header_v1 = jwt.encoded_header(key, {"typ": "JWT", "x5t": key.kid})
        self.header_v2 = jwt.encoded_header(key, {"typ": "JWT"})

    @classmethod
    def make(cls) -> "SigningIdentity":
        """A new one; making an RSA key takes some 100 ms."""
        key = SigningKey.generate("RSA")
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _SUBJECT)])
        # The certificate only gives the key its name; nobody checks its dates, so the machine's clock will do.
        start = datetime.now(UTC) - timedelta(days=1)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public.key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + _VALID)
            .sign(key.private_key, hashes.SHA256())
        )
        return cls.from_pem((key.to_pem() + certificate.public_bytes(serialization.Encoding.PEM)).decode())

    @classmethod
    def from_pem(cls, pem: str) -> "SigningIdentity":
        der = _certificate(pem)
        return cls(SigningKey.from_pem(pem.encode(), kid=thumbprint(der), own=True), der)

    def to_pem(self) -> str:
        return self.key.to_pem().decode() + _pem(self.published.certificate)


@dataclass(frozen=True, slots=True)
class OlderKey:
    """A key that signs no more."""

    published: PublishedKey
    until: float
    """When it leaves, in seconds since the epoch."""


class SigningKeys:
    """The keys as they are now. Readers always see a whole set.

    *file* keeps them; without one nothing is kept.
    """

    def __init__(
        self,
        file: Path | None,
        clock: Clock,
        signing: SigningIdentity,
        upcoming: SigningIdentity,
        older: tuple[OlderKey, ...] = (),
    ) -> None:
        self._file, self._clock = file, clock
        self._change(signing, upcoming, older)

    @classmethod
    async def open(cls, directory: Path, clock: Clock) -> "SigningKeys":
        """Read the keys in *directory*, or make them there, in a thread. Raises OSError, UnusableKey."""
        return await asyncio.to_thread(cls.load_or_create, directory, clock)

    @classmethod
    def load_or_create(cls, directory: Path, clock: Clock) -> "SigningKeys":
        """As open, blocking."""
        file = directory / FILE_NAME
        try:
            return cls._read(file, clock, file.read_bytes())
        except FileNotFoundError:
            with ThreadPoolExecutor(2) as pool:
                signing, upcoming = pool.map(lambda _: SigningIdentity.make(), range(2))
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = cls(file, clock, signing, upcoming)
        made._keep(signing, upcoming, ())
        return made

    @property
    def signing(self) -> SigningIdentity:
        return self._signing

    @property
    def published(self) -> tuple[PublishedKey, ...]:
        """What the authority publishes, the signing key first. The same object until it changes."""
        self._retire()
        return self._published

    @property
    def accepted(self) -> JwkSet:
        """The keys by which access tokens are believed: all that are published."""
        self._retire()
        return self._accepted

    async def rotate(self, *, withdraw: bool = False) -> None:
        """Sign with the key that was published to follow, and publish a new one to follow that.

        The keys before stay until the last of their tokens has expired; with *withdraw* they leave at once, and every
        token that they signed is refused. Raises OSError when the change can't be kept; then nothing has changed.
        """
        new = await asyncio.to_thread(SigningIdentity.make)
        leaving = OlderKey(self._signing.published, self._clock.now() + KEPT_SECONDS)
        older = () if withdraw else (leaving, *self._standing())
        self._keep(self._upcoming, new, older)
        self._change(self._upcoming, new, older)

    def described(self) -> list[dict[str, Any]]:
        """Each key's `kid` and what it is for: signing, next, or older, with the time until which it stays."""
        return [
            {"kid": self._signing.key.kid, "state": "signing"},
            {"kid": self._upcoming.key.kid, "state": "next"},
            *(
                {"kid": one.published.key.kid, "state": "older", "until": rfc3339(one.until)}
                for one in self._standing()
            ),
        ]

    def _standing(self) -> tuple[OlderKey, ...]:
        now = self._clock.now()
        return tuple(one for one in self._older if now < one.until)

    def _retire(self) -> None:
        if self._older and self._older[-1].until <= self._clock.now():
            self._change(self._signing, self._upcoming, self._standing())

    def _change(self, signing: SigningIdentity, upcoming: SigningIdentity, older: tuple[OlderKey, ...]) -> None:
        # The newest first, so that the last one is the first to leave.
        self._signing, self._upcoming, self._older = signing, upcoming, older
        self._published = (signing.published, upcoming.published, *(one.published for one in older))
        self._accepted = JwkSet.of(one.key for one in self._published)

    def _keep(self, signing: SigningIdentity, upcoming: SigningIdentity, older: tuple[OlderKey, ...]) -> None:
        if self._file is None:
            return
        kept = _Kept(
            signing.to_pem(),
            upcoming.to_pem(),
            [_KeptOlder(_pem(one.published.certificate), one.until) for one in older],
        )
        replace_file(self._file, msgspec.json.encode(kept))

    @classmethod
    def _read(cls, file: Path, clock: Clock, content: bytes) -> "SigningKeys":
        try:
            kept = msgspec.json.decode(content, type=_Kept)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnusableKey("the file of the signing keys can't be read") from error
        older = tuple(OlderKey(_published(_certificate(one.certificate)), one.until) for one in kept.older)
        signing, upcoming = SigningIdentity.from_pem(kept.signing), SigningIdentity.from_pem(kept.upcoming)
        return cls(file, clock, signing, upcoming, older)


class _KeptOlder(msgspec.Struct, frozen=True):
    certificate: str
    until: float


class _Kept(msgspec.Struct, frozen=True):
    """What the file holds; the keys and certificates are PEM."""

    signing: str
    upcoming: str
    older: list[_KeptOlder]


def thumbprint(certificate: bytes) -> str:
    """`x5t`: base64url of the SHA-1 over the DER certificate; a name, not a protection."""
    return to_base64url(hashlib.sha1(certificate, usedforsecurity=False).digest())


def _published(der: bytes) -> PublishedKey:
    return PublishedKey(PublicKey.of(x509.load_der_x509_certificate(der).public_key(), kid=thumbprint(der)), der)


def _certificate(pem: str) -> bytes:
    """The DER of the certificate in *pem*."""
    try:
        return x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
    except ValueError as error:
        raise UnusableKey("the signing key's file holds no certificate") from error


def _pem(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM).decode()
