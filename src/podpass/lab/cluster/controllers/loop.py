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

    async def reconcile(self, task: Task) -> None:
        """Make it as it should be. Raises StatusError to be called again later."""
        ...


class Loop:
    """Runs one controller: a queue without duplicates, one task at a time, failures again after a growing pause."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.fault = ""
        """What broke in the newest run; empty when it did well."""
        self._waiting: dict[Task, None] = {}
        self._failures: dict[Task, int] = {}
        self._work = asyncio.Event()

    def notice(self, change: Change) -> None:
        for task in self.controller.concerns(change):
            self.add(task)

    def add(self, task: Task) -> None:
        self._waiting[task] = None
        self._work.set()

    async def run(self) -> None:
        for task in self.controller.everything():
            self.add(task)
        async with asyncio.TaskGroup() as group:
            while True:
                await self._work.wait()
                self._work.clear()
                while self._waiting:
                    task = next(iter(self._waiting))
                    del self._waiting[task]
                    if pause := await self._turn(task):
                        group.create_task(self._again(task, pause))

    async def _turn(self, task: Task) -> float:
        """Reconcile; the seconds to wait before the next try, 0 when all is well."""
        try:
            await self.controller.reconcile(task)
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
            return 0.0
        failures = self._failures[task] = self._failures.get(task, 0) + 1
        return float(min(FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 16), LAST_RETRY_SECONDS))

    async def _again(self, task: Task, pause: float) -> None:
        await asyncio.sleep(pause)
        self.add(task)
