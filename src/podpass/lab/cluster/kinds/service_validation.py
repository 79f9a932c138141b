"""What a Service may say, and what of it may change.

Contract: Kubernetes API surface, section 2.11. Texts and rules are those of the API server of Kubernetes 1.37.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Any

from podpass.kube import names, objects
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, duplicate, forbidden_field, invalid, required
from podpass.lab.cluster.kinds import rules

NONE = "None"
"""The clusterIP of a headless Service."""
TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
EXTERNAL = ("LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
MOST_AFFINITY_SECONDS = 86_400
_KUBELET_PORT = 10_250
_IP_TEXT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_port_characters = re.compile("[-a-z0-9]+").fullmatch


def kind_of(service: Obj) -> str:
    return objects.spec(service).get("type") or "ClusterIP"


def is_headless(service: Obj) -> bool:
    addresses: list[str] = objects.spec(service).get("clusterIPs") or []
    return bool(addresses) and addresses[0] == NONE


def service_causes(service: Obj) -> list[Cause]:
    return list(_causes(service))


def service_update_causes(new: Obj, old: Obj) -> list[Cause]:
    return [*_address_changes(new, old), *_causes(new)]


def _address_changes(new: Obj, old: Obj) -> Iterator[Cause]:
    """An address is for life, unless the Service becomes or stops being a mere name."""
    if "ExternalName" in (kind_of(new), kind_of(old)):
        return
    before, after = objects.spec(old).get("clusterIPs") or [], objects.spec(new).get("clusterIPs") or []
    if before and not after:
        yield invalid("spec.clusterIPs[0]", after, "primary clusterIP can not be unset")
    elif before and before[0] != after[0]:
        yield invalid("spec.clusterIPs[0]", after, "may not change once set")
    families = objects.spec(old).get("ipFamilies") or [], objects.spec(new).get("ipFamilies") or []
    if all(families) and families[0][0] != families[1][0]:
        yield invalid("spec.ipFamilies[0]", families[1], "may not change once set")


def _causes(service: Obj) -> Iterator[Cause]:
    spec, kind = objects.spec(service), kind_of(service)
    ports = spec.get("ports") or []
    if not ports and not is_headless(service) and kind != "ExternalName":
        yield required("spec.ports")
    yield from rules.one_of("spec.type", kind, TYPES)
    yield from _of_kind(spec, kind, is_headless(service))
    yield from _ports(ports, kind)
    for key, value in (spec.get("selector") or {}).items():
        if fault := names.label_key_fault(key):
            yield invalid("spec.selector", key, fault)
        if fault := names.label_value_fault(value):
            yield invalid("spec.selector", value, fault)
    yield from _affinity(spec)
    yield from _cluster_addresses(spec, kind)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        yield from _reachable(f"spec.externalIPs[{index}]", address)
    yield from _policies(spec, kind)


def _of_kind(spec: Obj, kind: str, headless: bool) -> Iterator[Cause]:
    if kind == "ExternalName":
        name = str(spec.get("externalName") or "")
        if not name:
            yield required("spec.externalName")
        else:
            yield from rules.subdomain("spec.externalName", name.removesuffix("."))
    if kind in EXTERNAL and headless:
        text = f"may not be set to 'None' for {kind} services"
        yield invalid("spec.clusterIPs[0]", NONE, text)
    if kind == "LoadBalancer":
        for index, port in enumerate(spec.get("ports") or ()):
            if port.get("port") == _KUBELET_PORT:
                text = f"may not expose port {_KUBELET_PORT} externally since it is used by kubelet"
                yield invalid(f"spec.ports[{index}]", _KUBELET_PORT, text)
    elif spec.get("loadBalancerClass") is not None:
        yield forbidden_field("spec.loadBalancerClass", "may only be used when `type` is 'LoadBalancer'")
    if kind != "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not None:
        yield forbidden_field("spec.allocateLoadBalancerNodePorts", "may only be used when `type` is 'LoadBalancer'")


def _ports(ports: Sequence[Obj], kind: str) -> Iterator[Cause]:
    seen_names: set[str] = set()
    seen: set[tuple[Any, Any]] = set()
    seen_node_ports: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = port.get("name") or ""
        if not name and len(ports) > 1:
            yield required(f"{path}.name")
        elif name:
            yield from rules.label(f"{path}.name", name)
            if name in seen_names:
                yield duplicate(f"{path}.name", name)
            seen_names.add(name)
        yield from rules.port(f"{path}.port", port.get("port"))
        if not port.get("protocol"):
            yield required(f"{path}.protocol")
        yield from rules.one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
        yield from port_reference(f"{path}.targetPort", port.get("targetPort"))
        node_port = port.get("nodePort")
        if node_port and kind not in EXTERNAL:
            yield forbidden_field(f"{path}.nodePort", f"may not be used when `type` is '{kind}'")
        if node_port:
            if (port.get("protocol"), node_port) in seen_node_ports:
                yield duplicate(f"{path}.nodePort", node_port)
            seen_node_ports.add((port.get("protocol"), node_port))
        pair = port.get("protocol"), port.get("port")
        if pair in seen:
            yield duplicate(path, {"protocol": pair[0], "port": pair[1]})
        seen.add(pair)


def port_reference(path: str, value: object) -> Iterator[Cause]:
    """What keeps *value* from being the number or the name of a container's port."""
    if isinstance(value, str):
        for fault in port_name_faults(value):
            yield invalid(path, value, fault)
    else:
        yield from rules.port(path, value)


