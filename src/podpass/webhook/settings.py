"""What the webhook is told at start: flags, environment, file, defaults, in this order.

Contract: azure workload identity, sections 0 and 1.8, with the flags podpass adds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from podpass.azure.clouds import CLOUDS, PUBLIC, cloud_named
from podpass.settings import values
from podpass.settings.options import Option, Reader
from podpass.settings.values import Address

AZURE_STACK = "AzureStackCloud"
TLS_VERSIONS = ("1.2", "1.3")
WEAK_TLS_VERSIONS = ("1.0", "1.1")


class Layout(StrEnum):
    """Where the projected token lies in the pod: as webhooks up to 1.5 put it, as later ones do, or both."""

    V1 = "v1"
    V2 = "v2"
    BOTH = "both"


class CertificateSource(StrEnum):
    SECRET = "secret"  # noqa: S105 - a kind of storage
    """Made here, kept in the cluster's Secret, authority written into the webhook configuration."""
    FILES = "files"
    """Made by somebody else (cert-manager); read from the certificate directory and read again when they change."""
    SELF_SIGNED = "self-signed"
    """Made here and kept in the certificate directory; nothing is written to a cluster."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything `mutate` and `run` need to know."""

    tenant_id: str
    authority_host: str = PUBLIC.authority_host
    layout: Layout = Layout.V1
    audience: str = PUBLIC.token_exchange_audience
    strict_annotations: bool = False
    namespace: str = "azure-workload-identity-system"
    webhook_address: Address = Address("", 9443)
    health_address: Address = Address("", 9440)
    metrics_address: Address = Address("", 8095)
    certificates: CertificateSource = CertificateSource.SECRET
    certificate_directory: Path = Path("/certs")
    certificate_poll_seconds: float = 5.0
    """How often certificate files are looked at."""
    tls_min_version: str = "1.3"
    log_level: str = ""

    @classmethod
    def read(
        cls, environ: Mapping[str, str], flags: Mapping[str, str | bool | None] | None = None, file: Path | None = None
    ) -> "Settings":
        """The settings that flags, environment, file and defaults give, in this order.

        *flags* is keyed by the keys of OPTIONS; None is a flag that was not given. *file* is a YAML mapping with the
        same keys. Raises SettingsError, which names every bad value at once.
        """
        return _Reader(environ, flags or {}, file).settings()


OPTIONS: tuple[Option, ...] = (
    Option(
        "tenant-id", "AZURE_TENANT_ID", "", "The directory injected where the service account names none. Required."
    ),
    Option(
        "azure-environment",
        "AZURE_ENVIRONMENT",
        PUBLIC.name,
        "The cloud, which gives the authority host: " + ", ".join(cloud.name for cloud in CLOUDS) + f", {AZURE_STACK}.",
    ),
    Option(
        "azure-environment-filepath",
        "AZURE_ENVIRONMENT_FILEPATH",
        "",
        f"The JSON file that describes the cloud when it is {AZURE_STACK}.",
    ),
    Option(
        "namespace", "POD_NAMESPACE", "azure-workload-identity-system", "The namespace of the webhook's own objects."
    ),
    Option(
        "authority-host",
        "PODPASS_WEBHOOK_AUTHORITY_HOST",
        "",
        "The login service injected instead of the cloud's: a private or laboratory authority.",
        "--authority-host",
    ),
    Option(
        "layout",
        "PODPASS_WEBHOOK_LAYOUT",
        "v1",
        "Where the token is mounted: v1 (/var/run/secrets/azure/tokens), v2 (/var/run/secrets/azure/wi), or both.",
        "--layout",
    ),
    Option("audience", "PODPASS_WEBHOOK_AUDIENCE", "", "The audience of the projected token.", "--audience"),
    Option(
        "strict-annotations",
        "PODPASS_WEBHOOK_STRICT_ANNOTATIONS",
        "false",
        "Take the proxy annotation at its value, and warn about ids that are not ids.",
        "--strict-annotations",
        switch=True,
    ),
    Option(
        "webhook-addr", "PODPASS_WEBHOOK_ADDR", ":9443", "Where admission reviews are answered (TLS).", "--webhook-addr"
    ),
    Option(
        "health-addr",
        "PODPASS_WEBHOOK_HEALTH_ADDR",
        ":9440",
        "Where /healthz and /readyz are answered.",
        "--health-addr",
    ),
    Option("metrics-addr", "PODPASS_WEBHOOK_METRICS_ADDR", ":8095", "Where /metrics is answered.", "--metrics-addr"),
    Option("metrics-backend", "PODPASS_WEBHOOK_METRICS_BACKEND", "prometheus", "Only prometheus.", "--metrics-backend"),
    Option(
        "webhook-cert-dir",
        "PODPASS_WEBHOOK_CERT_DIR",
        "/certs",
        "The directory of tls.crt and tls.key, when they are files.",
        "--webhook-cert-dir",
    ),
    Option(
        "disable-cert-rotation",
        "PODPASS_WEBHOOK_DISABLE_CERT_ROTATION",
        "false",
        "Read the certificate from files that somebody else renews.",
        "--disable-cert-rotation",
        switch=True,
    ),
    Option(
        "self-signed",
        "PODPASS_WEBHOOK_SELF_SIGNED",
        "false",
        "Make the certificate in the certificate directory and write nothing to the cluster.",
        "--self-signed",
        switch=True,
    ),
    Option(
        "tls-min-version",
        "PODPASS_WEBHOOK_TLS_MIN_VERSION",
        "1.3",
        "The oldest TLS spoken: 1.2 or 1.3.",
        "--tls-min-version",
    ),
    Option("log-level", "PODPASS_WEBHOOK_LOG_LEVEL", "", "info, debug, trace or all.", "--log-level"),
)


