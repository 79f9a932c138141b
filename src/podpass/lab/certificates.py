"""The lab's certificate authority: one CA per lab, a server certificate for each host name that is asked for.

Everything is EC P-256, because a leaf then costs less than a millisecond and can be made during the handshake that
needs it. Certificates live in real time, not on the lab's clock: the programs that check them do.
Contract: azure surface, "Trust-store table" (CA:TRUE and keyCertSign, SAN, serverAuth, at most 825 days).
"""

import contextlib
import ipaddress
import os
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from podpass.lab.private_files import replace_file

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=397)
RENEW_BEFORE = timedelta(days=30)
_BACKDATED = timedelta(hours=1)
_KEPT_CONTEXTS = 1_024

CERTIFICATE_FILE = "ca.crt"
KEY_FILE = "ca.key"

SYSTEM_BUNDLES: tuple[Path, ...] = tuple(
    Path(name)
    for name in (
        # SSL_CERT_FILE is not asked: in a shell that uses a lab it names a bundle written here.
        ssl.get_default_verify_paths().openssl_cafile,
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    )
)


class CertificatesUnreadable(Exception):
    """The CA's files are not a certificate and the key that belongs to it."""

    def __init__(self, directory: Path, reason: str) -> None:
        super().__init__(f"{directory}: {reason}")
        self.directory, self.reason = directory, reason


@dataclass(frozen=True, slots=True)
class _Kept:
    context: ssl.SSLContext
    renew_at: float


