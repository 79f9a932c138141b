"""The webhook as a process of its own."""

import asyncio
import json
import os
import signal
import ssl
import sys
from pathlib import Path

import aiohttp
import pytest
import yaml
from loopback_cluster import loopback_cluster

from podpass.kube.config import ConfigError
from podpass.problems import PodpassError
from podpass.serving.server import bind_tcp
from podpass.settings.values import Address
from podpass.webhook import Settings, run_process
from podpass.webhook.settings import CertificateSource

PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from podpass.webhook import Settings, run_process
flags = {"self-signed": True, "webhook-cert-dir": sys.argv[2], "webhook-addr": "127.0.0.1:0",
         "health-addr": "127.0.0.1:0", "metrics-addr": "127.0.0.1:0"}
asyncio.run(run_process(Settings.read(os.environ, flags), kubeconfig=Path(sys.argv[1])))
"""


def kubeconfig(path: Path, server: str) -> Path:
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_until_it_is_told_to_stop_and_ends_without_an_error(tmp_path: Path, number: signal.Signals):
    async with loopback_cluster() as (cluster, _):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            str(kubeconfig(tmp_path / "config", cluster.url)),
            str(tmp_path / "certs"),
            env={**os.environ, "AZURE_TENANT_ID": "contoso.example"},
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            while (line := json.loads(await process.stderr.readline()))["event"] != "webhook.started":
                pass
            trust = ssl.create_default_context(cafile=tmp_path / "certs" / "ca.crt")
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"https://127.0.0.1:{line['port']}/mutate-v1-pod", data=b"", ssl=trust) as answer,
            ):
                assert (await answer.json())["response"]["status"]["code"] == 400
            process.send_signal(number)
            rest = await process.stderr.read()
            assert await process.wait() == 0
    assert b"webhook.stopped" in rest
    assert b"Traceback" not in rest


async def test_a_port_in_use_is_a_problem_that_names_the_flag(tmp_path: Path):
    taken = bind_tcp()
    settings = Settings(
        tenant_id="t",
        webhook_address=Address("127.0.0.1", 0),
        health_address=Address("127.0.0.1", taken.getsockname()[1]),
        certificates=CertificateSource.SELF_SIGNED,
        certificate_directory=tmp_path,
    )
    with taken, pytest.raises(PodpassError) as caught:
        await run_process(settings, kubeconfig=kubeconfig(tmp_path / "config", "http://127.0.0.1:1"))
    assert caught.value.problem.code == "PP101"
    assert "--health-addr" in caught.value.hint


async def test_a_missing_kubeconfig_is_a_problem(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        await run_process(Settings(tenant_id="t"), kubeconfig=tmp_path / "missing")
    assert caught.value.problem.code == "PP402"
