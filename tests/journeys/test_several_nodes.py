"""A lab of three nodes: pods in every one of them reach each other, a node is drained, a node's own network is used."""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podpass.lab.control.starting import delete, start, stop
from podpass.lab.environment import LabPaths
from tests.running_lab import RunningLab

SERVER = textwrap.dedent(
    """
    import http.server
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.client_address[0].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_):
            pass
    http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
    """
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    home = tmp_path_factory.mktemp("nodes")
    paths = LabPaths.of("nodes", home=home)
    start(paths, home=home, nodes=3)
    try:
        found = RunningLab(paths, home)
        if found.control.status()["runtime"]["name"] != "sandbox":
            pytest.skip("nodes have no network of their own here")
        yield found
    finally:
        stop(paths)
        delete(paths)


@pytest.fixture(scope="module")
def apply(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("manifests") / "manifest.json"

    def run(*manifests: dict[str, Any]) -> str:
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))
        return lab.kubectl("apply", "-f", str(path))

    return run


def template(program: str, **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "c",
        "image": "python:3.12",
        "command": ["python3", "-u", "-c", program],
        "ports": [{"name": "http", "containerPort": 8080, **spec.pop("port", {})}],
    }
    if program == SERVER:
        container["readinessProbe"] = {"tcpSocket": {"port": "http"}, "periodSeconds": 1}
    return {"spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec}}


def pod(name: str, program: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        **template(program, **spec),
    }


def where(lab: RunningLab, selector: str) -> dict[str, str]:
    """The pods by name, each with its node."""
    items = lab.kubectl_json("get", "pods", "-l", selector)["items"]
    return {each["metadata"]["name"]: each["spec"].get("nodeName", "") for each in items}


def asked(lab: RunningLab, apply: Any, name: str, url: str, node: str) -> str:
    """What a pod on *node* gets from *url*."""
    program = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=20).read().decode())"
    apply(pod(name, program, nodeName=node, restartPolicy="Never"))
    lab.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "--timeout=60s", check=False)
    return lab.kubectl("logs", name).strip()


def address(lab: RunningLab, name: str) -> str:
    return lab.kubectl("get", "pod", name, "-o", "jsonpath={.status.podIP}")


def ready(lab: RunningLab, *names: str) -> None:
    lab.kubectl("wait", "--for=condition=Ready", *(f"pod/{name}" for name in names), "--timeout=60s")


def test_each_node_has_an_address_and_a_range_of_its_own(lab: RunningLab) -> None:
    nodes = lab.kubectl_json("get", "nodes")["items"]
    assert [each["metadata"]["name"] for each in nodes] == ["lab-node", "lab-node-2", "lab-node-3"]
    assert len({each["spec"]["podCIDR"] for each in nodes}) == 3
    assert len({each["status"]["addresses"][0]["address"] for each in nodes}) == 3
    leases = lab.kubectl_json("get", "leases", "-n", "kube-node-lease")["items"]
    assert [each["spec"]["holderIdentity"] for each in leases] == ["lab-node", "lab-node-2", "lab-node-3"]


def test_pods_of_different_nodes_see_each_others_own_address(lab: RunningLab, apply: Any) -> None:
    apply(pod("server", SERVER, nodeName="lab-node-2"))
    ready(lab, "server")
    seen = asked(lab, apply, "client", f"http://{address(lab, 'server')}:8080/", "lab-node-3")
    assert seen == address(lab, "client")
    assert seen.startswith("10.244.2.")
    neighbour = asked(lab, apply, "neighbour", f"http://{address(lab, 'server')}:8080/", "lab-node-2")
    assert neighbour == address(lab, "neighbour")


def test_a_pod_on_its_nodes_network_has_the_nodes_address_and_ports(lab: RunningLab, apply: Any) -> None:
    apply(pod("agent", SERVER, nodeName="lab-node-2", hostNetwork=True))
    ready(lab, "agent")
    status = lab.kubectl_json("get", "pod", "agent")["status"]
    assert (status["podIP"], status["hostIP"]) == ("172.18.0.3", "172.18.0.3")
    # What an agent on the node sees of a pod there is the pod's own address.
    seen = asked(lab, apply, "local", "http://172.18.0.3:8080/", "lab-node-2")
    assert seen == address(lab, "local")


