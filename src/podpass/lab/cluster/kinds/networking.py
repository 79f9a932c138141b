"""Ingresses, their classes, and NetworkPolicies: stored, checked and shown. Nothing routes or filters by them.

Contract: Kubernetes API surface, section 1.2. Texts and rules are those of the API server of Kubernetes 1.37.
"""

import ipaddress
from collections.abc import Iterator
from typing import Any

from podpass.kube import objects, resources
from podpass.kube.names import subdomain_fault
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, forbidden_field, invalid, not_supported, required
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.kinds.templates import selector_causes, selector_text
from podpass.lab.cluster.registry import Column, Kind
from podpass.lab.cluster.tables import AGE, NAME

PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_CIDR_TEXT = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_WILDCARD_TEXT = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower"
    " case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used"
    r" for validation is '\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_SHOWN_HOSTS = 3


def networking_kinds() -> tuple[Kind, ...]:
    return ingresses(), ingress_classes(), network_policies()


# Ingresses


def ingresses() -> Kind:
    return Kind(
        resource=resources.INGRESSES,
        has_status=True,
        has_generation=True,
        default=_default_ingress,
        validate_create=lambda obj: list(_ingress_causes(obj)),
        validate_update=lambda new, _: list(_ingress_causes(new)),
        columns=(
            NAME,
            Column("Class", lambda obj, _: objects.spec(obj).get("ingressClassName") or "<none>"),
            Column("Hosts", _hosts),
            Column("Address", _addresses),
            Column("Ports", lambda obj, _: "80, 443" if objects.spec(obj).get("tls") else "80"),
            AGE,
        ),
    )


def _default_ingress(obj: Obj) -> None:
    obj.setdefault("status", {}).setdefault("loadBalancer", {})


def _hosts(obj: Obj, _: float) -> str:
    found = [rule["host"] for rule in objects.spec(obj).get("rules") or () if rule.get("host")]
    if not found:
        return "*"
    more = f" + {len(found) - _SHOWN_HOSTS} more..." if len(found) > _SHOWN_HOSTS else ""
    return ",".join(found[:_SHOWN_HOSTS]) + more


def _addresses(obj: Obj, _: float) -> str:
    entries = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return ",".join(entry.get("ip") or entry.get("hostname") or "" for entry in entries)


def _ingress_causes(obj: Obj) -> Iterator[Cause]:
    spec = objects.spec(obj)
    backend, found = spec.get("defaultBackend"), spec.get("rules") or []
    if not found and backend is None:
        yield invalid("spec", None, "either `defaultBackend` or `rules` must be specified")
    if backend is not None:
        yield from _backend_causes(backend, "spec.defaultBackend")
    for index, rule in enumerate(found):
        yield from _rule_causes(rule, f"spec.rules[{index}]")
    for index, entry in enumerate(spec.get("tls") or ()):
        for number, host in enumerate(entry.get("hosts") or ()):
            yield from _host_causes(host, f"spec.tls[{index}].hosts[{number}]")
    if name := spec.get("ingressClassName"):
        yield from rules.subdomain("spec.ingressClassName", name)


def _rule_causes(rule: Obj, path: str) -> Iterator[Cause]:
    if host := rule.get("host"):
        if _is_address(host):
            yield invalid(f"{path}.host", host, "must be a DNS name, not an IP address")
        else:
            yield from _host_causes(host, f"{path}.host")
    http = rule.get("http")
    if http is None:
        return
    if not http.get("paths"):
        yield required(f"{path}.http.paths")
    for index, entry in enumerate(http.get("paths") or ()):
        yield from _path_causes(entry, f"{path}.http.paths[{index}]")


def _path_causes(entry: Obj, path: str) -> Iterator[Cause]:
    kind, place = entry.get("pathType"), entry.get("path") or ""
    if not kind:
        yield required(f"{path}.pathType", "pathType must be specified")
        return
    if kind not in PATH_TYPES:
        yield not_supported(f"{path}.pathType", kind, PATH_TYPES)
    elif kind == "ImplementationSpecific":
        if place and not place.startswith("/"):
            yield invalid(f"{path}.path", place, "must be an absolute path")
    else:
        if not place.startswith("/"):
            yield invalid(f"{path}.path", place, "must be an absolute path")
        for part in ("//", "/./", "/../", "%2f", "%2F"):
            if part in place:
                yield invalid(f"{path}.path", place, f"must not contain '{part}'")
        for end in ("/..", "/."):
            if place.endswith(end):
                yield invalid(f"{path}.path", place, f"cannot end with '{end}'")
    yield from _backend_causes(entry.get("backend") or {}, f"{path}.backend")


