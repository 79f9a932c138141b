"""Background loops: each is owned here, begun anew with back-off when it fails, and its failures are told."""

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from podpass.telemetry.logging import Logger

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 30.0
STEADY_SECONDS = 60.0


@dataclass(slots=True)
class _Loop:
    failures: int = 0
    last: str = ""
    running: bool = False


class Supervision:
    """Runs loops until the context ends, then cancels them and waits until they are gone.

    Whoever starts a loop, it sees the context variables of where this was made.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._context = contextvars.copy_context()
        self._loops: dict[str, _Loop] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def start(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Run *loop* now; when it ends or fails, run it again after a wait that doubles up to half a minute."""
        state = self._loops[name] = _Loop()
        self._tasks[name] = asyncio.create_task(self._keep(name, loop, state), name=name, context=self._context.copy())

    async def stop(self, name: str) -> None:
        """End the loop of that name, and wait until it has ended."""
        task = self._tasks.pop(name)
        self._loops.pop(name, None)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def report(self) -> dict[str, dict[str, Any]]:
        """Each loop: whether it runs, how often it failed, and of what last."""
        return {
            name: {"running": state.running, "failures": state.failures, "last": state.last}
            for name, state in self._loops.items()
        }

    async def _keep(self, name: str, loop: Callable[[], Awaitable[None]], state: _Loop) -> None:
        wait = FIRST_WAIT_SECONDS
        while True:
            began = time.monotonic()
            state.running = True
            try:
                await loop()
                state.last = "it ended"
            except Exception as error:  # noqa: BLE001 - the outermost turn: logged, counted, begun anew
                state.last = f"{type(error).__name__}: {error}"
                self._log.exception("loop.failed", loop=name)
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    # A task group that is cancelled while one of its tasks fails tells of the failure only.
                    return
            finally:
                state.running = False
            state.failures += 1
            wait = FIRST_WAIT_SECONDS if time.monotonic() - began > STEADY_SECONDS else wait
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
