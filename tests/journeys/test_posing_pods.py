"""On kubenet's shared segment a pod can pose as another and get its identity; elsewhere, or without NET_RAW, not.

The program that poses is real: it claims its neighbour's address by ARP and speaks TCP in packets of its own.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from podpass.lab.control.starting import delete, start, stop
from podpass.lab.environment import LabPaths
from tests.journeys.test_pod_identity import ASK, DEPLOY, Pods
from tests.pod_networks import require_pod_identity
from tests.running_lab import RunningLab

POSING = (Path(__file__).parent / "posing.py").read_text()
POLICY = DEPLOY.parent / "policy/prevent-net-raw.yaml"


@pytest.fixture(scope="module", params=["kubenet", "azure"])
def pods(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    """A cluster with pod identity; the pod `victim` may have the identity `orders`."""
    require_pod_identity()
    home = tmp_path_factory.mktemp(request.param)
    paths = LabPaths.of(request.param, home=home)
    start(paths, home=home)
    try:
        pods = Pods(RunningLab(paths, home), home)
        pods.network_plugin = request.param
        pods.make("red")
        pods.kubeconfig("red")
        pods.make_identities("orders")
        pods.assign("orders")
        pods.register_feature()
        pods.profile(allowNetworkPluginKubenet=request.param == "kubenet")
        pods.kubectl("red", "-n", "kube-system", "rollout", "status", "daemonset", "nmi", "--timeout=80s")
        pods.bind("orders", "orders")
        command = ["run", "victim", "--image=busybox", "--labels=aadpodidbinding=orders", "--command", "--", "sleep"]
        pods.kubectl("red", *command, "600")
        pods.kubectl("red", "wait", "pod/victim", "--for=condition=Ready", "--timeout=60s")
        yield pods
    finally:
        stop(paths)
        delete(paths)


def posed(pods: Pods, name: str, **context: object) -> str:
    """What a pod gets that asks for a token in the victim's name."""
    victim = pods.kubectl("red", "get", "pod", "victim", "-o", "jsonpath={.status.podIP}")
    gateway = f"{victim.rpartition('.')[0]}.1"
    command = ["sh", "-c", 'python -c "$0" "$@" || true', POSING, victim, gateway, ASK]
    container = {"name": "c", "image": "python:3", "command": command, "securityContext": context}
    return pods.run(name, containers=[container])


def test_a_pod_that_poses_as_another(pods: Pods) -> None:
    said = posed(pods, "poser")
    if pods.network_plugin == "azure":
        assert said.endswith("no answer: nobody is taken in")
        return
    # With what every pod has by default, it gets the victim's identity.
    document = json.loads(said.partition("\n\n")[2])
    payload = document["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["appid"] == pods.client_id("orders")


def test_the_doctor_names_the_pods_that_could(pods: Pods) -> None:
    done = pods.lab.run(
        "podpass", "doctor", "-o", "json", check=False, KUBECONFIG=str(pods.file("red")), PATH=pods.lab.path
    )
    found = json.loads(done.stdout)
    if pods.network_plugin == "azure":
        assert (done.returncode, found["network"]["kind"], found["findings"]) == (1, "unknown", [])
        return
    assert done.returncode == 3
    assert found["network"]["kind"] == "kubenet"
    assert {each["pod"]: each["identities"] for each in found["findings"]} == {"victim": []}


def test_a_pod_without_net_raw_can_t(pods: Pods) -> None:
    assert posed(pods, "harmless", capabilities={"drop": ["NET_RAW"]}).endswith("not permitted: no raw packets")


def test_the_policy_lets_no_pod_in_that_could(pods: Pods) -> None:
    pods.kubectl("red", "apply", "-f", str(POLICY))
    with pytest.raises(AssertionError, match="must drop the capability NET_RAW: c"):
        posed(pods, "kept-out")
    assert posed(pods, "let-in", capabilities={"drop": ["ALL"]}).endswith("not permitted: no raw packets")
