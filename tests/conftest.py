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
from tests.running_lab import RunningLab
from tests.stock_az import put_on_path

put_on_path()


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
