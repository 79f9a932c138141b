"""What a node does next for a pod: which container starts, which waits until when.

Contract: Kubernetes API surface, section 7.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.clock import seconds_of
from podpass.lab.node.status import BackOff, Container, PodState, Running, Terminated, Waiting, may_restart, phase


@dataclass(frozen=True, slots=True)
class BackOffTimes:
    """Seconds. A container that ran this long starts again at the first."""

    first: float = 10.0
    longest: float = 300.0
    forgotten_after: float = 600.0


@dataclass(frozen=True, slots=True)
class Start:
    """Start a container that waits, for the first time or again."""

    name: str

    def __str__(self) -> str:
        return f"start container {self.name}"


@dataclass(frozen=True, slots=True)
class Wait:
    """Restart a container that crashed, but not before *until*."""

    name: str
    until: float
    seconds: float

    def __str__(self) -> str:
        return f"back-off {self.seconds:.0f}s restarting failed container {self.name}"


@dataclass(frozen=True, slots=True)
class Stop:
    """End a sidecar after the containers it served."""

    name: str

    def __str__(self) -> str:
        return f"stop sidecar {self.name}"


Action = Start | Wait | Stop


def next_actions(state: PodState, now: float) -> list[Action]:
    """What is to be done now. Empty while everything runs, or when nothing is left to do."""
    if state.rejected is not None:
        return []
    if phase(state) in ("Succeeded", "Failed"):
        # Sidecars stop in the reverse order of their start.
        running = [c for c in reversed(state.init) if c.sidecar and isinstance(c.state, Running)]
        return [Stop(container.name) for container in running[:1]]
    actions: list[Action] = []
    for container in state.init:
        if container.sidecar:
            actions += _restarted("Always", container, now)
            if not isinstance(container.state, Running) and container.ended is None:
                return actions
            continue
        ended = container.ended
        if ended is not None and ended.exit_code == 0:
            continue
        # An init container that succeeded is done even where main containers restart for ever.
        policy = "OnFailure" if state.restart_policy == "Always" else state.restart_policy
        return actions + _restarted(policy, container, now)
    for container in state.main:
        actions += _restarted(state.restart_policy, container, now)
    return actions


def _restarted(policy: str, container: Container, now: float) -> list[Action]:
    if isinstance(container.state, Running):
        return []
    ended = container.ended
    if ended is None:
        return _first_start(container, now)
    if not may_restart(policy, ended):
        return []
    wait = container.back_off
    if wait is not None and ended.finished_at + wait.seconds > now:
        return [Wait(container.name, ended.finished_at + wait.seconds, wait.seconds)]
    return [Start(container.name)]


def _first_start(container: Container, now: float) -> list[Action]:
    wait = container.back_off
    if wait is not None and wait.updated_at + wait.seconds > now:
        return [Wait(container.name, wait.updated_at + wait.seconds, wait.seconds)]
    return [Start(container.name)]


def after_restart(before: BackOff | None, ended: Terminated, times: BackOffTimes) -> BackOff:
    """The wait for the restart after the one that happens now: the first restart is immediate, then it doubles."""
    if before is None or ended.finished_at - before.updated_at > times.forgotten_after:
        return BackOff(times.first, ended.finished_at)
    return BackOff(min(before.seconds * 2, times.longest), ended.finished_at)


def after_failed_pull(before: BackOff | None, now: float, times: BackOffTimes) -> BackOff:
    seconds = times.first if before is None else min(before.seconds * 2, times.longest)
    return BackOff(seconds, now)


def crash_loop(wait: Wait, pod: Obj) -> Waiting:
    """The state in which a container waits for its restart."""
    name, namespace, uid = objects.name(pod), objects.namespace(pod), objects.uid(pod)
    return Waiting(
        "CrashLoopBackOff",
        f"back-off {_duration(wait.seconds)} restarting failed container={wait.name} pod={name}_{namespace}({uid})",
    )


def _duration(seconds: float) -> str:
    """As Go prints durations: `10s`, `1m20s`, `5m0s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def ended_state(exit_code: int, container: Running, now: float, message: str = "") -> Terminated:
    return Terminated(
        exit_code=exit_code,
        reason="Completed" if exit_code == 0 else "Error",
        finished_at=now,
        started_at=container.started_at,
        container_id=container.container_id,
        message=message,
    )


def out_of_pods(used: int, most: int) -> tuple[str, str] | None:
    """Reason and message when a node with *used* pods can't take another, though it is bound to it."""
    if used < most:
        return None
    return "OutOfpods", f"Node didn't have enough resource: pods, requested: 1, used: {used}, capacity: {most}"


def unsupported(pod: Obj) -> tuple[str, str] | None:
    """Reason and message when this node can't run *pod* as written; better than running it otherwise."""
    spec = objects.spec(pod)
    for member in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(member):
            return "Unsupported", f"the lab's node does not run pods with {member}: true"
    if (spec.get("os") or {}).get("name", "linux") != "linux":
        return "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"
    return None


def initial(
    pod: Obj,
    host_ip: str,
    *,
    now: float,
    note: str = "",
    rejected: tuple[str, str] | None = None,
) -> PodState:
    """The state of a pod that this node takes on, with what an earlier run of the node wrote in its status.

    A container that was running then is gone: like after a reboot, it counts as ended with code 255. *rejected* is
    why the node has no place for the pod, as reason and message.
    """
    spec, status = objects.spec(pod), objects.status(pod)
    return PodState(
        pod=pod,
        host_ip=host_ip,
        started_at=_time(status.get("startTime"), now),
        init=tuple(
            _resumed(container, status.get("initContainerStatuses") or (), now, sidecars=True)
            for container in spec.get("initContainers") or ()
        ),
        main=tuple(
            _resumed(container, status.get("containerStatuses") or (), now, sidecars=False)
            for container in spec.get("containers") or ()
        ),
        rejected=rejected or unsupported(pod),
        note=note,
    )


def _resumed(container: Obj, statuses: Sequence[Obj], now: float, *, sidecars: bool) -> Container:
    name = container["name"]
    image = container.get("image") or ""
    sidecar = sidecars and container.get("restartPolicy") == "Always"
    status = next((found for found in statuses if found.get("name") == name), None)
    fresh = Container(
        name, image, state=Waiting("PodInitializing" if not sidecars else "ContainerCreating"), sidecar=sidecar
    )
    if status is None:
        return fresh
    state, restarts = status.get("state") or {}, int(status.get("restartCount") or 0)
    container_id = str(status.get("containerID") or "").removeprefix("lab://")
    waited_on = (status.get("lastState") or {}).get("terminated") if "waiting" in state else None
    ended: Terminated | None = None
    if terminated := state.get("terminated") or waited_on:
        ended = Terminated(
            exit_code=int(terminated.get("exitCode", 255)),
            reason=terminated.get("reason") or "Error",
            finished_at=_time(terminated.get("finishedAt"), now),
            started_at=_time(terminated.get("startedAt"), now),
            container_id=container_id,
            message=terminated.get("message") or "",
        )
    elif running := state.get("running"):
        began = _time(running.get("startedAt"), now)
        ended = Terminated(255, "Unknown", now, began, container_id, "the node was restarted")
    if ended is not None:
        return Container(name, image, status.get("imageID") or "", ended, None, restarts, sidecar=sidecar)
    return Container(name, image, restarts=restarts, state=fresh.state, sidecar=sidecar)


def _time(text: str | None, now: float) -> float:
    found = seconds_of(text)
    return now if found is None else found
