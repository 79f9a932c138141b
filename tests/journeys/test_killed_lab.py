"""A lab killed at a random moment has lost nothing it acknowledged, and earlier tokens stay good."""

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from podpass.kube.client import ApiError, Client, Unreachable
from podpass.kube.config import Access, StaticToken
from podpass.kube.resources import CONFIGMAPS, PODS
from podpass.lab.control.starting import delete, start, stop
from podpass.lab.demo.client import VAULT_RESOURCE, Operator, operating
from podpass.lab.demo.plan import Plan, plan
from podpass.lab.environment import LabPaths
from podpass.problems import PodpassError
from tests.running_lab import RunningLab

SELF_REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RunningLab]:
    paths = LabPaths.of("killed", home=tmp_path)
    start(paths, home=tmp_path)
    lab = RunningLab(paths, tmp_path)
    yield lab
    with suppress(PodpassError):
        stop(paths)
    delete(paths)


def sleeper(namespace: str) -> dict[str, Any]:
    container = {"name": "app", "image": "busybox", "command": ["sleep", "3600"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "sleeper", "namespace": namespace},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


async def write_until_killed(operator: Operator, wanted: Plan, pid: int, *, kill_after: int) -> list[str]:
    """Write through both APIs at once; kill the lab when *kill_after* writes were acknowledged."""
    acknowledged: list[str] = []

    def note(name: str) -> None:
        acknowledged.append(name)
        if len(acknowledged) == kill_after:
            os.kill(pid, signal.SIGKILL)

    async def config_maps(writer: int) -> None:
        for number in range(1_000):
            name = f"map-{writer}-{number}"
            content = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": name}}
            await operator.kube.create(CONFIGMAPS, content, wanted.namespace)
            note(f"configmap/{name}")

    async def vault_secrets(writer: int) -> None:
        for number in range(1_000):
            name = f"secret-{writer}-{number}"
            await operator.vault("PUT", f"{wanted.vault_url}/secrets/{name}", {"value": name})
            note(f"secret/{name}")

    writers = [config_maps(1), config_maps(2), vault_secrets(1), vault_secrets(2)]
    ends = await asyncio.gather(*writers, return_exceptions=True)
    assert all(isinstance(end, Unreachable | aiohttp.ClientError | OSError) for end in ends), ends
    return acknowledged


async def found_again(operator: Operator, wanted: Plan, acknowledged: list[str]) -> list[str]:
    listing = await operator.kube.list(CONFIGMAPS, wanted.namespace)
    maps = {f"configmap/{entry['metadata']['name']}" for entry in listing.items}
    lost = []
    for name in acknowledged:
        if name.startswith("secret/"):
            secret = await operator.vault("GET", f"{wanted.vault_url}/{name.replace('secret/', 'secrets/', 1)}")
            if secret["value"] != name.removeprefix("secret/"):
                lost.append(name)
        elif name not in maps:
            lost.append(name)
    return lost


@pytest.mark.parametrize("seed", [11, 23, 47])
def test_nothing_acknowledged_is_lost_and_earlier_tokens_stay_good(lab: RunningLab, seed: int) -> None:
    kill_after = random.Random(seed).randrange(3, 150)
    wanted = plan(issuer=lab.endpoints.issuer, suffix=f"kill{seed}")
    pid = int(lab.control.status()["pid"])
    before = lab.endpoints

    async def until_killed() -> tuple[list[str], str, str]:
        async with operating(lab.endpoints, lab.paths) as operator:
            identity, _ = await operator.set_up_cloud(wanted)
            await operator.set_up_cluster(wanted, identity)
            await operator.kube.create(PODS, sleeper(wanted.namespace), wanted.namespace)
            account_token = lab.kubectl("create", "token", wanted.service_account, "-n", wanted.namespace).strip()
            access_token = await operator._token(VAULT_RESOURCE)
            written = await write_until_killed(operator, wanted, pid, kill_after=kill_after)
            return written, account_token, access_token

    acknowledged, account_token, access_token = asyncio.run(until_killed())
    assert len(acknowledged) >= kill_after

    start(lab.paths, home=lab.home)
    assert lab.endpoints == before, "addresses and ids must not change, or every kubeconfig would"

    async def after_restart() -> None:
        async with operating(lab.endpoints, lab.paths) as operator:
            assert await found_again(operator, wanted, acknowledged) == []
            url = f"{wanted.vault_url}/secrets/{wanted.secret}?api-version=7.4"
            headers = {"Authorization": f"Bearer {access_token}"}
            async with operator.session.get(
                url, headers=headers, proxy=operator.endpoints.proxy, ssl=operator.tls
            ) as answer:
                assert answer.status == 200, "an access token issued before the kill is still good"
            access = Access(
                server=operator.endpoints.api,
                ca_pem=lab.paths.ca_certificate.read_bytes(),
                credential=StaticToken(account_token),
            )
            async with Client(access) as account:
                # Refused for want of a role, not for want of an identity.
                with pytest.raises(ApiError, match=wanted.service_account) as refused:
                    await account.list(CONFIGMAPS, wanted.namespace)
                assert refused.value.status == 403

    asyncio.run(after_restart())
    lab.kubectl("wait", "--for=condition=Ready", "pod/sleeper", "-n", wanted.namespace, "--timeout=30s")
    restarts = lab.kubectl(
        "get", "pod", "sleeper", "-n", wanted.namespace, "-o", "jsonpath={.status.containerStatuses[0].restartCount}"
    )
    assert int(restarts) >= 1, "its process died with the lab and was started again"


def test_a_killed_lab_leaves_no_process_behind(lab: RunningLab) -> None:
    pid = int(lab.control.status()["pid"])
    lab.kubectl("create", "namespace", "left")
    lab.operate(lambda operator: operator.kube.create(PODS, sleeper("left"), "left"))
    lab.kubectl("wait", "--for=condition=Ready", "pod/sleeper", "-n", "left", "--timeout=30s")
    ours = descendants(pid)
    assert len(ours) > 1
    os.kill(pid, signal.SIGKILL)
    for process in ours:
        wait_gone(process)


def descendants(pid: int) -> list[int]:
    """Every process below *pid*, itself included."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        found.append(current := queue.pop())
        queue += parents.get(current, [])
    return found


def wait_gone(pid: int) -> None:
    """Return once *pid* is dead; a zombie that waits for its parent is dead enough."""
    descriptor = None
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
    if descriptor is not None:
        import select

        ready, _, _ = select.select([descriptor], [], [], 15)
        os.close(descriptor)
        assert ready, f"process {pid} outlived the lab"
