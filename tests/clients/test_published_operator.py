"""An operator that others wrote and published, run unchanged with its own command line: `devservers`, on kopf.

For each DevServerUser it makes a namespace, an account, a Role and a RoleBinding, and reports in the status.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import HERE, PROGRAMS, Operator
from tests.running_lab import RunningLab

OPERATOR = ("--all-namespaces", "--module", "devserver.operator.operator")


@pytest.fixture
def defined(running_lab: RunningLab) -> Iterator[RunningLab]:
    definitions = str(PROGRAMS / "devservers.yaml")
    running_lab.kubectl("apply", "-f", definitions)
    running_lab.kubectl("wait", "--for=condition=Established", "-f", definitions, "--timeout=30s")
    yield running_lab
    running_lab.kubectl("delete", "-f", definitions, "--timeout=60s")


@pytest.fixture
def devctl(defined: RunningLab, tmp_path: Path) -> Callable[..., str]:
    """The operator's own command line, as its administrator uses it."""

    def run(*arguments: str) -> str:
        own = {"HOME": str(tmp_path), "COLUMNS": "120", "NO_COLOR": "1"}
        return defined.run(str(HERE / "devctl"), "--assume-yes", *arguments, **own).stdout

    return run


@pytest.mark.shows_tokens
def test_the_operator_gives_each_user_a_namespace_with_rights(
    defined: RunningLab, devctl: Callable[..., str], operator: Operator, tmp_path: Path
) -> None:
    kubectl = defined.kubectl
    with operator(*OPERATOR):
        assert "User 'alice' created successfully." in devctl("admin", "user", "create", "alice")
        kubectl("wait", "dsu/alice", "--for=jsonpath={.status.phase}=Ready", "--timeout=30s")
        assert kubectl("get", "dsu").split()[:6] == ["NAME", "NAMESPACE", "PHASE", "alice", "dev-alice", "Ready"]
        assert "dev-alice" in devctl("admin", "user", "list")
        assert kubectl("get", "role,rolebinding", "-n", "dev-alice", "-o", "name").split() == [
            "role.rbac.authorization.k8s.io/devserver-user",
            "rolebinding.rbac.authorization.k8s.io/devserver-user",
        ]
        config = tmp_path / "alice"
        config.touch(mode=0o600)
        text = devctl("admin", "user", "kubeconfig", "alice")
        config.write_text(text[text.index("apiVersion:") :])
        as_alice = {**defined.environment, "KUBECONFIG": str(config), "HOME": str(tmp_path), "PATH": os.defpath}
        for line, code in (("get pods", 0), ("get devservers", 0), ("get secrets", 1), ("get pods -n default", 1)):
            done = subprocess.run(
                [str(HERE / "kubectl"), *line.split()], env=as_alice, capture_output=True, text=True, check=False
            )
            assert done.returncode == code, f"{line}: {done.stderr}"
        devctl("admin", "user", "delete", "alice")
        kubectl("wait", "--for=delete", "dsu/alice", "--timeout=30s")
        assert kubectl("get", "role,rolebinding", "-n", "dev-alice", "-o", "name") == ""
