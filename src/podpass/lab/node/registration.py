"""The Node object and its Lease, as the kubelet writes them.

Contract: Kubernetes API surface, section 7.
"""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass

from podpass.kube.objects import Obj
from podpass.lab.clock import rfc3339

KUBELET_VERSION = "v1.37.0"
LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
MOST_PODS = 110
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Machine:
    """What the node says of the machine it runs on."""

    architecture: str
    kernel: str
    os_image: str
    processors: int
    memory_bytes: int


def this_machine() -> Machine:
    try:
        os_image = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        os_image = platform.platform(terse=True)
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        memory = 0
    machine = platform.machine()
    return Machine(_ARCHITECTURES.get(machine, machine), platform.release(), os_image, os.cpu_count() or 1, memory)


def node_labels(name: str, machine: Machine) -> dict[str, str]:
    return {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": machine.architecture,
    }


def allocatable(machine: Machine) -> dict[str, str]:
    return {
        "cpu": str(machine.processors),
        "memory": f"{machine.memory_bytes // 1024}Ki",
        "pods": str(MOST_PODS),
        "ephemeral-storage": "0",
    }


def node_object(name: str, machine: Machine, pods_range: str = "", provider_id: str = "") -> Obj:
    """The node as it registers; *pods_range* is where its pods' addresses come from, *provider_id* which machine of
    the cloud it is.
    """
    spec: Obj = {"podCIDR": pods_range, "podCIDRs": [pods_range]} if pods_range else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": node_labels(name, machine)},
        "spec": {**spec, "providerID": provider_id} if provider_id else spec,
    }


def node_status(name: str, machine: Machine, *, address: str, runtime: str, why: str, now: float, since: float) -> Obj:
    """The node's status; *runtime* and *why* say how pods run here."""
    capacity = allocatable(machine)
    return {
        "capacity": capacity,
        "allocatable": capacity,
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "conditions": [
            _condition(kind, value, reason, message, now=now, since=since)
            for kind, value, reason, message in (
                ("MemoryPressure", "False", "KubeletHasSufficientMemory", "the node watches no memory pressure"),
                ("DiskPressure", "False", "KubeletHasNoDiskPressure", "the node watches no disk pressure"),
                ("PIDPressure", "False", "KubeletHasSufficientPID", "the node watches no PID pressure"),
                ("Ready", "True", "KubeletReady", f"the lab's node runs pods: {why or runtime}"),
            )
        ],
        "nodeInfo": {
            "architecture": machine.architecture,
            "bootID": "",
            "containerRuntimeVersion": f"lab://{runtime}",
            "kernelVersion": machine.kernel,
            "kubeProxyVersion": "",
            "kubeletVersion": KUBELET_VERSION,
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": machine.os_image,
            "systemUUID": "",
        },
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
    }


def lease_spec(name: str, now: float) -> Obj:
    return {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": micro_time(now)}


def micro_time(seconds: float) -> str:
    """As Kubernetes writes a MicroTime."""
    return f"{rfc3339(seconds)[:-1]}.{int(seconds % 1 * 1_000_000):06d}Z"


def service_variables(host: str, port: int) -> Mapping[str, str]:
    """The variables that every container gets for the `kubernetes` service."""
    address = f"tcp://{host}:{port}"
    return {
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": str(port),
        "KUBERNETES_SERVICE_PORT_HTTPS": str(port),
        "KUBERNETES_PORT": address,
        f"KUBERNETES_PORT_{port}_TCP": address,
        f"KUBERNETES_PORT_{port}_TCP_ADDR": host,
        f"KUBERNETES_PORT_{port}_TCP_PORT": str(port),
        f"KUBERNETES_PORT_{port}_TCP_PROTO": "tcp",
    }


def _condition(kind: str, value: str, reason: str, message: str, *, now: float, since: float) -> Obj:
    return {
        "type": kind,
        "status": value,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": rfc3339(now),
        "lastTransitionTime": rfc3339(since),
    }