def test_a_host_port_leads_to_its_pod_and_is_given_once_per_node(lab: RunningLab, apply: Any) -> None:
    for number in range(4):
        apply(pod(f"ported-{number}", SERVER, port={"hostPort": 9000}))
    ready(lab, "ported-0", "ported-1", "ported-2")
    nodes = {lab.kubectl("get", "pod", f"ported-{number}", "-o", "jsonpath={.spec.nodeName}") for number in range(3)}
    assert len(nodes) == 3
    said = lab.kubectl("get", "pod", "ported-3", "-o", "jsonpath={.status.conditions[0].message}")
    assert said.startswith("0/3 nodes are available: 3 node(s) didn't have free ports for the requested pod ports.")
    assert asked(lab, apply, "by-port", "http://172.18.0.4:9000/", "lab-node") != ""
    lab.kubectl("delete", "pod", *(f"ported-{number}" for number in range(4)), "--now")


def test_a_drained_node_is_left_and_taken_up_again(lab: RunningLab, apply: Any) -> None:
    labels = {"app": "spread"}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}}
    body = {**template(SERVER), "metadata": {"labels": labels}}
    meta = {"name": "spread"}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {**spec, "template": body}}
    apply(deployment)
    lab.kubectl("rollout", "status", "deployment/spread", "--timeout=60s")
    assert set(where(lab, "app=spread").values()) == {"lab-node", "lab-node-2", "lab-node-3"}
    said = lab.kubectl("drain", "lab-node-3", "--ignore-daemonsets", "--force", "--timeout=60s")
    assert "node/lab-node-3 drained" in said
    lab.kubectl("rollout", "status", "deployment/spread", "--timeout=60s")
    assert set(where(lab, "app=spread").values()) == {"lab-node", "lab-node-2"}
    assert "SchedulingDisabled" in lab.kubectl("get", "node", "lab-node-3")
    lab.kubectl("uncordon", "lab-node-3")
    lab.kubectl("scale", "deployment/spread", "--replicas=6")
    lab.kubectl("rollout", "status", "deployment/spread", "--timeout=60s")
    assert "lab-node-3" in where(lab, "app=spread").values()
    lab.kubectl("delete", "deployment", "spread", "--wait=false")


def test_a_pod_that_fits_no_node_says_why_for_each(lab: RunningLab, apply: Any) -> None:
    lab.kubectl("taint", "node", "lab-node-3", "disk=slow:NoSchedule")
    apply(pod("picky", "pass", nodeSelector={"kubernetes.io/hostname": "lab-node-3"}))
    lab.kubectl("wait", "--for=condition=PodScheduled=False", "pod/picky", "--timeout=30s")
    described = lab.kubectl("describe", "pod", "picky")
    assert (
        "0/3 nodes are available: 1 node(s) had untolerated taint {disk: slow},"
        " 2 node(s) didn't match Pod's node affinity/selector." in described
    )
    lab.kubectl("taint", "node", "lab-node-3", "disk-")
    lab.kubectl("wait", "--for=condition=PodScheduled", "pod/picky", "--timeout=30s")


def test_logs_and_programs_are_found_on_every_node(lab: RunningLab, apply: Any) -> None:
    apply(pod("talker", "import time; print('from here', flush=True); time.sleep(300)", nodeName="lab-node-3"))
    ready(lab, "talker")
    assert lab.kubectl("exec", "talker", "--", "echo", "inside").strip() == "inside"
    assert lab.kubectl("logs", "talker").strip() == "from here"


def test_the_number_of_nodes_is_kept(lab: RunningLab, tmp_path: Path) -> None:
    stop(lab.paths)
    start(lab.paths, home=lab.home)
    assert len(lab.kubectl("get", "nodes", "-o", "name").split()) == 3
