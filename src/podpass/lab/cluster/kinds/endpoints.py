"""Endpoints and EndpointSlices: the addresses behind Services.

Contract: Kubernetes API surface, sections 1.4 and 7.5.
"""

import ipaddress
from collections.abc import Iterator, Sequence

from podpass.kube import names, resources
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, duplicate, forbidden_field, invalid, required
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.kinds.service_validation import PROTOCOLS, endpoint_address
from podpass.lab.cluster.registry import Column, Kind
from podpass.lab.cluster.tables import AGE, NAME, NONE

MOST_ENDPOINTS = 1_000
MOST_ADDRESSES = 100
MOST_PORTS = 20_000
ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_SHOWN = 3
_NOT_SET = "<unset>"


def _shortened(found: Sequence[str], empty: str = NONE) -> str:
    """The first few, and how many more there are, as the API server writes them."""
    if not found:
        return empty
    more = len(found) - _SHOWN
    return ",".join(found[:_SHOWN]) + (f" + {more} more..." if more > 0 else "")


# Endpoints


def _default_endpoints(endpoints: Obj) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            port["protocol"] = port.get("protocol") or "TCP"


def _endpoints_causes(endpoints: Obj) -> Iterator[Cause]:
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        path = f"subsets[{index}]"
        ready, waiting = subset.get("addresses") or [], subset.get("notReadyAddresses") or []
        if not ready and not waiting:
            yield required(path, "must specify `addresses` or `notReadyAddresses`")
        for member, found in (("addresses", ready), ("notReadyAddresses", waiting)):
            for at, address in enumerate(found):
                if not _is_pod_of_this_machine(address, address.get("ip")):
                    yield from endpoint_address(f"{path}.{member}[{at}].ip", address.get("ip") or "")
                if hostname := address.get("hostname"):
                    yield from rules.label(f"{path}.{member}[{at}].hostname", hostname)
        ports = subset.get("ports") or []
        for at, port in enumerate(ports):
            where = f"{path}.ports[{at}]"
            if not port.get("name") and len(ports) > 1:
                yield required(f"{where}.name")
            elif port.get("name"):
                yield from rules.label(f"{where}.name", port["name"])
            yield from rules.port(f"{where}.port", port.get("port"))
            yield from rules.one_of(f"{where}.protocol", port.get("protocol"), PROTOCOLS)


def _endpoints_cell(endpoints: Obj, _: float) -> str:
    found = []
    for subset in endpoints.get("subsets") or ():
        addresses = [address.get("ip") or "" for address in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        if not ports:
            found += addresses
        for port in ports:
            found += [f"{address}:{port.get('port')}" for address in addresses]
    return _shortened(found)


def endpoints() -> Kind:
    return Kind(
        resource=resources.ENDPOINTS,
        default=_default_endpoints,
        deprecated="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
        validate_create=lambda obj: list(_endpoints_causes(obj)),
        validate_update=lambda new, _: list(_endpoints_causes(new)),
        columns=(NAME, Column("Endpoints", _endpoints_cell, description="What is ready behind the Service."), AGE),
    )


# EndpointSlices


def _default_slice(obj: Obj) -> None:
    obj["endpoints"] = obj.get("endpoints") or []
    for port in obj.get("ports") or ():
        if port.get("name") is None:
            port["name"] = ""
        port["protocol"] = port.get("protocol") or "TCP"


def _slice_causes(obj: Obj) -> Iterator[Cause]:
    kind = obj.get("addressType")
    if not kind:
        yield required("addressType")
    yield from rules.one_of("addressType", kind, ADDRESS_TYPES)
    found = obj.get("endpoints") or []
    if len(found) > MOST_ENDPOINTS:
        yield _too_many("endpoints", len(found), MOST_ENDPOINTS)
        return
    for index, endpoint in enumerate(found):
        yield from _endpoint_causes(f"endpoints[{index}]", endpoint, str(kind))
    ports = obj.get("ports") or []
    if len(ports) > MOST_PORTS:
        yield _too_many("ports", len(ports), MOST_PORTS)
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path = f"ports[{index}]"
        name = port.get("name") or ""
        if name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)
        if name:
            yield from rules.label(f"{path}.name", name)
        if port.get("port") is not None:
            yield from rules.port(f"{path}.port", port["port"])
        yield from rules.one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
        if (app := port.get("appProtocol")) and (fault := names.qualified_name_fault(app)):
            yield invalid(f"{path}.appProtocol", app, fault)


def _endpoint_causes(path: str, endpoint: Obj, kind: str) -> Iterator[Cause]:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        yield required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > MOST_ADDRESSES:
        yield _too_many(f"{path}.addresses", len(addresses), MOST_ADDRESSES)
    for at, address in enumerate(addresses[:MOST_ADDRESSES]):
        where = f"{path}.addresses[{at}]"
        if kind == "FQDN":
            yield from rules.subdomain(where, address)
            continue
        version = _version(address)
        if kind in ADDRESS_TYPES and version != {"IPv4": 4, "IPv6": 6}[kind]:
            yield invalid(where, address, f"must be an {kind} address")
        elif not _is_pod_of_this_machine(endpoint, address):
            yield from endpoint_address(where, address)
    if (hostname := endpoint.get("hostname")) is not None:
        yield from rules.label(f"{path}.hostname", hostname)
    if "topology" in endpoint:
        yield forbidden_field(f"{path}.deprecatedTopology", "may not be set")


def _is_pod_of_this_machine(endpoint: Obj, address: object) -> bool:
    """Whether it is a pod that is a plain process, whose address is no other than this machine's own."""
    return (endpoint.get("targetRef") or {}).get("kind") == "Pod" and address == "127.0.0.1"


def _version(address: object) -> int:
    try:
        return ipaddress.ip_address(str(address)).version
    except ValueError:
        return 0


def _too_many(path: str, found: int, limit: int) -> Cause:
    return Cause("FieldValueTooMany", f"Too many: {found}: must have at most {limit} items", path)


def _slice_update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    yield from rules.immutable("addressType", new.get("addressType"), old.get("addressType"))
    yield from _slice_causes(new)


def _slice_ports(obj: Obj, _: float) -> str:
    found = [str(port["port"]) if port.get("port") is not None else "*" for port in obj.get("ports") or ()]
    return _shortened(found, _NOT_SET)


def _slice_endpoints(obj: Obj, _: float) -> str:
    found = [str(address) for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return _shortened(found, _NOT_SET)


def endpoint_slices() -> Kind:
    return Kind(
        resource=resources.ENDPOINTSLICES,
        has_generation=True,
        default=_default_slice,
        validate_create=lambda obj: list(_slice_causes(obj)),
        validate_update=lambda new, old: list(_slice_update_causes(new, old)),
        columns=(
            NAME,
            Column("AddressType", lambda obj, _: obj.get("addressType") or "", description="What the addresses are."),
            Column("Ports", _slice_ports, description="The ports that every endpoint of the slice has."),
            Column("Endpoints", _slice_endpoints, description="The addresses behind the Service."),
            AGE,
        ),
    )
