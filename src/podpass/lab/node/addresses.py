"""The addresses of the node's network: one for each pod, the gateway's, and the API server's among services'."""

from collections.abc import Collection

GATEWAY = "10.244.0.1"
POD_PREFIX = 24
API_ADDRESS = "10.96.0.1"
SERVICES = "10.96.0.0/16"

_NETWORK = GATEWAY.rpartition(".")[0]
_PODS = tuple(f"{_NETWORK}.{number}" for number in range(2, 255))
TRIED_FIRST = _PODS[-1]
"""Of the pod that is made and removed before any other, to see whether this machine allows it."""


def free_address(taken: Collection[str], wanted: str = "") -> str | None:
    """An address for a pod: *wanted*, the one it had before, where that is free; None when none is."""
    if wanted in _PODS and wanted not in taken:
        return wanted
    return next((address for address in _PODS if address not in taken), None)
