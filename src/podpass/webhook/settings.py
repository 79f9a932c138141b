"""What the webhook is told at start: flags, environment, file, defaults, in this order.

Contract: azure workload identity, sections 0 and 1.8, with the flags podpass adds.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import yaml

from podpass.azure.clouds import CLOUDS, PUBLIC, cloud_named
from podpass.problems import PodpassError

T = TypeVar("T")

AZURE_STACK = "AzureStackCloud"
TLS_VERSIONS = ("1.2", "1.3")
WEAK_TLS_VERSIONS = ("1.0", "1.1")
LOG_LEVELS = ("", "info", "debug", "trace", "all")


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
class Address:
    host: str
    """Empty: every interface."""
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


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


@dataclass(frozen=True, slots=True)
class BadValue:
    source: str
    """The flag, variable or file member as the user wrote it."""
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


class SettingsError(PodpassError):
    """The webhook can't start with these settings; *bad* holds all of what is wrong."""

    def __init__(self, bad: tuple[BadValue, ...]) -> None:
        super().__init__(
            "PP401",
            "the webhook can't start with these settings: " + "; ".join(map(str, bad)),
            reason="; ".join(map(str, bad)),
            first=bad[0].source,
        )
        self.bad = bad


@dataclass(frozen=True, slots=True)
class Option:
    """One setting as a user may give it. An empty *variable* or *flag* means that this way is not open."""

    key: str
    variable: str
    default: str
    help: str
    flag: str = ""
    switch: bool = False


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
_BY_KEY = {option.key: option for option in OPTIONS}


class _Reader:
    def __init__(self, environ: Mapping[str, str], flags: Mapping[str, str | bool | None], file: Path | None) -> None:
        self.bad: list[BadValue] = []
        self._environ, self._flags = environ, flags
        self._file_name = str(file) if file else ""
        self._file = self._load(file) if file else {}
        for key in flags:
            if key not in _BY_KEY:
                raise KeyError(key)

    def settings(self) -> Settings:
        tenant_id = self.value("tenant-id", _tenant)
        certificates = CertificateSource.SECRET
        files, self_signed = self.value("disable-cert-rotation", _switch), self.value("self-signed", _switch)
        if files and self_signed:
            self.complain("self-signed", "can't be combined with --disable-cert-rotation")
        elif files or self_signed:
            certificates = CertificateSource.FILES if files else CertificateSource.SELF_SIGNED
        self.value("metrics-backend", _metrics_backend)
        settings = Settings(
            tenant_id=tenant_id or "",
            authority_host=self.authority_host(),
            layout=self.value("layout", _layout) or Layout.V1,
            audience=self.value("audience", _text) or PUBLIC.token_exchange_audience,
            strict_annotations=bool(self.value("strict-annotations", _switch)),
            namespace=self.value("namespace", _namespace) or "",
            webhook_address=self.value("webhook-addr", _address) or Address("", 0),
            health_address=self.value("health-addr", _address) or Address("", 0),
            metrics_address=self.value("metrics-addr", _address) or Address("", 0),
            certificates=certificates,
            certificate_directory=Path(self.value("webhook-cert-dir", _text) or "."),
            tls_min_version=self.value("tls-min-version", _tls_version) or "1.3",
            log_level=self.value("log-level", _log_level) or "",
        )
        if self.bad:
            raise SettingsError(tuple(self.bad))
        return settings

    def authority_host(self) -> str:
        cloud_name = self.value("azure-environment", _cloud) or PUBLIC.name
        path = self.value("azure-environment-filepath", _text) or ""
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

    def value(self, key: str, parse: Callable[[str], T]) -> T | None:
        """The option's value, or None after a complaint that names where the bad text came from."""
        try:
            return parse(self._text(key))
        except ValueError as error:
            self.complain(key, str(error))
            return None

    def complain(self, key: str, reason: str) -> None:
        self.bad.append(BadValue(self._source(key), reason))

    def _text(self, key: str) -> str:
        option = _BY_KEY[key]
        flag = self._flags.get(key)
        if flag is not None:
            return str(flag).lower() if isinstance(flag, bool) else flag
        if option.variable and self._environ.get(option.variable):
            return self._environ[option.variable]
        if key in self._file:
            return self._file[key]
        return option.default

    def _source(self, key: str) -> str:
        option = _BY_KEY[key]
        if self._flags.get(key) is not None:
            return option.flag or key
        if key in self._file and not self._environ.get(option.variable):
            return f"{self._file_name}: {key}"
        return option.variable

    def _load(self, file: Path) -> dict[str, str]:
        try:
            document: Any = yaml.safe_load(file.read_bytes()) or {}
        except OSError as error:
            self.bad.append(BadValue(str(file), str(error.strerror)))
            return {}
        except yaml.YAMLError:
            self.bad.append(BadValue(str(file), "is not a YAML document"))
            return {}
        if not isinstance(document, dict):
            self.bad.append(BadValue(str(file), "is not a mapping"))
            return {}
        values: dict[str, str] = {}
        for key, value in document.items():
            if key not in _BY_KEY:
                self.bad.append(BadValue(f"{file}: {key}", "is not a setting of the webhook"))
            elif not isinstance(value, str | int | float):
                self.bad.append(BadValue(f"{file}: {key}", "is not a text, a number or a truth value"))
            else:
                values[key] = str(value).lower() if isinstance(value, bool) else str(value)
        return values


def _text(text: str) -> str:
    return text.strip()


def _tenant(text: str) -> str:
    tenant_id = text.strip()
    if not tenant_id:
        raise ValueError("is required")
    if "${" in tenant_id:
        raise ValueError("still holds a placeholder; put the directory's id in its place")
    return tenant_id


def _switch(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in ("true", "1", "t"):
        return True
    if lowered in ("false", "0", "f"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


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


def _namespace(text: str) -> str:
    name = text.strip()
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
        raise ValueError(f"{text!r} is not the name of a namespace")
    return name


def _address(text: str) -> Address:
    """`:9443`, `127.0.0.1:9443` or `[::1]:9443`."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"{text!r} is not an address like :9443")
    if host.startswith("["):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"{text!r} holds no IPv6 address") from None
    return Address(host, int(port))


def _tls_version(text: str) -> str:
    version = text.strip()
    if version in TLS_VERSIONS:
        return version
    if version in WEAK_TLS_VERSIONS:
        # Accepted as "this or newer"; nothing older than 1.2 is spoken, and no API server needs it.
        return "1.2"
    raise ValueError(f"{text!r} is not one of 1.0, 1.1, 1.2, 1.3")


def _log_level(text: str) -> str:
    level = text.strip().lower()
    if level not in LOG_LEVELS:
        raise ValueError(f"{text!r} is not one of info, debug, trace, all")
    return level


def _metrics_backend(text: str) -> str:
    if text.strip().lower() != "prometheus":
        raise ValueError(f"{text!r} is not prometheus")
    return "prometheus"
