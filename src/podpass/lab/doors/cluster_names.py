"""The names of the cluster's Services and pods, as its DNS answers them.

Follows the DNS specification of Kubernetes 1.1.0: Services, headless Services with their pods, named ports, and
Services that are only another name. Pure: what a name means is read from the Services as they are now.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from podpass.lab.cluster.services.view import Backend, ServiceState
from podpass.lab.doors.names import CLUSTER_ZONE

FindService = Callable[[str, str], ServiceState | None]
"""Namespace and name of a Service to what is behind it."""
_ZONE = tuple(CLUSTER_ZONE.split("."))
_address_name = re.compile(r"\d{1,3}(-\d{1,3}){3}").fullmatch


@dataclass(frozen=True, slots=True)
class Location:
    """What a SRV record says: a port of a host."""

    port: int
    host: str


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of a name. It exists even where all three are empty."""

    addresses: tuple[str, ...] = ()
    alias: str = ""
    """The name that it only stands for."""
    locations: tuple[Location, ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    """The addresses of the locations' hosts."""


def look_up(name: str, find: FindService) -> Found | None:
    """What *name*, in lower case and without a final dot, means; None when it does not exist."""
    labels = tuple(name.split("."))
    if labels[-len(_ZONE) :] != _ZONE:
        return None
    rest = labels[: -len(_ZONE)]
    match rest:
        case (address, _namespace, "pod") if _address_name(address):
            return Found((address.replace("-", "."),))
        case (service, namespace, "svc"):
            return _service(find(namespace, service), name)
        case (port, protocol, service, namespace, "svc") if port.startswith("_") and protocol.startswith("_"):
            return _port(find(namespace, service), port[1:], protocol[1:], f"{service}.{namespace}.svc.{CLUSTER_ZONE}")
        case (host, service, namespace, "svc"):
            return _pod(find(namespace, service), host)
        case () | ("svc",):
            # The zone itself, and what lies above every Service.
            return Found()
    return None


def _service(service: ServiceState | None, name: str) -> Found | None:
    if service is None:
        return None
    if service.external_name:
        return Found(alias=service.external_name.removesuffix(".").lower())
    if service.cluster_ip:
        locations = tuple(Location(port.port, name) for port in service.ports if port.name)
        return Found((service.cluster_ip,), locations=locations, hosts=((name, service.cluster_ip),))
    addresses = tuple(each.address for each in _published(service))
    # A headless Service without any pod that is ready exists as much as one without any pod.
    return Found(addresses) if addresses else None


def _published(service: ServiceState) -> list[Backend]:
    return [each for each in service.backends if each.ready]


def _port(service: ServiceState | None, port: str, protocol: str, name: str) -> Found | None:
    if service is None or service.external_name:
        return None
    wanted = next((each for each in service.ports if each.name == port and each.protocol.lower() == protocol), None)
    if wanted is None:
        return None
    if service.cluster_ip:
        return Found(locations=(Location(wanted.port, name),), hosts=((name, service.cluster_ip),))
    locations, hosts = [], []
    for each in _published(service):
        if port in each.ports:
            host = f"{each.hostname or each.address.replace('.', '-')}.{name}"
            locations.append(Location(each.ports[port], host))
            hosts.append((host, each.address))
    return Found(locations=tuple(locations), hosts=tuple(hosts)) if locations else None


def _pod(service: ServiceState | None, host: str) -> Found | None:
    if service is None or service.cluster_ip or service.external_name:
        return None
    found = [each.address for each in _published(service) if host in (each.hostname, each.address.replace(".", "-"))]
    return Found(tuple(found)) if found else None
