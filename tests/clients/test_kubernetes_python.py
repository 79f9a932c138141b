"""The official Kubernetes client for Python, as ordinary programs use it."""

import sys
from collections.abc import Callable

from tests.running_lab import RunningLab

READ_CHANGE_REPLACE = """
from kubernetes import client, config, watch
from kubernetes.client import V1ConfigMap, V1ObjectMeta

config.load_kube_config()
core = client.CoreV1Api()
core.create_namespaced_config_map("default", V1ConfigMap(metadata=V1ObjectMeta(name="changing"), data={"a": "1"}))
found = core.read_namespaced_config_map("changing", "default")
found.data["b"] = "2"
print(sorted(core.replace_namespaced_config_map("changing", "default", found).data.items()))
core.patch_namespaced_config_map("changing", "default", {"data": {"a": None}})
core.delete_namespaced_config_map("changing", "default")
seen = []
since = found.metadata.resource_version
watching = watch.Watch()
for event in watching.stream(core.list_namespaced_config_map, "default", resource_version=since, timeout_seconds=10):
    if event["object"].metadata.name == "changing":
        seen.append(event["type"])
    if event["type"] == "DELETED":
        watching.stop()
print(seen)
"""
LEADER_ELECTION = """
import os
from kubernetes import client, config
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

config.load_kube_config()

class Lock(LeaseLock):
    def update(self, *arguments):
        renewed = super().update(*arguments)
        holder = client.CoordinationV1Api().read_namespaced_lease("leader", "default").spec.holder_identity
        print("renewed" if renewed else "not renewed", holder, flush=True)
        os._exit(0)

lock = Lock("leader", "default", "me")
leaderelection.LeaderElection(electionconfig.Config(
    lock, lease_duration=3, renew_deadline=2, retry_period=1, onstarted_leading=lambda: None, onstopped_leading=None,
)).run()
"""
NOT_EMULATED = """
from kubernetes import client, config
from kubernetes.client.rest import ApiException

config.load_kube_config()
for call in (client.CertificatesV1Api().list_certificate_signing_request,):
    try:
        call()
    except ApiException as refusal:
        print(refusal.status, refusal.reason[:40])
"""


def answers(running_lab: RunningLab, program: str) -> list[str]:
    return running_lab.run(sys.executable, "-c", program).stdout.splitlines()


def test_what_was_read_can_be_changed_and_written_back(running_lab: RunningLab) -> None:
    assert answers(running_lab, READ_CHANGE_REPLACE) == [
        "[('a', '1'), ('b', '2')]",
        "['MODIFIED', 'MODIFIED', 'DELETED']",
    ]


def test_a_leader_renews_its_lease(running_lab: RunningLab) -> None:
    assert answers(running_lab, LEADER_ELECTION) == ["renewed me"]


def test_an_informer_keeps_its_cache(said: Callable[..., list[str]], namespace: str) -> None:
    assert said("informer.py", namespace) == [
        "['ADDED first', 'ADDED second', 'MODIFIED second', 'DELETED second']",
        "['first', 'kube-root-ca.crt']",
    ]


def test_what_is_not_emulated_is_refused_at_once(running_lab: RunningLab) -> None:
    assert answers(running_lab, NOT_EMULATED) == ["404 Not Found"]
