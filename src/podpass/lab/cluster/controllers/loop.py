"""What turns a controller: where to look, one task after the other, failures again after a pause.

A controller is level-triggered: a change only says where to look; `reconcile` compares what is with what should be,
and may run as often as it likes.
"""

import asyncio
import logging
from collections.abc import Iterator
from typing import Protocol

from podpass.kube.status import StatusError
from podpass.lab.cluster.collection import Change

FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 30.0
LONGEST_REST_SECONDS = 1.0

_log = logging.getLogger(__name__)

Task = tuple[str, ...]
"""What to look at; each controller has its own spelling."""


class Controller(Protocol):
    """One care of the cluster."""

    name: str

    def concerns(self, change: Change) -> Iterator[Task]:
        """Where to look after a change. Called inside the write: quick, and without writing."""
        ...

    def everything(self) -> Iterator[Task]:
        """Where to look at the start."""
        ...

    async def reconcile(self, task: Task) -> float | None:
        """Make it as it should be, and say in how many seconds to look again although nothing changed; None: never.

        Raises StatusError to be called again later.
        """
        ...


class Loop:
    """Runs one controller: a queue without duplicates, failures again after a growing pause.

    Up to *workers* tasks are under way at a time, never the same one twice: one that waits for a slow webhook does
    not hold up the others. After a task that took long the same one rests *rest* times as long, so that a storm of
    changes cannot keep the loop busy.
    """

    def __init__(self, controller: Controller, *, workers: int = 1, rest: float = 0.0) -> None:
        self.controller = controller
        self.fault = ""
        """What broke in the newest run; empty when it did well."""
        self._workers, self._rest = workers, rest
        self._waiting: dict[Task, None] = {}
        self._running: set[Task] = set()
        self._failures: dict[Task, int] = {}
        self._timers: dict[Task, asyncio.TimerHandle] = {}
        self._resting: dict[Task, asyncio.TimerHandle] = {}
        self._work = asyncio.Event()

    def notice(self, change: Change) -> None:
        for task in self.controller.concerns(change):
            self.add(task)

    def add(self, task: Task) -> None:
        self._waiting[task] = None
        self._work.set()

    def hurry(self) -> None:
        """The clock jumped: look now at everything that waits for a time."""
        for task in list(self._timers):
            self._drop_timer(task)
            self.add(task)

    async def run(self) -> None:
        for task in self.controller.everything():
            self.add(task)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._serve())
        finally:
            for timer in (*self._timers.values(), *self._resting.values()):
                timer.cancel()
            self._timers.clear()
            self._resting.clear()

    async def _serve(self) -> None:
        while True:
            task = next(
                (each for each in self._waiting if each not in self._running and each not in self._resting), None
            )
            if task is None:
                self._work.clear()
                await self._work.wait()
                continue
            del self._waiting[task]
            self._drop_timer(task)
            self._running.add(task)
            loop = asyncio.get_running_loop()
            begun = loop.time()
            try:
                pause = await self._turn(task)
            finally:
                self._running.discard(task)
                if (rest := min((loop.time() - begun) * self._rest, LONGEST_REST_SECONDS)) > 0:
                    self._resting[task] = loop.call_later(rest, self._rested, task)
                if self._waiting:
                    self._work.set()
            if pause is not None:
                self._drop_timer(task)
                self._timers[task] = loop.call_later(pause, self._ring, task)

    async def _turn(self, task: Task) -> float | None:
        """Reconcile; the seconds to wait before the next look, None when only a change brings it."""
        try:
            again = await self.controller.reconcile(task)
        except StatusError as error:
            # Somebody refused, or was quicker: not a fault of this loop, and tried again.
            _log.info("controller.refused name=%s task=%s why=%s", self.controller.name, task, error)
        except Exception as error:  # noqa: BLE001
            # The loop's outermost turn: a fault in one task must not end the care for all others.
            self.fault = f"{self.controller.name}: {type(error).__name__}"
            _log.exception("controller.failed name=%s task=%s", self.controller.name, task)
        else:
            self.fault = ""
            self._failures.pop(task, None)
            return again
        failures = self._failures[task] = self._failures.get(task, 0) + 1
        return float(min(FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 16), LAST_RETRY_SECONDS))

    def _ring(self, task: Task) -> None:
        self._timers.pop(task, None)
        self.add(task)

    def _rested(self, task: Task) -> None:
        del self._resting[task]
        if task in self._waiting:
            self._work.set()

    def _drop_timer(self, task: Task) -> None:
        if (timer := self._timers.pop(task, None)) is not None:
            timer.cancel()
