"""The stock DeploymentsMgmtClient, unmodified, sync and async, over real sockets."""

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.lab.arm.azure_doors import open_doors
from tests.lab.arm.azure_world import SUBSCRIPTION, World

PROGRAM = Path(__file__).with_name("deployments_client.py")
SECONDS = 60


async def pass_time(world: World) -> None:
    """The client waits in real time for what ends in the lab's."""
    while True:
        await asyncio.sleep(0.2)
        world.clock.advance(1)


async def test_the_client_does_all_it_can_do(world: World, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(world.token())
    async with open_doors(world, tmp_path) as doors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROGRAM),
            SUBSCRIPTION,
            "shop",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PODPASS_TEST_TOKEN": str(token), **doors.environ},
        )
        passing = asyncio.create_task(pass_time(world))
        try:
            out, err = await asyncio.wait_for(process.communicate(), SECONDS)
        finally:
            passing.cancel()
            if process.returncode is None:
                process.kill()
    assert process.returncode == 0, err.decode()[-2_000:]
    seen = json.loads(out)
    assert seen == {
        "existed": False,
        "checked": ["Succeeded", 1],
        "wrong": [400, "InvalidTemplate"],
        "foreseen": ["Succeeded", ["Create"]],
        "accepted": "InProgress",
        "made": ["Succeeded", ["clientId"], "Incremental"],
        "word": {"type": "SecureString"},
        "exists": True,
        "got": "main",
        "listed": ["main"],
        "exported": True,
        "operations": ["EvaluateDeploymentOutput", "Create"],
        "target": "app",
        "refused": [400, "InvalidTemplate"],
        "cancelled": [409, "DeploymentCannotBeCancelled"],
        "left": [],
        "later": "Succeeded",
        "later_listed": ["later"],
    }
