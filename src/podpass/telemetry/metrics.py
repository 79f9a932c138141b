"""Counters and histograms of one run. Each run has a registry of its own, so that two in one process don't mix."""

import re

from prometheus_client import GC_COLLECTOR, CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST

# The library ends the name of each counter in `_total`. Those that dashboards of AAD Pod Identity read end in `_count`.
_ORIGINAL = re.compile(rb"^((?:# (?:HELP|TYPE) )?aadpodidentity_\w+_count)_total\b", re.MULTILINE)


def make_registry(*, process: bool = True) -> CollectorRegistry:
    """An empty registry, with figures of the process (memory, descriptors, start time) where *process* is set."""
    registry = CollectorRegistry(auto_describe=True)
    if process:
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        # The interpreter's collector figures are kept by the library itself; only their place is ours.
        registry.register(GC_COLLECTOR)
    return registry


def render(registry: CollectorRegistry) -> bytes:
    """The metrics in the Prometheus text format."""
    return _ORIGINAL.sub(rb"\1", generate_latest(registry))
