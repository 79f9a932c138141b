"""What MIC is told at start.

Contract: pod identity, section 2.10, with the names of the original's flags, and section 9 (16).
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from podpass.settings import values
from podpass.settings.options import Option, Reader, flagged
from podpass.settings.values import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything MIC needs to know but the cloud. Times are seconds."""

    cloud_config: Path | None = None
    """azure.json; None: the environment says it."""
    forced_namespaced: bool = False
    keep_for_ended_pods: bool = False
    resync_seconds: float = 3600.0
    reconcile_seconds: float = 180.0
    at_once: int = 20
    """How many objects are written at a time, for one machine."""
    immutable: frozenset[str] = frozenset()
    """Client ids, in lower case, of identities that are never taken from a machine."""
    max_retries: int = 2
    retry_seconds: float = 1.0
    instance: str = ""
    election_namespace: str = "default"
    election_name: str = "aad-pod-identity-mic"
    election_seconds: float = 15.0
    metadata_host: str = "http://169.254.169.254"
    health: Address = Address("", 8080)
    metrics: Address = Address("", 8888)
    log_level: str = ""
    user_agent: str = ""
    """What requests say of their sender besides its name."""

    @classmethod
    def read(
        cls, environ: Mapping[str, str], flags: Mapping[str, str | bool | None] | None = None, file: Path | None = None
    ) -> "Settings":
        """The settings that flags, environment, file and defaults give. Raises SettingsError."""
        reader = Reader("MIC", OPTIONS, environ, flags or {}, file)
        given = reader.value("cloudconfig", values.text)
        settings = cls(
            cloud_config=Path(given) if given else None,
            forced_namespaced=bool(reader.value("forceNamespaced", values.switch)),
            keep_for_ended_pods=bool(reader.value("keep-for-ended-pods", values.switch)),
            resync_seconds=reader.value("syncRetryDuration", _positive) or 1.0,
            reconcile_seconds=reader.value("identity-assignment-reconcile-interval", _positive) or 1.0,
            at_once=reader.value("createDeleteBatch", values.count) or 1,
            immutable=reader.value("immutable-user-msis", _ids) or frozenset(),
            max_retries=reader.value("update-user-msi-max-retry", values.count) or 0,
            retry_seconds=reader.value("update-user-msi-retry-interval", values.seconds) or 0.0,
            instance=reader.value("leader-election-instance", values.text) or platform.node(),
            election_namespace=reader.value("leader-election-namespace", values.namespace) or "",
            election_name=reader.value("leader-election-name", values.text) or "",
            election_seconds=reader.value("leader-election-duration", _positive) or 15.0,
            metadata_host=reader.value("metadata-host", values.text) or "",
            health=Address("", reader.value("http-probe-port", values.port) or 0),
            metrics=Address("", reader.value("prometheus-port", values.port) or 0),
            log_level=reader.value("log-level", values.log_level) or "",
            user_agent=reader.value("custom-user-agent", values.header_text) or "",
        )
        reader.check()
        return settings


OPTIONS: tuple[Option, ...] = (
    flagged("cloudconfig", "", "The node's azure.json; without it the environment says which cloud it is."),
    flagged(
        "forceNamespaced",
        "false",
        "Give pods identities of their own namespace only.",
        variable="FORCENAMESPACED",
        switch=True,
    ),
    flagged(
        "keep-for-ended-pods",
        "false",
        "Leave pods that have ended their identities until they are deleted, as the original does.",
        switch=True,
    ),
    flagged("syncRetryDuration", "3600s", "How often everything is looked at again."),
    flagged("identity-assignment-reconcile-interval", "3m", "How often identities that machines lost are added again."),
    flagged("createDeleteBatch", "20", "How many objects are written at a time, for one machine."),
    flagged("immutable-user-msis", "", "Client ids, with commas between, of identities never taken from a machine."),
    flagged("update-user-msi-max-retry", "2", "How often a change is tried again without the identities that failed."),
    flagged("update-user-msi-retry-interval", "1s", "How long is waited before that."),
    flagged("leader-election-instance", "", "The name of this replica; the host's name by default."),
    flagged("leader-election-namespace", "default", "Where the Lease lies."),
    flagged("leader-election-name", "aad-pod-identity-mic", "The name of the Lease."),
    flagged("leader-election-duration", "15s", "How long a claim to lead counts."),
    flagged("metadata-host", "http://169.254.169.254", "Where tokens of managed identities come from."),
    flagged("http-probe-port", "8080", "Where /healthz and /readyz are answered."),
    flagged("prometheus-port", "8888", "Where /metrics is answered."),
    flagged("log-level", "", "info, debug, trace or all."),
    flagged("custom-user-agent", "", "What requests say of their sender besides its name."),
)


def _positive(text: str) -> float:
    found = values.seconds(text)
    if found <= 0:
        raise ValueError(f"{text!r} is not a duration above zero")
    return found


def _ids(text: str) -> frozenset[str]:
    return frozenset(each.strip().lower() for each in text.split(",") if each.strip())
