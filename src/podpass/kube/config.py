"""Where the API server is and who we are there: kubeconfig files and the pod's own service account.

Only reads; nothing is connected. Left out: the legacy `auth-provider` plugins, which Kubernetes removed in 1.26.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from podpass.problems import PodpassError

SERVICE_ACCOUNT_DIRECTORY = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ConfigError(PodpassError):
    """A cluster can't be reached with what is configured; the text names the file and the member."""

    def __init__(self, reason: str) -> None:
        super().__init__("PP402", reason, reason=reason)


@dataclass(frozen=True, slots=True)
class StaticToken:
    """A bearer token that is not renewed."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A token that somebody else renews in place, such as the kubelet."""

    path: Path


@dataclass(frozen=True, slots=True)
class BasicPassword:
    """A name and password of HTTP basic authentication."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A program that prints an ExecCredential (client.authentication.k8s.io)."""

    command: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    api_version: str = "client.authentication.k8s.io/v1"
    provide_cluster_info: bool = False
    install_hint: str = ""


Credential = StaticToken | TokenFile | BasicPassword | ExecPlugin


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A TLS client certificate with its key, both PEM."""

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """One API server, and one identity there."""

    server: str
    """The base address, without a trailing slash."""
    ca_pem: bytes | None = field(default=None, repr=False)
    """The only authorities trusted; None means the system's."""
    credential: Credential | None = None
    certificate: ClientCertificate | None = None
    namespace: str = "default"
    tls_server_name: str = ""
    """The name to ask for and to verify, where it is not the address's host."""
    skip_tls_verify: bool = False
    proxy: str = ""
    impersonate_user: str = ""
    impersonate_groups: tuple[str, ...] = ()


def load(
    environ: Mapping[str, str],
    *,
    path: Path | None = None,
    context: str = "",
    service_account: Path = SERVICE_ACCOUNT_DIRECTORY,
) -> Access:
    """How to reach the API server: *path*, else KUBECONFIG, else the pod's service account, else ~/.kube/config.

    Raises ConfigError.
    """
    if path is not None:
        return from_kubeconfig([path], context=context)
    listed = [Path(part) for part in environ.get("KUBECONFIG", "").split(":") if part]
    if listed:
        return from_kubeconfig([part for part in listed if part.exists()] or listed[:1], context=context)
    if environ.get("KUBERNETES_SERVICE_HOST") and (service_account / "token").exists():
        return in_cluster(environ, service_account)
    home = Path(environ.get("HOME", "~")).expanduser() / ".kube" / "config"
    if home.exists():
        return from_kubeconfig([home], context=context)
    raise ConfigError("no cluster is configured: give --kubeconfig, set KUBECONFIG, or run inside a pod")


