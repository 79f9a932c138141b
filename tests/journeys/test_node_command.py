"""`podpass lab node`: a node comes, is switched off and found out, comes back, and goes, as kubectl sees it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from podpass.lab.control.starting import delete, start, stop
from podpass.lab.environment import LabPaths
from tests.journeys.test_killed_lab import wait_gone
from tests.running_lab import RunningLab

SLEEPER = {
    "terminationGracePeriodSeconds": 0,
    "containers": [{"name": "app", "image": "busybox", "command": ["sh", "-c", "echo up; exec sleep 3600"]}],
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    home = tmp_path_factory.mktemp("node-command")
    paths = LabPaths.of("nodes", home=home)
    start(paths, home=home, nodes=2)
    try:
        yield RunningLab(paths, home)
    finally:
        stop(paths)
        delete(paths)


@pytest.fixture(scope="module")
def apply(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("manifests") / "manifest.json"

    def run(manifest: dict[str, Any]) -> None:
        path.write_text(json.dumps(manifest))
        lab.kubectl("apply", "-f", str(path))

    return run


def node(lab: RunningLab, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "podpass", "lab", "node", *arguments, "--name", lab.paths.name],
        env={**os.environ, "PODPASS_HOME": str(lab.home), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def states(lab: RunningLab) -> dict[str, str]:
    return {each["name"]: each["state"] for each in json.loads(node(lab, "ls", "-o", "json").stdout)}


def names(lab: RunningLab) -> list[str]:
    return lab.kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").split()


def pod(name: str, on: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {**SLEEPER, "nodeName": on}}


def ready(lab: RunningLab, *pods: str) -> None:
    lab.kubectl("wait", "--for=condition=Ready", *(f"pod/{name}" for name in pods), "--timeout=60s")


def test_a_node_is_added_to_a_running_lab_and_runs_pods(lab: RunningLab, apply: Any) -> None:
    assert node(lab, "add").stderr == "lab-node-3 added\n"
    assert "True" in lab.kubectl("get", "node", "lab-node-3", "-o", "jsonpath={.status.conditions[*].status}")
    apply(pod("early", "lab-node-3"))
    ready(lab, "early")
    (line,) = [line for line in node(lab, "ls").stdout.splitlines() if line.startswith("lab-node-3 ")]
    assert line.split()[1:4] == ["running", "True", "1"]
    lab.kubectl("delete", "pod", "early", "--now")
    node(lab, "rm", "lab-node-3")
    assert names(lab) == ["lab-node", "lab-node-2"]


def test_a_node_that_is_switched_off_is_found_out_and_left(lab: RunningLab, apply: Any) -> None:
    labels = {"app": "moving"}
    template = {"metadata": {"labels": labels}, "spec": {**SLEEPER, "terminationGracePeriodSeconds": 1}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    lab.kubectl("cordon", "lab-node")
    apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "moving"}, "spec": spec})
    lab.kubectl("rollout", "status", "deployment/moving", "--timeout=60s")
    lab.kubectl("uncordon", "lab-node")
    before = lab.kubectl("get", "pods", "-l", "app=moving", "-o", "jsonpath={.items[0].metadata.name}")

    stopped = json.loads(node(lab, "stop", "lab-node-2", "-o", "json").stdout)
    assert (stopped["state"], stopped["containers"]) == ("stopped", 0)
    assert lab.run("kubectl", "logs", before, check=False, PATH=lab.path).returncode == 1
    # Its Lease is too old now, which takes 40 seconds otherwise.
    lab.control.advance(60)
    lab.kubectl("wait", "node/lab-node-2", "--for=condition=Ready=Unknown", "--timeout=30s")
    lab.kubectl("wait", "deployment/moving", "--for=condition=Available=False", "--timeout=30s")
    keys = lab.kubectl("get", "node", "lab-node-2", "-o", "jsonpath={.spec.taints[*].key}").split()
    assert set(keys) == {"node.kubernetes.io/unreachable"}
    # The pod tolerates that for five minutes.
    lab.control.advance(360)
    lab.kubectl("wait", "deployment/moving", "--for=condition=Available", "--timeout=30s")
    running = lab.kubectl_json("get", "pods", "-l", "app=moving")["items"]
    assert {each["spec"]["nodeName"] for each in running if each["metadata"]["name"] != before} == {"lab-node"}
    # Nobody can say that its containers ended.
    assert lab.kubectl("get", "pod", before, "-o", "jsonpath={.metadata.deletionTimestamp}") != ""

    assert node(lab, "start", "lab-node-2").stderr == "lab-node-2 started\n"
    lab.kubectl("wait", f"pod/{before}", "--for=delete", "--timeout=30s")
    lab.kubectl("wait", "node/lab-node-2", "--for=condition=Ready", "--timeout=5s")
    lab.kubectl("delete", "deployment", "moving", "--wait=false")
    # The taints are gone: a pod that tolerates nothing may be there.
    manifest = pod("back", "")
    del manifest["spec"]["nodeName"]
    manifest["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "lab-node-2"}
    apply(manifest)
    ready(lab, "back")


def test_what_was_not_moved_runs_again_when_its_node_is_back(lab: RunningLab, apply: Any) -> None:
    apply(pod("stays", "lab-node-2"))
    ready(lab, "stays")
    node(lab, "stop", "lab-node-2")
    # A second time changes nothing.
    node(lab, "stop", "lab-node-2")
    node(lab, "start", "lab-node-2")
    lab.kubectl("wait", "pod/stays", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "--timeout=30s")
    ready(lab, "stays")
    assert lab.kubectl("exec", "stays", "--", "echo", "inside") == "inside\n"


def test_the_nodes_survive_a_kill_as_they_were(lab: RunningLab) -> None:
    # Two at once are two nodes.
    with ThreadPoolExecutor() as threads:
        added = [threads.submit(lab.control.add_node) for _ in range(2)]
    assert {each.result()["name"] for each in added} == {"lab-node-3", "lab-node-4"}
    node(lab, "rm", "lab-node-3")
    node(lab, "stop", "lab-node-4")
    pid = lab.control.status()["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_gone(pid)
    notes = start(lab.paths, home=lab.home)["notes"]
    assert notes == ["lab-node-4 is switched off: podpass lab node start lab-node-4 --name nodes"]
    assert states(lab) == {"lab-node": "running", "lab-node-2": "running", "lab-node-4": "stopped"}
    assert names(lab) == ["lab-node", "lab-node-2", "lab-node-4"]
    node(lab, "start", "lab-node-4")
    lab.kubectl("wait", "node/lab-node-4", "--for=condition=Ready", "--timeout=30s")
    node(lab, "rm", "lab-node-4")


def test_a_node_that_is_removed_takes_its_objects_and_files_along(lab: RunningLab, apply: Any) -> None:
    node(lab, "add", "lab-node-4")
    apply(pod("lost", "lab-node-4"))
    ready(lab, "lost")
    files = lab.paths.node / "lab-node-4"
    assert list(files.glob("logs/*"))
    node(lab, "stop", "lab-node-4")
    assert node(lab, "rm", "lab-node-4").stderr == "lab-node-4 removed\n"
    lab.kubectl("wait", "pod/lost", "--for=delete", "--timeout=30s")
    assert names(lab) == ["lab-node", "lab-node-2"]
    leases = lab.kubectl("get", "leases", "-n", "kube-node-lease", "-o", "jsonpath={.items[*].metadata.name}")
    assert leases.split() == ["lab-node", "lab-node-2"]
    assert not list(files.glob("*/*"))


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["stop", "lab-node-9"], "The lab's nodes are: lab-node, lab-node-2. There is none called 'lab-node-9'."),
        (["start", "a/b?c"], "There is none called 'a/b?c'."),
        (["rm", ""], "There is none called ''."),
        (["add", "lab-node-2"], "lab-node-2 is there already."),
        (["add", "worker"], "'worker' is no node of a lab: they are called lab-node, lab-node-2 and so on."),
        (["add", "lab-node-251"], "'lab-node-251' is no node of a lab"),
    ],
)
def test_what_can_not_be_is_refused_and_changes_nothing(lab: RunningLab, arguments: list[str], cause: str) -> None:
    done = node(lab, *arguments, check=False)
    assert done.returncode == 1
    assert cause in done.stderr
    assert "hint:  podpass lab node ls --name nodes" in done.stderr
    assert states(lab) == {"lab-node": "running", "lab-node-2": "running"}


def test_a_removal_that_is_refused_says_so_and_is_tried_again(lab: RunningLab, apply: Any) -> None:
    node(lab, "add")
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["nodes"]}
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy"}
    validations = [{"expression": "false", "message": "nodes stay"}]
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": validations}
    apply({**kind, "metadata": {"name": "nodes-stay"}, "spec": spec})
    binding = {"policyName": "nodes-stay", "validationActions": ["Deny"]}
    apply({**kind, "kind": f"{kind['kind']}Binding", "metadata": {"name": "nodes-stay"}, "spec": binding})
    refused = node(lab, "rm", "lab-node-3", check=False)
    assert refused.returncode == 1
    assert "the Node of lab-node-3 can't be deleted" in refused.stderr
    assert "nodes stay" in refused.stderr
    stop(lab.paths)
    notes = start(lab.paths, home=lab.home)["notes"]
    assert notes == ["lab-node-3 is not removed yet: podpass lab node rm lab-node-3 --name nodes"]
    lab.kubectl("delete", "validatingadmissionpolicybinding", "nodes-stay")
    stop(lab.paths)
    assert start(lab.paths, home=lab.home)["notes"] == []
    assert names(lab) == ["lab-node", "lab-node-2"]


def test_the_number_of_nodes_may_be_asked_for_anew(lab: RunningLab, tmp_path: Path) -> None:
    stop(lab.paths)
    start(lab.paths, home=lab.home, nodes=1)
    assert names(lab) == ["lab-node"]
    stop(lab.paths)
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(
        "version: 1\ntenants: [{name: a}]\nsubscriptions: [{name: a, tenant: a}]\n"
        "clusters: [{name: a, tenant: a, nodes: 2}]\n"
    )
    start(lab.paths, home=lab.home, scenario=scenario)
    assert names(lab) == ["lab-node", "lab-node-2"]
    # What was changed since then counts more than what the lab was filled with.
    node(lab, "rm", "lab-node-2")
    stop(lab.paths)
    start(lab.paths, home=lab.home)
    assert names(lab) == ["lab-node"]
    node(lab, "add")
