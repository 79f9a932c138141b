"""Management clients that are told where the cloud is: base_url, authority, credential_scopes; no proxy."""

import subprocess
import sys
from pathlib import Path

import pytest

from podpass.lab.environment import PROXY_VARIABLES, explicit_variables
from tests.running_lab import RunningLab

PROGRAM = Path(__file__).parent / "programs" / "explicit_door.py"


@pytest.mark.parametrize("scopes", ["own", "public"])
def test_an_identity_made_read_changed_and_deleted(running_lab: RunningLab, scopes: str) -> None:
    environment = {name: value for name, value in running_lab.environment.items() if name not in PROXY_VARIABLES}
    environment |= explicit_variables(running_lab.endpoints, running_lab.paths)
    group = f"/subscriptions/{running_lab.endpoints.subscription_id}/resourceGroups/explicit-{scopes}"
    running_lab.operate(lambda operator: operator.arm("PUT", group, "2024-11-01", {"location": "westeurope"}))
    token = running_lab.kubectl(
        "create", "token", "operator", "-n", "podpass-system", "--audience", "api://AzureADTokenExchange"
    )
    done = subprocess.run(
        [sys.executable, PROGRAM, scopes],
        input=token,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "made explicit-door",
        "read explicit-door",
        "tags {'a': 'b'}",
        "404",
        "machines 0",
        "clusters 0",
        "vaults 0",
        "aio ok",
    ]
