"""The way out of one container: the hook before its end, the turn of others, a signal, the grace, SIGKILL.

Contract: Kubernetes API surface, section 7.1.
"""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Sequence

from podpass.lab.node.container_run import OUTPUT_SECONDS, ContainerRun
from podpass.lab.node.driver import FabricFailed
from podpass.lab.node.runtime import Runtime

KILL_SECONDS = 5.0
LEAST_SECONDS = 2.0
"""What a container has after its signal, however long its hook and its turn took."""


class Ending:
    """Ends the container of *run* once `run` is called.

    *hook* is done first, then *after* are waited for; both count against *grace_seconds*. Without grace the
    container is killed at once.
    """

    def __init__(
        self,
        run: ContainerRun,
        runtime: Runtime,
        grace_seconds: float,
        *,
        signal_number: int = signal.SIGTERM,
        hook: Callable[[], Awaitable[None]] | None = None,
        after: Sequence[ContainerRun] = (),
    ) -> None:
        self._run = run
        self._runtime = runtime
        self._signal_number = signal_number
        self._hook, self._after = hook, after
        self._deadline = asyncio.get_running_loop().time() + grace_seconds
        self._changed = asyncio.Event()
        self._at_once = grace_seconds <= 0

    def shorten(self, grace_seconds: float) -> None:
        """Let there be at most this much left; never more than there was."""
        self._at_once = self._at_once or grace_seconds <= 0
        deadline = asyncio.get_running_loop().time() + grace_seconds
        if deadline < self._deadline:
            self._deadline = deadline
            self._changed.set()

    async def run(self) -> None:
        ended = self._run.ended
        if self._left() > 0:
            waited = await self._prepare()
            if not ended.done() and not self._at_once:
                if waited:
                    self._deadline = max(self._deadline, asyncio.get_running_loop().time() + LEAST_SECONDS)
                await self._send(self._signal_number)
                await self._until(ended)
        if not ended.done():
            await self._send(signal.SIGKILL)
            await asyncio.wait([ended], timeout=KILL_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OUTPUT_SECONDS + KILL_SECONDS):
                await self._run.done.wait()

    async def _prepare(self) -> bool:
        """The hook, and the turn; whether there was anything to wait for."""
        if self._hook is not None:
            hook = asyncio.ensure_future(self._hook())
            try:
                await self._until(hook, self._run.ended)
            finally:
                hook.cancel()
                await asyncio.gather(hook, return_exceptions=True)
        for other in self._after:
            await self._until(other.ended, self._run.ended)
        return self._hook is not None or bool(self._after)

    async def _until(self, *futures: asyncio.Future[int] | asyncio.Future[None]) -> None:
        """Wait for the first of *futures*, or for the end of the grace."""
        while (left := self._left()) > 0 and not any(future.done() for future in futures):
            self._changed.clear()
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait([changed, *futures], timeout=left, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()

    def _left(self) -> float:
        return self._deadline - asyncio.get_running_loop().time()

    async def _send(self, number: int) -> None:
        # A container without its helper has ended already.
        with contextlib.suppress(FabricFailed):
            await self._runtime.signal(self._run.container_id, number)
