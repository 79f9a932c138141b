"""The asynchronous client: pages, a watch that resumes, and the answer where history is gone."""

import asyncio
import sys
from pathlib import Path

from podpass.lab.cluster.storage import HistoryLimits
from tests.clients.conftest import PROGRAMS
from tests.lab.cluster.core_api import on_a_socket, opened


async def test_a_watch_resumes_and_learns_that_history_is_gone(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    limits = HistoryLimits(kept_always=4, kept_at_most=8, age_seconds=0)
    async with opened(tmp_path / "keys", history=limits) as api, on_a_socket(api, kubeconfig):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROGRAMS / "resuming_watch.py"),
            "default",
            env={"KUBECONFIG": str(kubeconfig)},
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
    assert out.decode().splitlines() == [
        "pages 2 2",
        "watched ADDED d",
        "resumed ADDED e DELETED e",
        "too old 410 Expired",
    ]
