"""A cluster as it was read once: what checks look at. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.podidentity.objects import Binding

Network = Literal["kubenet", "protected", "unknown"]
"""Whether the cluster's network lets a pod send with another's address."""

ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Snapshot:
    network: Network
    network_why: str
    """What tells, in words."""
    pods: Sequence[Obj]
    bindings: Sequence[Binding]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, under the code of a problem of the catalogue."""

    code: str
    namespace: str
    pod: str
    node: str
    containers: tuple[str, ...]
    identities: tuple[str, ...]
    """The AzureIdentity objects within its reach, each as namespace/name."""


def network_of(nodes: Sequence[Obj], agents: Sequence[Obj]) -> tuple[Network, str]:
    """Which network the cluster has, and what tells; *agents* are its DaemonSets.

    No object says it outright. NMI was allowed to run on kubenet by somebody who knew; and only where nodes forward
    pods' packets by routes of the cloud, as with kubenet, does the cloud's controller mark them so.
    """
    for agent in agents:
        for container in objects.spec(agent).get("template", {}).get("spec", {}).get("containers", ()):
            words = [str(word) for word in (*(container.get("command") or ()), *(container.get("args") or ()))]
            if any(word in _ALLOWED for word in words):
                place = f"{objects.namespace(agent)}/{objects.name(agent)}"
                return "kubenet", f"the DaemonSet {place} runs NMI with --allow-network-plugin-kubenet"
    for node in nodes:
        for condition in objects.status(node).get("conditions") or ():
            if (condition.get("type"), condition.get("reason")) == ("NetworkUnavailable", "RouteCreated"):
                return "kubenet", f"the cloud keeps a route for the pods of node {objects.name(node)}, as for kubenet"
    return "unknown", "nothing says which network the nodes have"


def is_running(pod: Obj) -> bool:
    """Whether the pod is on a node and has not ended."""
    return bool(objects.spec(pod).get("nodeName")) and objects.status(pod).get("phase") not in ENDED


_ALLOWED = tuple(
    f"{dashes}allow-network-plugin-kubenet{value}" for dashes in ("--", "-") for value in ("", "=true", "=True", "=1")
)
