"""What the Endpoints and EndpointSlices of a Service should say, from the Service and its pods. Pure.

Contract: Kubernetes API surface, section 7.5. Follows the controllers of Kubernetes 1.37.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.cluster.kinds.endpoints import MOST_ENDPOINTS
from podpass.lab.cluster.kinds.service_validation import is_headless

SERVICE_NAME = "kubernetes.io/service-name"
HEADLESS = "service.kubernetes.io/headless"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SLICES_BY, MIRRORED_BY = "endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
ENDPOINTS_MANAGED_BY = "endpoints.kubernetes.io/managed-by"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
LEADER = "control-plane.alpha.kubernetes.io/leader"
MOST_PER_SLICE = 100

Port = tuple[str, int | None, str, str]
"""Name, number, protocol and application protocol."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A pod behind a Service."""

    pod: Obj
    address: str
    ready: bool
    """Whether it gets traffic."""
    serving: bool
    terminating: bool

    def reference(self) -> Obj:
        meta = objects.metadata(self.pod)
        return {"kind": "Pod", "name": meta.get("name"), "namespace": meta.get("namespace"), "uid": meta.get("uid")}


@dataclass(frozen=True, slots=True)
class Group:
    """Backends that have the same ports."""

    ports: tuple[Port, ...]
    backends: tuple[Backend, ...]


def selects(service: Obj, labels: Mapping[str, str]) -> bool:
    selector = objects.spec(service).get("selector") or {}
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def backends(service: Obj, pods: Iterable[Obj]) -> Iterator[Backend]:
    """The pods that have an address and are not over."""
    publish = bool(objects.spec(service).get("publishNotReadyAddresses"))
    for pod in pods:
        status = objects.status(pod)
        address = status.get("podIP")
        if not address or status.get("phase") in ("Succeeded", "Failed"):
            continue
        serving, terminating = is_ready(pod), objects.being_deleted(pod)
        yield Backend(pod, address, publish or (serving and not terminating), serving or publish, terminating)


def is_ready(pod: Obj) -> bool:
    conditions = objects.status(pod).get("conditions") or ()
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def groups(service: Obj, found: Iterable[Backend]) -> list[Group]:
    """The backends by the ports that they really have: a named target port may differ from pod to pod."""
    by_ports: dict[tuple[Port, ...], list[Backend]] = {}
    for backend in sorted(found, key=lambda each: objects.name(each.pod)):
        ports = tuple(_ports(service, backend.pod))
        if ports or not objects.spec(service).get("ports"):
            by_ports.setdefault(ports, []).append(backend)
    return [Group(ports, tuple(each)) for ports, each in sorted(by_ports.items(), key=lambda item: str(item[0]))]


def _ports(service: Obj, pod: Obj) -> Iterator[Port]:
    for port in objects.spec(service).get("ports") or ():
        number = target_port(port, pod)
        if number is not None:
            protocol = port.get("protocol") or "TCP"
            yield port.get("name") or "", number, protocol, port.get("appProtocol") or ""


def target_port(port: Obj, pod: Obj) -> int | None:
    """The pod's port that a Service's port leads to; None when the pod has no port of that name."""
    target = port.get("targetPort") or port.get("port")
    if isinstance(target, int):
        return target
    spec = objects.spec(pod)
    sidecars = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    for container in (*(spec.get("containers") or ()), *sidecars):
        for candidate in container.get("ports") or ():
            same = (candidate.get("protocol") or "TCP") == (port.get("protocol") or "TCP")
            if candidate.get("name") == target and same:
                return int(candidate["containerPort"])
    return None


# Endpoints


def subsets(service: Obj, found: Sequence[Group]) -> list[Obj]:
    result, shown = [], 0
    for group in found:
        # Upstream's Endpoints name no more than a thousand; pods that end are not in them at all.
        kept = [each for each in group.backends if each.ready or not each.terminating][: MOST_ENDPOINTS - shown]
        shown += len(kept)
        subset: Obj = {}
        if ready := [_address(service, each) for each in kept if each.ready]:
            subset["addresses"] = ready
        if waiting := [_address(service, each) for each in kept if not each.ready]:
            subset["notReadyAddresses"] = waiting
        if subset:
            if group.ports:
                subset["ports"] = [_port(each) for each in group.ports]
            result.append(subset)
    return result


def _address(service: Obj, backend: Backend) -> Obj:
    address: Obj = {"ip": backend.address}
    if hostname := hostname_of(service, backend.pod):
        address["hostname"] = hostname
    if node := objects.spec(backend.pod).get("nodeName"):
        address["nodeName"] = node
    return {**address, "targetRef": backend.reference()}


