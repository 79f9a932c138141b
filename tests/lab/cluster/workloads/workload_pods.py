"""Pods as the workload controllers see them, made in one line."""

from typing import Any

import msgspec

from podpass.lab.clock import rfc3339
from podpass.lab.cluster.workloads.pods import Pod, decode

NOW = 1_800_000_000.0


def a_pod(
    name: str,
    *,
    node: str = "n1",
    phase: str = "Running",
    ready: float | None = 3600,
    age: float = 7200,
    restarts: int = 0,
    deleting: bool = False,
    grace: int = 30,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    finalizers: tuple[str, ...] = (),
    exit_code: int | None = None,
    ended: float = 3600,
    conditions: tuple[str, ...] = (),
) -> Pod:
    """*ready*, *age* and *ended* are seconds ago; ready None: not ready."""
    since = [] if ready is None else [{"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(NOW - ready)}]
    container: dict[str, Any] = {"name": "c", "restartCount": restarts}
    if phase in ("Failed", "Succeeded"):
        since = []
        code = exit_code if exit_code is not None else int(phase == "Failed")
        container["state"] = {"terminated": {"exitCode": code, "finishedAt": rfc3339(NOW - ended)}}
    obj = {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "labels": labels or {"app": "web"},
            "annotations": annotations or {},
            "finalizers": list(finalizers),
            "creationTimestamp": rfc3339(NOW - age),
            **({"deletionTimestamp": rfc3339(NOW), "deletionGracePeriodSeconds": grace} if deleting else {}),
        },
        "spec": {"nodeName": node} if node else {},
        "status": {
            "phase": phase,
            "conditions": [*since, *({"type": each, "status": "True"} for each in conditions)],
            "containerStatuses": [container],
        },
    }
    return decode(msgspec.json.encode(obj))
