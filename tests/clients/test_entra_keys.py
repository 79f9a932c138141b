"""A rotation of Entra's signing keys, as the programs see it that hold tokens and key sets meanwhile."""

import sys
from pathlib import Path

from tests.running_lab import RunningLab

PROGRAM = Path(__file__).parent / "programs" / "rotated_keys.py"


def test_programs_go_on_over_a_rotation_of_the_signing_keys(running_lab: RunningLab, variables: dict[str, str]) -> None:
    done = running_lab.run(sys.executable, str(PROGRAM), PODPASS_HOME=str(running_lab.home), **variables)
    name = variables["SECRET_NAME"]
    assert done.stdout.splitlines() == [
        f"before: {name} True",
        f"with the token from before: {name} True",
        f"with a new one: {name} True True",
        "published: True",
    ]
    states = [key["state"] for key in running_lab.control.signing_keys()]
    assert states[:3] == ["signing", "next", "older"]
