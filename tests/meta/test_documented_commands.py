"""The commands in the tutorial and the how-to guides work as written, in order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stock_az import needs_az

ROOT = Path(__file__).parents[2]
GUIDES = sorted([*(ROOT / "docs/tutorial").glob("*.md"), *(ROOT / "docs/how-to").glob("*.md")])
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
AZ = re.compile(r"^az ", re.MULTILINE)
"""A command of the machine itself: what is typed in a pod is indented, or comes after `--`."""


def _marks(guide: Path) -> tuple[pytest.MarkDecorator, ...]:
    """Where there is no az, its guides can't be followed."""
    return needs_az if any(AZ.search(block) for block in BLOCK.findall(guide.read_text())) else ()


@pytest.mark.shows_tokens
@pytest.mark.parametrize("guide", [pytest.param(one, marks=_marks(one), id=one.stem) for one in GUIDES])
def test_the_guides_commands_work(guide: Path, tmp_path: Path) -> None:
    script = "\n".join(BLOCK.findall(guide.read_text()))
    if not script:
        pytest.skip("the guide has no commands for a shell")
    # A lab that a failing guide leaves behind is stopped here.
    script = f"trap 'podpass lab reset --yes >/dev/null 2>&1 || true' EXIT\nset -eu\n{script}"
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "PODPASS_"))}
    environ |= {
        "PODPASS_HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{environ['PATH']}",
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
