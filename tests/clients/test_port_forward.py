"""Port forwarding by kubectl, in both of its protocols, and by clients for Python. Contract: section 1.3."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path

import pytest

from tests.running_lab import RunningLab

KUBECTL = str(Path(sys.executable).parent / "kubectl")
Said = Callable[..., list[str]]


@pytest.fixture(scope="module")
def web(running_lab: RunningLab) -> Iterator[str]:
    """The namespace of a pod that serves files to nobody but itself: what is forwarded comes from inside."""
    namespace = "forwarding"
    serve = (
        "cd /tmp; echo hello >greeting; head -c 5000000 /dev/zero >large; exec python3 -m http.server 8000 -b 127.0.0.1"
    )
    running_lab.kubectl("create", "namespace", namespace)
    running_lab.kubectl("-n", namespace, "run", "web", "--image=python:3.12", "--", "sh", "-c", serve)
    running_lab.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    # Ready means that it runs; it listens a moment later.
    knock = "until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8000))' 2>/dev/null; do :; done"
    running_lab.kubectl("-n", namespace, "exec", "web", "--", "sh", "-c", knock)
    yield namespace
    running_lab.kubectl("delete", "namespace", namespace, "--wait=false")


@contextmanager
def forwarding(lab: RunningLab, namespace: str, remote: int, **variables: str) -> Iterator[int]:
    """The port on this machine that kubectl listens on."""
    process = subprocess.Popen(
        [KUBECTL, "-n", namespace, "port-forward", "pod/web", f":{remote}", "--address=127.0.0.1"],
        env={**lab.environment, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline().decode()
        assert said.startswith("Forwarding from 127.0.0.1:"), said
        yield int(said.split()[2].rpartition(":")[2])
    finally:
        process.kill()
        process.communicate()


def get(port: int, path: str) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    try:
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_kubectl_reaches_a_port_that_is_open_only_inside(running_lab: RunningLab, web: str, websockets: str) -> None:
    with forwarding(running_lab, web, 8000, KUBECTL_PORT_FORWARD_WEBSOCKETS=websockets) as port:
        assert get(port, "/greeting") == b"hello\n"
        assert len(get(port, "/large")) == 5_000_000
        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(lambda _: get(port, "/greeting"), range(16))) == {b"hello\n"}


def test_a_port_that_nobody_listens_on_is_an_error_of_that_connection(running_lab: RunningLab, web: str) -> None:
    with forwarding(running_lab, web, 81) as port, pytest.raises((RemoteDisconnected, ConnectionResetError)):
        get(port, "/")


def test_the_official_client_forwards_ports(said: Said, web: str) -> None:
    assert said("port_forward_by_official_client.py", web) == ["HTTP/1.0 200 OK hello", "error True"]


def test_kr8s_forwards_a_port(said: Said, web: str) -> None:
    assert said("port_forward_by_kr8s.py", web) == ["hello", "hello"]
