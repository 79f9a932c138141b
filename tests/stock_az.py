"""The stock Azure CLI, when `scripts/az` brought it: where it is, the marks of tests that need it, and a warm one."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DIRECTORY = ROOT / ".venv" / "stock" / "bin"
IS_HERE = (DIRECTORY / "az").exists()
needs_az = (
    pytest.mark.az,
    pytest.mark.skipif(not IS_HERE, reason="the stock az is not here; scripts/az brings it"),
)

_WARM = """#!/bin/sh
# The server imported az with one configuration directory; any other takes the plain az.
[ "$AZURE_CONFIG_DIR" = '{config}' ] || exec '{az}' "$@"
exec '{python}' -ISE '{client}' '{socket}' "$@"
"""


def put_on_path() -> None:
    """Let this process, and the labs and shells that it starts, find the pinned az before any other."""
    if IS_HERE:
        os.environ["PATH"] = f"{DIRECTORY}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


@contextlib.contextmanager
def warm_az(environment: Mapping[str, str]) -> Iterator[Path]:
    """A directory for PATH whose `az` is the stock one without its start; see tests/warm_az/server.py.

    It counts while *environment*'s AZURE_CONFIG_DIR is set; with another the plain az runs.
    """
    with tempfile.TemporaryDirectory() as place:
        socket, program = Path(place) / "az.sock", Path(place) / "bin" / "az"
        program.parent.mkdir()
        program.write_text(
            _WARM.format(
                config=environment["AZURE_CONFIG_DIR"],
                python=sys.executable,
                client=ROOT / "tests/warm_az/client.py",
                socket=socket,
                az=DIRECTORY / "az",
            )
        )
        program.chmod(0o700)
        server = subprocess.Popen(
            [ROOT / ".venv/az/bin/python", ROOT / "tests/warm_az/server.py", socket],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdin is not None
        assert server.stdout is not None
        with server:
            assert server.stdout.readline() == "listening\n"
            try:
                yield program.parent
            finally:
                server.stdin.close()
