"""The webhook's figures, under the names that dashboards of the upstream webhook read.

Contract: azure workload identity, section 1.13.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PATH = "/mutate-v1-pod"
BUCKETS = (
    *(round(step * 0.001, 3) for step in range(1, 10)),
    *(round(step * 0.01, 2) for step in range(1, 10)),
    *(round(step * 0.1, 1) for step in range(1, 10)),
    1.0,
    1.5,
    2.0,
    2.5,
    3.0,
)
MAX_NAMESPACES = 10_000
"""Anybody in the cluster can post a review, so the values of a label are bounded."""


class WebhookMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._mutation = Histogram(
            "azwi_mutation_request",
            "Seconds that a mutation request took.",
            ["namespace", "service_name"],
            buckets=BUCKETS,
            registry=registry,
        )
        requests = Counter(
            "controller_runtime_webhook_requests",
            "Admission requests by HTTP status code.",
            ["webhook", "code"],
            registry=registry,
        )
        self._codes = {code: requests.labels(PATH, str(code)) for code in (200, 500)}
        self._latency = Histogram(
            "controller_runtime_webhook_latency_seconds",
            "Seconds that admission requests took.",
            ["webhook"],
            registry=registry,
        ).labels(PATH)
        self.in_flight = Gauge(
            "controller_runtime_webhook_requests_in_flight",
            "Admission requests being served.",
            ["webhook"],
            registry=registry,
        ).labels(PATH)
        self.certificates_read = Counter(
            "certwatcher_read_certificate", "Certificates loaded for serving.", registry=registry
        )
        self.certificate_errors = Counter(
            "certwatcher_read_certificate_errors", "Certificates that could not be loaded.", registry=registry
        )
        self.failed_turns = Counter(
            "podpass_webhook_failed_turns", "Turns of a background loop that failed.", ["loop"], registry=registry
        )
        self._namespaces: dict[str, Histogram] = {}

    def answered(self, namespace: str, seconds: float, *, code: int = 200) -> None:
        """One review, answered after *seconds*, denials included. *namespace* is empty when it is not known."""
        self._codes[code].inc()
        self._latency.observe(seconds)
        child = self._namespaces.get(namespace)
        if child is None:
            if len(self._namespaces) >= MAX_NAMESPACES:
                namespace = ""
            child = self._mutation.labels(namespace, "webhook")
            self._namespaces[namespace] = child
        child.observe(seconds)
