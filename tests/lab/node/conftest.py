"""What the node's tests share: pods' directories, a CA bundle, a fabric where this machine allows one."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from podpass.lab.node.images import Catalogue, ResolvedImage
from podpass.lab.node.runtime import Mount, PodSandbox, choose_runtime, probe
from podpass.lab.node.sandbox import SandboxRuntime

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
        search=("shop.svc.cluster.local", "svc.cluster.local", "cluster.local"),
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
