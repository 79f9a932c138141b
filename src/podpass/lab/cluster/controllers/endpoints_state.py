"""What the Endpoints and EndpointSlices of a Service should say, from the Service and its pods. Pure.

Contract: Kubernetes API surface, section 7.5. Follows the controllers of Kubernetes 1.37.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
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
LEADER = "control-plane.alpha.kubernetes.io/leader"
MOST_PER_SLICE = 100

Port = tuple[str, int | None, str, str]
"""Name, number, protocol and application protocol."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A pod behind a Service, and how the Service's objects show it."""

    name: str
    ports: tuple[Port, ...]
    """Those of the Service that it really has."""
    ready: bool
    """Whether it gets traffic."""
    serving: bool
    terminating: bool
    address: Obj
    """In Endpoints."""
    endpoint: Obj
    """In an EndpointSlice."""


@dataclass(frozen=True, slots=True)
class Group:
    """Backends that have the same ports."""

    ports: tuple[Port, ...]
    backends: tuple[Backend, ...]


def backend(service: Obj, pod: Obj) -> Backend | None:
    """None for a pod that has no address, is over, or has none of the Service's ports."""
    status = objects.status(pod)
    ip = status.get("podIP")
    if not ip or status.get("phase") in ("Succeeded", "Failed"):
        return None
    ports = tuple(_ports(service, pod))
    if not ports and objects.spec(service).get("ports"):
        return None
    publish = bool(objects.spec(service).get("publishNotReadyAddresses"))
    serving, terminating = is_ready(pod), objects.being_deleted(pod)
    ready, serving = publish or (serving and not terminating), serving or publish
    meta = objects.metadata(pod)
    members: Obj = {}
    if hostname := hostname_of(service, pod):
        members["hostname"] = hostname
    if node := objects.spec(pod).get("nodeName"):
        members["nodeName"] = node
    members["targetRef"] = {
        "kind": "Pod",
        "name": meta.get("name"),
        "namespace": meta.get("namespace"),
        "uid": meta.get("uid"),
    }
    conditions = {"ready": ready, "serving": serving, "terminating": terminating}
    return Backend(
        objects.name(pod),
        ports,
        ready,
        serving,
        terminating,
        {"ip": ip, **members},
        {"addresses": [ip], "conditions": conditions, **members},
    )


def is_ready(pod: Obj) -> bool:
    conditions = objects.status(pod).get("conditions") or ()
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def groups(found: Iterable[Backend]) -> list[Group]:
    """The backends by the ports that they really have: a named target port may differ from pod to pod."""
    by_ports: dict[tuple[Port, ...], list[Backend]] = {}
    for each in sorted(found, key=attrgetter("name")):
        by_ports.setdefault(each.ports, []).append(each)
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


def subsets(found: Sequence[Group]) -> list[Obj]:
    result, shown = [], 0
    for group in found:
        # Upstream's Endpoints name no more than a thousand; pods that end are not in them at all.
        listed = (each for each in group.backends if each.ready or not each.terminating)
        kept = list(islice(listed, MOST_ENDPOINTS - shown))
        shown += len(kept)
        subset: Obj = {}
        if ready := [each.address for each in kept if each.ready]:
            subset["addresses"] = ready
        if waiting := [each.address for each in kept if not each.ready]:
            subset["notReadyAddresses"] = waiting
        if subset:
            if group.ports:
                subset["ports"] = [_port(each) for each in group.ports]
            result.append(subset)
    return result


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
    """Endpoints with the same ports: those of one EndpointSlice, or as many as several are to hold together."""

    ports: tuple[Port, ...]
    endpoints: tuple[Obj, ...]

    def ports_body(self) -> list[Obj]:
        return [
            {"name": name, "protocol": protocol, "port": number, **({"appProtocol": app} if app else {})}
            for name, number, protocol, app in self.ports
        ]


