"""Where a lab keeps its state, and the variables that point a program on the host at it."""

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from podpass.azure.clouds import PUBLIC
from podpass.lab.doors import own
from podpass.problems import PodpassError

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
# A unix socket's path holds 107 bytes; the longest name below the sockets' directory needs 16 of them.
_LONGEST_SOCKET_DIRECTORY = 90


def state_home(environ: Mapping[str, str]) -> Path:
    """The directory of all labs: PODPASS_HOME, else the user's state directory."""
    if given := environ.get("PODPASS_HOME"):
        return Path(given).absolute()
    base = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".local" / "state"
    return Path(base).absolute() / "podpass"


@dataclass(frozen=True, slots=True)
class LabPaths:
    """Every file of one lab. All directories are 0700."""

    name: str
    directory: Path

    @classmethod
    def of(cls, name: str, *, home: Path) -> "LabPaths":
        """Raises PodpassError when *name* can't name a lab."""
        if not _NAME.fullmatch(name):
            raise PodpassError("PP108", f"{name!r} is not a lab's name", name=name)
        return cls(name, home / "labs" / name)

    @property
    def database(self) -> Path:
        return self.directory / "lab.sqlite"

    @property
    def lock(self) -> Path:
        return self.directory / "lab.lock"

    @property
    def log(self) -> Path:
        return self.directory / "lab.log"

    @property
    def keys(self) -> Path:
        """Private keys: the certificate authority's, the issuer's, the tenants'."""
        return self.directory / "keys"

    @property
    def cluster(self) -> Path:
        """Which existing cluster the lab belongs to; not there for a lab with the embedded one."""
        return self.directory / "cluster.json"

    @property
    def ca_certificate(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def ca_bundle(self) -> Path:
        """The lab's certificate authority and the system's roots, for variables that replace the roots."""
        return self.directory / "ca-bundle.crt"

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def azure_config(self) -> Path:
        """A configuration directory for az, so that it never mixes this lab's tokens with others."""
        return self.directory / "azure"

    @property
    def node(self) -> Path:
        return self.directory / "node"

    @property
    def clusters(self) -> Path:
        """Managed clusters beside the lab's own, each in the directory of its guid."""
        return self.directory / "clusters"

    @property
    def authority(self) -> Path:
        """The directory of the certificate authority."""
        return self.keys / "ca"

    def of_cluster(self, guid: str) -> "LabPaths":
        """The files of a managed cluster beside the lab's own."""
        return LabPaths(self.name, self.clusters / guid)

    @property
    def endpoints(self) -> Path:
        return self.directory / "endpoints.json"

    @property
    def sockets(self) -> Path:
        """The directory of the unix sockets: beside the state, or a short one where that path is too long."""
        beside = self.directory / "run"
        if len(str(beside).encode()) <= _LONGEST_SOCKET_DIRECTORY:
            return beside
        digest = hashlib.sha256(str(self.directory).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"podpass-{os.getuid()}-{digest}"

    @property
    def control(self) -> Path:
        return self.sockets / "control.sock"

    def make(self) -> None:
        """Create the directories, private to this user. Raises PodpassError when the disk refuses."""
        try:
            for directory in (self.directory, self.keys, self.azure_config, self.node, self.sockets):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                if directory.stat().st_uid != os.getuid():
                    raise PodpassError("PP107", path=directory, reason="it belongs to another user", name=self.name)
                directory.chmod(0o700)
        except OSError as error:
            raise PodpassError("PP105", path=self.directory, reason=error.strerror) from error


def labs(home: Path) -> list[LabPaths]:
    """Every lab that has state below *home*, by name."""
    parent = home / "labs"
    if not parent.is_dir():
        return []
    return [LabPaths(entry.name, entry) for entry in sorted(parent.iterdir()) if _NAME.fullmatch(entry.name)]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a running lab answers. Written to a file, printed by `lab status` and `lab env`."""

    api: str
    """The Kubernetes API, https."""
    proxy: str
    """The forward proxy, http."""
    gateway: str
    """All emulated services behind one TLS port, chosen by SNI and Host."""
    metadata: str
    """The instance metadata service of the host, http."""
    tenant_id: str
    subscription_id: str
    operator_client_id: str
    issuer: str
    kubeconfig: str
    """The file, or the files as KUBECONFIG lists them, that lead to the cluster."""


def pod_variables(doors: Mapping[str, str], paths: LabPaths) -> dict[str, str]:
    """What leads a pod that is a plain process to the lab: the host's variables without anybody's identity.

    *doors* are the URLs of the lab's doors for it, by the names of Endpoints.
    """
    nobody = Endpoints(
        **doors, api="", tenant_id="", subscription_id="", operator_client_id="", issuer="", kubeconfig=""
    )
    personal = ("KUBECONFIG", "AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST", "AZURE_CONFIG_DIR")
    return {
        name: value
        for name, value in host_variables(nobody, paths).items()
        if name not in personal and not name.startswith("PODPASS_")
    }


def host_variables(endpoints: Endpoints, paths: LabPaths) -> dict[str, str]:
    """The variables that make stock programs on the host use the lab with their normal host names.

    Contract: the Azure HTTP surface, section 9 (b).
    """
    bundle = str(paths.ca_bundle)
    # The range too: a Service's external address is one of its own, and curl, requests and Go know ranges.
    direct = "localhost,127.0.0.1,127.0.0.0/8,::1"
    return {
        "KUBECONFIG": endpoints.kubeconfig,
        "HTTPS_PROXY": endpoints.proxy,
        "https_proxy": endpoints.proxy,
        "HTTP_PROXY": endpoints.proxy,
        "http_proxy": endpoints.proxy,
        "NO_PROXY": direct,
        "no_proxy": direct,
        # Each stack reads another one of these: requests, ssl and Go, curl, Node.
        "REQUESTS_CA_BUNDLE": bundle,
        "SSL_CERT_FILE": bundle,
        "CURL_CA_BUNDLE": bundle,
        "NODE_EXTRA_CA_CERTS": str(paths.ca_certificate),
        # Without this, a chain of credentials would probe the machine's real metadata address.
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": endpoints.metadata,
        "AZURE_TENANT_ID": endpoints.tenant_id,
        "AZURE_AUTHORITY_HOST": PUBLIC.authority_host,
        "AZURE_CONFIG_DIR": str(paths.azure_config),
        "AZURE_CORE_COLLECT_TELEMETRY": "no",
        "AZURE_EXTENSION_USE_DYNAMIC_INSTALL": "no",
        "PODPASS_LAB": paths.name,
        "PODPASS_SUBSCRIPTION_ID": endpoints.subscription_id,
        "PODPASS_OPERATOR_CLIENT_ID": endpoints.operator_client_id,
        "PODPASS_ISSUER": endpoints.issuer,
    }


PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy")
ONLY_EXPLICIT = ("ARM_CLOUD_METADATA_URL", "AZURE_CORE_INSTANCE_DISCOVERY", "PODPASS_CLOUD")


def explicit_variables(endpoints: Endpoints, paths: LabPaths) -> dict[str, str]:
    """The variables for programs that are told where the cloud is, instead of being led there by a proxy.

    None of PROXY_VARIABLES may be set beside them. Contract: the Azure HTTP surface, section 9 (a).
    """
    origin = own.origin(urlsplit(endpoints.gateway).port or 443)
    variables = {name: value for name, value in host_variables(endpoints, paths).items() if name not in PROXY_VARIABLES}
    return {
        **variables,
        "AZURE_AUTHORITY_HOST": f"{origin}/",
        # az and MSAL ask the public cloud about login hosts that they do not know.
        "AZURE_CORE_INSTANCE_DISCOVERY": "false",
        # az keeps which cloud it is in, and its tokens by a login host without a port, in this directory.
        "AZURE_CONFIG_DIR": str(paths.azure_config / "explicit"),
        "ARM_CLOUD_METADATA_URL": f"{origin}/metadata/endpoints?api-version=2019-05-01",
        "PODPASS_CLOUD": origin,
    }
