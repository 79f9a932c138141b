"""The commands in the tutorial and the how-to guides work as written, in order."""

import contextlib
import re
from pathlib import Path

import pytest

from tests.guides import BLOCK, HOW_TO, ROOT, environment_of, run, script_of, with_az
from tests.stock_az import needs_az

# The walkthroughs' own tests follow the guides named after them, and look at what they print.
GUIDES = [one for one in sorted(HOW_TO.glob("*.md")) if not one.stem.startswith("walk-through-")]
GUIDES += sorted((ROOT / "docs/tutorial").glob("*.md"))
AZ = re.compile(r"^az ", re.MULTILINE)
"""A command of the machine itself: what is typed in a pod is indented, or comes after `--`."""


def _marks(guide: Path) -> tuple[pytest.MarkDecorator, ...]:
    """Where there is no az, its guides can't be followed."""
    return needs_az if any(AZ.search(block) for block in BLOCK.findall(guide.read_text())) else ()


@pytest.mark.shows_tokens
@pytest.mark.parametrize("guide", [pytest.param(one, marks=_marks(one), id=one.stem) for one in GUIDES])
def test_the_guides_commands_work(guide: Path, tmp_path: Path) -> None:
    script = script_of(guide)
    if not script:
        pytest.skip("the guide has no commands for a shell")
    environment = environment_of(tmp_path)
    with with_az(environment) if _marks(guide) else contextlib.nullcontext(environment) as environment:
        done = run(script, environment)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
