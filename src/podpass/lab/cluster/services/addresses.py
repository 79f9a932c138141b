"""The addresses and node ports of Services: which are taken, and which a new Service gets.

Nothing is kept but the Services themselves: what is taken is read from them at the start and follows every write.
A value is chosen and its Service stored without anything in between, so none is given twice.
Contract: Kubernetes API surface, section 7.5.
"""

import ipaddress
import secrets
from collections.abc import Iterator
from typing import Literal

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import SERVICES
from podpass.kube.status import Cause, StatusError, invalid
from podpass.lab.cluster.collection import Change, Key
from podpass.lab.cluster.kinds.service_validation import EXTERNAL, NONE, kind_of
from podpass.lab.cluster.storage import Storage
from podpass.lab.node.addresses import DNS_ADDRESS, SERVICES_RANGE

SERVICE_RANGE = ipaddress.IPv4Network(SERVICES_RANGE)
NODE_PORTS = range(30_000, 32_768)
_STATIC = 256
"""The first addresses of the range are given only to those who ask, as upstream does."""

Holding = tuple[Literal["ip", "port"], str]


class ServiceAddresses:
    """What the Services of *storage* hold, and the choice of what is free."""

    def __init__(self, storage: Storage) -> None:
        self._holders: dict[Holding, Key] = {}
        self._next_address = _STATIC
        # Somewhere, as upstream: labs on one machine open these on one loopback, and would all begin with the same.
        self._next_port = secrets.randbelow(len(NODE_PORTS))
        for stored in storage.collection(SERVICES).objects.values():
            self._hold(stored.object(), stored.key)
        storage.listen(self._changed)

    def allocate(self, service: Obj, old: Obj | None) -> None:
        """Give *service* what it lacks. Raises StatusError for a value that it may not have."""
        causes: list[Cause] = []
        if kind_of(service) != "ExternalName":
            causes += _settle_families(service)
            if not causes:
                causes += self._address(service)
        if kind_of(service) in EXTERNAL:
            causes += self._node_ports(service)
        if causes:
            raise StatusError.invalid(SERVICES, objects.name(service), causes)

    def _address(self, service: Obj) -> Iterator[Cause]:
        spec, key = service["spec"], objects.key(service)
        wanted = (spec.get("clusterIPs") or [""])[0]
        if wanted == NONE:
            return
        if not wanted:
            spec["clusterIP"] = self._free_address()
            spec["clusterIPs"] = [spec["clusterIP"]]
            return
        text = f"failed to allocate IP {wanted}: "
        if self._holders.get(("ip", wanted)) == key:
            return
        if ("ip", wanted) in self._holders or wanted == DNS_ADDRESS:
            yield invalid("spec.clusterIPs", [wanted], text + "provided IP is already allocated")
        elif not _in_range(wanted):
            why = f"the provided IP ({wanted}) is not in the valid range. The range of valid IPs is {SERVICE_RANGE}"
            yield invalid("spec.clusterIPs", [wanted], text + why)

    def _free_address(self) -> str:
        size = SERVICE_RANGE.num_addresses
        for step in range(size):
            offset = (self._next_address + step) % size
            address = str(SERVICE_RANGE.network_address + offset)
            if 0 < offset < size - 1 and ("ip", address) not in self._holders and address != DNS_ADDRESS:
                self._next_address = offset + 1
                return address
        raise StatusError(
            500, "InternalError", "Internal error occurred: failed to allocate a serviceIP: range is full"
        )

    def _node_ports(self, service: Obj) -> Iterator[Cause]:
        spec, key = service["spec"], objects.key(service)
        wants = kind_of(service) == "NodePort" or spec.get("allocateLoadBalancerNodePorts")
        given: dict[int, str] = {}
        ports = [port for port in spec.get("ports") or () if isinstance(port, dict)]
        for index, port in enumerate(ports):
            wanted = port.get("nodePort")
            if not wanted:
                continue
            path, protocol = f"spec.ports[{index}].nodePort", port.get("protocol") or "TCP"
            if wanted not in NODE_PORTS:
                valid = f"{NODE_PORTS.start}-{NODE_PORTS.stop - 1}"
                text = f"provided port is not in the valid range. The range of valid ports is {valid}"
                yield invalid(path, wanted, text)
            # One number may stand for two protocols of the same Service.
            elif self._holders.get(("port", str(wanted)), key) != key or given.get(wanted) == protocol:
                yield invalid(path, wanted, "provided port is already allocated")
            given[wanted] = protocol
        for port in ports:
            if wants and not port.get("nodePort"):
                port["nodePort"] = self._free_port(given)
                given[port["nodePort"]] = port.get("protocol") or "TCP"

    def _free_port(self, given: dict[int, str]) -> int:
        for step in range(len(NODE_PORTS)):
            number = NODE_PORTS[(self._next_port + step) % len(NODE_PORTS)]
            if number not in given and ("port", str(number)) not in self._holders:
                self._next_port = number + 1 - NODE_PORTS.start
                return number
        raise _full("nodePort")

    def _changed(self, change: Change) -> None:
        if (change.resource.group, change.resource.plural) != (SERVICES.group, SERVICES.plural):
            return
        if change.previous is not None:
            for holding in _holdings(change.previous.object()):
                if self._holders.get(holding) == change.stored.key:
                    del self._holders[holding]
        if change.type != "DELETED":
            self._hold(change.stored.object(), change.stored.key)

    def _hold(self, service: Obj, key: Key) -> None:
        for holding in _holdings(service):
            self._holders[holding] = key


def _holdings(service: Obj) -> Iterator[Holding]:
    spec = objects.spec(service)
    for address in spec.get("clusterIPs") or ():
        if address and address != NONE:
            yield "ip", address
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            yield "port", str(port["nodePort"])


def _in_range(text: str) -> bool:
    address = ipaddress.ip_address(text)
    edges = (SERVICE_RANGE.network_address, SERVICE_RANGE.broadcast_address)
    return address in SERVICE_RANGE and address not in edges


def _full(what: str) -> StatusError:
    message = f"Internal error occurred: failed to allocate a {what}: range is full"
    return StatusError(500, "InternalError", message)


def _settle_families(service: Obj) -> list[Cause]:
    """The address families, of which the lab has one: asking for two by all means is refused."""
    spec = service["spec"]
    families, policy = list(spec.get("ipFamilies") or ()), spec.get("ipFamilyPolicy")
    if spec.get("clusterIP") == NONE and not spec.get("selector"):
        # Whoever writes the endpoints decides about their families.
        policy = spec["ipFamilyPolicy"] = policy or "RequireDualStack"
        families = families or ["IPv4"]
        if policy != "SingleStack" and len(families) == 1:
            families.append("IPv6" if families[0] == "IPv4" else "IPv4")
        spec["ipFamilies"] = families
        return []
    causes = []
    if policy == "RequireDualStack":
        text = "this cluster is not configured for dual-stack services"
        causes.append(invalid("spec.ipFamilyPolicy", policy, text))
    causes += [
        invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
        for index, family in enumerate(families)
        if family != "IPv4"
    ]
    for index, address in enumerate(spec.get("clusterIPs") or ()):
        if ":" in address:
            text = "IPv6 is not configured on this cluster"
            causes.append(invalid(f"spec.clusterIPs[{index}]", spec["clusterIPs"], text))
    if not causes:
        spec["ipFamilies"], spec["ipFamilyPolicy"] = ["IPv4"], policy or "SingleStack"
    return causes