def slices(found: Sequence[Group]) -> list[Slice]:
    """What the slices of a Service hold, by ports; one empty slice where there is nothing."""
    return [Slice(group.ports, tuple(each.endpoint for each in group.backends)) for group in found] or [Slice((), ())]


def mirrored(endpoints: Obj) -> list[Slice]:
    """What the slices hold that show hand-made Endpoints, by ports."""
    by_ports: dict[tuple[Port, ...], list[Obj]] = {}
    for subset in endpoints.get("subsets") or ():
        ports = tuple(
            (port.get("name") or "", port.get("port"), port.get("protocol") or "TCP", port.get("appProtocol") or "")
            for port in subset.get("ports") or ()
        )
        entries = by_ports.setdefault(ports, [])
        for member, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(member) or ():
                entry: Obj = {"addresses": [address.get("ip")], "conditions": {"ready": ready}}
                for name in ("hostname", "nodeName", "targetRef"):
                    if address.get(name):
                        entry[name] = address[name]
                entries.append(entry)
    return [Slice(ports, tuple(entries)) for ports, entries in by_ports.items()]


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
    """Endpoints stay in the slice they are in, so that a change of one pod is a change of one slice."""
    left, create, update = list(present), [], []
    for each in wanted:
        ports = each.ports_body()
        same = [obj for obj in left if (obj.get("ports") or []) == ports]
        left = [obj for obj in left if (obj.get("ports") or []) != ports]
        if not each.endpoints:
            # One slice says that there is nothing.
            left, same = left + same[1:], same[:1]
        placed = _placed(each.endpoints, [obj.get("endpoints") or [] for obj in same])
        for obj, endpoints in zip(same, placed, strict=False):
            if not endpoints and each.endpoints:
                left.append(obj)
            elif endpoints != (obj.get("endpoints") or []) or objects.labels(obj) != labels:
                update.append(Update(obj, Slice(each.ports, tuple(endpoints))))
        create += [Slice(each.ports, tuple(endpoints)) for endpoints in placed[len(same) :]]
    # What would be deleted takes what would be made, other ports or not.
    reused = min(len(left), len(create))
    update += [Update(old, new) for old, new in zip(left[:reused], create[:reused], strict=True)]
    return Changes(tuple(create[reused:]), tuple(update), tuple(left[reused:]))


def _placed(endpoints: Sequence[Obj], held: Sequence[Sequence[Obj]]) -> list[list[Obj]]:
    """*endpoints* in the slices that hold them now, the new ones where there is room, and in further slices."""
    # Of thousands of endpoints most are the very objects that the slices were made of.
    fresh, whole = set(map(id, endpoints)), []
    for old in held:
        there = set(map(id, old))
        whole.append(there <= fresh and len(old) <= MOST_PER_SLICE)
        if whole[-1]:
            fresh -= there
    waiting = {_identity(each): each for each in endpoints if id(each) in fresh}
    placed = []
    for old, is_whole in zip(held, whole, strict=True):
        kept = old if is_whole else (waiting.pop(_identity(each), None) for each in old)
        placed.append(list(islice((each for each in kept if each is not None), MOST_PER_SLICE)))
    new = list(waiting.values())
    # A slice that is written anyway is filled first, then the fullest that takes all the rest.
    for now, old in zip(placed, held, strict=True):
        if new and len(now) != len(old):
            room = MOST_PER_SLICE - len(now)
            now += new[:room]
            del new[:room]
    fitting = [now for now in placed if len(now) + len(new) <= MOST_PER_SLICE]
    if new and fitting:
        max(fitting, key=len).extend(new)
        new = []
    return placed + [new[at : at + MOST_PER_SLICE] for at in range(0, len(new), MOST_PER_SLICE)] or [[]]


def _identity(endpoint: Obj) -> tuple[Any, ...]:
    """What makes it the same endpoint in another state."""
    reference = endpoint.get("targetRef") or {}
    return endpoint["addresses"][0], reference.get("uid"), endpoint.get("hostname")
