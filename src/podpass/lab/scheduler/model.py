"""Nodes and pods as the scheduler sees them: what is asked for, what there is, what stands against it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.quantity import parse_quantity

Amounts = Mapping[str, Decimal]
"""Quantities by resource: cpu in cores, memory in bytes."""
HostPort = tuple[str, int, str]
"""Protocol, number, and the node's address that it is wanted on."""
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - a word of pod specs; nothing listens on it
NO_CPU, NO_MEMORY = Decimal("0.1"), Decimal(200 * 1024 * 1024)
"""What a container that asks for nothing counts for where nodes are compared."""


@dataclass(frozen=True, slots=True, eq=False)
class PlacedPod:
    """A pod that has its node."""

    uid: str
    namespace: str
    labels: Mapping[str, str]
    requests: Amounts
    ports: frozenset[HostPort]
    owner: str
    """The uid of its controller; empty without one."""
    repels: tuple[Obj, ...]
    """The terms of its required anti-affinity."""
    ending: bool


@dataclass(slots=True, eq=False)
class NodeState:
    """A node and the pods on it."""

    name: str
    labels: Mapping[str, str]
    taints: Sequence[Obj]
    unschedulable: bool
    allocatable: Amounts
    pods: dict[str, PlacedPod] = field(default_factory=dict)

    def used(self, resource: str) -> Decimal:
        return sum((pod.requests.get(resource, Decimal(0)) for pod in self.pods.values()), Decimal(0))


def node_state(node: Obj, pods: Mapping[str, PlacedPod] | None = None) -> NodeState:
    spec = objects.spec(node)
    given = objects.status(node).get("allocatable") or objects.status(node).get("capacity") or {}
    return NodeState(
        name=objects.name(node),
        labels=objects.labels(node),
        taints=spec.get("taints") or (),
        unschedulable=bool(spec.get("unschedulable")),
        allocatable={name: parse_quantity(value) or Decimal(0) for name, value in given.items()},
        pods=dict(pods or {}),
    )


def placed(pod: Obj) -> PlacedPod:
    return PlacedPod(
        uid=objects.uid(pod),
        namespace=objects.namespace(pod),
        labels=objects.labels(pod),
        requests=requests(pod),
        ports=frozenset(host_ports(pod)),
        owner=owner(pod),
        repels=tuple(required_terms(pod, "podAntiAffinity")),
        ending=objects.being_deleted(pod),
    )


def owner(pod: Obj) -> str:
    return next((str(each.get("uid")) for each in objects.owner_references(pod) if each.get("controller")), "")


def requests(pod: Obj) -> dict[str, Decimal]:
    """What the pod asks for: all containers together, or the hungriest of those that run before them."""
    spec = objects.spec(pod)
    total: dict[str, Decimal] = {}
    before: dict[str, Decimal] = {}
    sidecars: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        asked = _asked(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, asked)
            asked = {}
        for name in {*asked, *sidecars}:
            here = asked.get(name, Decimal(0)) + sidecars.get(name, Decimal(0))
            before[name] = max(before.get(name, Decimal(0)), here)
    for container in spec.get("containers") or ():
        _add(total, _asked(container))
    _add(total, sidecars)
    for name, amount in before.items():
        total[name] = max(total.get(name, Decimal(0)), amount)
    _add(total, _amounts(spec.get("overhead")))
    return total


def _asked(container: Obj) -> dict[str, Decimal]:
    return _amounts((container.get("resources") or {}).get("requests"))


def _amounts(found: Mapping[str, Any] | None) -> dict[str, Decimal]:
    return {name: parse_quantity(value) or Decimal(0) for name, value in (found or {}).items()}


def _add(total: dict[str, Decimal], more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, Decimal(0)) + amount


def host_ports(pod: Obj) -> Iterator[HostPort]:
    for container in objects.spec(pod).get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("protocol") or "TCP", int(port["hostPort"]), port.get("hostIP") or ANY_ADDRESS


def collide(one: HostPort, other: HostPort) -> bool:
    same_address = one[2] == other[2] or ANY_ADDRESS in (one[2], other[2])
    return one[:2] == other[:2] and same_address


def required_terms(pod: Obj, kind: str) -> Iterable[Obj]:
    """The required terms of `podAffinity` or `podAntiAffinity`."""
    affinity = (objects.spec(pod).get("affinity") or {}).get(kind) or {}
    return affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()


def preferred_terms(pod: Obj, kind: str) -> Iterable[Obj]:
    affinity = (objects.spec(pod).get("affinity") or {}).get(kind) or {}
    return affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
