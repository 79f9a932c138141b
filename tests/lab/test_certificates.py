import asyncio
import contextlib
import ipaddress
import shutil
import socket
import ssl
import stat
import subprocess
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from podpass.lab import certificates
from podpass.lab.certificates import CertificateAuthority, CertificatesUnreadable

SECONDS = 5


@pytest.fixture
def ca(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority.open(tmp_path / "ca")


def leaf(ca: CertificateAuthority, *hosts: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(ca.issue(hosts)[0])


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str | None) -> x509.Certificate:
    """The certificate that *client* is shown and accepts. Raises ssl.SSLError."""
    ours, theirs = socket.socketpair()
    ours.settimeout(SECONDS)
    theirs.settimeout(SECONDS)

    def serve() -> None:
        with contextlib.suppress(OSError), server.wrap_socket(theirs, server_side=True) as connection:
            connection.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=name) as connection:
            shown = connection.getpeercert(binary_form=True)
            assert shown is not None
            return x509.load_der_x509_certificate(shown)
    finally:
        ours.close()
        thread.join()
        theirs.close()


def names_in(certificate: x509.Certificate) -> list[str]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in extension.value]


def test_ca_may_sign_certificates_and_nothing_below_it_may(ca: CertificateAuthority) -> None:
    certificate = x509.load_pem_x509_certificate(ca.pem)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert (usage.critical, usage.value.key_cert_sign) == (True, True)


def test_ca_is_the_same_after_a_restart(tmp_path: Path) -> None:
    first = CertificateAuthority.open(tmp_path / "ca")
    assert CertificateAuthority.open(tmp_path / "ca").pem == first.pem


def test_ca_that_would_expire_before_its_leaves_is_replaced(tmp_path: Path) -> None:
    first = CertificateAuthority.open(tmp_path / "ca")
    end = x509.load_pem_x509_certificate(first.pem).not_valid_after_utc.timestamp()
    assert CertificateAuthority.open(tmp_path / "ca", now=lambda: end - 86_400).pem != first.pem


def test_key_can_be_read_by_this_user_only(tmp_path: Path) -> None:
    CertificateAuthority.open(tmp_path / "ca")
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "ca" / certificates.KEY_FILE).stat().st_mode) == 0o600
    assert sorted(path.name for path in (tmp_path / "ca").iterdir()) == ["ca.crt", "ca.key"]


def test_half_written_ca_is_made_anew(tmp_path: Path) -> None:
    first = CertificateAuthority.open(tmp_path / "ca")
    (tmp_path / "ca" / certificates.CERTIFICATE_FILE).unlink()
    assert CertificateAuthority.open(tmp_path / "ca").pem != first.pem


@pytest.mark.parametrize("content", [b"", b"nonsense"], ids=["empty", "not-pem"])
def test_damaged_ca_is_reported_and_not_overwritten(tmp_path: Path, content: bytes) -> None:
    CertificateAuthority.open(tmp_path / "ca")
    key = tmp_path / "ca" / certificates.KEY_FILE
    key.write_bytes(content)
    with pytest.raises(CertificatesUnreadable):
        CertificateAuthority.open(tmp_path / "ca")
    assert key.read_bytes() == content


def test_key_of_another_ca_is_reported(tmp_path: Path) -> None:
    CertificateAuthority.open(tmp_path / "a")
    CertificateAuthority.open(tmp_path / "b")
    shutil.copy(tmp_path / "a" / certificates.KEY_FILE, tmp_path / "b" / certificates.KEY_FILE)
    with pytest.raises(CertificatesUnreadable, match="not the key of"):
        CertificateAuthority.open(tmp_path / "b")