class CertificateAuthority:
    """Signs for any host. Only the lab's own clients and pods trust it."""

    def __init__(
        self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, *, now: Callable[[], float] = time.time
    ) -> None:
        self._certificate = certificate
        self._key = key
        self._now = now
        # One key for all leaves: they are served by one process, and a second key would hide nothing.
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: dict[tuple[tuple[str, ...], ssl.VerifyMode], _Kept] = {}

    @classmethod
    def open(cls, directory: Path, *, now: Callable[[], float] = time.time) -> "CertificateAuthority":
        """Load the CA kept in *directory*, or create one there; a CA about to expire is replaced.

        The key's file has mode 0600, and the directory 0700 when this creates it.
        Raises CertificatesUnreadable, OSError.
        """
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        key_path, certificate_path = directory / KEY_FILE, directory / CERTIFICATE_FILE
        if key_path.exists() and certificate_path.exists():
            certificate, key = _load(directory)
            if certificate.not_valid_after_utc.timestamp() > now() + LEAF_LIFETIME.total_seconds():
                return cls(certificate, key, now=now)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _self_signed(key, now())
        # The certificate last: only with both is there a CA, so a crash in between leaves none.
        certificate_path.unlink(missing_ok=True)
        replace_file(key_path, _pem_of(key))
        replace_file(certificate_path, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
        return cls(certificate, key, now=now)

    def __repr__(self) -> str:
        return f"CertificateAuthority({self._certificate.subject.rfc4514_string()!r})"

    @property
    def pem(self) -> bytes:
        """The CA's certificate, for trust stores and `certificate-authority-data`."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def bundle(self, path: Path, *, roots: Sequence[Path] = SYSTEM_BUNDLES) -> Path:
        """Write the machine's roots and the lab's CA as one PEM file; without roots, the lab's CA alone.

        The roots are there because REQUESTS_CA_BUNDLE and SSL_CERT_FILE replace a program's store: without them
        the shell that uses a lab would lose the rest of the world.
        """
        system = next((found.read_bytes() for found in roots if found.is_file()), b"")
        if system and not system.endswith(b"\n"):
            system += b"\n"
        replace_file(path, system + self.pem, mode=0o644)
        return path

    def issue(self, hosts: Sequence[str]) -> tuple[bytes, bytes]:
        """A certificate chain and its private key, both PEM, for *hosts*: DNS names or IP addresses."""
        chain = self._leaf(hosts).public_bytes(serialization.Encoding.PEM) + self.pem
        return chain, _pem_of(self._leaf_key)

    def context_for(self, *hosts: str) -> ssl.SSLContext:
        """A server context with one certificate for *hosts*; made once and again before it expires."""
        if not hosts:
            raise ValueError("a certificate needs at least one host")
        return self._context(hosts, ssl.CERT_NONE)

    def _context(self, hosts: tuple[str, ...], client: ssl.VerifyMode) -> ssl.SSLContext:
        kept = self._contexts.pop((hosts, client), None)
        if kept is None or self._now() >= kept.renew_at:
            renew_at = self._now() + (LEAF_LIFETIME - RENEW_BEFORE).total_seconds()
            kept = _Kept(self._mint(hosts, client), renew_at)
        self._contexts[hosts, client] = kept
        while len(self._contexts) > _KEPT_CONTEXTS:
            del self._contexts[next(iter(self._contexts))]
        return kept.context

    def server_context(
        self,
        default_hosts: Iterable[str],
        *,
        accepts: Callable[[str], bool] = lambda host: True,
        asks_client: bool = False,
    ) -> ssl.SSLContext:
        """A context for a listener: the certificate follows the name the client asks for (SNI).

        A client that names nobody gets the certificate of *default_hosts*; a name that *accepts* refuses ends the
        handshake with the alert unrecognized_name. With *asks_client*, a client may show a certificate, which must then
        be one of `sign_client`.
        """
        hosts = tuple(default_hosts)
        client = ssl.CERT_OPTIONAL if asks_client else ssl.CERT_NONE

        def choose(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
            if name is None or name in hosts:
                connection.context = self._context(hosts, client)
                return None
            host = name.lower().removesuffix(".")
            if not _is_dns_name(host) or not accepts(host):
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            connection.context = self._context((host,), client)
            return None

        # Not the cached context itself: a callback on that one would be asked for its single host as well.
        context = self._mint(hosts, client)
        context.sni_callback = choose
        return context

    def sign_client(self, subject: x509.Name, key: CertificatePublicKeyTypes, lifetime: timedelta) -> bytes:
        """A client's certificate, PEM, for *subject* and the key that the client holds."""
        now = datetime.fromtimestamp(self._now(), UTC)
        certificate = (
            self._builder(subject, key, now, min(now + lifetime, self._certificate.not_valid_after_utc))
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def client_context(self) -> ssl.SSLContext:
        """A client context that trusts the lab's CA and nobody else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(cadata=self.pem.decode())
        return context

    def _mint(self, hosts: Sequence[str], client: ssl.VerifyMode) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if client is not ssl.CERT_NONE:
            context.load_verify_locations(cadata=self.pem.decode())
            context.verify_mode = client
        chain, key = self.issue(hosts)
        # The ssl module reads certificates from files only.
        with _private_file(chain + key) as path:
            context.load_cert_chain(path)
        return context

    def _leaf(self, hosts: Sequence[str]) -> x509.Certificate:
        now = datetime.fromtimestamp(self._now(), UTC)
        # A common name is at most 64 characters and nobody reads it; names stand in the SAN.
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "podpass lab")])
        return (
            self._builder(subject, self._leaf_key.public_key(), now, now + LEAF_LIFETIME)
            .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _builder(
        self, subject: x509.Name, key: CertificatePublicKeyTypes, now: datetime, end: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )


def _self_signed(key: ec.EllipticCurvePrivateKey, now: float) -> x509.Certificate:
    start = datetime.fromtimestamp(now, UTC)
    serial = x509.random_serial_number()
    # Each CA has a name of its own: a client that met two labs would otherwise try the wrong key.
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "podpass lab"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"podpass lab CA {serial & 0xFFFFFFFF:08x}"),
        ]
    )
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(start - _BACKDATED)
        .not_valid_after(start + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    return x509.DNSName(host)


def _is_dns_name(host: str) -> bool:
    labels = host.split(".")
    return 0 < len(host) <= 253 and all(
        0 < len(label) <= 63 and label.isascii() and label.replace("-", "").replace("_", "").isalnum()
        for label in labels
    )


def _load(directory: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate((directory / CERTIFICATE_FILE).read_bytes())
        key = serialization.load_pem_private_key((directory / KEY_FILE).read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise CertificatesUnreadable(directory, "not PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise CertificatesUnreadable(directory, f"{KEY_FILE} is not the key of {CERTIFICATE_FILE}")
    return certificate, key


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@contextlib.contextmanager
def _private_file(content: bytes) -> Iterator[str]:
    descriptor, name = tempfile.mkstemp(prefix="podpass-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        yield name
    finally:
        Path(name).unlink(missing_ok=True)
