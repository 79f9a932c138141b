"""Exec, attach, cp and port-forward where pods are plain processes, through the forward proxy, and as a lab stops."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from podpass.lab.control.starting import delete, start, stop
from podpass.lab.environment import LabPaths
from podpass.problems import PodpassError
from tests.running_lab import RunningLab
from tests.terminal import terminal

KUBECTL = str(Path(sys.executable).parent / "kubectl")
_SERVE = "import http.server as s; h = s.HTTPServer(('127.0.0.1', 0), s.SimpleHTTPRequestHandler);"
_SERVE += " print(h.server_address[1], flush=True); h.serve_forever()"
_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "box"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {"name": "app", "image": "busybox", "command": ["sleep", "3600"], "env": [{"name": "A", "value": "b"}]},
            {"name": "shell", "image": "busybox", "command": ["sh"], "stdin": True, "tty": True},
            {"name": "web", "image": "python:3.12", "command": ["python3", "-c", _SERVE]},
        ],
    },
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab of plain processes with a pod that runs."""
    home = tmp_path_factory.mktemp("plain")
    paths = LabPaths.of("plain", home=home)
    start(paths, home=home, runtime="plain")
    found = RunningLab(paths, home)
    try:
        created = subprocess.run(
            [KUBECTL, "create", "-f", "-"], env=found.environment, input=json.dumps(_POD).encode(), check=False
        )
        assert created.returncode == 0
        found.kubectl("wait", "--for=condition=Ready", "pod/box", "--timeout=60s")
        yield found
    finally:
        with contextlib.suppress(PodpassError):
            stop(paths)
        delete(paths)


def test_exec_and_its_exit_code(lab: RunningLab) -> None:
    done = lab.run(KUBECTL, "exec", "box", "-c", "app", "--", "sh", "-c", "echo $A $HOSTNAME; exit 3", check=False)
    assert (done.returncode, done.stdout) == (3, "b box\n")


def test_a_shell_on_a_terminal(lab: RunningLab) -> None:
    with terminal([KUBECTL, "exec", "-it", "box", "-c", "app", "--", "sh"], lab.environment, rows=30) as person:
        person.type("stty size; exit 5\r")
        person.see("30 80")
        assert person.end()[0] == 5


def test_attach_to_a_shell(lab: RunningLab) -> None:
    with terminal([KUBECTL, "attach", "-it", "box", "-c", "shell"], lab.environment, columns=90) as person:
        # What is typed before it says so may be lost to the change of the terminal's mode.
        person.see("try pressing enter.")
        # The size comes on a channel of its own, and may come after what was typed.
        person.type("until [ \"$(stty size)\" = '24 90' ]; do sleep 0.1; done; echo si''zed\r")
        person.see("sized")
        # Its first process is the leader of the terminal's session, and stays when it is interrupted.
        person.see("# ")
        person.type("\x03")
        person.see("# ")
        person.type("echo st''ill\r")
        person.see("still")


def test_files_are_copied(lab: RunningLab, tmp_path: Path) -> None:
    data = os.urandom(200_000)
    (tmp_path / "there").write_bytes(data)
    place = lab.kubectl("exec", "box", "-c", "app", "--", "sh", "-c", "echo $LAB_ROOT").strip()
    lab.kubectl("cp", str(tmp_path / "there"), f"box:{place}/copied", "-c", "app")
    lab.kubectl("cp", f"box:{place}/copied", str(tmp_path / "back"), "-c", "app")
    assert (tmp_path / "back").read_bytes() == data


def test_a_port_is_forwarded(lab: RunningLab) -> None:
    port = lab.kubectl("logs", "box", "-c", "web").split()[0]
    process = subprocess.Popen(
        [KUBECTL, "port-forward", "pod/box", f":{port}", "--address=127.0.0.1"],
        env=lab.environment,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        local = int(process.stdout.readline().split()[2].rpartition(b":")[2])
        connection = HTTPConnection("127.0.0.1", local, timeout=20)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_exec_by_the_forward_proxy(lab: RunningLab, websockets: str) -> None:
    server = "--server=https://kubernetes.default.svc"
    command = [KUBECTL, server, "exec", "box", "-c", "app", "--", "echo", "through"]
    assert lab.run(*command, KUBECTL_REMOTE_COMMAND_WEBSOCKETS=websockets).stdout == "through\n"


def test_what_is_open_ends_when_the_lab_stops(lab: RunningLab) -> None:
    """The last one here: it takes the lab away."""
    command = [
        KUBECTL,
        "exec",
        "box",
        "-c",
        "app",
        "--",
        "sh",
        "-c",
        "trap '' TERM; echo here; while :; do sleep 1; done",
    ]
    process = subprocess.Popen(command, env=lab.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    began = time.monotonic()
    stop(lab.paths)
    took = time.monotonic() - began
    _, said = process.communicate(timeout=10)
    assert process.returncode == 1
    assert b"the lab stops" in said
    assert took < 15
    assert "Traceback" not in lab.paths.log.read_text()
