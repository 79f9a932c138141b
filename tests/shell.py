"""A shell that uses a lab of its own, for tests that type what a person types."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from podpass.lab.control.starting import delete, start, stop
from podpass.lab.environment import LabPaths
from podpass.telemetry.redaction import redact_text
from tests.running_lab import RunningLab

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
SIGN_IN = (
    'az login --service-principal --username "$PODPASS_OPERATOR_CLIENT_ID" --tenant "$AZURE_TENANT_ID"'
    ' --federated-token "$(kubectl create token operator -n podpass-system --audience api://AzureADTokenExchange)"'
)


class Shell:
    """Runs what a person types: a line for bash, in the repository, after `eval "$(podpass lab env)"`."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.path = lab.path
        own = {"PATH": lab.path, "PODPASS_HOME": str(lab.home), "PODPASS_LAB": lab.paths.name, "HOME": str(lab.home)}
        self.environment = {**lab.environment, **own}

    def put_first(self, directory: Path) -> None:
        """Find programs in *directory* before all others."""
        self.path = self.environment["PATH"] = f"{directory}:{self.path}"

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

    def json(self, line: str) -> Any:
        """What the line prints, read as JSON."""
        text = self(line)
        try:
            return json.loads(text)
        except ValueError:
            raise AssertionError(f"{line}: no JSON in\n{text}") from None

    def refused(self, line: str, code: int) -> str:
        """What the line says when it ends with exit code *code*."""
        done = self.run(line)
        assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stderr


@contextlib.contextmanager
def shell_in_a_lab(home: Path, *, scenario: Path | None = EXAMPLES / "scenario.yaml") -> Iterator[Shell]:
    """A shell and its lab, which ends with it; the lab's log then holds no token and no loop that failed."""
    paths = LabPaths.of("walkthrough", home=home)
    start(paths, home=home, scenario=scenario)
    try:
        yield Shell(RunningLab(paths, home))
    finally:
        stop(paths)
        kept = paths.log.read_text()
        delete(paths)
        assert kept == redact_text(kept), "the lab's log holds something shaped like a token"
        assert "loop.failed" not in kept, "the lab ends without a loop that fails"
