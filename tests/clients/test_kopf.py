"""An operator written with kopf: handlers, a timer, a finalizer, events, and children that go with their owner."""

import base64

from tests.clients.conftest import PROGRAMS, Operator
from tests.running_lab import RunningLab


def test_an_operator_creates_updates_counts_and_cleans_up(
    running_lab: RunningLab, namespace: str, operator: Operator
) -> None:
    def kubectl(line: str) -> str:
        return running_lab.kubectl("-n", namespace, *line.split())

    def until(resource: str, path: str, value: str) -> None:
        kubectl(f"wait {resource} --timeout=30s --for=jsonpath={path}={value}")

    def mirrored() -> bytes:
        return base64.b64decode(kubectl("get secret web -o jsonpath={.data.colour}"))

    kubectl("create configmap web --from-literal=colour=blue")
    kubectl("label configmap web mirror=yes")
    with operator(str(PROGRAMS / "settings_operator.py"), "-n", namespace):
        until("cm/web", "{.metadata.annotations.mirrored}", "created")
        assert mirrored() == b"blue"
        assert kubectl("get secret web -o jsonpath={.metadata.ownerReferences[0].name}") == "web"
        assert "settings.example.test/mirror" in kubectl("get cm web -o jsonpath={.metadata.finalizers}")
        assert "made secret web" in kubectl("events --for=cm/web")
        until("cm/web", "{.metadata.annotations.turns}", "2")
        kubectl('patch cm web -p {"data":{"colour":"green"}}')
        until("cm/web", "{.metadata.annotations.mirrored}", "updated")
        assert mirrored() == b"green"
        kubectl("delete cm web")
        kubectl("wait --for=delete secret/web --timeout=30s")
        assert kubectl("get cm web-was-here -o name") == "configmap/web-was-here\n"
