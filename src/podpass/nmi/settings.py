"""What NMI is told at start.

Contract: pod identity, section 3.1, with the names of the original's flags, and section 9 (18, 20, 26).
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from podpass.settings import values
from podpass.settings.options import Option, Reader, flagged
from podpass.settings.values import Address


class Mode(StrEnum):
    """Who decides which pod has which identity."""

    STANDARD = "standard"
    """MIC, by AzureAssignedIdentity objects."""
    MANAGED = "managed"
    """NMI itself, by the bindings and identities of the pod's namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything NMI needs to know. Times are seconds."""

    node: str
    mode: Mode = Mode.STANDARD
    forced_namespaced: bool = False
    listen: Address = Address("127.0.0.1", 2579)
    metadata: Address = Address("169.254.169.254", 80)
    """Where the metadata service is: what rules redirect from, and where requests go on to."""
    created_attempts: int = 16
    assigned_attempts: int = 4
    retry_interval_seconds: float = 5.0
    rules_interval_seconds: float = 60.0
    install_rules: bool = True
    delete_conntrack: bool = True
    block_instance_metadata: bool = False
    metadata_header_required: bool = True
    metadata_header_any_case: bool = False
    retry_after_header: bool = False
    json_errors: bool = False
    only_own_node: bool = True
    """Whether only the assigned identities of this node are read."""
    health: Address = Address("", 8080)
    metrics: Address = Address("", 9090)
    log_level: str = ""
    startup_taint: str = ""
    """The key of taints that are taken from the node once pods are answered; empty for none."""
    user_agent: str = ""
    """What requests say of their sender besides its name."""

    @property
    def created_seconds(self) -> float:
        """How long an assigned identity may take to appear."""
        return self.created_attempts * self.retry_interval_seconds

    @property
    def assigned_seconds(self) -> float:
        """How long after that it may take to be assigned."""
        return self.assigned_attempts * self.retry_interval_seconds

    @classmethod
    def read(
        cls, environ: Mapping[str, str], flags: Mapping[str, str | bool | None] | None = None, file: Path | None = None
    ) -> "Settings":
        """The settings that flags, environment, file and defaults give. Raises SettingsError."""
        reader = Reader("NMI", OPTIONS, environ, flags or {}, file)
        mode = reader.value("operation-mode", _mode) or Mode.STANDARD
        forced = bool(reader.value("forceNamespaced", values.switch))
        if mode is Mode.MANAGED and not forced:
            reader.complain("forceNamespaced", "is required in managed mode")
        kubelet = reader.value("kubelet-config", values.text) or ""
        if not reader.value("allow-network-plugin-kubenet", values.switch):
            _refuse_kubenet(reader, Path(kubelet))
        settings = cls(
            node=reader.value("node", _node) or "",
            mode=mode,
            forced_namespaced=forced,
            listen=Address(reader.value("nmi-listen-address", _ip) or "", reader.value("nmi-port", values.port) or 0),
            metadata=Address(reader.value("metadata-ip", _ip) or "", reader.value("metadata-port", values.port) or 0),
            created_attempts=reader.value("retry-attempts-for-created", values.count) or 0,
            assigned_attempts=reader.value("retry-attempts-for-assigned", values.count) or 0,
            retry_interval_seconds=reader.value("find-identity-retry-interval", values.seconds) or 0.0,
            rules_interval_seconds=reader.value("ipt-update-interval-sec", values.seconds) or 60.0,
            install_rules=not reader.value("skip-iptables", values.switch),
            delete_conntrack=bool(reader.value("enable-conntrack-deletion", values.switch)),
            block_instance_metadata=bool(reader.value("block-instance-metadata", values.switch)),
            metadata_header_required=bool(reader.value("metadata-header-required", values.switch)),
            metadata_header_any_case=bool(reader.value("metadata-header-any-case", values.switch)),
            retry_after_header=bool(reader.value("set-retry-after-header", values.switch)),
            json_errors=bool(reader.value("json-errors", values.switch)),
            only_own_node=bool(reader.value("enableScaleFeatures", values.switch)),
            health=Address("", reader.value("http-probe-port", values.port) or 0),
            metrics=Address("", reader.value("prometheus-port", values.port) or 0),
            log_level=reader.value("log-level", values.log_level) or "",
            startup_taint=reader.value("startup-taint", values.text) or "",
            user_agent=reader.value("custom-user-agent", values.header_text) or "",
        )
        reader.check()
        return settings


