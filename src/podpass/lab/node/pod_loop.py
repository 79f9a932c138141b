"""One pod's loop: bring what runs to what the pod says, and tell the API server what runs."""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from podpass.kube import objects
from podpass.kube.client import CALL_FAILURES, ApiError
from podpass.kube.events import EventRecorder
from podpass.kube.objects import Obj
from podpass.lab.clock import Clock
from podpass.lab.journal import Journal
from podpass.lab.node import lifecycle, pod_processes, security
from podpass.lab.node.client import NodeClient
from podpass.lab.node.container_environment import NotYet
from podpass.lab.node.container_run import ContainerRun
from podpass.lab.node.csi_volumes import CsiDrivers, NoDrivers
from podpass.lab.node.driver import FabricFailed
from podpass.lab.node.fields import Place
from podpass.lab.node.image_pulls import refusal
from podpass.lab.node.images import Catalogue, NoImage, ResolvedImage
from podpass.lab.node.lifecycle import BackOffTimes, Start, Stop, Wait
from podpass.lab.node.logs import ContainerLog
from podpass.lab.node.pod_containers import PodContainers
from podpass.lab.node.pod_logs import PodLogs
from podpass.lab.node.pod_reports import PodReports
from podpass.lab.node.pod_volumes import PodVolumes
from podpass.lab.node.runtime import CannotStart, PodSandbox, Runtime
from podpass.lab.node.status import BackOff, PodState, Running, Waiting, phase, pod_status

_log = structlog.get_logger(__name__)

KILL_SECONDS = 5.0
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
STOP_GRACE_SECONDS = 1.0
"""How long containers have when the whole node stops."""
Failures = (*CALL_FAILURES, FabricFailed, OSError)


@dataclass(frozen=True, slots=True)
class Tools:
    """What the loops of all pods share."""

    api: NodeClient
    runtime: Runtime
    clock: Clock
    journal: Journal
    events: EventRecorder
    images: Catalogue
    times: BackOffTimes
    jitter_seconds: Callable[[], float]
    services: Mapping[str, str]
    node_name: str
    host_ip: str
    nameserver: str
    allocatable: Mapping[str, str]
    directory: Path
    host_roots: Sequence[Path] = ()
    csi: CsiDrivers = field(default_factory=NoDrivers)
    sync_seconds: float = 60.0
    retry_seconds: float = 2.0


