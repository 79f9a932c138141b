"""A pod's status from what its node knows: phase, conditions, container statuses.

Contract: Kubernetes API surface, section 7.1.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.clock import rfc3339
from podpass.lab.node.handlers.probing import ProbeKind

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
    spec: Obj = field(default_factory=dict, hash=False)
    """The container as the pod's author wrote it."""
    started: bool = True
    """While it runs: whether no startup probe is outstanding."""
    ready: bool = True
    """While it runs: whether its readiness probe, if any, says so."""
    unhealthy: ProbeKind | None = None
    """The probe because of which this run must end."""
    hooked: bool = True
    """False while the hook after its start still runs."""
    stopping: bool = False

    @property
    def up(self) -> bool:
        """Runs, and the hook after its start is through."""
        return isinstance(self.state, Running) and self.hooked

    @property
    def serves(self) -> bool:
        """Up, started and ready: what the pod's readiness is made of."""
        return self.up and self.started and self.ready

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
    ephemeral: tuple[Container, ...] = ()
    """Put beside the others by a person who looks for a fault; they count for nothing and never restart."""
    rejected: tuple[str, str] | None = None
    """Reason and message, when the node does not run this pod at all."""
    overdue: tuple[str, str] | None = None
    """Reason and message, when the node ends this pod before its containers do."""
    note: str = ""

    @property
    def all(self) -> tuple[Container, ...]:
        """Every container, in the order of their start."""
        return (*self.init, *self.main, *self.ephemeral)

    @property
    def restart_policy(self) -> str:
        return str(objects.spec(self.pod).get("restartPolicy") or "Always")


def may_restart(container: Container, policy: str, ended: Terminated) -> bool:
    """Whether a container that *ended* so starts again in a pod of that restart *policy*; its own rules come first."""
    for rule in container.spec.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        listed = ended.exit_code in (codes.get("values") or ())
        if rule.get("action") == "Restart" and listed == (codes.get("operator") == "In"):
            return True
    policy = container.spec.get("restartPolicy") or policy
    return policy == "Always" or (policy == "OnFailure" and ended.exit_code != 0)


def init_failed(state: PodState) -> Terminated | None:
    """How the init container ended that fails the pod for good."""
    for container in state.init:
        ended = container.ended
        if container.sidecar or ended is None or ended.exit_code == 0:
            continue
        if not may_restart(container, init_policy(state), ended):
            return ended
    return None


def init_policy(state: PodState) -> str:
    """The policy for init containers: one that succeeded is done even where main containers restart for ever."""
    return "OnFailure" if state.restart_policy == "Always" else state.restart_policy


def phase(state: PodState) -> Phase:
    if state.rejected is not None or state.overdue is not None or init_failed(state):
        return "Failed"
    policy = state.restart_policy
    over = [end for each in state.main if (end := each.ended) is not None and not may_restart(each, policy, end)]
    if state.main and len(over) == len(state.main):
        return "Failed" if any(end.exit_code != 0 for end in over) else "Succeeded"
    if any(container.up or container.ended is not None for container in state.main):
        return "Running"
    return "Pending"


