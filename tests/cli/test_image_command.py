"""`podpass lab image`, from an archive on disk to a pod that runs it, with the stock kubectl."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from podpass.cli import run
from podpass.lab.environment import LabPaths
from tests.lab.node.image_archives import Made, layout, tar
from tests.lab.node.test_node_images_roots import programs
from tests.running_lab import RunningLab

RUN = """#!/bin/sh
trap 'echo asked to quit; exit 3' QUIT
cat page; id -u; echo "$GREETING"
while :; do sleep 0.1; done
"""


@pytest.fixture(scope="module")
def shop() -> Made:
    """An image with a root of its own: a shell, a page and a user; it counts until it is told to stop."""
    files = tar(
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"),
        ("srv/page", "hello from the image\n"),
        ("run", RUN),
    )
    config = {
        "Entrypoint": ["/run"],
        "Env": ["PATH=/bin", "GREETING=from the configuration"],
        "WorkingDir": "/srv",
        "User": "app",
        "StopSignal": "SIGQUIT",
    }
    return Made([programs(), files], config, ["ghcr.io/acme/shop:1.0"])


def image(lab: RunningLab, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "podpass", "lab", "image", *arguments, "--name", lab.paths.name],
        env={**os.environ, "PODPASS_HOME": str(lab.home), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def until(lab: RunningLab, pod: str, path: str, wanted: str) -> None:
    lab.kubectl("wait", f"pod/{pod}", f"--for=jsonpath={{{path}}}={wanted}", "--timeout=30s")


def test_an_archive_that_is_added_while_the_lab_runs_is_what_a_pod_runs(
    running_lab: RunningLab, tmp_path: Path, shop: Made
) -> None:
    lab, name = running_lab, "ghcr.io/acme/shop:1.0"
    # A pod that waits for its image comes up once it is there.
    lab.kubectl("run", "shop", f"--image={name}", "--restart=Never", "--image-pull-policy=IfNotPresent")
    until(lab, "shop", ".status.containerStatuses[0].state.waiting.reason", "ImagePullBackOff")
    (status,) = lab.kubectl_json("get", "pod", "shop")["status"]["containerStatuses"]
    assert "podpass lab image add ARCHIVE --as ghcr.io/acme/shop" in status["state"]["waiting"]["message"]
    lab.kubectl("delete", "pod", "shop", "--now")

    image(lab, "add", str(layout(tmp_path / "shop", shop)))
    lab.kubectl("run", "shop", f"--image={name}", "--restart=Never", "--image-pull-policy=Never")
    until(lab, "shop", ".status.phase", "Running")
    (status,) = lab.kubectl_json("get", "pod", "shop")["status"]["containerStatuses"]
    (line,) = [line for line in json.loads(image(lab, "ls", "-o", "json").stdout) if line["name"] == name]
    assert status["imageID"] == f"ghcr.io/acme/shop@{line['digest']}"
    assert line["id"] == shop.image_digest

    refused = image(lab, "rm", name, check=False)
    assert refused.returncode == 1
    assert "default/shop runs from ghcr.io/acme/shop:1.0" in refused.stderr
    assert "PP121" in refused.stderr

    image(lab, "rm", name, "--yes")
    assert name not in image(lab, "ls").stdout
    # What runs keeps its files, and is asked to end by the image's own signal.
    following = subprocess.Popen(
        ["kubectl", "logs", "shop", "--follow"],
        env={**lab.environment, "PATH": lab.path},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    greeting = [following.stdout.readline() for _ in range(3)]
    lab.kubectl("delete", "pod", "shop")
    assert greeting == ["hello from the image\n", "1000\n", "from the configuration\n"]
    assert following.communicate(timeout=30)[0] == "asked to quit\n"


def test_a_pull_policy_of_never_says_so(running_lab: RunningLab) -> None:
    lab = running_lab
    lab.kubectl("run", "never", "--image=ghcr.io/acme/none:1", "--restart=Never", "--image-pull-policy=Never")
    until(lab, "never", ".status.containerStatuses[0].state.waiting.reason", "ErrImageNeverPull")
    lab.kubectl("delete", "pod", "never", "--now")


def test_a_name_with_a_command_is_an_image(running_lab: RunningLab) -> None:
    lab = running_lab
    image(lab, "add", "ghcr.io/acme/greeter", "--command", "echo 'hello  there'", "--env", "A=1")
    lab.kubectl("run", "greeter", "--image=ghcr.io/acme/greeter:7", "--restart=Never")
    until(lab, "greeter", ".status.phase", "Succeeded")
    assert lab.kubectl("logs", "greeter") == "hello  there\n"
    lab.kubectl("delete", "pod", "greeter", "--now")
    image(lab, "rm", "ghcr.io/acme/greeter")
    assert "ghcr.io/acme/greeter" not in image(lab, "ls").stdout


def test_images_are_kept_without_a_lab_and_each_lab_has_its_own(podpass, tmp_path: Path) -> None:
    archive = layout(tmp_path / "archive", Made([tar(("a", "x" * 2_000))], {}, ["own:1"]))
    added = podpass("lab", "image", "add", str(archive), "--as", "other")
    assert added.returncode == 0, added.stderr
    assert sorted(line.split()[0] for line in added.stdout.splitlines()) == ["other:latest", "own:1"]
    assert "2 kB" in added.stdout
    assert "own:1" in podpass("lab", "image", "ls").stdout
    assert "own:1" not in podpass("lab", "image", "ls", "--name", "second").stdout
    assert podpass("lab", "image", "rm", "own:1", "other").returncode == 0
    assert sorted(os.listdir(LabPaths.of("default", home=tmp_path).node / "images")) == ["index.json", "lock"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["add", "no-such-file.tar"], 1, ["error: no-such-file.tar can't be added", "No such file", "PP120"]),
        (["add", __file__], 1, ["is no usable tar archive", "PP120"]),
        (["add", "x", "--command", "'unfinished"], 1, ["is no command", "PP120"]),
        (["add", "x", "--command", "y", "--env", "novalue"], 1, ["is no variable", "PP120"]),
        (["add", "x", "--root", "/no/such/root"], 1, ["is not a directory", "PP120"]),
        (["add", __file__, "--platform", "arm"], 1, ["is no platform", "PP120"]),
        (["add", "x", "--command", "y", "--as", "z"], 2, ["are for archives"]),
        (["rm", "no-such-image"], 1, ["no-such-image", "PP122"]),
        (["rm", "busybox"], 1, ["it is built in", "PP122"]),
        (["rm"], 2, []),
    ],
)
def test_what_can_not_be_done_says_why(monkeypatch, capsys, tmp_path, arguments, code: int, words: list[str]) -> None:
    monkeypatch.setenv("PODPASS_HOME", str(tmp_path))
    monkeypatch.delenv("PODPASS_LAB", raising=False)
    assert run(["lab", "image", *arguments]) == code
    said = capsys.readouterr().err
    for word in words:
        assert word in said
