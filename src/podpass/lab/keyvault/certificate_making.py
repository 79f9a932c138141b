"""Certificates: their policies as values, and how they are made, requested, read and written.

Contract: secrets store, section 3.5.
"""

import base64
import binascii
import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID

from podpass.lab.keyvault import renewal
from podpass.lab.keyvault.durations import months_later
from podpass.lab.keyvault.key_material import PrivateKey, Wanted, public_members
from podpass.lab.keyvault.renewal import LifetimeAction, NotAnAction

PFX, PEM = "application/x-pkcs12", "application/x-pem-file"
SELF, UNKNOWN = "self", "unknown"
"""The issuers that need no account: the key itself, and one whose certificate is merged later."""
MAX_MONTHS = 1200
MAX_CHAIN = 10
_USAGES = {
    "digitalSignature": "digital_signature",
    "nonRepudiation": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
    "encipherOnly": "encipher_only",
    "decipherOnly": "decipher_only",
}
_DEFAULT_USAGES = ["digitalSignature", "keyEncipherment"]
_DEFAULT_EXTENDED = [ExtendedKeyUsageOID.SERVER_AUTH.dotted_string, ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string]


class NotACertificate(ValueError):
    """What was given makes no certificate; the text says why, for the caller."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a policy; what a request leaves out is not shown either."""


class KeyProperties(_Part, frozen=True, kw_only=True):
    """The key pair of a certificate."""

    exportable: bool = True
    kty: str = "RSA"
    key_size: int | None = None
    reuse_key: bool = False
    crv: str | None = None


class SecretProperties(_Part, frozen=True, kw_only=True, rename="camel"):
    """The form in which the secret holds certificate and key."""

    content_type: str = PFX


class AlternativeNames(_Part, frozen=True, kw_only=True):
    """The subject's other names."""

    emails: list[str] | None = None
    dns_names: list[str] | None = None
    upns: list[str] | None = None
    uris: list[str] | None = None
    ip_addresses: list[str] | None = msgspec.field(default=None, name="ipAddresses")


class X509Properties(_Part, frozen=True, kw_only=True):
    """What stands in the certificate."""

    subject: str = ""
    sans: AlternativeNames | None = None
    ekus: list[str] | None = None
    key_usage: list[str] | None = None
    validity_months: int = 12


class Issuer(_Part, frozen=True, kw_only=True):
    """Who signs."""

    name: str = "Self"
    cty: str | None = None
    cert_transparency: bool | None = None


class Policy(_Part, frozen=True, kw_only=True):
    """How a certificate is made, and made anew."""

    key_props: KeyProperties = KeyProperties()
    secret_props: SecretProperties = SecretProperties()
    x509_props: X509Properties = X509Properties()
    lifetime_actions: list[LifetimeAction] | None = None
    issuer: Issuer = Issuer()
    attributes: dict[str, Any] | None = None

    @property
    def key(self) -> Wanted:
        """Raises NotAKey."""
        if self.key_props.kty == "EC":
            return Wanted("EC", curve=self.key_props.crv or "P-256")
        return Wanted("RSA", size=2048 if self.key_props.key_size is None else self.key_props.key_size)


def check(policy: Policy) -> None:
    """Raises NotACertificate for a policy by which no certificate can be made."""
    if policy.key_props.kty not in ("RSA", "EC"):
        raise NotACertificate(f"The key type {policy.key_props.kty[:32]} is not supported: it must be RSA or EC")
    if policy.secret_props.content_type not in (PFX, PEM):
        raise NotACertificate(f"The content type {policy.secret_props.content_type[:64]} must be {PFX} or {PEM}")
    if not 1 <= policy.x509_props.validity_months <= MAX_MONTHS:
        raise NotACertificate(f"The validity must be between 1 and {MAX_MONTHS} months")
    try:
        renewal.check(policy.lifetime_actions or [], months=policy.x509_props.validity_months)
    except NotAnAction as error:
        raise NotACertificate(str(error)) from error
    _subject(policy)
    _extensions(policy)


def filled(policy: Policy, *, created: int, updated: int) -> Policy:
    """*policy* with what the service decides where a request leaves it open; times are seconds since the epoch."""
    properties, key = policy.x509_props, policy.key_props
    return msgspec.structs.replace(
        policy,
        key_props=msgspec.structs.replace(key, key_size=key.key_size or 2048) if key.kty == "RSA" else key,
        x509_props=msgspec.structs.replace(
            properties,
            ekus=_DEFAULT_EXTENDED if properties.ekus is None else properties.ekus,
            key_usage=_DEFAULT_USAGES if properties.key_usage is None else properties.key_usage,
        ),
        lifetime_actions=policy.lifetime_actions or renewal.default(policy.issuer.name),
        attributes={"enabled": True, "created": created, "updated": updated},
    )


@dataclass(frozen=True, slots=True)
class Imported:
    """What was in a PFX or PEM."""

    key: PrivateKey
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    content_type: str


def self_signed(policy: Policy, key: PrivateKey, *, now: float) -> x509.Certificate:
    """The certificate that *policy* asks for, signed with its own key. Raises NotACertificate."""
    name, start = _subject(policy), datetime.fromtimestamp(int(now), UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(months_later(start, policy.x509_props.validity_months))
    )
    for extension, critical in _extensions(policy):
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, hashes.SHA256())