def pod_status(state: PodState, now: float) -> Obj:
    """The status that the node writes, with its own conditions. *now* dates those that changed."""
    verdict = phase(state)
    generation = objects.metadata(state.pod).get("generation", 1)
    status: Obj = {
        "phase": _shown_phase(state, verdict),
        "conditions": _conditions(state, verdict, now, generation),
        "hostIP": state.host_ip,
        "hostIPs": [{"ip": state.host_ip}],
        "startTime": rfc3339(state.started_at),
        "observedGeneration": generation,
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
    if state.ephemeral:
        status["ephemeralContainerStatuses"] = [
            {**_container_status(container), "ready": False, "started": False} for container in state.ephemeral
        ]
    if over := state.rejected or (state.overdue if status["phase"] == "Failed" else None):
        status["reason"], status["message"] = over
    return status


def _shown_phase(state: PodState, verdict: Phase) -> Phase:
    """No phase that means the end is shown while anything still runs."""
    if verdict in ("Pending", "Running") or not any(isinstance(each.state, Running) for each in state.all):
        return verdict
    return "Pending" if objects.status(state.pod).get("phase") == "Pending" else "Running"


def _container_status(container: Container, *, init: bool = False) -> Obj:
    done = isinstance(container.state, Terminated) and container.state.exit_code == 0
    status: Obj = {
        "name": container.name,
        "image": container.image,
        "imageID": container.image_id,
        "ready": done if init else container.serves,
        "started": container.up and container.started and not init,
        "restartCount": container.restarts,
        "state": _state(container.state if container.hooked else Waiting("ContainerCreating")),
        "lastState": _state(container.last) if container.last is not None else {},
        **_resources(container.spec.get("resources") or {}),
    }
    match container.state:
        case Running(container_id=found) | Terminated(container_id=found) if found:
            status["containerID"] = f"lab://{found}"
        case Waiting() if container.last is not None and container.last.container_id:
            status["containerID"] = f"lab://{container.last.container_id}"
    return status


def _resources(declared: Obj) -> Obj:
    """What the container was given: what it asked for, as nothing here is changed while it runs."""
    kept = {kind: dict(declared[kind]) for kind in ("limits", "requests") if declared.get(kind)}
    found: Obj = {"resources": kept} if kept else {}
    if requests := kept.get("requests"):
        found["allocatedResources"] = requests
    return found


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


def _conditions(state: PodState, verdict: Phase, now: float, generation: int) -> list[Obj]:
    before: dict[str, Obj] = {
        condition.get("type", ""): condition for condition in objects.status(state.pod).get("conditions") or ()
    }
    not_ready = _why_not_ready(state, verdict)
    made = [
        _condition("PodReadyToStartContainers", None if state.network_ready else ("", ""), before, now),
        _condition("Initialized", _why_not_initialized(state), before, now),
        _condition("Ready", not_ready or _closed_gates(state, before), before, now),
        _condition("ContainersReady", not_ready, before, now),
        _condition("PodScheduled", None, before, now),
    ]
    if verdict == "Succeeded":
        made[1]["reason"] = "PodCompleted"
    for condition in made:
        condition["observedGeneration"] = generation
    return made


def _why_not_ready(state: PodState, verdict: Phase) -> tuple[str, str] | None:
    if verdict == "Succeeded":
        return "PodCompleted", ""
    if verdict == "Failed":
        return "PodFailed", ""
    serving = [*(container for container in state.init if container.sidecar), *state.main]
    unready = [container.name for container in serving if not container.serves]
    if unready:
        return "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return None


def _closed_gates(state: PodState, before: dict[str, Obj]) -> tuple[str, str] | None:
    """The readiness gates of the pod that others have not opened."""
    faults = []
    for gate in objects.spec(state.pod).get("readinessGates") or ():
        kind = gate.get("conditionType", "")
        if kind not in before:
            faults.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif (value := before[kind].get("status")) != "True":
            faults.append(f'the status of pod readiness gate "{kind}" is not "True", but {value}')
    return ("ReadinessGatesNotReady", ", ".join(faults)) if faults else None


def _why_not_initialized(state: PodState) -> tuple[str, str] | None:
    if any(isinstance(container.state, Running) or container.ended is not None for container in state.main):
        # A sidecar that starts again takes nothing back.
        return None
    incomplete = [
        container.name
        for container in state.init
        if not (
            container.up and container.started
            if container.sidecar
            else container.ended is not None and container.ended.exit_code == 0
        )
    ]
    if incomplete:
        return "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(incomplete)}]"
    return None


def _condition(kind: str, why_not: tuple[str, str] | None, before: dict[str, Obj], now: float) -> dict[str, Any]:
    value = "True" if why_not is None else "False"
    old = before.get(kind, {})
    changed = old.get("status") != value
    reason, message = why_not or ("", "")
    return {
        "type": kind,
        "status": value,
        "lastProbeTime": None,
        "lastTransitionTime": rfc3339(now) if changed else old.get("lastTransitionTime"),
        # None takes away what was said before.
        "reason": reason or None,
        "message": message or None,
    }
