"""A running lab for the tests that need one, and the rule that no test's output holds a token."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from podpass.lab.control.starting import delete, start, stop
from podpass.lab.environment import LabPaths
from podpass.telemetry.redaction import redact_text
from tests.azure_calls import Recording, Watch, check, expected
from tests.running_lab import RunningLab
from tests.stock_az import put_on_path

put_on_path()

_RECORDING: pytest.StashKey[Recording] = pytest.StashKey()
_RAN: pytest.StashKey[set[str]] = pytest.StashKey()


@pytest.fixture(scope="session")
def podpass_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def running_lab(podpass_home: Path) -> Iterator[RunningLab]:
    """A lab as its own process, as `podpass lab up` starts it; one per test worker."""
    paths = LabPaths.of("suite", home=podpass_home)
    start(paths, home=podpass_home)
    try:
        yield RunningLab(paths, podpass_home)
    finally:
        stop(paths)
        kept = paths.log.read_text()
        delete(paths)
        assert kept == redact_text(kept), "the lab's log holds something shaped like a token"


@pytest.fixture
def podpass(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Run the command line as a user does, with labs of its own."""

    def run(*arguments: str, home: Path = tmp_path, stdin: str | None = None, timeout: int = 120):  # type: ignore[no-untyped-def]
        environ = {**os.environ, "PODPASS_HOME": str(home), "NO_COLOR": "1"}
        return subprocess.run(
            [sys.executable, "-m", "podpass", *arguments],
            env=environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-azure", action="store_true", help="put down which calls on Azure the tests prove")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RECORDING] = Recording()
    config.stash[_RAN] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):  # type: ignore[no-untyped-def]
    """Put down what a test proves of the Azure side, or have it prove again what is put down."""
    recording, test = item.config.getoption("--record-azure"), item.nodeid
    # What is made up anew each time proves something else each time.
    by_chance = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    if by_chance or (not recording and test not in expected()):
        return (yield)
    watch = Watch.begin(item)
    result = yield
    if recording:
        item.config.stash[_RAN].add(test)
        item.config.stash[_RECORDING].keep(test, watch.seen())
    else:
        check(test, watch.seen())
    return result


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--record-azure"):
        session.config.stash[_RECORDING].write(session.config.stash[_RAN])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """A test whose captured output holds a token fails: users' terminals and CI logs are not secret."""
    report = yield
    if call.when == "call" and item.get_closest_marker("shows_tokens") is None:
        for title, text in report.sections:
            if text != redact_text(text):
                report.outcome = "failed"
                report.longrepr = f"{title} of {item.nodeid} holds something shaped like a token"
    return report