OPTIONS: tuple[Option, ...] = (
    flagged("node", "", "The name of the node. Required.", variable="NODE_NAME"),
    flagged("operation-mode", "standard", "Who decides: standard (MIC) or managed (the bindings themselves)."),
    flagged(
        "forceNamespaced",
        "false",
        "Give pods identities of their own namespace only; required in managed mode.",
        variable="FORCENAMESPACED",
        switch=True,
    ),
    flagged("nmi-listen-address", "127.0.0.1", "The address to answer on."),
    flagged("nmi-port", "2579", "The port to answer on."),
    flagged("metadata-ip", "169.254.169.254", "Where the metadata service is, and what is redirected."),
    flagged("metadata-port", "80", "The port of the metadata service."),
    flagged("retry-attempts-for-created", "16", "Intervals to wait for MIC to create an assigned identity."),
    flagged("retry-attempts-for-assigned", "4", "Further intervals to wait for it to be assigned."),
    flagged("find-identity-retry-interval", "5", "The length of such an interval, in seconds."),
    flagged("ipt-update-interval-sec", "60", "How often the rules of redirection are looked at, in seconds."),
    flagged("skip-iptables", "false", "Install no rules: somebody else leads pods here.", switch=True),
    flagged(
        "enable-conntrack-deletion",
        "true",
        "Cut connections to the metadata service that are older than the rules.",
        switch=True,
    ),
    flagged("block-instance-metadata", "false", "Keep the instance document from pods.", switch=True),
    flagged("metadata-header-required", "true", "Refuse requests without the header Metadata: true.", switch=True),
    flagged("metadata-header-any-case", "false", "Take Metadata: True, as some older SDKs send it, too.", switch=True),
    flagged(
        "set-retry-after-header",
        "false",
        "Answer 503 with Retry-After where a pod has no identity yet, in place of 404.",
        switch=True,
    ),
    flagged("json-errors", "false", "Answer errors as the metadata service does, in JSON.", switch=True),
    flagged("enableScaleFeatures", "true", "Read the assigned identities of this node only.", switch=True),
    flagged(
        "allow-network-plugin-kubenet", "false", "Start on nodes whose network lets pods pose as others.", switch=True
    ),
    flagged("kubelet-config", "/etc/default/kubelet", "The file that tells which network plug-in the node has."),
    flagged("startup-taint", "", "The key of the taint that is taken from the node once pods are answered."),
    flagged("http-probe-port", "8080", "Where /healthz and /readyz are answered."),
    flagged("prometheus-port", "9090", "Where /metrics is answered."),
    flagged("log-level", "", "info, debug, trace or all."),
    flagged("custom-user-agent", "", "What requests say of their sender besides its name."),
)


def _refuse_kubenet(reader: Reader, kubelet: Path) -> None:
    try:
        found = kubelet.read_text(errors="replace")
    except OSError as error:
        reader.complain("kubelet-config", f"{kubelet}: {error.strerror}")
        return
    if "--network-plugin=kubenet" in found:
        reader.complain(
            "allow-network-plugin-kubenet",
            "this node's network plug-in is kubenet, which does not stop a pod from posing as another; "
            "make pods drop NET_RAW before you allow it",
        )


def _mode(text: str) -> Mode:
    try:
        return Mode(text.strip().lower())
    except ValueError:
        raise ValueError(f"{text!r} is neither standard nor managed") from None


def _node(text: str) -> str:
    if not text.strip():
        raise ValueError("is required")
    return text.strip()


def _ip(text: str) -> str:
    return str(ipaddress.ip_address(text.strip()))
