"""NMI's figures, under the names that dashboards of the original read.

Contract: pod identity, sections 2.12 and 9 (25).
"""

from prometheus_client import CollectorRegistry, Counter, Histogram

_REQUESTS = (0.5, 1, 2, 3, 4, 5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100)
_UPSTREAM = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 2, 3, 4, 5, 10)
MAX_LABELS = 2_000
"""Anybody in a pod can name a resource, so the values of a label are bounded."""


class NmiMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Histogram(
            "aadpodidentity_nmi_operations_duration_seconds",
            "Seconds that a request took.",
            ["operation_type", "status_code", "namespace", "resource"],
            buckets=_REQUESTS,
            registry=registry,
        )
        self._upstream = Histogram(
            "aadpodidentity_imds_operations_duration_seconds",
            "Seconds that fetching a token took.",
            ["operation_type"],
            buckets=_UPSTREAM,
            registry=registry,
        )
        self._upstream_errors = Counter(
            "aadpodidentity_imds_operations_errors_count",
            "Tokens that could not be fetched.",
            ["operation_type"],
            registry=registry,
        )
        self.failed_turns = Counter(
            "podpass_nmi_failed_turns", "Turns of a background loop that failed.", ["loop"], registry=registry
        )
        self._seen: dict[tuple[str, str, str, str], Histogram] = {}

    def answered(self, operation: str, status: int, namespace: str, resource: str, seconds: float) -> None:
        """One request, answered after *seconds*. *namespace* and *resource* are empty where they are not known."""
        key = (operation, str(status), namespace, resource[:200])
        child = self._seen.get(key)
        if child is None:
            if len(self._seen) >= MAX_LABELS:
                key = (operation, str(status), "", "")
            child = self._seen[key] = self._requests.labels(*key)
        child.observe(seconds)

    def fetched(self, operation: str, seconds: float, *, failed: bool) -> None:
        """One fetch of a token from where it comes from."""
        self._upstream.labels(operation).observe(seconds)
        if failed:
            self._upstream_errors.labels(operation).inc()