def test_leaf_is_a_server_certificate_of_at_most_825_days(ca: CertificateAuthority) -> None:
    certificate = leaf(ca, "management.azure.com")
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert list(usage.value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert constraints.value.ca is False
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= timedelta(days=825)


def test_leaf_names_hosts_and_addresses_apart(ca: CertificateAuthority) -> None:
    extension = leaf(ca, "localhost", "127.0.0.1", "::1").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert list(extension.value) == [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]


def test_name_of_253_characters_gets_a_certificate(ca: CertificateAuthority) -> None:
    name = ".".join(["a" * 60] * 4) + ".example"
    assert names_in(leaf(ca, name)) == [name]


def test_strict_client_accepts_the_certificate_of_the_name_it_asks_for(ca: CertificateAuthority) -> None:
    client = ca.client_context()
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    shown = handshake(ca.server_context(["localhost"]), client, "shop.vault.azure.net")
    assert names_in(shown) == ["shop.vault.azure.net"]


def test_client_that_names_nobody_gets_the_default_certificate(ca: CertificateAuthority) -> None:
    client = ca.client_context()
    client.check_hostname = False
    shown = handshake(ca.server_context(["localhost", "127.0.0.1"]), client, None)
    assert names_in(shown) == ["localhost", "127.0.0.1"]


def test_address_is_checked_against_the_default_certificate(ca: CertificateAuthority) -> None:
    assert handshake(ca.server_context(["localhost", "127.0.0.1"]), ca.client_context(), "127.0.0.1")


def test_name_that_is_not_accepted_ends_the_handshake(ca: CertificateAuthority) -> None:
    server = ca.server_context(["localhost"], accepts=lambda host: host.endswith(".azure.com"))
    assert handshake(server, ca.client_context(), "management.azure.com")
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        handshake(server, ca.client_context(), "example.com")


def test_client_of_the_lab_trusts_no_other_ca(tmp_path: Path, ca: CertificateAuthority) -> None:
    other = CertificateAuthority.open(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(other.server_context(["localhost"]), ca.client_context(), "localhost")


def test_old_protocol_versions_are_refused(ca: CertificateAuthority) -> None:
    for context in (ca.client_context(), ca.context_for("localhost"), ca.server_context(["localhost"])):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_context_of_a_host_is_made_once_and_again_before_it_expires(tmp_path: Path) -> None:
    now = 1_800_000_000.0
    ca = CertificateAuthority.open(tmp_path, now=lambda: now)
    first = ca.context_for("login.microsoftonline.com")
    assert ca.context_for("login.microsoftonline.com") is first
    now += (certificates.LEAF_LIFETIME - certificates.RENEW_BEFORE).total_seconds()
    assert ca.context_for("login.microsoftonline.com") is not first


def test_contexts_do_not_pile_up(ca: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_KEPT_CONTEXTS", 2)
    first, second = ca.context_for("a.example"), ca.context_for("b.example")
    assert ca.context_for("a.example") is first
    ca.context_for("c.example")
    assert ca.context_for("a.example") is first
    assert ca.context_for("b.example") is not second


def test_bundle_holds_the_machines_roots_and_the_labs_ca(tmp_path: Path, ca: CertificateAuthority) -> None:
    roots = tmp_path / "roots.pem"
    other = CertificateAuthority.open(tmp_path / "other")
    roots.write_bytes(other.pem.rstrip(b"\n"))
    bundle = ca.bundle(tmp_path / "bundle.pem", roots=[tmp_path / "missing", roots])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(bundle)
    assert context.cert_store_stats()["x509_ca"] == 2


def test_bundle_without_roots_is_the_labs_ca(tmp_path: Path, ca: CertificateAuthority) -> None:
    assert ca.bundle(tmp_path / "bundle.pem", roots=[]).read_bytes() == ca.pem


def test_no_key_appears_in_a_repr(ca: CertificateAuthority) -> None:
    assert "KEY" not in repr(ca)


async def test_server_context_serves_asyncio(ca: CertificateAuthority) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=ca.server_context(["localhost"]))
    async with server, asyncio.timeout(SECONDS):
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=ca.client_context(), server_hostname="shop.vault.azure.net"
        )
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_accepts_the_chain(tmp_path: Path, ca: CertificateAuthority) -> None:
    chain, _ = ca.issue(["shop.vault.azure.net"])
    (tmp_path / "leaf.pem").write_bytes(chain)
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "shop.vault.azure.net"]
    done = subprocess.run(
        [*command, "-CAfile", tmp_path / "ca.pem", tmp_path / "leaf.pem"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
