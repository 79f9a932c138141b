"""A cache from the pods' side and from the host's: the stock client, by the cache's own name, with its key."""

import time
from pathlib import Path
from typing import Any

import pytest
import redis

from podpass.lab.demo.client import Operator
from podpass.lab.redis.driver import find_server
from tests.clients.conftest import PROGRAMS
from tests.running_lab import RunningLab

pytestmark = pytest.mark.skipif(find_server() is None, reason="redis-server is not installed")
VERSION = "2024-11-01"
SECONDS = 10.0
HOST = "client-votes.redis.cache.windows.net"


@pytest.fixture(scope="module")
def key(running_lab: RunningLab) -> str:
    """The primary key of the cache that this module's tests share."""
    group = f"/subscriptions/{running_lab.endpoints.subscription_id}/resourceGroups/client-redis"
    cache = f"{group}/providers/Microsoft.Cache/redis/client-votes"

    async def make(operator: Operator) -> str:
        await operator.arm("PUT", group, VERSION, {"location": "eastus"})
        sku = {"name": "Basic", "family": "C", "capacity": 0}
        properties = {"sku": sku, "enableNonSslPort": True, "redisVersion": "6"}
        await operator.arm("PUT", cache, VERSION, {"location": "eastus", "properties": properties})
        return str((await operator.arm("POST", f"{cache}/listKeys", VERSION))["primaryKey"])

    return running_lab.operate(make)


def cache_of(lab: RunningLab) -> dict[str, Any]:
    deadline = time.monotonic() + SECONDS
    while not (found := [one for one in lab.control.status()["caches"] if one["host"] == HOST]):
        assert time.monotonic() < deadline, "the cache does not run"
    return found[0]


def vote(lab: RunningLab, namespace: str, key: str) -> str:
    """What a pod prints that votes and is deleted."""
    pod = ("run", "voter", "--image=python:3", "--restart=Never", "--rm", "-i", "--quiet", "--namespace", namespace)
    values = (f"--env=REDIS={HOST}", f"--env=REDIS_PWD={key}")
    return lab.kubectl(*pod, *values, "--command", "--", "python", "-c", (PROGRAMS / "vote.py").read_text())


def test_votes_outlive_the_pods_that_cast_them(running_lab: RunningLab, namespace: str, key: str) -> None:
    if running_lab.control.status()["runtime"]["name"] != "sandbox":
        pytest.skip("pods that are plain processes have this machine's names")
    first = int(vote(running_lab, namespace, key).strip())
    assert int(vote(running_lab, namespace, key).strip()) == first + 2


def test_programs_on_the_host_use_the_ports_that_status_tells(
    running_lab: RunningLab, key: str, tmp_path: Path
) -> None:
    found = cache_of(running_lab)
    with redis.Redis(host=found["address"], port=found["port"], password=key) as client:
        client.set("from", "the host")
    tls = {"ssl": True, "ssl_ca_certs": str(running_lab.paths.ca_certificate), "ssl_check_hostname": False}
    with redis.Redis(host=found["address"], port=found["ssl_port"], password=key, **tls) as client:
        assert client.get("from") == b"the host"
