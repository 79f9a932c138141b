"""The recorded requests are what the stock az sends; `make record-az` writes them anew."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.az.conftest import SCENARIO
from tests.az.recorder import recording
from tests.az_requests import load, save
from tests.shell import SIGN_IN, Shell, shell_in_a_lab
from tests.stock_az import needs_az, warm_az

pytestmark = [*needs_az]

COMMANDS = [
    line
    for line in Path(__file__).with_name("recorded_commands.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with shell_in_a_lab(tmp_path, scenario=SCENARIO) as shell, warm_az(shell.environment) as directory:
        shell.put_first(directory)
        yield shell


async def test_az_sends_what_was_recorded(shell: Shell) -> None:
    recorded = await _record(shell)
    text = json.dumps(recorded)
    assert "eyJ" not in text, "a token would be kept"
    version = shell("az version --query '\"azure-cli\"' -o tsv").strip()
    if os.environ.get("PODPASS_RECORD"):
        save(version, recorded)
    kept = load()
    assert kept["azure_cli"] == version, "another version of az: run `make record-az`, and look at what it changes"
    for now, before in zip(recorded, kept["commands"], strict=True):
        assert _asked(now) == _asked(before), f"{now['command']}: run `make record-az`, and look at what it changes"


def _asked(command: dict[str, Any]) -> list[dict[str, Any]]:
    """What az sends for a command, without what the lab says to it: that is the replay's to judge."""
    of_the_answer = ("answer", "learns")
    return [
        {name: value for name, value in exchange.items() if name not in of_the_answer}
        for exchange in command["requests"]
    ]


async def _record(shell: Shell) -> list[dict[str, Any]]:
    recorded = []
    async with recording(shell.lab) as (recorder, proxy):
        shell.environment |= dict.fromkeys(("HTTPS_PROXY", "https_proxy"), proxy)
        for command in (SIGN_IN, *COMMANDS):
            await asyncio.to_thread(shell, command)
            recorded.append({"command": command, "requests": recorder.take()})
    return recorded
