"""The stock clients of resource management, sync and aio: groups, resources, tags, providers, features, locks."""

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.lab.arm.azure_doors import open_doors
from tests.lab.arm.azure_world import SUBSCRIPTION, World

PROGRAM = Path(__file__).with_name("resource_client.py")
SECONDS = 60


async def test_the_clients_go_round(world: World, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(world.token())
    async with open_doors(world, tmp_path) as doors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROGRAM),
            SUBSCRIPTION,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PODPASS_TEST_TOKEN": str(token), **doors.environ},
        )
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert json.loads(out) == {
        "subscriptions": ["lab"],
        "subscription": "Enabled",
        "locations": True,
        "tenants": 1,
        "group": ["sync", "eastus", {"team": "payments"}, "Succeeded"],
        "group exists": [True, False],
        "group tags": {"team": "orders"},
        "groups by tag": ["sync"],
        "resource": ["app", "Microsoft.ManagedIdentity/userAssignedIdentities", {"a": "b"}],
        "resource exists": True,
        "resource tags": {"a": "c"},
        "resources": ["app"],
        "resources of a type": ["app"],
        "tags": {"x": "1", "y": "2"},
        "tags gone": {},
        "resource gone": "404 ResourceNotFound",
        "provider": "Registered",
        "unregistered": "Unregistered",
        "registered": "Registered",
        "providers": True,
        "feature": "Registering",
        "features": ["Microsoft.ContainerService/EnablePodIdentityPreview"],
        "feature read": "Registering",
        "feature off": "Unregistering",
        "lock": ["keep", "CanNotDelete", "for the audit"],
        "locks": ["keep"],
        "locked": "409 ScopeLocked",
        "lock read": "CanNotDelete",
        "group gone": "404 ResourceGroupNotFound",
        "aio subscriptions": ["lab"],
        "aio group tags": {"a": "b"},
        "aio resource": "app",
        "aio resources": ["app"],
        "aio provider": "Registered",
        "aio feature": "Registering",
        "aio locks": ["ReadOnly"],
        "aio group exists": False,
    }
