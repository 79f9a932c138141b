"""Pods: how they are listed and selected, and the rules of the neighbouring modules put together.

Contract: Kubernetes API surface, sections 1.4, 2.8, 2.9 and 7.1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.lab.clock import seconds_of
from podpass.lab.cluster.kinds.pod_defaults import default_pod, prepare_pod
from podpass.lab.cluster.kinds.pod_validation import pod_causes, pod_update_causes, refuse_what_has_a_path_of_its_own
from podpass.lab.cluster.registry import Column, Kind, Subresource
from podpass.lab.cluster.tables import AGE, NAME, NONE, duration

_NODE_LOST = "NodeLost"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a pod's row says."""

    ready: int
    total: int
    status: str
    restarts: int
    last_restart: float | None
    """Seconds since the epoch."""


def summary(pod: Obj) -> Summary:
    """Sum a pod's containers up in one word and three numbers, as kubectl's users know them."""
    spec, status = objects.spec(pod), objects.status(pod)
    sidecars = {
        container.get("name")
        for container in spec.get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }
    total = len(spec.get("containers") or ()) + len(sidecars)
    phase = status.get("phase") or ""
    reason = status.get("reason") or phase
    conditions = {each.get("type"): each for each in status.get("conditions") or ()}
    if conditions.get("PodScheduled", {}).get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    restarts, ready = 0, 0
    dates: list[float] = []
    sidecar_restarts, sidecar_dates = 0, list[float]()
    initializing = False
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        count, ended = _restarts(container)
        restarts += count
        dates += ended
        if container.get("name") in sidecars:
            sidecar_restarts += count
            sidecar_dates += ended
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated and not terminated.get("exitCode"):
            continue
        if container.get("name") in sidecars and container.get("started"):
            ready += bool(container.get("ready"))
            continue
        if terminated:
            reason = f"Init:{terminated.get('reason') or _exit(terminated)}"
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            reason = f"Init:{waiting['reason']}"
        else:
            reason = f"Init:{index}/{len(spec.get('initContainers') or ())}"
        initializing = True
        break
    if not initializing or conditions.get("Initialized", {}).get("status") == "True":
        restarts, dates = sidecar_restarts, sidecar_dates
        running = False
        for container in reversed(status.get("containerStatuses") or ()):
            count, ended = _restarts(container)
            restarts += count
            dates += ended
            state = container.get("state") or {}
            terminated, waiting = state.get("terminated"), state.get("waiting") or {}
            if waiting.get("reason"):
                reason = waiting["reason"]
            elif terminated:
                reason = terminated.get("reason") or _exit(terminated)
            elif container.get("ready") and state.get("running") is not None:
                running = True
                ready += 1
        if reason == "Completed" and running:
            reason = "Running" if conditions.get("Ready", {}).get("status") == "True" else "NotReady"
    if objects.being_deleted(pod):
        if status.get("reason") == _NODE_LOST:
            reason = "Unknown"
        elif phase not in ("Succeeded", "Failed"):
            reason = "Terminating"
    return Summary(ready, total, reason, restarts, max(dates, default=None))


def _restarts(container: Obj) -> tuple[int, list[float]]:
    ended = seconds_of(((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt"))
    return int(container.get("restartCount") or 0), [] if ended is None else [ended]


def _exit(terminated: Obj) -> str:
    if signal := terminated.get("signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _ready(pod: Obj, _: float) -> str:
    found = summary(pod)
    return f"{found.ready}/{found.total}"


def _restarts_cell(pod: Obj, now: float) -> str:
    found = summary(pod)
    if found.restarts and found.last_restart is not None:
        return f"{found.restarts} ({duration(now - found.last_restart)} ago)"
    return str(found.restarts)


def _ip(pod: Obj, _: float) -> str:
    status = objects.status(pod)
    first = next((entry.get("ip") for entry in status.get("podIPs") or ()), None)
    return first or status.get("podIP") or NONE


def _gates(pod: Obj, _: float) -> str:
    gates = objects.spec(pod).get("readinessGates") or ()
    if not gates:
        return NONE
    true = {each.get("type") for each in objects.status(pod).get("conditions") or () if each.get("status") == "True"}
    return f"{sum(gate.get('conditionType') in true for gate in gates)}/{len(gates)}"


_COLUMNS: Sequence[Column] = (
    NAME,
    Column("Ready", _ready, description="How many of the pod's containers are ready to accept traffic."),
    Column("Status", lambda pod, _: summary(pod).status, description="The state of the containers in this pod."),
    Column("Restarts", _restarts_cell, description="How often the containers were restarted, and when last."),
    AGE,
    Column("IP", _ip, priority=1, description="The pod's address."),
    Column(
        "Node",
        lambda pod, _: objects.spec(pod).get("nodeName") or NONE,
        priority=1,
        description="The node the pod is bound to.",
    ),
    Column(
        "Nominated Node",
        lambda pod, _: objects.status(pod).get("nominatedNodeName") or NONE,
        priority=1,
        description="The node where resources are being freed for the pod.",
    ),
    Column("Readiness Gates", _gates, priority=1, description="How many of the pod's readiness gates hold."),
)


def _field_labels(pod: Obj) -> Mapping[str, str]:
    spec, status = objects.spec(pod), objects.status(pod)
    return {
        "spec.nodeName": spec.get("nodeName") or "",
        "spec.restartPolicy": spec.get("restartPolicy") or "",
        "spec.schedulerName": spec.get("schedulerName") or "",
        "spec.serviceAccountName": spec.get("serviceAccountName") or "",
        "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
        "status.phase": status.get("phase") or "",
        "status.podIP": _address(status),
        "status.podIPs": _address(status),
        "status.nominatedNodeName": status.get("nominatedNodeName") or "",
    }


def _address(status: Obj) -> str:
    return status.get("podIP") or ""


def _grace_seconds(pod: Obj) -> int:
    """How long a deletion waits: not at all for a pod that no node runs, or that has ended."""
    if not objects.spec(pod).get("nodeName") or objects.status(pod).get("phase") in ("Succeeded", "Failed"):
        return 0
    return int(objects.spec(pod).get("terminationGracePeriodSeconds") or 0)


def _changed_by_its_owner(new: Obj, old: Obj) -> bool:
    """A pod that is bound to a node is still of its first generation."""

    def without_node(pod: Obj) -> Obj:
        return {member: value for member, value in objects.spec(pod).items() if member != "nodeName"}

    return without_node(new) != without_node(old)


def pods(subresources: Mapping[str, Subresource] | None = None) -> Kind:
    return Kind(
        resource=resources.PODS,
        has_status=True,
        has_generation=True,
        generation_changed=_changed_by_its_owner,
        default=default_pod,
        prepare_create=prepare_pod,
        prepare_update=refuse_what_has_a_path_of_its_own,
        validate_create=pod_causes,
        validate_update=pod_update_causes,
        field_labels=_field_labels,
        field_names=frozenset(_field_labels({})),
        columns=_COLUMNS,
        grace_seconds=_grace_seconds,
        returns_object_on_delete=True,
        subresources=subresources or {},
    )
