"""What the node's tests share: pods' directories, a CA bundle, a fabric where this machine allows one."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from podpass.kube.events import EventRecorder
from podpass.lab.clock import LabClock
from podpass.lab.journal import Journal
from podpass.lab.node.client import NodeClient
from podpass.lab.node.images import Catalogue, ResolvedImage
from podpass.lab.node.lifecycle import BackOffTimes
from podpass.lab.node.plain import PlainRuntime
from podpass.lab.node.pod_loop import PodLoop, Tools
from podpass.lab.node.runtime import Mount, PodSandbox, Runtime, choose_runtime, probe
from podpass.lab.node.sandbox import SandboxRuntime
from podpass.lab.store import Store
from tests.lab.node.journey import journal_and_clock, journey  # noqa: F401 - fixtures
from tests.lab.node.memory_api import InMemoryApi

_choice: list[object] = []


@pytest.fixture
async def sandboxed() -> None:
    """Skips the test where the sandbox is impossible, with the reason the lab itself would give."""
    if not _choice:
        _choice.append(choose_runtime(await probe()))
    choice = _choice[0]
    if choice.kind != "sandbox":  # type: ignore[attr-defined]
        pytest.skip(choice.why)  # type: ignore[attr-defined]


@pytest.fixture
def image() -> ResolvedImage:
    found = Catalogue().resolve("python:3.12")
    assert isinstance(found, ResolvedImage)
    return found


@pytest.fixture
def pod(tmp_path: Path) -> PodSandbox:
    return PodSandbox(
        uid="0b9c",
        name="orders",
        namespace="shop",
        hostname="orders",
        address="10.244.0.7",
        directory=tmp_path / "state" / "pods" / "0b9c",
        hosts="10.244.0.7\torders\n",
        resolver="search shop.svc.cluster.local cluster.local\nnameserver 10.244.0.1\noptions ndots:5\n",
    )


@pytest.fixture
def ca_bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.crt"
    path.write_text("# the lab's roots\n")
    return path


@pytest.fixture
def volume(tmp_path: Path) -> Callable[..., Mount]:
    """Makes a volume with one file and says where it is mounted."""

    def make(path: str, *, file: str = "greeting", text: str = "hello", read_only: bool = True) -> Mount:
        source = tmp_path / "volumes" / path.strip("/").replace("/", "-")
        source.mkdir(parents=True)
        (source / file).write_text(text)
        return Mount(path, source, read_only)

    return make


@pytest.fixture
async def sandbox(sandboxed: None, tmp_path: Path, ca_bundle: Path) -> AsyncIterator[SandboxRuntime]:
    (tmp_path / "state").mkdir()
    runtime = SandboxRuntime(directory=tmp_path / "state", ca_bundle=ca_bundle)
    await runtime.start()
    try:
        yield runtime
    finally:
        await runtime.close()


class Output:
    """A pipe for what a container writes, read to its end."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()

    async def text(self) -> str:
        os.close(self.writing)
        with os.fdopen(self._reading, "rb") as file:
            data = await asyncio.to_thread(file.read)
        return data.decode()


@pytest.fixture
def output() -> Output:
    return Output()


@pytest.fixture
def api() -> InMemoryApi:
    return InMemoryApi()


@pytest.fixture
def journal(tmp_path: Path, clock: LabClock) -> Iterator[Journal]:
    store = Store.open(None)
    yield Journal(store, clock)
    store.close()


@pytest.fixture
def clock(api: InMemoryApi) -> LabClock:
    api.clock = LabClock()
    return api.clock


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[PlainRuntime]:
    runtime = PlainRuntime(directory=tmp_path / "state", environment={"HTTPS_PROXY": "http://127.0.0.1:9"})
    await runtime.start()
    try:
        yield runtime
    finally:
        await runtime.close()


@pytest.fixture
async def pod_loop(api, clock, journal, plain, tmp_path) -> AsyncIterator[Callable[..., PodLoop]]:
    """Makes the loop of a pod, running until the test ends."""
    async with asyncio.TaskGroup() as tasks:
        recorder = EventRecorder(api, "kubelet", now=clock.now)
        running = [tasks.create_task(recorder.run())]

        def make(pod: dict[str, Any], *, runtime: Runtime = plain, **options: Any) -> PodLoop:
            tools = Tools(
                api=NodeClient(api, "lab-node"),
                runtime=runtime,
                clock=clock,
                journal=journal,
                events=recorder,
                images=Catalogue(),
                times=options.pop("times", BackOffTimes(0.02, 0.05, 600)),
                jitter_seconds=lambda: 0.0,
                services={"KUBERNETES_SERVICE_HOST": "10.96.0.1"},
                node_name="lab-node",
                host_ip="172.18.0.2",
                nameserver="10.96.0.10",
                allocatable={"cpu": "2", "memory": "1024Ki"},
                directory=tmp_path / "state",
                retry_seconds=0.02,
                **options,
            )
            loop = PodLoop(pod, "10.244.0.7", tools)
            running.append(tasks.create_task(loop.run()))
            return loop

        yield make
        for task in running:
            task.cancel()


@pytest.fixture
def pod_object() -> Callable[..., dict[str, Any]]:
    def make(*containers: dict[str, Any], name: str = "orders", **spec: Any) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "uid": f"uid-of-{name}", "labels": {"app": "orders"}},
            "spec": {"nodeName": "lab-node", "restartPolicy": "Never", "containers": list(containers), **spec},
        }

    return make


@pytest.fixture
def container() -> Callable[..., dict[str, Any]]:
    def make(script: str = "", *, name: str = "app", **members: Any) -> dict[str, Any]:
        return {"name": name, "image": "busybox", "command": ["sh", "-c", script], **members}

    return make
