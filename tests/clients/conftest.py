"""What the tests of clients share: a namespace each, stock kubectls, and programs run as processes of their own."""

import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from podpass.lab.demo.client import Identity
from podpass.lab.demo.plan import AUDIENCE, Plan, plan
from podpass.lab.operator import OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT
from tests.running_lab import RunningLab

PROGRAMS = Path(__file__).with_name("programs")
HERE = Path(sys.executable).parent
KUBECTLS = {"kubectl": HERE / "kubectl", "old-kubectl": HERE.parent / "old" / "kubectl"}
Operator = Callable[..., AbstractContextManager[None]]
_numbers = itertools.count(1)


@pytest.fixture
def namespace(running_lab: RunningLab) -> str:
    """A namespace of the test's own, which stays until the lab goes."""
    name = f"client-{next(_numbers)}"
    running_lab.kubectl("create", "namespace", name)
    return name


@dataclass(frozen=True)
class Kubectl:
    """A stock kubectl, with a namespace to work in. A line is split as a shell would split it."""

    binary: Path
    lab: RunningLab
    namespace: str
    old: bool
    environment: dict[str, str]

    def run(self, line: str, *more: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.binary), "--namespace", self.namespace, *shlex.split(line), *more],
            input=stdin,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, line: str, *, stdin: bool = False) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.binary), "--namespace", self.namespace, *shlex.split(line)],
            env=self.environment,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, line: str, *more: str, stdin: str = "", **variables: str) -> str:
        """What the command prints, which must end well."""
        done = self.run(line, *more, stdin=stdin, **variables)
        assert done.returncode == 0, f"kubectl {line}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def refused(self, line: str, *more: str, stdin: str = "", code: int = 1) -> str:
        """What the command says when it ends with *code*."""
        done = self.run(line, *more, stdin=stdin)
        assert done.returncode == code, f"kubectl {line}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stderr + done.stdout

    def json(self, line: str) -> Any:
        return json.loads(self(f"{line} -o json"))

    def until_gone(self, what: str) -> None:
        done = self.run(f"wait --for=delete --timeout=60s {what}")
        # The old one calls it an error when nothing is left to wait for.
        assert done.returncode == 0 or "no matching resources found" in done.stderr, done.stderr

    def table(self, line: str) -> list[dict[str, str]]:
        """The rows of a table by their column's heading, cut where the headings begin."""
        heading, *rows = self(line).splitlines()
        starts = [match.start() for match in re.finditer(r"(?:(?<=  )|^)\S", heading)]
        cells = [
            [text[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)] for text in (heading, *rows)
        ]
        return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


@pytest.fixture(params=KUBECTLS)
def kubectl(request: pytest.FixtureRequest, running_lab: RunningLab, namespace: str, tmp_path: Path) -> Kubectl:
    """Each stock kubectl in turn: the current one, and Debian's where scripts/old-kubectl has brought it."""
    binary = KUBECTLS[request.param]
    if not binary.exists():
        pytest.skip("Debian's old kubectl is absent; scripts/old-kubectl brings it")
    # A home of its own, so that no discovery of another lab is taken from a cache.
    environment = {**running_lab.environment, "HOME": str(tmp_path), "PATH": running_lab.path}
    return Kubectl(binary, running_lab, namespace, request.param.startswith("old"), environment)


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
                [str(HERE / "kopf"), "run", "--standalone", *arguments],
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


@pytest.fixture(scope="module")
def trusted(running_lab: RunningLab) -> tuple[Plan, Identity, str]:
    """What the lab was set up with for a service account, its identity, and the fingerprint of its secret."""
    wanted = plan(issuer=running_lab.endpoints.issuer, suffix="host")

    async def set_up(operator):  # type: ignore[no-untyped-def]
        identity, stored = await operator.set_up_cloud(wanted)
        await operator.set_up_cluster(wanted, identity)
        return identity, stored

    return wanted, *running_lab.operate(set_up)


@pytest.fixture
def variables(running_lab: RunningLab, trusted: tuple[Plan, Identity, str], tmp_path: Path) -> dict[str, str]:
    """What a program on the host needs to be that service account."""
    wanted, identity, _ = trusted
    token = running_lab.kubectl(
        "create", "token", wanted.service_account, "-n", wanted.namespace, "--audience", wanted.audience
    )
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(token.strip())
    return {
        "AZURE_CLIENT_ID": identity.client_id,
        "AZURE_FEDERATED_TOKEN_FILE": str(file),
        "VAULT_URL": wanted.vault_url,
        "SECRET_NAME": wanted.secret,
    }


@pytest.fixture
def operator_variables(running_lab: RunningLab, tmp_path: Path) -> dict[str, str]:
    """What a program on the host needs to be the lab's operator."""
    file = tmp_path / "operator-token"
    file.touch(mode=0o600)
    audience = ("--audience", AUDIENCE)
    file.write_text(
        running_lab.kubectl("create", "token", OPERATOR_SERVICE_ACCOUNT, "-n", OPERATOR_NAMESPACE, *audience).strip()
    )
    return {
        "AZURE_CLIENT_ID": running_lab.endpoints.operator_client_id,
        "AZURE_FEDERATED_TOKEN_FILE": str(file),
    }
