"""A lab with the documentation's scenario, of each walkthrough's own, and a shell that uses it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from podpass.lab.control.starting import delete, start, stop
from podpass.lab.environment import LabPaths
from podpass.telemetry.redaction import redact_text
from tests.running_lab import RunningLab

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"


class Shell:
    """Runs what a person types: a line for bash, in the repository, after `eval "$(podpass lab env)"`."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.path = lab.path
        own = {"PATH": lab.path, "PODPASS_HOME": str(lab.home), "PODPASS_LAB": lab.paths.name, "HOME": str(lab.home)}
        self.environment = {**lab.environment, **own}

    def run(self, line: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            input=stdin,
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def __call__(self, line: str, stdin: str = "") -> str:
        """What the line prints, which must end well."""
        done = self.run(line, stdin)
        assert done.returncode == 0, f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    home = tmp_path_factory.mktemp("walkthrough")
    paths = LabPaths.of("walkthrough", home=home)
    start(paths, home=home, scenario=EXAMPLES / "scenario.yaml")
    try:
        yield Shell(RunningLab(paths, home))
    finally:
        stop(paths)
        kept = paths.log.read_text()
        delete(paths)
        assert kept == redact_text(kept), "the lab's log holds something shaped like a token"
        assert "loop.failed" not in kept, "the lab ends without a loop that fails"