def request(policy: Policy, key: PrivateKey) -> bytes:
    """The DER of a certificate request for *policy*. Raises NotACertificate."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(policy))
    for extension, critical in _extensions(policy):
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def read(value: str, password: str | None, content_type: str = PFX) -> Imported:
    """The contents of a PFX in base64, or of a PEM as text or in base64. Raises NotACertificate.

    Which it is the policy says and nothing else: a PEM without a policy is the service's best-known refusal.
    """
    secret = (password or "").encode() or None
    try:
        if content_type == PEM:
            pem = value.encode() if "-----BEGIN" in value else base64.b64decode(value, validate=True)
            certificates, key = x509.load_pem_x509_certificates(pem), _private_key(pem, secret)
        else:
            found, first, others = pkcs12.load_key_and_certificates(base64.b64decode(value, validate=True), secret)
            if found is None or first is None:
                raise NotACertificate("The PFX must hold a certificate and its private key")
            key, certificates = cast("PrivateKey", found), [first, *others]
    except NotACertificate:
        raise
    except (ValueError, TypeError, binascii.Error) as error:
        kind = "PEM" if content_type == PEM else "PKCS#12"
        raise NotACertificate(
            f"The specified {kind} X.509 certificate content can not be read. Please check if certificate is in valid "
            f"{kind} format"
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise NotACertificate("The private key must be RSA or EC")
    own = [one for one in certificates if belongs(one, key)]
    if not own:
        raise NotACertificate("No certificate in the value belongs to its private key")
    chain = tuple(one for one in certificates if one is not own[0])
    if len(chain) > MAX_CHAIN:
        raise NotACertificate(f"The chain has more than {MAX_CHAIN} certificates")
    return Imported(key, own[0], chain, content_type)


def _private_key(pem: bytes, password: bytes | None) -> PrivateKey:
    """Raises ValueError, and TypeError when a password is missing."""
    try:
        return cast("PrivateKey", serialization.load_pem_private_key(pem, password))
    except TypeError:
        # A password for a key that is not encrypted does no harm.
        return cast("PrivateKey", serialization.load_pem_private_key(pem, None))


def belongs(certificate: x509.Certificate, key: PrivateKey) -> bool:
    """Whether the certificate is for this key."""
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)


def bundled(
    key: PrivateKey | None, certificate: x509.Certificate, chain: Iterable[x509.Certificate], content_type: str
) -> str:
    """Certificate, chain and private key as the secret of a certificate holds them; None leaves the key out."""
    form = serialization.NoEncryption()
    if content_type == PEM:
        parts = [one.public_bytes(serialization.Encoding.PEM) for one in (certificate, *chain)]
        if key is not None:
            parts.insert(0, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, form))
        return b"".join(parts).decode()
    data = pkcs12.serialize_key_and_certificates(None, key, certificate, list(chain) or None, form)
    return base64.b64encode(data).decode()


def policy_of(imported: Imported) -> Policy:
    """What a policy would say of an imported certificate."""
    key, certificate = imported.key, imported.certificate
    public = public_members(key)
    months = (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days // 30
    return Policy(
        key_props=KeyProperties(kty=public["kty"], key_size=key.key_size, crv=public.get("crv")),
        secret_props=SecretProperties(content_type=imported.content_type),
        x509_props=X509Properties(
            subject=certificate.subject.rfc4514_string(), validity_months=min(max(months, 1), MAX_MONTHS)
        ),
        issuer=Issuer(name="Unknown"),
    )


def _subject(policy: Policy) -> x509.Name:
    try:
        # Spaces after commas are how people write subjects, and not how RFC 4514 does.
        name = x509.Name.from_rfc4514_string(",".join(part.strip() for part in policy.x509_props.subject.split(",")))
    except ValueError as error:
        raise NotACertificate(f"The subject '{policy.x509_props.subject[:128]}' is no distinguished name") from error
    if not list(name) and not policy.x509_props.sans:
        raise NotACertificate("The policy needs a subject or alternative names")
    return name


def _extensions(policy: Policy) -> list[tuple[x509.ExtensionType, bool]]:
    """Extensions with whether they are critical. Raises NotACertificate."""
    properties = policy.x509_props
    usages = _DEFAULT_USAGES if properties.key_usage is None else properties.key_usage
    if unknown := [one for one in usages if one not in _USAGES]:
        raise NotACertificate(f"The key usage {unknown[0][:32]} is not known")
    flags = {flag: name in usages for name, flag in _USAGES.items()}
    try:
        extended = _DEFAULT_EXTENDED if properties.ekus is None else properties.ekus
        found: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.KeyUsage(**flags), True),
        ]
        if extended:
            found.append((x509.ExtendedKeyUsage([x509.ObjectIdentifier(one) for one in extended]), False))
        if names := _alternative_names(properties.sans):
            found.append((x509.SubjectAlternativeName(names), False))
    except ValueError as error:
        raise NotACertificate(f"The policy is not valid: {error}") from error
    return found


def _alternative_names(given: AlternativeNames | None) -> list[x509.GeneralName]:
    if given is None:
        return []
    made: tuple[tuple[list[str] | None, Callable[[str], x509.GeneralName]], ...] = (
        (given.dns_names, x509.DNSName),
        (given.emails, x509.RFC822Name),
        (given.uris, x509.UniformResourceIdentifier),
        (given.ip_addresses, lambda text: x509.IPAddress(ipaddress.ip_address(text))),
        (given.upns, _principal_name),
    )
    return [make(text) for texts, make in made for text in texts or ()]


def _principal_name(text: str) -> x509.GeneralName:
    # A UTF8String in DER; Microsoft's object identifier for user principal names.
    value = text.encode()
    if len(value) > 127:
        raise ValueError("a user principal name is too long")
    return x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c" + bytes((len(value),)) + value)
