"""The authority's signing key, kept in a file so that tokens outlive a restart.

The key has a self-signed certificate, because its `kid` is the certificate's SHA-1 thumbprint.
Contract: azure workload identity, section 5.4.
"""

import asyncio
import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from podpass.lab.private_files import replace_file
from podpass.tokens.encoding import to_base64url
from podpass.tokens.keys import JwkSet, SigningKey, UnusableKey

FILE_NAME = "entra-signing.pem"
_SUBJECT = "accounts.accesscontrol.windows.net"
_VALID = timedelta(days=5 * 365)


@dataclass(frozen=True, slots=True)
class SigningIdentity:
    """The key that signs access tokens, with its certificate."""

    key: SigningKey
    certificate: bytes
    """DER."""

    @property
    def keys(self) -> JwkSet:
        return JwkSet((self.key.public,))

    def to_jwk(self) -> dict[str, object]:
        """The key as the authority publishes it; v2.0 documents add `issuer`."""
        jwk = self.key.public.to_jwk()
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


async def open_signing_identity(directory: Path) -> SigningIdentity:
    """Load the key from *directory*, or make one there, in a thread. Raises OSError, UnusableKey."""
    return await asyncio.to_thread(load_or_create, directory)


def load_or_create(directory: Path) -> SigningIdentity:
    """As open_signing_identity, blocking; making an RSA key takes some 100 ms."""
    path = directory / FILE_NAME
    try:
        return _read(path.read_bytes())
    except FileNotFoundError:
        pem = _new_pem()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(path, pem)
    return _read(pem)


def thumbprint(certificate: bytes) -> str:
    """`x5t`: base64url of the SHA-1 over the DER certificate; a name, not a protection."""
    return to_base64url(hashlib.sha1(certificate, usedforsecurity=False).digest())


def _read(pem: bytes) -> SigningIdentity:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise UnusableKey("the signing key's file holds no certificate") from error
    der = certificate.public_bytes(serialization.Encoding.DER)
    return SigningIdentity(SigningKey.from_pem(pem, kid=thumbprint(der), own=True), der)


def _new_pem() -> bytes:
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
    return key.to_pem() + certificate.public_bytes(serialization.Encoding.PEM)
