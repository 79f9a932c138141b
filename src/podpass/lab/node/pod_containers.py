"""What runs of one pod: its containers started, probed and ended, and what is known of them as a value.

Contract: Kubernetes API surface, section 7.1.
"""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace

from podpass.kube.objects import Obj
from podpass.lab.clock import Clock
from podpass.lab.node import lifecycle, termination
from podpass.lab.node.container_run import ContainerRun
from podpass.lab.node.ending import Ending
from podpass.lab.node.handlers.checks import check
from podpass.lab.node.handlers.making import make
from podpass.lab.node.handlers.prober import Prober
from podpass.lab.node.handlers.probing import Answer, Probe, ProbeKind, probes_of
from podpass.lab.node.images import ResolvedImage
from podpass.lab.node.lifecycle import BackOffTimes, Stop
from podpass.lab.node.pod_logs import PodLogs
from podpass.lab.node.pod_processes import Prepared
from podpass.lab.node.pod_reports import PodReports
from podpass.lab.node.runtime import Runtime
from podpass.lab.node.status import Container, PodState, Running, Terminated

HOOK_SECONDS = 30.0
"""How long a request of a hook may take."""


@dataclass(slots=True)
class _Live:
    """A run with what goes on around it."""

    run: ContainerRun
    prepared: Prepared
    prober: Prober
    signal: int
    """What asks it to end."""
    ending: Ending | None = None
    probing: asyncio.Task[None] | None = None


