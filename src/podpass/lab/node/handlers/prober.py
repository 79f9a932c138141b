"""The probes of one run of a container: tried in time, their answers told to whoever keeps the container's state.

Contract: Kubernetes API surface, section 7.1.
"""

import asyncio
from collections.abc import Awaitable, Callable

from podpass.kube.objects import Obj
from podpass.lab.node.handlers.probing import AT_START, Answer, Probe, ProbeKind, after, attempts, event, probes_of


class Prober:
    """Probes the container of spec *container* while `run` runs.

    *attempt* makes one attempt; *on_change* hears when a probe comes to hold something else of the container,
    *on_event* the reason and message of what is to be told.
    """

    def __init__(
        self,
        container: Obj,
        *,
        attempt: Callable[[Probe], Awaitable[Answer]],
        on_change: Callable[[ProbeKind, bool], None],
        on_event: Callable[[str, str], None],
    ) -> None:
        self._probes = probes_of(container)
        self._attempt = attempt
        self._on_change, self._on_event = on_change, on_event
        self._leaving = False

    def leave(self) -> None:
        """The container is being ended: from now on only its readiness is asked for."""
        self._leaving = True

    async def run(self) -> None:
        """From the container's start to its end, when the caller cancels this."""
        started_at = asyncio.get_running_loop().time()
        startup = self._probes.get("startup")
        if startup is not None and not await self._probe(startup, started_at):
            return
        async with asyncio.TaskGroup() as tasks:
            for kind in ("readiness", "liveness"):
                if (probe := self._probes.get(kind)) is not None:
                    tasks.create_task(self._probe(probe, started_at))

    async def _probe(self, probe: Probe, started_at: float) -> bool:
        """Until *probe* has decided for good: a startup probe either way, a liveness probe once it has failed."""
        loop = asyncio.get_running_loop()
        begin = max(started_at + probe.initial_delay, loop.time())
        standing = AT_START[probe.kind]
        for seconds, counts in attempts(probe):
            late = loop.time() - (begin + seconds)
            if late > probe.period or (not counts and (late > 0 or standing.healthy)):
                continue
            await asyncio.sleep(max(0.0, -late))
            answer = await self._attempt(probe)
            if self._leaving and probe.kind != "readiness":
                return False
            if not counts and not answer.passed:
                continue
            if (told := event(probe, answer)) is not None:
                self._on_event(*told)
            if answer.passed is None:
                continue
            before, standing = standing, after(probe, standing, answer.passed)
            if standing.healthy is not before.healthy and standing.healthy is not None:
                self._on_change(probe.kind, standing.healthy)
                if probe.kind == "startup" or (probe.kind == "liveness" and not standing.healthy):
                    return standing.healthy
        raise AssertionError("attempts never end")
