"""A pod's status from what its node knows: phase, conditions, container statuses.

Contract: Kubernetes API surface, section 7.1.
"""

from dataclasses import dataclass
from typing import Any, Literal

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.clock import rfc3339

Phase = Literal["Pending", "Running", "Succeeded", "Failed"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not started yet, or waiting to start again."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """Started, and not ended."""

    container_id: str
    started_at: float
    """Seconds since the epoch, as are all times here."""


@dataclass(frozen=True, slots=True)
class Terminated:
    """Ended; times are seconds since the epoch."""

    exit_code: int
    reason: str
    """Completed, Error, StartError, or Unknown when the node lost it."""
    finished_at: float
    started_at: float = 0.0
    container_id: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long the next restart waits after the last end."""

    seconds: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod, as it is now."""

    name: str
    image: str
    image_id: str = ""
    state: Waiting | Running | Terminated = Waiting("ContainerCreating")
    last: Terminated | None = None
    restarts: int = 0
    back_off: BackOff | None = None
    sidecar: bool = False
    """An init container with restartPolicy Always: it keeps running beside the others."""

    @property
    def ended(self) -> Terminated | None:
        """How the newest run ended, also while a restart waits; None while it runs or before the first run."""
        if isinstance(self.state, Terminated):
            return self.state
        return self.last if isinstance(self.state, Waiting) else None


@dataclass(frozen=True, slots=True)
class PodState:
    """A pod as its node sees it."""

    pod: Obj
    """The object as last read."""
    host_ip: str
    pod_ip: str = ""
    started_at: float = 0.0
    network_ready: bool = False
    init: tuple[Container, ...] = ()
    main: tuple[Container, ...] = ()
    rejected: tuple[str, str] | None = None
    """Reason and message, when the node does not run this pod at all."""
    note: str = ""

    @property
    def restart_policy(self) -> str:
        return str(objects.spec(self.pod).get("restartPolicy") or "Always")


def may_restart(policy: str, ended: Terminated) -> bool:
    return policy == "Always" or (policy == "OnFailure" and ended.exit_code != 0)


def initialized(state: PodState) -> bool:
    return all(
        isinstance(container.state, Running | Terminated) or container.last is not None
        if container.sidecar
        else container.ended is not None and container.ended.exit_code == 0
        for container in state.init
    )


def init_failed(state: PodState) -> Terminated | None:
    """How the init container ended that fails the pod for good."""
    if state.restart_policy != "Never":
        return None
    for container in state.init:
        if not container.sidecar and container.ended is not None and container.ended.exit_code != 0:
            return container.ended
    return None


def phase(state: PodState) -> Phase:
    if state.rejected is not None or init_failed(state):
        return "Failed"
    ends = [container.ended for container in state.main]
    policy = state.restart_policy
    over = [end for end in ends if end is not None and not may_restart(policy, end)]
    if state.main and len(over) == len(ends):
        return "Failed" if any(end.exit_code != 0 for end in over) else "Succeeded"
    if not initialized(state):
        return "Pending"
    if any(isinstance(container.state, Running) or container.ended is not None for container in state.main):
        return "Running"
    return "Pending"


def pod_status(state: PodState, now: float) -> Obj:
    """The whole status that the node writes. *now* dates the conditions that changed."""
    current = phase(state)
    status: Obj = {
        "phase": current,
        "conditions": _conditions(state, current, now),
        "hostIP": state.host_ip,
        "hostIPs": [{"ip": state.host_ip}],
        "startTime": rfc3339(state.started_at),
        "observedGeneration": objects.metadata(state.pod).get("generation", 1),
        "containerStatuses": [_container_status(container) for container in state.main],
        "message": state.note or None,
        "reason": None,
    }
    if state.pod_ip:
        status |= {"podIP": state.pod_ip, "podIPs": [{"ip": state.pod_ip}]}
    if state.init:
        status["initContainerStatuses"] = [
            _container_status(container, init=not container.sidecar) for container in state.init
        ]
    if state.rejected is not None:
        status["reason"], status["message"] = state.rejected
    return status


def _container_status(container: Container, *, init: bool = False) -> Obj:
    running = isinstance(container.state, Running)
    done = isinstance(container.state, Terminated) and container.state.exit_code == 0
    status: Obj = {
        "name": container.name,
        "image": container.image,
        "imageID": container.image_id,
        "ready": done if init else running,
        "started": running,
        "restartCount": container.restarts,
        "state": _state(container.state),
        "lastState": _state(container.last) if container.last is not None else {},
    }
    match container.state:
        case Running(container_id=found) | Terminated(container_id=found) if found:
            status["containerID"] = f"lab://{found}"
        case Waiting() if container.last is not None and container.last.container_id:
            status["containerID"] = f"lab://{container.last.container_id}"
    return status


def _state(state: Waiting | Running | Terminated) -> Obj:
    match state:
        case Waiting():
            waiting = {"reason": state.reason}
            if state.message:
                waiting["message"] = state.message
            return {"waiting": waiting}
        case Running():
            return {"running": {"startedAt": rfc3339(state.started_at)}}
        case Terminated():
            ended: Obj = {
                "exitCode": state.exit_code,
                "reason": state.reason,
                "startedAt": rfc3339(state.started_at),
                "finishedAt": rfc3339(state.finished_at),
            }
            if state.container_id:
                ended["containerID"] = f"lab://{state.container_id}"
            if state.message:
                ended["message"] = state.message
            return {"terminated": ended}


def _conditions(state: PodState, current: Phase, now: float) -> list[Obj]:
    before: dict[str, Obj] = {
        condition.get("type", ""): condition for condition in objects.status(state.pod).get("conditions") or ()
    }
    ready = [container.name for container in state.main if isinstance(container.state, Running)]
    unready = [container.name for container in state.main if container.name not in ready]
    waiting_init = [
        container.name
        for container in state.init
        if not container.sidecar and not (container.ended is not None and container.ended.exit_code == 0)
    ]
    not_ready: tuple[str, str] | None = None
    if current == "Succeeded":
        not_ready = ("PodCompleted", "")
    elif current == "Failed":
        not_ready = ("PodFailed", "")
    elif unready:
        not_ready = ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    not_initialized: tuple[str, str] | None = None
    if waiting_init:
        not_initialized = (
            "ContainersNotInitialized",
            f"containers with incomplete status: [{' '.join(waiting_init)}]",
        )
    network = None if state.network_ready else ("", "")
    made = [
        _condition("PodReadyToStartContainers", network, before, now),
        _condition("Initialized", not_initialized, before, now),
        _condition("Ready", not_ready, before, now),
        _condition("ContainersReady", not_ready, before, now),
        _condition("PodScheduled", None, before, now),
    ]
    if current == "Succeeded":
        made[1]["reason"] = "PodCompleted"
    own = {condition["type"] for condition in made}
    return made + [condition for kind, condition in before.items() if kind not in own]


def _condition(kind: str, why_not: tuple[str, str] | None, before: dict[str, Obj], now: float) -> dict[str, Any]:
    value = "True" if why_not is None else "False"
    old = before.get(kind, {})
    changed = old.get("status") != value
    condition: Obj = {
        "type": kind,
        "status": value,
        "lastProbeTime": None,
        "lastTransitionTime": rfc3339(now) if changed else old.get("lastTransitionTime"),
    }
    if why_not is not None:
        reason, message = why_not
        if reason:
            condition["reason"] = reason
        if message:
            condition["message"] = message
    return condition