class PodContainers:
    """Keeps *state*, and calls *on_change* after each change that came by itself."""

    def __init__(
        self,
        state: PodState,
        *,
        runtime: Runtime,
        clock: Clock,
        times: BackOffTimes,
        logs: PodLogs,
        reports: PodReports,
        on_change: Callable[[], None],
    ) -> None:
        self.state = state
        self._runtime, self._clock, self._times = runtime, clock, times
        self._logs, self._reports = logs, reports
        self._on_change = on_change
        self._live: dict[str, _Live] = {}
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def idle(self) -> bool:
        """Nothing runs, and everybody knows of what did."""
        return not self._live

    @property
    def images(self) -> dict[str, ResolvedImage]:
        """What runs, by container."""
        return {name: live.prepared.process.image for name, live in self._live.items()}

    def own_tasks(self, tasks: asyncio.TaskGroup) -> None:
        """Everything that is started from now on belongs to *tasks*."""
        self._tasks = tasks

    def get(self, name: str) -> Container:
        return next(container for container in self.state.all if container.name == name)

    def running(self, name: str) -> ContainerRun | None:
        """The run of a container that goes on."""
        live = self._live.get(name)
        return None if live is None or live.run.ended.done() else live.run

    def set(self, container: Container) -> None:
        def changed(listed: tuple[Container, ...]) -> tuple[Container, ...]:
            return tuple(container if old.name == container.name else old for old in listed)

        self.state = replace(
            self.state,
            init=changed(self.state.init),
            main=changed(self.state.main),
            ephemeral=changed(self.state.ephemeral),
        )

    # The beginning

    async def launch(self, container: Container, prepared: Prepared, image_id: str) -> None:
        """Start a container's next run. Raises CannotStart, FabricFailed."""
        name = container.name
        restarts = container.restarts + (container.ended is not None)
        process = prepared.process
        run = await ContainerRun.start(name, process, self._runtime, self._logs.begin(name, restarts))
        self._reports.event("Normal", "Created", f"Created container: {name}", container=name)
        self._reports.event("Normal", "Started", f"Started container {name}", container=name)
        hook = (container.spec.get("lifecycle") or {}).get("postStart")
        started = self._next_run(container, Running(process.container_id, self._clock.now()), image_id)
        self.set(replace(started, hooked=hook is None))
        self._reports.record(
            f"start container {name}", "done", container=name, restarts=restarts, command=process.argv[0]
        )
        asked = (container.spec.get("lifecycle") or {}).get("stopSignal")
        live = _Live(run, prepared, self._prober(container.spec, run), stop_signal(asked, process.image.stop_signal))
        self._live[name] = live
        assert self._tasks is not None
        self._tasks.create_task(self._attend(live, container.spec))

    def failed_to_start(self, container: Container, message: str, image_id: str) -> None:
        """The program itself is at fault: to Kubernetes that is a run that ended at once."""
        now = self._clock.now()
        self.set(self._next_run(container, Terminated(128, "StartError", now, now, "", message), image_id))

    def _next_run(self, container: Container, state: Running | Terminated, image_id: str) -> Container:
        """*container* in a new run; the ones before count as restarts."""
        probes = probes_of(container.spec)
        fresh = replace(
            container,
            state=state,
            image_id=image_id,
            started="startup" not in probes,
            ready="readiness" not in probes,
            unhealthy=None,
            hooked=True,
            stopping=False,
        )
        before = container.ended
        if before is None:
            return replace(fresh, back_off=None)
        return replace(
            fresh,
            last=before,
            restarts=container.restarts + 1,
            back_off=lifecycle.after_restart(container.back_off, before, self._times),
        )

    # While it runs

    async def _attend(self, live: _Live, spec: Obj) -> None:
        """The hook after the start and the probes, until the container's end; then take it down."""
        run = live.run
        assert self._tasks is not None
        live.probing = self._tasks.create_task(self._hook_and_probe(live, spec))
        try:
            await run.finished()
        finally:
            live.probing.cancel()
        await self._ended(live, spec)
        self._live.pop(run.name, None)
        run.done.set()
        self._on_change()

    async def _hook_and_probe(self, live: _Live, spec: Obj) -> None:
        name = live.run.name
        if hook := (spec.get("lifecycle") or {}).get("postStart"):
            failed = await self._hook(hook, spec, live)
            if live.run.ended.done():
                return
            if failed:
                # The output may hold what is nobody else's business.
                self._reports.event("Warning", "FailedPostStartHook", "PostStartHook failed", container=name)
                self.stop(Stop(name, "FailedPostStartHook", lifecycle.grace_seconds(self.state.pod)))
                return
            self.set(replace(self.get(name), hooked=True))
            self._on_change()
        await live.prober.run()

    async def _hook(self, handler: Obj, spec: Obj, live: _Live) -> bool:
        """Do what a hook asks for; whether that failed. An answer of any status is one."""
        asked = check(handler, spec, self.state.pod_ip)
        answer = await make(asked, self._runtime, live.run.process, HOOK_SECONDS)
        return answer.passed is not True and not answer.answered

    def _prober(self, spec: Obj, run: ContainerRun) -> Prober:
        async def attempt(probe: Probe) -> Answer:
            asked = check(probe.handler, spec, self.state.pod_ip)
            return await make(asked, self._runtime, run.process, probe.timeout)

        def tell(reason: str, message: str) -> None:
            self._reports.event("Warning", reason, message, container=run.name)

        return Prober(spec, attempt=attempt, on_change=lambda *found: self._probed(run.name, *found), on_event=tell)

    def _probed(self, name: str, kind: ProbeKind, healthy: bool) -> None:
        container = self.get(name)
        match kind:
            case "readiness":
                self.set(replace(container, ready=healthy))
            case "startup" if healthy:
                self.set(replace(container, started=True))
            case _ if not healthy:
                self.set(replace(container, unhealthy=kind))
        self._on_change()

    # The end

    def stop(self, action: Stop) -> None:
        """Begin to end a container that runs."""
        live = self._live.get(action.name)
        if live is None or live.ending is not None or live.run.ended.done():
            return
        container = self.get(action.name)
        self._reports.event("Normal", "Killing", action.message, container=action.name)
        if container.unhealthy is not None:
            self._reports.record(
                f"stop container {action.name}",
                "done",
                why=action.message,
                container=action.name,
                probe=container.unhealthy,
            )
        self.set(replace(container, stopping=True))
        live.prober.leave()
        lifecycle_hooks = container.spec.get("lifecycle") or {}
        hook = lifecycle_hooks.get("preStop")

        async def before_stop() -> None:
            if hook and await self._hook(hook, container.spec, live):
                self._reports.event("Warning", "FailedPreStopHook", "PreStopHook failed", container=action.name)

        live.ending = Ending(
            live.run,
            self._runtime,
            action.grace_seconds,
            signal_number=live.signal,
            hook=before_stop if hook else None,
            after=[self._live[other].run for other in action.after if other in self._live],
        )
        assert self._tasks is not None
        self._tasks.create_task(live.ending.run())

    def hurry(self, grace_seconds: float) -> None:
        """What is ending has at most this much left."""
        for live in self._live.values():
            if live.ending is not None:
                live.ending.shorten(grace_seconds)

    def end_now(self) -> None:
        """Kill every container: the pod is gone already."""
        for name in list(self._live):
            self.stop(Stop(name, f"Stopping container {name}", 0.0))
        self.hurry(0.0)

    async def end_all(self, grace_seconds: float) -> None:
        """End every container without its hooks, whatever the pod says: the node stops."""
        endings = [
            Ending(live.run, self._runtime, grace_seconds, signal_number=live.signal) for live in self._live.values()
        ]
        self.hurry(grace_seconds)
        async with asyncio.TaskGroup() as tasks:
            for found in endings:
                tasks.create_task(found.run())

    async def _ended(self, live: _Live, spec: Obj) -> None:
        run = live.run
        container = self.get(run.name)
        if not isinstance(container.state, Running):
            return
        now = self._clock.now()
        if run.ended.exception() is None:
            code = run.ended.result()
            log, _ = self._logs.find(run.name, container.restarts)
            words = await termination.last_words(spec, live.prepared.message_file, log, code)
            found = lifecycle.ended_state(code, container.state, now, words)
        else:
            lost = "the node's helper process ended, and every container with it"
            found = replace(lifecycle.ended_state(137, container.state, now, lost), reason="ContainerStatusUnknown")
        live.prepared.message_file.unlink(missing_ok=True)
        self.set(replace(self.get(run.name), state=found, hooked=True, stopping=False, unhealthy=None))
        self._reports.record(
            f"container {run.name} ended: exit code {found.exit_code}",
            "done" if found.exit_code == 0 else "failed",
            container=run.name,
            exit_code=found.exit_code,
        )


def stop_signal(asked: str | None, of_image: str = "") -> int:
    """The number of the pod's stopSignal, such as SIGUSR1 or SIGRTMIN+3, else of the image's, else SIGTERM."""
    name = asked or of_image or "SIGTERM"
    if name.isascii() and name.isdigit():
        return int(name) if 0 < int(name) < signal.NSIG else signal.SIGTERM
    base, plus, offset = name.upper().partition("+")
    # Images may leave the first letters out.
    number = getattr(signal, f"SIG{base.removeprefix('SIG')}", signal.SIGTERM)
    return int(number) + (int(offset) if plus and offset.isdigit() else 0)
