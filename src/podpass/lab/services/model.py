"""What is listened on for a Service, inside the lab's network and on this machine. Pure."""

import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from podpass.kube.objects import Obj
from podpass.lab.cluster.services.view import ServiceState
from podpass.lab.node.runtime import Listening

LOOPBACK = "127.0.0.1"
CARRIED = ("TCP", "UDP")
_BALANCERS = tuple(f"127.0.{third}.{fourth}" for third in range(10, 20) for fourth in range(1, 255))
_MOST_TRIED = 64


@dataclass(frozen=True, slots=True)
class Door:
    """An address and a port of this machine that lead to a port of a Service."""

    address: str
    port: int
    service_port: str
    """The name of the Service's port."""
    balancer: bool
    """Of a load balancer, which may have to do with another port; a node port is that number or nothing."""


def inside(service: ServiceState) -> Iterator[Listening]:
    """Where pods reach it. A port without targets is not listened on: a connection is refused at once."""
    for port in service.ports:
        targets = tuple(service.targets(port))
        if not targets or port.protocol not in CARRIED:
            continue
        if service.cluster_ip:
            yield Listening(port.protocol, service.cluster_ip, port.port, targets, service.affinity_seconds)
        if port.node_port:
            yield Listening(port.protocol, "", port.node_port, targets, service.affinity_seconds)


def outside(service: ServiceState, balancer: str) -> Iterator[Door]:
    """Where programs on this machine reach it; *balancer* is the address of its load balancer, if it has one."""
    for port in service.ports:
        if port.protocol != "TCP" or not service.targets(port):
            continue
        if balancer:
            yield Door(balancer, port.port, port.name, balancer=True)
        if port.node_port:
            yield Door(LOOPBACK, port.node_port, port.name, balancer=False)


def balancer_address(wanted: str, taken: Collection[str], usable: Callable[[str], bool]) -> str:
    """An address for a load balancer: *wanted*, the one it had before, where that is free. Empty when none is.

    *usable* says whether nobody else on this machine, such as another lab, has the Service's ports there.
    """
    candidates = (*([wanted] if wanted in _BALANCERS else ()), *_BALANCERS)
    free = (address for address in candidates if address not in taken)
    return next((address for address in itertools.islice(free, _MOST_TRIED) if usable(address)), "")


def balancer_status(address: str, ports: Collection[tuple[int, str]]) -> Obj:
    """`status.loadBalancer` of a Service that is reached at *address*, on *ports* with their protocols."""
    listed = [{"port": port, "protocol": protocol} for port, protocol in sorted(ports)]
    entry: Obj = {"ip": address, "ipMode": "VIP", **({"ports": listed} if listed else {})}
    return {"ingress": [entry]}


def shown_address(service: Obj) -> str:
    """The address that a Service's status shows."""
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or [{}]
    return str(ingress[0].get("ip") or "")
