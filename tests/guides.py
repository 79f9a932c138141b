"""The commands in the guides: where they stand, and following a guide from its first to its last."""

import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.stock_az import IS_HERE, warm_az

ROOT = Path(__file__).parents[1]
HOW_TO = ROOT / "docs" / "how-to"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^## ", re.MULTILINE)
_MARK = "=== section ==="


@dataclass(frozen=True)
class Followed:
    """What a guide's commands printed, by the heading they stand under; what stands before the first is under ``."""

    printed: dict[str, str]

    def __getitem__(self, number: int) -> str:
        """What the section printed whose heading begins with *number*."""
        (found,) = [text for heading, text in self.printed.items() if heading.startswith(f"{number}.")]
        return found


def environment_of(home: Path) -> dict[str, str]:
    """A shell's environment without any lab: a home of its own, and this environment's programs in front."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "PODPASS_"))}
    return {
        **environ,
        "PODPASS_HOME": str(home),
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}",
        "NO_COLOR": "1",
    }


@contextlib.contextmanager
def with_az(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment with an az for bash that did its imports once: it takes a quarter of the time.

    PATH keeps the plain one, which the lab shows to its pods.
    """
    with contextlib.ExitStack() as stack:
        if IS_HERE:
            # As `podpass lab env` will say it.
            config = {"AZURE_CONFIG_DIR": f"{environment['PODPASS_HOME']}/labs/default/azure"}
            directory = stack.enter_context(warm_az({**environment, **config}))
            environment = {**environment, "BASH_FUNC_az%%": f"() {{ '{directory}/az' \"$@\"; }}"}
        yield environment


def script_of(guide: Path) -> str:
    """All commands of *guide*, in order."""
    return "\n".join(BLOCK.findall(guide.read_text()))


def run(script: str, environment: dict[str, str], *, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run what a guide says in one shell that stops at the first failure; a lab left behind is stopped."""
    script = f"trap 'podpass lab reset --yes >/dev/null 2>&1 || true' EXIT\nset -eu\n{script}"
    return subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def follow(guide: Path, environment: dict[str, str]) -> Followed:
    """Do what *guide* says, and tell what it prints, section by section."""
    first, *sections = _HEADING.split(guide.read_text())
    headings = ["", *(section.partition("\n")[0] for section in sections)]
    script = f"\necho '{_MARK}'\n".join("\n".join(BLOCK.findall(text)) for text in (first, *sections))
    done = run(script, environment)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return Followed(dict(zip(headings, done.stdout.split(f"{_MARK}\n"), strict=True)))


def followed_once(guide: Path, factory: pytest.TempPathFactory) -> Followed:
    """What *guide* prints; of several test workers the first follows it, the others wait and read that."""
    home = factory.mktemp(guide.stem)
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    kept = shared / f"{guide.stem}.json"
    with (shared / f"{guide.stem}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            with with_az(environment_of(home)) as environment:
                kept.write_text(json.dumps(follow(guide, environment).printed))
    return Followed(json.loads(kept.read_text()))