def hostname_of(service: Obj, pod: Obj) -> str:
    """The name of the pod's own below that of its headless Service; empty for none."""
    spec = objects.spec(pod)
    same = spec.get("subdomain") == objects.name(service) and objects.namespace(pod) == objects.namespace(service)
    return str(spec.get("hostname") or "") if same else ""


def _port(port: Port) -> Obj:
    name, number, protocol, app = port
    return {
        **({"name": name} if name else {}),
        "port": number,
        "protocol": protocol,
        **({"appProtocol": app} if app else {}),
    }


# EndpointSlices


@dataclass(frozen=True, slots=True)
class Slice:
    """What one EndpointSlice should hold."""

    ports: tuple[Port, ...]
    endpoints: tuple[Obj, ...]

    def ports_body(self) -> list[Obj]:
        return [
            {"name": name, "protocol": protocol, "port": number, **({"appProtocol": app} if app else {})}
            for name, number, protocol, app in self.ports
        ]


def slices(service: Obj, found: Sequence[Group]) -> list[Slice]:
    """Slices of at most a hundred endpoints; one empty slice where there is nothing."""
    made = []
    for group in found:
        entries = [_endpoint(service, each) for each in group.backends]
        for start in range(0, len(entries), MOST_PER_SLICE):
            made.append(Slice(group.ports, tuple(entries[start : start + MOST_PER_SLICE])))
    return made or [Slice((), ())]


def _endpoint(service: Obj, backend: Backend) -> Obj:
    endpoint: Obj = {
        "addresses": [backend.address],
        "conditions": {"ready": backend.ready, "serving": backend.serving, "terminating": backend.terminating},
    }
    if hostname := hostname_of(service, backend.pod):
        endpoint["hostname"] = hostname
    if node := objects.spec(backend.pod).get("nodeName"):
        endpoint["nodeName"] = node
    return {**endpoint, "targetRef": backend.reference()}


def mirrored(endpoints: Obj) -> list[Slice]:
    """The slices that show hand-made Endpoints."""
    made = []
    for subset in endpoints.get("subsets") or ():
        ports = tuple(
            (port.get("name") or "", port.get("port"), port.get("protocol") or "TCP", port.get("appProtocol") or "")
            for port in subset.get("ports") or ()
        )
        entries: list[Obj] = []
        for member, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(member) or ():
                entry: Obj = {"addresses": [address.get("ip")], "conditions": {"ready": ready}}
                for name in ("hostname", "nodeName", "targetRef"):
                    if address.get(name):
                        entry[name] = address[name]
                entries.append(entry)
        for start in range(0, len(entries), MOST_PER_SLICE):
            made.append(Slice(ports, tuple(entries[start : start + MOST_PER_SLICE])))
    return made


def inherited_labels(owner: Obj, manager: str) -> dict[str, str]:
    """The labels of a slice: those of its Service, and whose it is."""
    own = {key: value for key, value in objects.labels(owner).items() if key not in (SERVICE_NAME, MANAGED_BY)}
    own.pop(HEADLESS, None)
    headless = {HEADLESS: ""} if manager == SLICES_BY and is_headless(owner) else {}
    return {**own, MANAGED_BY: manager, SERVICE_NAME: objects.name(owner), **headless}


@dataclass(frozen=True, slots=True)
class Update:
    """The stored slice *old* becomes *new*."""

    old: Obj
    new: Slice


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be done to the slices of a Service."""

    create: tuple[Slice, ...] = ()
    update: tuple[Update, ...] = ()
    delete: tuple[Obj, ...] = ()


def differences(wanted: Sequence[Slice], present: Sequence[Obj], labels: Mapping[str, str]) -> Changes:
    """Slices keep their names: each wanted one goes to the present one that is most like it."""
    left, updates, unmatched = list(present), [], []
    for each in wanted:
        body = (each.ports_body(), list(each.endpoints))
        found = next((obj for obj in left if (_of(obj)) == body), None)
        if found is None:
            unmatched.append(each)
            continue
        left.remove(found)
        if objects.labels(found) != labels:
            updates.append(Update(found, each))
    create = []
    for each in unmatched:
        ports = each.ports_body()
        # The ports of a slice hold for all of it; one with other ports is taken only where nothing fits better.
        found = next((obj for obj in left if _of(obj)[0] == ports), left[0] if left else None)
        if found is None:
            create.append(each)
        else:
            left.remove(found)
            updates.append(Update(found, each))
    return Changes(tuple(create), tuple(updates), tuple(left))


def _of(obj: Obj) -> tuple[list[Any], list[Any]]:
    return list(obj.get("ports") or ()), list(obj.get("endpoints") or ())
