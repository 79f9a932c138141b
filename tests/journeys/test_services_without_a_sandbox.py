"""Services and several nodes where pods are plain processes: what works on this machine's loopback, what is told."""

import json
import socket
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podpass.lab.control.starting import delete, start, stop
from podpass.lab.environment import LabPaths
from tests.running_lab import RunningLab

SERVER = textwrap.dedent(
    """
    import http.server, os, sys
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = os.environ["WHO"].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_):
            pass
    http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
    """
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    home = tmp_path_factory.mktemp("plain")
    paths = LabPaths.of("plain", home=home)
    start(paths, home=home, runtime="plain", nodes=2)
    try:
        yield RunningLab(paths, home)
    finally:
        stop(paths)
        delete(paths)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def apply(lab: RunningLab, tmp_path: Path) -> Any:
    def run(*manifests: dict[str, Any]) -> None:
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))
        lab.kubectl("apply", "-f", str(path))

    return run


def server(name: str, port: int, *, address: str = "127.0.0.1", on: str = "") -> dict[str, Any]:
    container = {
        "name": "app",
        "image": "python:3.12",
        "command": ["python3", "-c", SERVER, address, str(port)],
        "env": [{"name": "WHO", "value": name}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
    }
    spec: dict[str, Any] = {"containers": [container], "terminationGracePeriodSeconds": 0}
    if on:
        spec["nodeName"] = on
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def ready(lab: RunningLab, name: str) -> None:
    lab.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def fetch(address: str, port: int) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}:{port}/", timeout=20) as answer:
        return str(answer.read().decode())


def ingress(lab: RunningLab, service: str) -> dict[str, Any]:
    path = "{.status.loadBalancer.ingress[0].ip}"
    lab.kubectl("wait", f"service/{service}", f"--for=jsonpath={path}", "--timeout=30s")
    found: dict[str, Any] = lab.kubectl_json("get", "service", service)["status"]["loadBalancer"]["ingress"][0]
    return found


def test_a_load_balancer_and_a_node_port_lead_to_a_plain_process(lab: RunningLab, apply: Any) -> None:
    behind, before = free_port(), free_port()
    apply(server("web", behind))
    ready(lab, "web")
    lab.kubectl("expose", "pod", "web", "--type=LoadBalancer", f"--port={before}", f"--target-port={behind}")
    found = ingress(lab, "web")
    assert found["ip"].startswith("127.0.")
    assert "ports" not in found
    assert fetch(found["ip"], before) == "web"
    number = int(lab.kubectl("get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}"))
    assert fetch("127.0.0.1", number) == "web"


def test_a_port_that_the_pod_itself_has_is_told_with_the_one_to_use(lab: RunningLab, apply: Any) -> None:
    port = free_port()
    apply(server("own", port, address=""))
    ready(lab, "own")
    lab.kubectl("expose", "pod", "own", "--type=LoadBalancer", f"--port={port}")
    found = ingress(lab, "own")
    (listed,) = found["ports"]
    assert listed["port"] != port
    assert fetch(found["ip"], listed["port"]) == "own"
    lab.kubectl("wait", "service/own", "--for=jsonpath={.spec.type}=LoadBalancer", "--timeout=5s")
    events = lab.kubectl("events", "--for=service/own")
    assert f"{port} can't be listened on: another program has it; use {found['ip']}:{listed['port']}" in events


def test_several_nodes_run_pods_and_share_this_machines_network(lab: RunningLab, apply: Any) -> None:
    (note,) = [note for note in lab.control.status()["notes"] if "share this machine's network" in note]
    assert "127.0.0.1 is the address of every node and pod" in note
    apply(server("first", free_port(), on="lab-node"), server("second", free_port(), on="lab-node-2"))
    for name in ("first", "second"):
        ready(lab, name)
        assert lab.kubectl("get", "pod", name, "-o", "jsonpath={.status.hostIP}") == "127.0.0.1"
        assert lab.kubectl("exec", name, "--", "printenv", "WHO").strip() == name
    lab.control.stop_node("lab-node-2")
    assert "first" in lab.kubectl("exec", "first", "--", "printenv", "WHO")
    assert [node["containers"] for node in lab.control.nodes()][1] == 0
    lab.control.start_node("lab-node-2")
    ready(lab, "second")
