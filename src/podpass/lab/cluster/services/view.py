"""What leads where: the Services of the cluster with the endpoints behind them, for whoever carries connections.

Names, the pods' network, the host's ports and webhooks all ask here. Read from EndpointSlices, as kube-proxy does.
Contract: Kubernetes API surface, section 7.5.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import ENDPOINTSLICES, SERVICES
from podpass.lab.cluster.collection import Change, Key
from podpass.lab.cluster.controllers.endpoints_state import SERVICE_NAME
from podpass.lab.cluster.kinds.service_validation import NONE, kind_of
from podpass.lab.cluster.storage import Storage

_SERVICES, _SLICES = (SERVICES.group, SERVICES.plural), (ENDPOINTSLICES.group, ENDPOINTSLICES.plural)


@dataclass(frozen=True, slots=True)
class Backend:
    """One endpoint: an address with the ports it has, by the name of the Service's port."""

    address: str
    ports: Mapping[str, int]
    ready: bool
    serving: bool
    terminating: bool
    hostname: str = ""


@dataclass(frozen=True, slots=True)
class ServicePort:
    name: str
    port: int
    protocol: str
    node_port: int | None = None


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A Service and what is behind it."""

    namespace: str
    name: str
    uid: str
    kind: str
    cluster_ip: str
    """Empty for headless Services and mere names."""
    external_name: str
    ports: tuple[ServicePort, ...]
    backends: tuple[Backend, ...]
    affinity_seconds: int | None = None
    publishes_not_ready: bool = False

    def targets(self, port: ServicePort) -> list[tuple[str, int]]:
        """Where connections to *port* may go: what is ready, or, for want of that, what still serves while it ends."""
        found = [each for each in self.backends if port.name in each.ports]
        chosen = [each for each in found if each.ready] or [each for each in found if each.serving and each.terminating]
        return [(each.address, each.ports[port.name]) for each in chosen]

    def port(self, number: int) -> ServicePort | None:
        return next((each for each in self.ports if each.port == number and each.protocol == "TCP"), None)


class ServiceView:
    """Follows *storage*; `changed` are called after each write that may matter, with the Service's key."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._slices: dict[Key, set[Key]] = {}
        self._known: dict[Key, ServiceState] = {}
        self.listeners: list[Callable[[Key], None]] = []
        for stored in storage.collection(ENDPOINTSLICES).objects.values():
            if service := stored.labels.get(SERVICE_NAME):
                self._slices.setdefault((stored.key[0], service), set()).add(stored.key)
        storage.listen(self._changed)

    def names(self) -> list[Key]:
        return list(self._storage.collection(SERVICES).objects)

    def find(self, namespace: str, name: str) -> ServiceState | None:
        """The Service of that name as it is now."""
        key = (namespace, name)
        if (known := self._known.get(key)) is not None:
            return known
        stored = self._storage.get(SERVICES, namespace, name)
        if stored is None:
            return None
        found = self._known[key] = _state(stored.object(), self._backends(key))
        return found

    def _backends(self, key: Key) -> tuple[Backend, ...]:
        found: dict[str, Backend] = {}
        for place in sorted(self._slices.get(key, ())):
            stored = self._storage.get(ENDPOINTSLICES, *place)
            if stored is None:
                continue
            for each in _of_slice(stored.object()):
                same = found.get(each.address)
                # While slices are rewritten an endpoint may stand in two of them.
                found[each.address] = each if same is None else _joined(same, each)
        return tuple(found.values())

    def _changed(self, change: Change) -> None:
        place = (change.resource.group, change.resource.plural)
        if place == _SERVICES:
            self._tell(change.stored.key)
        elif place == _SLICES:
            for stored in (change.previous, change.stored):
                if stored is None or not (service := stored.labels.get(SERVICE_NAME)):
                    continue
                key = (stored.key[0], service)
                members = self._slices.setdefault(key, set())
                if change.type == "DELETED" or stored is change.previous:
                    members.discard(stored.key)
                else:
                    members.add(stored.key)
                if not members:
                    del self._slices[key]
                self._tell(key)

    def _tell(self, key: Key) -> None:
        self._known.pop(key, None)
        for listener in self.listeners:
            listener(key)


def _state(service: Obj, backends: tuple[Backend, ...]) -> ServiceState:
    spec, kind = objects.spec(service), kind_of(service)
    address = str(spec.get("clusterIP") or "")
    affinity: dict[str, Any] = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return ServiceState(
        namespace=objects.namespace(service),
        name=objects.name(service),
        uid=objects.uid(service),
        kind=kind,
        cluster_ip="" if address == NONE else address,
        external_name=str(spec.get("externalName") or "") if kind == "ExternalName" else "",
        ports=tuple(
            ServicePort(
                port.get("name") or "", int(port["port"]), port.get("protocol") or "TCP", port.get("nodePort") or None
            )
            for port in spec.get("ports") or ()
        ),
        backends=backends,
        affinity_seconds=affinity.get("timeoutSeconds") if spec.get("sessionAffinity") == "ClientIP" else None,
        publishes_not_ready=bool(spec.get("publishNotReadyAddresses")),
    )


def _of_slice(obj: Obj) -> Iterator[Backend]:
    if obj.get("addressType") != "IPv4":
        return
    ports = {port.get("name") or "": port["port"] for port in obj.get("ports") or () if port.get("port")}
    for endpoint in obj.get("endpoints") or ():
        conditions = endpoint.get("conditions") or {}
        # Not saying so means ready.
        ready = conditions.get("ready") is not False
        for address in (endpoint.get("addresses") or ())[:1]:
            yield Backend(
                address,
                ports,
                ready,
                ready if conditions.get("serving") is None else bool(conditions["serving"]),
                bool(conditions.get("terminating")),
                endpoint.get("hostname") or "",
            )


def _joined(one: Backend, other: Backend) -> Backend:
    return Backend(
        one.address,
        {**one.ports, **other.ports},
        one.ready or other.ready,
        one.serving or other.serving,
        one.terminating and other.terminating,
        one.hostname or other.hostname,
    )