class PodLoop:
    """Owns one pod's containers, volumes and logs from binding to deletion."""

    def __init__(self, pod: Obj, address: str, tools: Tools, *, rejected: tuple[str, str] | None = None) -> None:
        self.address = address
        self.uid = objects.uid(pod)
        self._tools = tools
        self._pod = pod
        self._woken = asyncio.Event()
        self._gone = False
        # A pod that was over before the node started keeps the status it has.
        self._over = objects.status(pod).get("phase") in ("Succeeded", "Failed")
        now = tools.clock.now()
        place = f"{objects.namespace(pod)}_{objects.name(pod)}_{self.uid}"
        self._logs = PodLogs(tools.directory / "logs" / place, tools.clock)
        self._reports = PodReports(pod, tools.events, tools.journal)
        self._containers = PodContainers(
            lifecycle.initial(pod, tools.host_ip, now=now, note=_note(pod, tools.runtime), rejected=rejected),
            runtime=tools.runtime,
            clock=tools.clock,
            times=tools.times,
            logs=self._logs,
            reports=self._reports,
            on_change=self._woken.set,
        )
        self._written: Obj | None = None
        self._volumes = PodVolumes(
            self.directory / "volumes",
            api=tools.api,
            clock=tools.clock,
            jitter_seconds=tools.jitter_seconds,
            node_root=tools.directory / "root",
            host_roots=tools.host_roots,
            csi=tools.csi,
            sync_seconds=tools.sync_seconds,
            retry_seconds=tools.retry_seconds,
            on_problem=lambda message: self._reports.event("Warning", "FailedMount", message),
            on_token=self._reports.token,
        )
        self._mounted = self._network_made = False

    @property
    def pod(self) -> Obj:
        return self._pod

    @property
    def state(self) -> PodState:
        return self._containers.state

    @property
    def needs_address(self) -> bool:
        """False for a pod that was refused, or whose containers have ended for good and whose network is gone."""
        return self.state.network_ready or (not self._over and phase(self.state) in ("Pending", "Running"))

    @property
    def images(self) -> dict[str, ResolvedImage]:
        """What runs, by container."""
        return self._containers.images

    @property
    def directory(self) -> Path:
        return self._tools.directory / "pods" / self.uid

    def update(self, pod: Obj) -> None:
        self._pod = pod
        self._woken.set()

    def deleted(self) -> None:
        """The object is gone from the API server, whatever still runs."""
        self._gone = True
        self._woken.set()

    def network_lost(self) -> None:
        self._network_made = False
        self._containers.state = replace(self.state, network_ready=False)

    def wake(self) -> None:
        """Look again at everything that depends on time."""
        self._volumes.forget_references()
        self._woken.set()

    def log(self, container: str, restarts: int) -> tuple[Path, ContainerLog | None]:
        """The log file of a container's run, and its writer while the node that started it lives."""
        return self._logs.find(container, restarts)

    def running(self, container: str) -> ContainerRun | None:
        """A container's run while it goes on."""
        return self._containers.running(container)

    async def run(self) -> None:
        """Until the pod is deleted, or cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._containers.own_tasks(tasks)
            try:
                await self._repeat()
            except asyncio.CancelledError:
                # The node stops; the tasks that read the containers' output live until the containers have ended.
                await self.stop(STOP_GRACE_SECONDS)
                raise

    async def _repeat(self) -> None:
        while True:
            self._woken.clear()
            try:
                seconds = await self._turn()
            except Failures as error:
                if isinstance(error, ApiError) and error.not_found:
                    self._gone = True
                    continue
                seconds = self._tools.retry_seconds
                _log.warning("node.pod.failed", pod=objects.name(self._pod), error=str(error))
            if seconds is None:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()

    async def stop(self, grace_seconds: float) -> None:
        """End every container, whatever the pod says: the node stops."""
        await self._containers.end_all(grace_seconds)
        await self._tools.runtime.remove_pod(self.uid)

    async def _turn(self) -> float | None:
        """Do what is due; how many seconds until something else may be, None when the pod is gone for good."""
        pod = self._pod
        self._containers.state = lifecycle.seen(self.state, pod)
        if self._gone or objects.being_deleted(pod):
            return await self._end(pod)
        if self._over:
            return self._tools.sync_seconds
        self._look_at_deadline()
        if self.state.rejected is not None:
            self._reports.event("Warning", self.state.rejected[0], self.state.rejected[1])
        elif phase(self.state) in ("Pending", "Running"):
            problem = await self._prepare(pod)
            if problem is not None:
                await self._write_status()
                return self._tools.retry_seconds
        wait = await self._act()
        await self._write_status()
        return wait

    def _look_at_deadline(self) -> None:
        at = lifecycle.overdue_at(self.state)
        if at is None or self.state.overdue is not None or phase(self.state) not in ("Pending", "Running"):
            return
        if self._tools.clock.now() >= at:
            self._containers.state = replace(self.state, overdue=lifecycle.DEADLINE)
            self._reports.event("Normal", *lifecycle.DEADLINE)

    async def _act(self) -> float:
        wait = self._tools.sync_seconds
        now = self._tools.clock.now()
        if phase(self.state) in ("Pending", "Running"):
            for due in (self._volumes.next_refresh, lifecycle.overdue_at(self.state)):
                if due is not None:
                    wait = min(wait, max(0.01, due - now))
        elif self.state.network_ready and self._containers.idle:
            # A pod that is over keeps its address in the status, and nothing else.
            await self._tools.runtime.remove_pod(self.uid)
            self._containers.state = replace(self.state, network_ready=False)
        for action in lifecycle.next_actions(self.state, now):
            match action:
                case Start():
                    await self._start(action.name)
                    started = self._containers.get(action.name)
                    if not isinstance(started.state, Running):
                        wait = min(wait, self._tools.retry_seconds)
                    elif not started.hooked:
                        break
                    elif started.sidecar and started.started:
                        # Nothing else tells that the next container may start.
                        wait = 0.0
                case Wait():
                    self._hold(action)
                    wait = min(wait, max(0.01, action.until - now))
                case Stop():
                    self._containers.stop(action)
        return wait

    async def _prepare(self, pod: Obj) -> NotYet | None:
        """The pod's volumes and network; what is missing where one can't be made yet."""
        volumes = self._volumes.bring_up_to_date(pod, self._place())
        if self._network_made:
            problem = await volumes
        else:
            # Two processes work at the same time: this one and the runtime's helper.
            found = await asyncio.gather(self._make_network(pod), volumes, return_exceptions=True)
            problem = None
            for one in found:
                if isinstance(one, BaseException):
                    raise one
                problem = problem or one
        if problem is not None and not self._mounted:
            self._volumes.forget_references()
            return problem
        self._mounted = True
        if not self.state.network_ready:
            self._containers.state = replace(self.state, network_ready=True, pod_ip=self.address)
        return None

    async def _make_network(self, pod: Obj) -> NotYet | None:
        try:
            shared = self._sandbox(pod)
        except ValueError as error:
            self._reports.event("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            return NotYet(str(error))
        await self._tools.runtime.create_pod(shared)
        self._network_made = True
        return None

    # Containers

    async def _start(self, name: str) -> None:
        container = self._containers.get(name)
        now = self._tools.clock.now()
        image = self._tools.images.resolve(container.image)
        refused = refusal(container.image, container.spec.get("imagePullPolicy"), image)
        if refused is not None or isinstance(image, NoImage):
            assert refused is not None
            self._reports.event("Warning", refused.event_reason, refused.event_message, container=name)
            self._reports.event("Warning", "Failed", f"Error: {refused.reason}", container=name)
            wait = lifecycle.after_failed_pull(container.back_off, now, self._tools.times)
            self._containers.set(replace(container, state=Waiting(refused.reason, refused.message), back_off=wait))
            return
        try:
            prepared = pod_processes.prepare(
                self._pod,
                container.spec,
                image=image,
                references=self._volumes.references,
                place=self._place(),
                services=self._tools.services,
                shared=self._sandbox(self._pod),
                volume_paths=self._volumes.paths,
            )
            if isinstance(prepared, NotYet):
                self._volumes.forget_references()
                raise CannotStart("CreateContainerConfigError", prepared.message)
            if target := container.spec.get("targetContainerName"):
                prepared = replace(prepared, process=replace(prepared.process, beside=self._container_id(target)))
            description = f'Container image "{container.image}" already present on machine: {image.description}'
            self._reports.event("Normal", "Pulled", description, container=name)
            if prepared.skipped:
                self._reports.event(
                    "Warning",
                    "InvalidEnvironmentVariableNames",
                    f"Keys [{', '.join(prepared.skipped)}] from the envFrom sources were skipped since they are"
                    " considered invalid environment variable names.",
                    container=name,
                )
            await self._containers.launch(container, prepared, image.image_id)
        except CannotStart as error:
            self._reports.event("Warning", "Failed", f"Error: {error.message}", container=name)
            if error.reason == "StartError":
                self._containers.failed_to_start(container, error.message, image.image_id)
                self._woken.set()
                return
            wait = BackOff(self._tools.retry_seconds, now)
            self._containers.set(replace(container, state=Waiting(error.reason, error.message), back_off=wait))

    def _container_id(self, name: str) -> str:
        """That of a container that runs. Raises CannotStart."""
        run = self._containers.running(name)
        if run is None:
            raise CannotStart("CreateContainerError", f'unable to find target container "{name}"')
        return run.container_id

    def _hold(self, wait: Wait) -> None:
        """Show why a container does not start yet."""
        container = self._containers.get(wait.name)
        if container.ended is not None:
            state = lifecycle.crash_loop(wait, self._pod)
            if container.state != state:
                who = f"{objects.name(self._pod)}_{objects.namespace(self._pod)}({self.uid})"
                message = f"Back-off restarting failed container {wait.name} in pod {who}"
                self._reports.event("Warning", "BackOff", message, container=wait.name)
            self._containers.set(replace(container, state=state, last=container.ended))
        elif isinstance(container.state, Waiting) and container.state.reason == "ErrImagePull":
            message = f'Back-off pulling image "{container.image}": ErrImagePull: {container.state.message}'
            self._reports.event("Normal", "BackOff", f'Back-off pulling image "{container.image}"', container=wait.name)
            self._containers.set(replace(container, state=Waiting("ImagePullBackOff", message)))

    # The end

    async def _end(self, pod: Obj) -> float | None:
        """Bring the pod to its end: as `_turn`."""
        if self._gone:
            self._containers.end_now()
        elif not self._over:
            # The grace may have been cut since the last turn.
            self._containers.hurry(lifecycle.grace_seconds(pod))
            for stop in lifecycle.stop_all(self.state, lifecycle.grace_seconds(pod)):
                self._containers.stop(stop)
        if not self._containers.idle:
            if not self._gone:
                await self._write_status()
            return self._tools.sync_seconds
        await self._volumes.take_down()
        await self._tools.runtime.remove_pod(self.uid)
        if not self._gone:
            if not self._over:
                await self._write_status()
            await self._tools.api.remove(pod)
        await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)
        await asyncio.to_thread(shutil.rmtree, self._logs.directory, ignore_errors=True)
        return None

    # What others see

    async def _write_status(self) -> None:
        status = pod_status(self.state, self._tools.clock.now())
        if status == self._written:
            return
        await self._tools.api.write_status(self._pod, status)
        self._written = status
        # Until the change comes back through the watch, conditions keep their times from here.
        before = objects.status(self._pod)
        own = {condition["type"] for condition in status["conditions"]}
        others = [condition for condition in before.get("conditions") or () if condition.get("type") not in own]
        merged = {**before, **status, "conditions": [*status["conditions"], *others]}
        self._pod = {**self._pod, "status": merged}
        self._containers.state = replace(self.state, pod=self._pod)

    def _sandbox(self, pod: Obj) -> PodSandbox:
        return pod_processes.sandbox(pod, self.address, self.directory, self._tools.nameserver)

    def _place(self) -> Place:
        return Place(self._tools.node_name, self._tools.host_ip, self.address, self._tools.allocatable)


def _note(pod: Obj, runtime: Runtime) -> str:
    """What the pod's status says of what this node can't show."""
    return "; ".join(words for words in (runtime.note, security.withheld(pod, runtime.kind)) if words)
