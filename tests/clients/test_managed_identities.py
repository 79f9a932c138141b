"""azure-mgmt-msi, unmodified, against the lab's Resource Manager."""

import sys
from pathlib import Path

from podpass.lab.demo.client import Operator
from tests.running_lab import RunningLab

PROGRAM = Path(__file__).parent / "programs" / "federated_credentials.py"
GROUP = "credentials-of-msi"


def test_identities_and_credentials_go_round(running_lab: RunningLab, operator_variables: dict[str, str]) -> None:
    path = f"/subscriptions/{running_lab.endpoints.subscription_id}/resourceGroups/{GROUP}"

    async def make_group(operator: Operator) -> None:
        await operator.arm("PUT", path, "2024-11-01", {"location": "eastus"})

    running_lab.operate(make_group)
    done = running_lab.run(sys.executable, str(PROGRAM), GROUP, **operator_variables)
    assert done.stdout.splitlines() == [
        "pages: 8 of 20 20",
        "refused: 400 BadRequest kube-20",
        "refused: 400 BadRequest kube-00",
        "gone: 404",
        "left: []",
        "aio: True []",
    ]
