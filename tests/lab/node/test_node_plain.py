"""Pods as plain processes: moved paths, the lab's variables, and the end of whole process groups."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from podpass.lab.node.plain import moved, plain_environment
from podpass.lab.node.runtime import CannotStart, ContainerProcess, Mount

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def process(pod, image, *argv: str, environment: dict | None = None, **options) -> ContainerProcess:
    return ContainerProcess("c1", pod, image, argv, {**image.environment, **(environment or {})}, **options)


async def run(runtime, made: ContainerProcess, output) -> tuple[str, int]:
    await runtime.create_pod(made.pod)
    async with asyncio.timeout(20):
        ended = await runtime.run(made, output.writing, output.writing)
        return await output.text(), await ended


def test_a_path_inside_a_volume_is_moved(tmp_path: Path) -> None:
    mounts = (Mount("/var/run/secrets/azure", tmp_path, True),)
    root = Path("/lab/root")
    assert moved("/var/run/secrets/azure/token", mounts, root) == "/lab/root/var/run/secrets/azure/token"
    assert moved("/var/run/secrets/azure", mounts, root) == "/lab/root/var/run/secrets/azure"
    assert moved("/var/run/secrets/azured", mounts, root) == "/var/run/secrets/azured"
    assert moved("relative", mounts, root) == "relative"


def test_only_known_variables_are_moved_and_the_labs_come_last(pod, image, tmp_path: Path) -> None:
    variables = {
        "AZURE_FEDERATED_TOKEN_FILE": "/tokens/t",
        "OTHER": "/tokens/t",
        "HTTPS_PROXY": "http://elsewhere",
    }
    made = process(pod, image, "x", environment=variables, mounts=(Mount("/tokens", tmp_path, True),))
    found = plain_environment(made, Path("/r"), {"HTTPS_PROXY": "http://lab"})
    assert found["AZURE_FEDERATED_TOKEN_FILE"] == "/r/tokens/t"
    assert found["OTHER"] == "/tokens/t"
    assert found["HTTPS_PROXY"] == "http://lab"
    assert found["LAB_ROOT"] == "/r"


async def test_a_plain_process_sees_no_variable_of_the_host(plain, pod, image, output, monkeypatch, volume) -> None:
    monkeypatch.setenv("HOST_SECRET", "x")
    mount = volume("/data")
    made = process(pod, image, "sh", "-c", 'env; cat "$LAB_ROOT/data/greeting"; exit 5', mounts=(mount,))
    text, code = await run(plain, made, output)
    assert "HOST_SECRET" not in text
    assert text.endswith("hello")
    assert code == 5


async def test_a_kubeconfig_stands_for_the_accounts_fixed_path(plain, pod, image, output, volume) -> None:
    made = process(
        pod,
        image,
        "sh",
        "-c",
        'cat "$KUBECONFIG"',
        environment={"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"},
        mounts=(volume(ACCOUNT, file="token"),),
    )
    text, _ = await run(plain, made, output)
    found = json.loads(text)
    assert found["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    with open(found["users"][0]["user"]["tokenFile"]) as file:  # noqa: ASYNC230
        assert file.read() == "hello"


async def test_what_a_shell_leaves_behind_ends_with_it(plain, pod, image, output) -> None:
    text, code = await run(plain, process(pod, image, "sh", "-c", "sleep 300 & echo $!"), output)
    assert code == 0
    # Its end of the pipe is closed, or the text had not ended.
    assert int(text) > 0


async def test_killing_reaches_the_whole_group(plain, pod, image, output) -> None:
    made = process(pod, image, "sh", "-c", "sleep 300 & echo up; wait")
    await plain.create_pod(pod)
    ended = await plain.run(made, output.writing, output.writing)
    assert await asyncio.to_thread(os.read, output._reading, 3) == b"up\n"
    await plain.signal("c1", signal.SIGKILL)
    async with asyncio.timeout(5):
        assert await ended == 137
        assert await output.text() == ""


async def test_a_home_directory_may_be_a_volume(plain, pod, image, output, volume) -> None:
    text, _ = await run(
        plain, process(pod, image, "sh", "-c", 'cat "$HOME/greeting"', mounts=(volume("/root"),)), output
    )
    assert text == "hello"


@pytest.mark.parametrize(
    ("argv", "mounts", "message"),
    [
        (("no-such",), (), "executable file not found"),
        (("sh", "a\0b"), (), "NUL byte"),
        (("sh",), ("/a", "/a/b"), "inside another volume"),
    ],
)
async def test_what_can_not_start(plain, pod, image, output, volume, argv, mounts, message) -> None:
    made = process(pod, image, *argv, mounts=tuple(volume(path) for path in mounts))
    with pytest.raises(CannotStart, match=message):
        await run(plain, made, output)
    await output.text()


async def test_what_would_change_this_machine_s_network_is_not_started(plain, pod, image, output) -> None:
    made = process(pod, image, "sh", "-c", "exit 0", capabilities=("CAP_NET_ADMIN",))
    with pytest.raises(CannotStart, match="it needs the sandbox"):
        await run(plain, made, output)
