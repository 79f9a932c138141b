"""Fixtures for users' own tests: a lab per test session, and its variables in the environment of one test.

    def test_my_application(podpass_lab, podpass_environment):
        subprocess.run(["kubectl", "apply", "-f", "app.yaml"], check=True)

The lab runs in a thread of the test process with its state in a temporary directory. Set the ini option
`podpass_scenario` to the path of a scenario file to have it filled.
"""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from podpass.lab.assembly import Lab

START_WITHIN_SECONDS = 60


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("podpass_scenario", "scenario file for the podpass_lab fixture", default="")
    parser.addini("podpass_runtime", "how the podpass_lab fixture runs pods: auto, sandbox or plain", default="auto")


@pytest.fixture(scope="session")
def podpass_lab(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> "Iterator[Lab]":
    """A running lab with a cluster and a cloud of its own."""
    from podpass.lab.assembly import Lab

    scenario = pytestconfig.getini("podpass_scenario")
    lab = Lab(
        "pytest",
        home=tmp_path_factory.mktemp("podpass"),
        scenario=Path(pytestconfig.rootpath / scenario) if scenario else None,
        runtime=pytestconfig.getini("podpass_runtime"),
    )
    with running_in_thread(lab):
        yield lab


@pytest.fixture
def podpass_environment(podpass_lab: "Lab", monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of `podpass lab env`, set for one test."""
    variables = podpass_lab.host_variables()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


class running_in_thread:  # noqa: N801 - a context manager, used as a function is
    """Run *lab* on an event loop of its own thread, so that synchronous tests can use it."""

    def __init__(self, lab: "Lab") -> None:
        self._lab = lab
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._live, name="podpass-lab")

    def __enter__(self) -> "Lab":
        self._thread.start()
        if not self._ready.wait(START_WITHIN_SECONDS):
            raise TimeoutError(f"the lab was not ready within {START_WITHIN_SECONDS} s")
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self._lab

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _live(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as failure:  # noqa: BLE001 - handed to the thread that waits
            self._failure = failure
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self._lab:
            self._ready.set()
            await self._stop.wait()
