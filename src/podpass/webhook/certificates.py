"""The webhook's own certificate: how one is made, and when it is renewed.

Contract: azure workload identity, section 1.12. One difference: serial numbers are random instead of 0 and 1, since
0 is not a valid serial and a second leaf with the first one's serial is refused by some verifiers.
"""

import base64
import binascii
import ipaddress
import os
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from podpass.kube.objects import Obj

AUTHORITY_NAME = "azure-workload-identity-ca"
ORGANISATION = "azure-workload-identity"
RENEW_BEFORE = timedelta(days=90)
AUTHORITY_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
BACKDATED = timedelta(hours=1)
MAX_COMMON_NAME = 64


@dataclass(frozen=True, slots=True)
class Material:
    """An authority and a leaf under it, as PEM."""

    ca_certificate: bytes
    ca_key: bytes = field(repr=False)
    certificate: bytes
    key: bytes = field(repr=False)

    @classmethod
    def from_secret(cls, secret: Obj | None) -> "Material | None":
        """What the Secret holds, or None when a part is missing or no base64."""
        data = (secret or {}).get("data") or {}
        try:
            parts = [base64.b64decode(data[name], validate=True) for name in FILES]
        except (KeyError, TypeError, binascii.Error):
            return None
        return cls(*parts) if all(parts) else None

    @classmethod
    def from_directory(cls, directory: Path) -> "Material | None":
        try:
            return cls(*((directory / name).read_bytes() for name in FILES))
        except FileNotFoundError:
            return None

    def to_data(self) -> dict[str, str]:
        """The Secret's `data`."""
        return {name: base64.b64encode(part).decode() for name, part in self.parts().items()}

    def parts(self) -> dict[str, bytes]:
        values = (self.ca_certificate, self.ca_key, self.certificate, self.key)
        return dict(zip(FILES, values, strict=True))

    def write(self, directory: Path) -> None:
        """Each file by rename, readable by its owner only."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, part in self.parts().items():
            handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".{name}-")
            with os.fdopen(handle, "wb") as out:
                out.write(part)
            Path(temporary).replace(directory / name)


FILES = ("ca.crt", "ca.key", "tls.crt", "tls.key")


@dataclass(frozen=True, slots=True)
class Renewal:
    """What has to be made anew, and why."""

    what: Literal["authority", "leaf"]
    reason: str


def due(material: Material | None, name: str, *, now: float) -> Renewal | None:
    """Whether *material* would still serve *name* 90 days after *now* (seconds since the epoch)."""
    if material is None:
        return Renewal("authority", "there is no certificate yet")
    at = datetime.fromtimestamp(now, UTC) + RENEW_BEFORE
    fault = _authority_fault(material, at)
    if fault:
        return Renewal("authority", fault)
    fault = _leaf_fault(material, name, at)
    return Renewal("leaf", fault) if fault else None


def renewed(material: Material | None, renewal: Renewal, name: str, *, now: float, addresses: bool = False) -> Material:
    """The material after *renewal*. Makes RSA keys, so it takes some 100 ms: call it in a thread.

    With *addresses* the leaf is also good for this machine's loopback names.
    """
    if renewal.what == "authority" or material is None:
        authority, ca_key = _new_authority(now)
    else:
        authority = x509.load_pem_x509_certificate(material.ca_certificate)
        ca_key = serialization.load_pem_private_key(material.ca_key, None)  # type: ignore[assignment]
    leaf, key = _new_leaf(authority, ca_key, name, now, addresses)
    return Material(_pem(authority), _key_pem(ca_key), _pem(leaf), _key_pem(key))


def with_ca_bundle(configuration: Obj, ca_certificate: bytes) -> Obj | None:
    """*configuration* with every webhook's caBundle set to the authority; None when it is so already."""
    bundle = base64.b64encode(ca_certificate).decode()
    webhooks = configuration.get("webhooks") or []
    if all((webhook.get("clientConfig") or {}).get("caBundle") == bundle for webhook in webhooks):
        return None
    mended = [{**hook, "clientConfig": {**(hook.get("clientConfig") or {}), "caBundle": bundle}} for hook in webhooks]
    return {**configuration, "webhooks": mended}


def _authority_fault(material: Material, at: datetime) -> str:
    try:
        authority = x509.load_pem_x509_certificate(material.ca_certificate)
        key = serialization.load_pem_private_key(material.ca_key, None)
        constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return "the authority can't be read"
    if not constraints.ca:
        return "the authority is no authority"
    if authority.public_key() != key.public_key():
        return "the authority's key is another's"
    if not authority.not_valid_before_utc <= at < authority.not_valid_after_utc:
        return f"the authority ends on {authority.not_valid_after_utc:%Y-%m-%d}"
    return ""


def _leaf_fault(material: Material, name: str, at: datetime) -> str:
    authority = x509.load_pem_x509_certificate(material.ca_certificate)
    try:
        leaf = x509.load_pem_x509_certificate(material.certificate)
        key = serialization.load_pem_private_key(material.key, None)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return "the certificate can't be read"
    if leaf.public_key() != key.public_key():
        return "the certificate's key is another's"
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return "the certificate is not the authority's"
    if name not in names.get_values_for_type(x509.DNSName):
        return f"the certificate is not for {name}"
    if not leaf.not_valid_before_utc <= at < leaf.not_valid_after_utc:
        return f"the certificate ends on {leaf.not_valid_after_utc:%Y-%m-%d}"
    return ""


def _new_authority(now: float) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY_NAME),
        ]
    )
    usage = _usage(key_cert_sign=True, crl_sign=True, digital_signature=True, key_encipherment=True)
    builder = (
        _builder(name, name, key.public_key(), now, AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(AUTHORITY_NAME)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256()), key


def _new_leaf(
    authority: x509.Certificate, ca_key: rsa.RSAPrivateKey, name: str, now: float, addresses: bool
) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    key = rsa.generate_private_key(65537, 2048)
    # A common name ends at 64 characters and namespaces may be long; only the alternative name is verified.
    common_name = name if len(name) <= MAX_COMMON_NAME else name.partition(".")[0]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if addresses:
        names += [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        names += [x509.IPAddress(ipaddress.ip_address("::1"))]
    builder = (
        _builder(subject, authority.subject, key.public_key(), now, LEAF_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True, key_encipherment=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    return builder.sign(ca_key, hashes.SHA256()), key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, now: float, lifetime: timedelta
) -> x509.CertificateBuilder:
    start = datetime.fromtimestamp(int(now), UTC) - BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
    )


def _usage(**wanted: bool) -> x509.KeyUsage:
    members: dict[str, Any] = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(**{**members, **wanted})


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
