"""The TLS context of the webhook's listener, whose certificate changes without a restart.

Making certificates is in `certificates`, with a library that a webhook with given files does not load.
Contract: azure workload identity, section 1.12.
"""

import ssl
import tempfile
from pathlib import Path


def serving_name(service: str, namespace: str) -> str:
    """The name by which the API server calls a webhook behind a Service."""
    return f"{service}.{namespace}.svc"


class CertificateUnusable(Exception):
    """A certificate and key that no TLS server can be made of; the text holds neither."""


class ServingContext:
    """The TLS context of a listener. `load` changes its certificate for every later handshake."""

    def __init__(self, min_version: str) -> None:
        self.context = _server_context(min_version)
        self._min_version = min_version
        self._loaded: tuple[bytes, bytes] | None = None
        self.certificate: bytes = b""

    @property
    def loaded(self) -> bool:
        return self._loaded is not None

    def load(self, certificate: bytes, key: bytes) -> bool:
        """Serve *certificate* from now on; False when it is served already. Raises CertificateUnusable.

        It is tried on a context of its own first: half a pair would break the one that is serving.
        """
        if self._loaded == (certificate, key):
            return False
        _load(_server_context(self._min_version), certificate, key)
        _load(self.context, certificate, key)
        self._loaded, self.certificate = (certificate, key), certificate
        return True


def read_pair(directory: Path) -> tuple[bytes, bytes]:
    """tls.crt and tls.key of *directory*. Raises CertificateUnusable."""
    try:
        return (directory / "tls.crt").read_bytes(), (directory / "tls.key").read_bytes()
    except OSError as error:
        raise CertificateUnusable(f"{error.filename}: {error.strerror}") from error


def _server_context(min_version: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # The binding reads key pairs from files only: one that nobody else can read, for an instant.
    with tempfile.NamedTemporaryFile(prefix="podpass-", suffix=".pem") as pair:
        pair.write(certificate.rstrip() + b"\n" + key)
        pair.flush()
        try:
            context.load_cert_chain(pair.name, password=lambda: b"")
        except (ssl.SSLError, ValueError, OSError) as error:
            reason = getattr(error, "reason", None) or type(error).__name__
            raise CertificateUnusable(f"the certificate and its key can't be used: {reason}") from None
