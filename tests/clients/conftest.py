"""What the tests of clients share: a namespace each, and ordinary programs run as processes of their own."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.running_lab import RunningLab

PROGRAMS = Path(__file__).with_name("programs")
Operator = Callable[..., AbstractContextManager[None]]
_numbers = itertools.count(1)


@pytest.fixture
def namespace(running_lab: RunningLab) -> str:
    """A namespace of the test's own, which stays until the lab goes."""
    name = f"client-{next(_numbers)}"
    running_lab.kubectl("create", "namespace", name)
    return name


@pytest.fixture
def said(running_lab: RunningLab) -> Callable[..., list[str]]:
    """Run one of the programs here, and give what it printed."""

    def run(program: str, *arguments: str) -> list[str]:
        return running_lab.run(sys.executable, str(PROGRAMS / program), *arguments).stdout.splitlines()

    return run


@pytest.fixture
def operator(running_lab: RunningLab, tmp_path: Path) -> Operator:
    """Have kopf run an operator while the test changes what it watches."""

    @contextmanager
    def run(*arguments: str, **variables: str) -> Iterator[None]:
        log = tmp_path / "operator.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [str(Path(sys.executable).with_name("kopf")), "run", "--standalone", *arguments],
                env={**running_lab.environment, **variables},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                yield
            except BaseException as error:
                error.add_note(log.read_text()[-4000:])
                raise
            finally:
                process.terminate()
                process.wait(timeout=20)
        assert "Traceback" not in log.read_text(), log.read_text()[-4000:]

    return run
