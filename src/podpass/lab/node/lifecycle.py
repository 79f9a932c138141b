"""What a node does next for a pod: which container starts, which waits until when.

Contract: Kubernetes API surface, section 7.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.clock import seconds_of
from podpass.lab.node.status import (
    BackOff,
    Container,
    PodState,
    Running,
    Terminated,
    Waiting,
    init_policy,
    may_restart,
    phase,
)


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
    """End a container that runs; it has *grace_seconds* for its hook and for itself."""

    name: str
    message: str
    grace_seconds: float
    after: tuple[str, ...] = ()
    """The containers that have to be gone before this one is asked to end."""

    def __str__(self) -> str:
        return f"stop container {self.name}"


Action = Start | Wait | Stop

_EPHEMERAL = Waiting("ContainerCreating")
DEADLINE = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


def next_actions(state: PodState, now: float) -> list[Action]:
    """What is to be done now. Empty while everything runs, or when nothing is left to do."""
    if state.rejected is not None:
        return []
    if objects.being_deleted(state.pod) or phase(state) in ("Succeeded", "Failed"):
        return [*stop_all(state, grace_seconds(state.pod))]
    actions: list[Action] = list(_unhealthy(state))
    for container in state.ephemeral:
        if isinstance(container.state, Waiting) and container.ended is None:
            actions += _first_start(container, now)
    for container in state.init:
        if container.sidecar:
            actions += _restarted("Always", container, now)
            if not (container.up and container.started) and container.ended is None:
                return actions
            continue
        ended = container.ended
        if ended is not None and ended.exit_code == 0:
            continue
        return actions + _restarted(init_policy(state), container, now)
    for container in state.main:
        actions += _restarted(state.restart_policy, container, now)
        if isinstance(container.state, Running) and not container.hooked:
            # The next container waits for the hook after the start of this one.
            break
    return actions


def stop_all(state: PodState, seconds: float) -> list[Stop]:
    """End the whole pod: all at once, but sidecars last and in the reverse order of their start."""
    stops: list[Stop] = []
    earlier: list[str] = []
    main = [*state.main, *state.ephemeral, *(container for container in state.init if not container.sidecar)]
    for container in (*main, *reversed([container for container in state.init if container.sidecar])):
        if not isinstance(container.state, Running):
            continue
        if not container.stopping:
            after = tuple(earlier) if container.sidecar else ()
            stops.append(Stop(container.name, f"Stopping container {container.name}", seconds, after))
        earlier.append(container.name)
    return stops


def _unhealthy(state: PodState) -> list[Stop]:
    """The containers that a probe has given up."""
    stops = []
    for container in state.all:
        if container.unhealthy is None or container.stopping or not isinstance(container.state, Running):
            continue
        word = "Init container" if container.sidecar else "Container"
        message = f"{word} {container.name} failed {container.unhealthy} probe"
        # Killed by the node, it ends with a code of its own choice at best.
        if may_restart(container, state.restart_policy, Terminated(137, "Error", 0.0)):
            message += ", will be restarted"
        own = (container.spec.get(f"{container.unhealthy}Probe") or {}).get("terminationGracePeriodSeconds")
        seconds = grace_seconds(state.pod) if own is None else float(own)
        stops.append(Stop(container.name, message, seconds))
    return stops


def grace_seconds(pod: Obj) -> float:
    """How long the containers of *pod* have between the wish that they end and the end."""
    seconds = objects.metadata(pod).get("deletionGracePeriodSeconds")
    if seconds is None:
        seconds = objects.spec(pod).get("terminationGracePeriodSeconds", 30)
    return float(seconds)


def overdue_at(state: PodState) -> float | None:
    """When the pod has been active for as long as it may be, seconds since the epoch; None without a bound."""
    seconds = objects.spec(state.pod).get("activeDeadlineSeconds")
    return None if seconds is None else state.started_at + float(seconds)


def _restarted(policy: str, container: Container, now: float) -> list[Action]:
    if isinstance(container.state, Running):
        return []
    ended = container.ended
    if ended is None:
        return _first_start(container, now)
    if not may_restart(container, policy, ended):
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
    for member in ("hostPID", "hostIPC"):
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
    waiting = Waiting("PodInitializing" if spec.get("initContainers") else "ContainerCreating")
    return PodState(
        pod=pod,
        host_ip=host_ip,
        started_at=_time(status.get("startTime"), now),
        init=tuple(
            _resumed(container, status.get("initContainerStatuses") or (), now, waiting, sidecars=True)
            for container in spec.get("initContainers") or ()
        ),
        main=tuple(
            _resumed(container, status.get("containerStatuses") or (), now, waiting, sidecars=False)
            for container in spec.get("containers") or ()
        ),
        ephemeral=tuple(
            _resumed(container, status.get("ephemeralContainerStatuses") or (), now, _EPHEMERAL, sidecars=False)
            for container in spec.get("ephemeralContainers") or ()
        ),
        rejected=rejected or unsupported(pod),
        note=note,
    )


def seen(state: PodState, pod: Obj) -> PodState:
    """*state* with *pod* as it was last read, which may have ephemeral containers that it had not before."""
    known = {container.name for container in state.ephemeral}
    added = tuple(
        Container(container["name"], container.get("image") or "", state=_EPHEMERAL, spec=container)
        for container in objects.spec(pod).get("ephemeralContainers") or ()
        if container["name"] not in known
    )
    return replace(state, pod=pod, ephemeral=(*state.ephemeral, *added))


def _resumed(container: Obj, statuses: Sequence[Obj], now: float, waiting: Waiting, *, sidecars: bool) -> Container:
    name = container["name"]
    image = container.get("image") or ""
    sidecar = sidecars and container.get("restartPolicy") == "Always"
    status = next((found for found in statuses if found.get("name") == name), None)
    fresh = Container(name, image, state=waiting, sidecar=sidecar, spec=container)
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
        return replace(fresh, image_id=status.get("imageID") or "", state=ended, restarts=restarts)
    return replace(fresh, restarts=restarts)


def _time(text: str | None, now: float) -> float:
    found = seconds_of(text)
    return now if found is None else found