def in_cluster(environ: Mapping[str, str], directory: Path = SERVICE_ACCOUNT_DIRECTORY) -> Access:
    """The API server of the cluster this pod runs in. Raises ConfigError outside of one."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigError("KUBERNETES_SERVICE_HOST is not set: this is not a pod")
    namespace_file = directory / "namespace"
    namespace = namespace_file.read_text().strip() if namespace_file.exists() else "default"
    return Access(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca_pem=_read(directory / "ca.crt", "the service account's ca.crt"),
        credential=TokenFile(directory / "token"),
        namespace=namespace,
    )


def from_kubeconfig(paths: Iterable[Path], *, context: str = "") -> Access:
    """The access that *context* (by default the current one) names; of files that disagree the first counts.

    Raises ConfigError.
    """
    merged = _Merged()
    for path in paths:
        merged.add(path)
    return merged.access(context)


def context_name(paths: Iterable[Path], context: str = "") -> str:
    """The context that `from_kubeconfig` takes: *context*, else the current one. Raises ConfigError."""
    merged = _Merged()
    for path in paths:
        merged.add(path)
    merged.access(context)
    return context or merged.current


class _Merged:
    def __init__(self) -> None:
        self.current = ""
        self.contexts: dict[str, tuple[Path, dict[str, Any]]] = {}
        self.clusters: dict[str, tuple[Path, dict[str, Any]]] = {}
        self.users: dict[str, tuple[Path, dict[str, Any]]] = {}
        self.first: Path | None = None

    def add(self, path: Path) -> None:
        self.first = self.first or path
        try:
            document = yaml.safe_load(path.read_bytes()) or {}
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error
        except yaml.YAMLError as error:
            # The parser's own message quotes the line, which may hold a key.
            raise ConfigError(f"{path}: not a YAML document") from error
        if not isinstance(document, dict):
            raise ConfigError(f"{path}: not a kubeconfig")
        self.current = self.current or str(document.get("current-context") or "")
        for section, inner, into in (
            ("contexts", "context", self.contexts),
            ("clusters", "cluster", self.clusters),
            ("users", "user", self.users),
        ):
            for entry in document.get(section) or []:
                if not isinstance(entry, dict) or not isinstance(entry.get(inner) or {}, dict):
                    raise ConfigError(f"{path}: {section} holds something that is not an entry")
                into.setdefault(str(entry.get("name")), (path, entry.get(inner) or {}))

    def access(self, context: str) -> Access:
        name = context or self.current
        if not name:
            raise ConfigError(f"{self.first}: no current-context")
        _, chosen = self._entry(self.contexts, name, "context")
        cluster_path, cluster = self._entry(self.clusters, str(chosen.get("cluster")), "cluster")
        user_name = str(chosen.get("user") or "")
        user_path, user = self._entry(self.users, user_name, "user") if user_name else (cluster_path, {})
        server = str(cluster.get("server") or "").rstrip("/")
        if urlsplit(server).scheme not in ("http", "https"):
            raise ConfigError(f"{cluster_path}: cluster {chosen.get('cluster')}: server is not an http(s) address")
        return Access(
            server=server,
            ca_pem=_material(cluster_path, cluster, "certificate-authority"),
            credential=_credential(user_path, user),
            certificate=_certificate(user_path, user),
            namespace=str(chosen.get("namespace") or "default"),
            tls_server_name=str(cluster.get("tls-server-name") or ""),
            skip_tls_verify=bool(cluster.get("insecure-skip-tls-verify")),
            proxy=str(cluster.get("proxy-url") or ""),
            impersonate_user=str(user.get("as") or ""),
            impersonate_groups=tuple(str(group) for group in user.get("as-groups") or ()),
        )

    def _entry(
        self, section: dict[str, tuple[Path, dict[str, Any]]], name: str, what: str
    ) -> tuple[Path, dict[str, Any]]:
        try:
            return section[name]
        except KeyError:
            raise ConfigError(f"{self.first}: no {what} is named {name!r}") from None


def _credential(path: Path, user: dict[str, Any]) -> Credential | None:
    if user.get("tokenFile"):
        return TokenFile(_beside(path, str(user["tokenFile"])))
    if user.get("token"):
        return StaticToken(str(user["token"]))
    if user.get("username"):
        return BasicPassword(str(user["username"]), str(user.get("password") or ""))
    plugin = user.get("exec")
    if not plugin:
        return None
    if not isinstance(plugin, dict) or not plugin.get("command"):
        raise ConfigError(f"{path}: exec without a command")
    command = str(plugin["command"])
    return ExecPlugin(
        # As for every path in a kubeconfig: relative to the file, unless it is a bare name for PATH.
        command=str(_beside(path, command)) if "/" in command else command,
        arguments=tuple(str(part) for part in plugin.get("args") or ()),
        environment=tuple((str(entry["name"]), str(entry["value"])) for entry in plugin.get("env") or ()),
        api_version=str(plugin.get("apiVersion") or "client.authentication.k8s.io/v1"),
        provide_cluster_info=bool(plugin.get("provideClusterInfo")),
        install_hint=str(plugin.get("installHint") or ""),
    )


def _certificate(path: Path, user: dict[str, Any]) -> ClientCertificate | None:
    certificate = _material(path, user, "client-certificate")
    key = _material(path, user, "client-key")
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError(f"{path}: client-certificate and client-key only make sense together")
    return ClientCertificate(certificate, key)


def _material(path: Path, entry: dict[str, Any], member: str) -> bytes | None:
    """PEM from `<member>-data` (base64), which wins, or from the file `<member>` names."""
    data = entry.get(f"{member}-data")
    if data:
        try:
            return base64.b64decode(str(data), validate=False)
        except binascii.Error:
            raise ConfigError(f"{path}: {member}-data is not base64") from None
    if entry.get(member):
        return _read(_beside(path, str(entry[member])), f"{path}: {member}")
    return None


def _beside(path: Path, name: str) -> Path:
    return path.parent / Path(name).expanduser()


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{what}: {path}: {error.strerror}") from error
