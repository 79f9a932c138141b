"""The commands in the tutorial and the how-to guides work as written, in order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDES = sorted([*(ROOT / "docs/tutorial").glob("*.md"), *(ROOT / "docs/how-to").glob("*.md")])
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.shows_tokens
@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
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
        ["bash", "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
