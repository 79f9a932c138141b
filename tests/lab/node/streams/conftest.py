"""What tests of streams share: both runtimes, a container, and both event loops where they differ."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from podpass.lab.clock import LabClock
from podpass.lab.node.container_run import ContainerRun
from podpass.lab.node.driver import FabricFailed
from podpass.lab.node.images import ResolvedImage
from podpass.lab.node.logs import ContainerLog
from podpass.lab.node.runtime import ContainerProcess, PodSandbox, Runtime

_SECONDS = 20.0
Start = Callable[..., Awaitable[ContainerRun]]


@pytest.fixture(params=["plain", "sandbox"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture
async def start(
    runtime: Runtime, pod: PodSandbox, image: ResolvedImage, clock: LabClock, tmp_path: Path
) -> AsyncIterator[Start]:
    """Starts a container, whose log is the file `log`."""

    runs: list[ContainerRun] = []

    async def begin(script: str = "exec sleep 60", **members: bool) -> ContainerRun:
        process = ContainerProcess("c1", pod, image, ("sh", "-c", script), {"PATH": "/usr/bin:/bin"})
        await runtime.create_pod(pod)
        log = ContainerLog(tmp_path / "log", clock)
        run = await ContainerRun.start("app", replace(process, **members), runtime, log)  # type: ignore[arg-type]
        runs.append(run)
        return run

    async with asyncio.timeout(_SECONDS):
        yield begin
        # A pipe that is still read would come to its end while the loop is being closed.
        for run in runs:
            with contextlib.suppress(FabricFailed):
                await runtime.signal(run.process.container_id, signal.SIGKILL)
            await run.finished()


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Terminals are read on both loops, which differ there; the rest on the one that the lab runs on."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    if item.path.name == "test_node_terminals.py":
        loops["asyncio"] = asyncio.SelectorEventLoop
    return loops