def _backend_causes(backend: Obj, path: str) -> Iterator[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield invalid(path, "", "cannot set both resource and service backends")
        return
    if resource is not None:
        return
    if service is None:
        yield invalid(path, "", "resource or service backend is required")
        return
    name, port = service.get("name") or "", service.get("port") or {}
    if not name:
        yield required(f"{path}.service.name")
    else:
        yield from rules.label(f"{path}.service.name", name)
    number, port_name = port.get("number") or 0, port.get("name") or ""
    if number and port_name:
        yield invalid(path, "", "cannot set both port name & port number")
    elif number:
        yield from rules.port(f"{path}.service.port.number", number)
    elif port_name:
        for fault in rules.port_name_faults(port_name):
            yield invalid(f"{path}.service.port.name", port_name, fault)
    else:
        yield required(path, "port name or number is required")


def _host_causes(host: str, path: str) -> Iterator[Cause]:
    if "*" not in host:
        yield from rules.subdomain(path, host)
    elif not host.startswith("*.") or subdomain_fault(host[2:]):
        yield invalid(path, host, _WILDCARD_TEXT)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# IngressClasses


def ingress_classes() -> Kind:
    return Kind(
        resource=resources.INGRESSCLASSES,
        has_generation=True,
        validate_create=lambda obj: list(_class_causes(obj)),
        validate_update=lambda new, old: list(_class_update_causes(new, old)),
        columns=(
            NAME,
            Column("Controller", lambda obj, _: objects.spec(obj).get("controller") or ""),
            Column("Parameters", _parameters),
            AGE,
        ),
    )


def _parameters(obj: Obj, _: float) -> str:
    found = objects.spec(obj).get("parameters")
    if not found:
        return "<none>"
    group = f".{found['apiGroup']}" if found.get("apiGroup") else ""
    return f"{found.get('kind', '')}{group}/{found.get('name', '')}"


def _class_causes(obj: Obj) -> Iterator[Cause]:
    controller = objects.spec(obj).get("controller") or ""
    domain, slash, rest = controller.partition("/")
    if not controller:
        yield required("spec.controller")
    elif not slash or not domain or not rest:
        yield invalid("spec.controller", controller, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        yield from rules.subdomain("spec.controller", domain)


def _class_update_causes(new: Obj, old: Obj) -> Iterator[Cause]:
    path = "spec.controller"
    yield from rules.immutable(path, objects.spec(new).get("controller"), objects.spec(old).get("controller"))
    yield from _class_causes(new)


# NetworkPolicies


def network_policies() -> Kind:
    return Kind(
        resource=resources.NETWORKPOLICIES,
        has_generation=True,
        default=_default_policy,
        validate_create=lambda obj: list(_policy_causes(obj)),
        validate_update=lambda new, _: list(_policy_causes(new)),
        columns=(NAME, Column("Pod-Selector", lambda obj, _: selector_text(objects.spec(obj).get("podSelector"))), AGE),
    )


def _default_policy(obj: Obj) -> None:
    spec = objects.spec(obj)
    for direction in ("ingress", "egress"):
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                port["protocol"] = port.get("protocol") or "TCP"
    if spec and not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]


def _policy_causes(obj: Obj) -> Iterator[Cause]:
    spec = objects.spec(obj)
    yield from selector_causes(spec.get("podSelector") or {}, "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports") or ()):
                yield from _policy_port_causes(port, f"{path}.ports[{number}]")
            for number, peer in enumerate(rule.get(peers) or ()):
                yield from _peer_causes(peer, f"{path}.{peers}[{number}]")
    types = spec.get("policyTypes") or []
    if len(types) > 2:
        yield invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
        return
    for index, name in enumerate(types):
        if name not in ("Ingress", "Egress"):
            yield not_supported(f"spec.policyTypes[{index}]", name, ("Ingress", "Egress"))


def _policy_port_causes(port: Obj, path: str) -> Iterator[Cause]:
    number, end = port.get("port"), port.get("endPort")
    if port.get("protocol") not in _PROTOCOLS:
        yield not_supported(f"{path}.protocol", port.get("protocol"), _PROTOCOLS)
    if isinstance(number, int):
        yield from rules.port(f"{path}.port", number)
    elif isinstance(number, str):
        for fault in rules.port_name_faults(number):
            yield invalid(f"{path}.port", number, fault)
    if end is None:
        return
    if number is None:
        yield invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified")
    elif isinstance(number, str):
        yield invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric")
    elif end < number:
        yield invalid(f"{path}.endPort", end, "must be greater than or equal to `port`")
    else:
        yield from rules.port(f"{path}.endPort", end)


def _peer_causes(peer: Obj, path: str) -> Iterator[Cause]:
    for member in ("podSelector", "namespaceSelector"):
        if peer.get(member) is not None:
            yield from selector_causes(peer[member], f"{path}.{member}")
    block = peer.get("ipBlock")
    if block is not None:
        yield from _block_causes(block, f"{path}.ipBlock")
        if len(peer) > 1:
            yield forbidden_field(path, "may not specify both ipBlock and another peer")
    elif not any(peer.get(member) is not None for member in ("podSelector", "namespaceSelector")):
        yield required(path, "must specify a peer")


def _block_causes(block: Obj, path: str) -> Iterator[Cause]:
    text = block.get("cidr") or ""
    if not text:
        yield required(f"{path}.cidr")
        return
    whole = _network(text)
    if whole is None:
        yield invalid(f"{path}.cidr", text, _CIDR_TEXT)
        return
    if str(whole) != text.lower():
        yield invalid(f"{path}.cidr", text, "must not have bits set beyond the prefix length")
    for index, inner in enumerate(block.get("except") or ()):
        part, place = _network(inner), f"{path}.except[{index}]"
        if part is None:
            yield invalid(place, inner, _CIDR_TEXT)
        elif part == whole or part.version != whole.version or not part.subnet_of(whole):
            yield invalid(place, inner, "must be a strict subset of `cidr`")


def _network(text: str) -> Any:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