def port_name_faults(name: str) -> Iterator[str]:
    if len(name) > 15:
        yield "must be no more than 15 characters"
    if not _port_characters(name):
        yield "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not re.search("[a-z]", name):
        yield "must contain at least one letter (a-z)"
    if "--" in name:
        yield "must not contain consecutive hyphens"
    if name.startswith("-") or name.endswith("-"):
        yield "must not begin or end with a hyphen"


def _affinity(spec: Obj) -> Iterator[Cause]:
    affinity = spec.get("sessionAffinity")
    if not affinity:
        yield required("spec.sessionAffinity")
    yield from rules.one_of("spec.sessionAffinity", affinity, ("ClientIP", NONE))
    config = spec.get("sessionAffinityConfig")
    if affinity == "ClientIP" and isinstance(config, dict):
        path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        seconds = (config.get("clientIP") or {}).get("timeoutSeconds")
        if not isinstance(seconds, int):
            yield required(path)
        elif not 0 < seconds <= MOST_AFFINITY_SECONDS:
            yield invalid(path, seconds, f"must be greater than 0 and less than {MOST_AFFINITY_SECONDS}")
    elif affinity == NONE and config is not None:
        yield forbidden_field("spec.sessionAffinityConfig", f"must not be set when session affinity is {NONE}")


def _cluster_addresses(spec: Obj, kind: str) -> Iterator[Cause]:
    addresses, families = spec.get("clusterIPs") or [], spec.get("ipFamilies") or []
    if kind == "ExternalName":
        for member in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(member):
                yield forbidden_field(f"spec.{member}", "may not be set for ExternalName services")
        return
    if addresses and spec.get("clusterIP") != addresses[0]:
        yield invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`")
    if not addresses and spec.get("clusterIP"):
        yield required("spec.clusterIPs")
    if len(addresses) > 1 and NONE in addresses:
        yield invalid("spec.clusterIPs", addresses, "'None' must be the first and only value")
    if len(addresses) > 2:
        yield invalid("spec.clusterIPs", addresses, "may only hold up to 2 values")
    for index, address in enumerate(addresses):
        if address != NONE and _address(address) is None:
            yield invalid(f"spec.clusterIPs[{index}]", address, _IP_TEXT)
    for index, family in enumerate(families):
        yield from rules.one_of(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6"))
    yield from rules.one_of(
        "spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), ("PreferDualStack", "RequireDualStack", "SingleStack")
    )


def _policies(spec: Obj, kind: str) -> Iterator[Cause]:
    external = spec.get("externalTrafficPolicy")
    if external and kind not in EXTERNAL and not spec.get("externalIPs"):
        text = "may only be set for externally-accessible services"
        yield invalid("spec.externalTrafficPolicy", external, text)
    yield from rules.one_of("spec.externalTrafficPolicy", external, ("Cluster", "Local"))
    internal = spec.get("internalTrafficPolicy")
    yield from rules.one_of("spec.internalTrafficPolicy", internal, ("Cluster", "Local"))
    if kind == "ClusterIP" and not internal:
        yield required("spec.internalTrafficPolicy")


def _address(text: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(str(text))
    except ValueError:
        return None


def _reachable(path: str, text: object) -> Iterator[Cause]:
    """What keeps *text* from being an address that other machines or pods could reach."""
    address = _address(text)
    if address is None:
        yield invalid(path, text, _IP_TEXT)
    elif address.is_unspecified:
        yield invalid(path, text, f"may not be unspecified ({text})")
    elif address.is_loopback:
        yield invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    elif address.is_link_local:
        yield invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    elif address.is_multicast and not isinstance(address, ipaddress.IPv6Address):
        yield invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def endpoint_address(path: str, text: object) -> Iterator[Cause]:
    """What keeps *text* from being the address of something behind a Service."""
    yield from _reachable(path, text)
