"""Programs of our own that stand in for ones this machine lacks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from podpass.lab.node.images import Catalogue, Image, ResolvedImage
from podpass.lab.node.images.builtin import BUILTIN

STEP = next(image.stand_in for image in BUILTIN if image.needs == "step")
# {"alg":"none"} . {"aud":["test"]} . three bytes
TOKEN = "eyJhbGciOiJub25lIn0.eyJhdWQiOlsidGVzdCJdfQ.AAEC"


def step(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(STEP), *arguments], input=stdin, capture_output=True, text=True, timeout=30, check=False
    )


def test_step_decodes_a_token_and_keeps_its_signature_back() -> None:
    done = step("crypto", "jwt", "inspect", "--insecure", stdin=f"{TOKEN}\n")
    assert json.loads(done.stdout) == {
        "header": {"alg": "none"},
        "payload": {"aud": ["test"]},
        "signature": "sha256:ae4b3280",
    }


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        pytest.param(["crypto", "jwt", "inspect"], TOKEN, "requires the '--insecure' flag", id="secure"),
        pytest.param(["crypto", "jwt", "inspect", "--insecure"], "nonsense", "error parsing token", id="no-token"),
        pytest.param(["crypto", "jwt", "inspect", "--insecure"], "a.b.c", "error parsing token", id="no-json"),
        pytest.param(["crypto", "jwt", "inspect", "--insecure"], "W1s=.e30=.AA", "error parsing token", id="cut-off"),
        pytest.param(
            ["crypto", "jwt", "inspect", "--insecure", "--jwks=x"], TOKEN, "not defined: --jwks", id="unknown-flag"
        ),
        pytest.param(["ca", "token"], "", "only `step crypto jwt inspect` is here", id="another-command"),
    ],
)
def test_step_refuses_what_it_cannot_do(arguments: list[str], stdin: str, said: str) -> None:
    done = step(*arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stand_in_gives_way_to_the_real_program(tmp_path: Path) -> None:
    real = tmp_path / "bin" / "step"
    images = (Image("smallstep/step-cli", needs="step", stand_in=STEP),)
    own = Catalogue(images, which=lambda _: None).resolve("smallstep/step-cli:0.28")
    assert isinstance(own, ResolvedImage)
    assert STEP in own.paths
    assert own.environment["PATH"].split(":")[1] == str(STEP.parent)
    found = Catalogue(images, which=lambda _: str(real)).resolve("smallstep/step-cli:0.28")
    assert isinstance(found, ResolvedImage)
    assert found.description == f"this machine's {real}"
    assert STEP not in found.paths
