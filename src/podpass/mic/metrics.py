"""MIC's figures, under the names that dashboards of the original read.

Contract: pod identity, section 2.12.
"""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram

_OBJECTS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 2, 3, 4, 5, 10)
_CYCLES = (0.5, 1, 5, 10, 30, 60, 120, 300, 600, 900, 1200)

Step = Literal["addition", "deletion", "update"]


class MicMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._durations: dict[Step, Histogram] = {}
        self._counts: dict[Step, Counter] = {}
        steps: tuple[Step, ...] = ("addition", "deletion", "update")
        for step in steps:
            self._durations[step] = Histogram(
                f"aadpodidentity_assigned_identity_{step}_duration_seconds",
                f"Seconds that the {step} of an assigned identity took.",
                buckets=_OBJECTS,
                registry=registry,
            )
            self._counts[step] = Counter(
                f"aadpodidentity_assigned_identity_{step}_count",
                f"The {step}s of assigned identities.",
                registry=registry,
            )
        self._cycle = Histogram(
            "aadpodidentity_mic_cycle_duration_seconds",
            "Seconds that a turn of work on one machine took.",
            buckets=_CYCLES,
            registry=registry,
        )
        self._cycles = Counter("aadpodidentity_mic_cycle_count", "Turns of work on machines.", registry=registry)
        self.elections = Counter(
            "aadpodidentity_mic_new_leader_election_count", "Times that this replica began to lead.", registry=registry
        )
        self._cloud = Histogram(
            "aadpodidentity_cloud_provider_operations_duration_seconds",
            "Seconds that a call to Resource Manager took.",
            ["operation_type"],
            buckets=_CYCLES,
            registry=registry,
        )
        self._cloud_errors = Counter(
            "aadpodidentity_cloud_provider_operations_errors_count",
            "Calls to Resource Manager that failed.",
            ["operation_type"],
            registry=registry,
        )
        self.api_errors = Counter(
            "aadpodidentity_kubernetes_api_operations_errors_count",
            "Calls to the API server that failed.",
            ["operation_type"],
            registry=registry,
        )
        self.failed_turns = Counter(
            "podpass_mic_failed_turns", "Turns of a background loop that failed.", ["loop"], registry=registry
        )

    def written(self, step: Step, seconds: float) -> None:
        """One object created, changed or deleted."""
        self._durations[step].observe(seconds)
        self._counts[step].inc()

    def worked(self, seconds: float) -> None:
        """One turn of work on a machine."""
        self._cycle.observe(seconds)
        self._cycles.inc()

    def called(self, operation: str, seconds: float, *, failed: bool) -> None:
        """One call to Resource Manager, the end of its operation included."""
        self._cloud.labels(operation).observe(seconds)
        if failed:
            self._cloud_errors.labels(operation).inc()
