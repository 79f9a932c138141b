"""What Entra changes under programs that run: its signing keys, and the standing of the tokens they hold."""

import sys
from pathlib import Path

import pytest

from tests.running_lab import RunningLab

PROGRAMS = Path(__file__).parent / "programs"


def test_programs_go_on_over_a_rotation_of_the_signing_keys(running_lab: RunningLab, variables: dict[str, str]) -> None:
    home = str(running_lab.home)
    done = running_lab.run(sys.executable, str(PROGRAMS / "rotated_keys.py"), PODPASS_HOME=home, **variables)
    name = variables["SECRET_NAME"]
    assert done.stdout.splitlines() == [
        f"before: {name} True",
        f"with the token from before: {name} True",
        f"with a new one: {name} True True",
        "published: True",
    ]
    states = [key["state"] for key in running_lab.control.signing_keys()]
    assert states[:3] == ["signing", "next", "older"]


@pytest.mark.parametrize(
    ("service", "challenged"),
    [
        pytest.param("vault", True, id="vault"),
        pytest.param("arm", True, id="arm"),
        pytest.param("arm-by-default", False, id="a-client-that-can-not-answer-keeps-its-token"),
    ],
)
def test_the_sdks_answer_the_challenge_after_a_revocation(
    running_lab: RunningLab,
    variables: dict[str, str],
    operator_variables: dict[str, str],
    service: str,
    challenged: bool,
) -> None:
    who = variables if service == "vault" else operator_variables
    newest = running_lab.control.status()["journal"]["newest"]
    program = str(PROGRAMS / "revoked_tokens.py")
    done = running_lab.run(sys.executable, program, service, PODPASS_HOME=str(running_lab.home), **who)
    assert done.stdout.strip() == f"{service}: same answer True, challenged {[False, True][: 1 + challenged]}"
    noted = [event for event in running_lab.control.journal(after=newest) if event["problem"] == "PP217"]
    asked = [(event["outcome"], event["decision"]["client_id"]) for event in noted]
    assert asked == [("noted", who["AZURE_CLIENT_ID"])] * challenged


def test_revoking_needs_an_identity_that_there_is(running_lab: RunningLab) -> None:
    home = str(running_lab.home)
    command = (sys.executable, "-m", "podpass", "lab", "revoke", "nobody")
    done = running_lab.run(*command, check=False, PODPASS_HOME=home)
    assert (done.returncode, "PP111" in done.stderr) == (1, True)