class _Reader(Reader):
    def __init__(self, environ: Mapping[str, str], flags: Mapping[str, str | bool | None], file: Path | None) -> None:
        super().__init__("the webhook", OPTIONS, environ, flags, file)

    def settings(self) -> Settings:
        tenant_id = self.value("tenant-id", _tenant)
        certificates = CertificateSource.SECRET
        files, self_signed = (
            self.value("disable-cert-rotation", values.switch),
            self.value("self-signed", values.switch),
        )
        if files and self_signed:
            self.complain("self-signed", "can't be combined with --disable-cert-rotation")
        elif files or self_signed:
            certificates = CertificateSource.FILES if files else CertificateSource.SELF_SIGNED
        self.value("metrics-backend", _metrics_backend)
        settings = Settings(
            tenant_id=tenant_id or "",
            authority_host=self.authority_host(),
            layout=self.value("layout", _layout) or Layout.V1,
            audience=self.value("audience", values.text) or PUBLIC.token_exchange_audience,
            strict_annotations=bool(self.value("strict-annotations", values.switch)),
            namespace=self.value("namespace", values.namespace) or "",
            webhook_address=self.value("webhook-addr", values.address) or Address("", 0),
            health_address=self.value("health-addr", values.address) or Address("", 0),
            metrics_address=self.value("metrics-addr", values.address) or Address("", 0),
            certificates=certificates,
            certificate_directory=Path(self.value("webhook-cert-dir", values.text) or "."),
            tls_min_version=self.value("tls-min-version", _tls_version) or "1.3",
            log_level=self.value("log-level", values.log_level) or "",
        )
        self.check()
        return settings

    def authority_host(self) -> str:
        cloud_name = self.value("azure-environment", _cloud) or PUBLIC.name
        path = self.value("azure-environment-filepath", values.text) or ""
        given = self.value("authority-host", _authority) or ""
        if given:
            return given
        if cloud_name != AZURE_STACK:
            cloud = cloud_named(cloud_name)
            return cloud.authority_host if cloud else ""
        if not path:
            self.complain("azure-environment-filepath", f"is required when the cloud is {AZURE_STACK}")
            return ""
        try:
            document = json.loads(Path(path).read_bytes())
            found = document.get("activeDirectoryEndpoint") if isinstance(document, dict) else None
            if not isinstance(found, str):
                raise ValueError(f"{path} has no member activeDirectoryEndpoint")
            return _authority(found)
        except OSError as error:
            self.complain("azure-environment-filepath", f"{path}: {error.strerror}")
        except ValueError as error:
            self.complain("azure-environment-filepath", str(error))
        return ""


def _tenant(text: str) -> str:
    tenant_id = text.strip()
    if not tenant_id:
        raise ValueError("is required")
    if "${" in tenant_id:
        raise ValueError("still holds a placeholder; put the directory's id in its place")
    return tenant_id


def _layout(text: str) -> Layout:
    try:
        return Layout(text.strip().lower())
    except ValueError:
        raise ValueError(f"{text!r} is not one of v1, v2, both") from None


def _cloud(text: str) -> str:
    name = text.strip()
    if name.lower() == AZURE_STACK.lower():
        return AZURE_STACK
    if cloud_named(name) is None:
        known = ", ".join(cloud.name for cloud in CLOUDS)
        raise ValueError(f"there is no cloud named {name!r}; known are {known}, {AZURE_STACK}")
    return name


def _authority(text: str) -> str:
    """An https address that ends with one slash, as every client expects in AZURE_AUTHORITY_HOST."""
    text = text.strip()
    if not text:
        return ""
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"{text!r} is not an https address")
    return text if text.endswith("/") else text + "/"


def _tls_version(text: str) -> str:
    version = text.strip()
    if version in TLS_VERSIONS:
        return version
    if version in WEAK_TLS_VERSIONS:
        # Accepted as "this or newer"; nothing older than 1.2 is spoken, and no API server needs it.
        return "1.2"
    raise ValueError(f"{text!r} is not one of 1.0, 1.1, 1.2, 1.3")


def _metrics_backend(text: str) -> str:
    if text.strip().lower() != "prometheus":
        raise ValueError(f"{text!r} is not prometheus")
    return "prometheus"
