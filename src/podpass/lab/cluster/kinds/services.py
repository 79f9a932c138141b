"""Services: defaults, what an update carries over, how they are listed.

Addresses and node ports are given out by `services.addresses`. Contract: Kubernetes API surface, sections 1.4, 7.5.
"""

from collections.abc import Callable
from typing import Any

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.lab.cluster.kinds.service_validation import (
    EXTERNAL,
    kind_of,
    service_causes,
    service_update_causes,
)
from podpass.lab.cluster.registry import Allocate, Column, Kind
from podpass.lab.cluster.tables import AGE, NAME, NONE

AFFINITY_SECONDS = 10_800
PENDING = "<pending>"


def default_service(service: Obj) -> None:
    service.setdefault("status", {}).setdefault("loadBalancer", {})
    spec = service.setdefault("spec", {})
    spec["sessionAffinity"] = spec.get("sessionAffinity") or "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}
    kind = spec["type"] = spec.get("type") or "ClusterIP"
    for port in _ports(service):
        port["protocol"] = port.get("protocol") or "TCP"
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port")
    if kind in EXTERNAL:
        spec["externalTrafficPolicy"] = spec.get("externalTrafficPolicy") or "Cluster"
    if kind != "ExternalName":
        spec["internalTrafficPolicy"] = spec.get("internalTrafficPolicy") or "Cluster"
    if kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is None:
        spec["allocateLoadBalancerNodePorts"] = True
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif spec.get("clusterIPs") and not spec.get("clusterIP"):
        spec["clusterIP"] = spec["clusterIPs"][0]


def carry_over(new: Obj, old: Obj) -> None:
    """What an update means by what it leaves out: allocated values stay, those of a former type go."""
    spec, before = new.setdefault("spec", {}), objects.spec(old)
    was, becomes = kind_of(old), kind_of(new)
    _one_address(spec, before)
    if was != "ExternalName" and becomes != "ExternalName":
        if not spec.get("clusterIP") and not spec.get("clusterIPs"):
            for member in ("clusterIP", "clusterIPs"):
                _copy(member, spec, before)
        for member in ("ipFamilies", "ipFamilyPolicy"):
            if not spec.get(member):
                _copy(member, spec, before)
    if was in EXTERNAL and becomes in EXTERNAL:
        _keep_node_ports(new, old)
    if was != becomes:
        _drop_former(new, old, becomes)


def _one_address(spec: Obj, before: Obj) -> None:
    """clusterIP and clusterIPs say the same: who changes one alone means both."""
    address, addresses = spec.get("clusterIP"), spec.get("clusterIPs")
    if address != before.get("clusterIP") and addresses == before.get("clusterIPs") and addresses:
        if address:
            spec["clusterIPs"] = [address, *addresses[1:]]
        else:
            del spec["clusterIPs"]
    elif not addresses and before.get("clusterIPs") and address == before.get("clusterIP") and address:
        spec["clusterIPs"] = list(before["clusterIPs"])


def _keep_node_ports(new: Obj, old: Obj) -> None:
    known = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in _ports(old)}
    taken = {port.get("nodePort") for port in _ports(new)}
    for port in _ports(new):
        kept = known.get((port.get("protocol") or "TCP", port.get("port")))
        if not port.get("nodePort") and kept and kept not in taken:
            port["nodePort"] = kept


def _drop_former(new: Obj, old: Obj, becomes: str) -> None:
    """Of another type now: what only the former one had goes, unless the update itself changed it."""
    spec, before = new["spec"], objects.spec(old)
    if becomes == "ExternalName":
        same = spec.get("clusterIP") == before.get("clusterIP")
        for member in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            if same or not spec.get(member):
                spec.pop(member, None)
    elif spec.get("externalName") == before.get("externalName"):
        spec.pop("externalName", None)
    if becomes not in EXTERNAL:
        before_ports = {port.get("nodePort") for port in _ports(old)}
        for port in _ports(new):
            if port.get("nodePort") in before_ports:
                port.pop("nodePort", None)
        if spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy") and not spec.get("externalIPs"):
            spec.pop("externalTrafficPolicy", None)
    if becomes != "LoadBalancer":
        for member in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(member) == before.get(member):
                spec.pop(member, None)


def _copy(member: str, spec: Obj, before: Obj) -> None:
    if member in before:
        spec[member] = before[member]


def _ports(service: Obj) -> list[Obj]:
    return [port for port in objects.spec(service).get("ports") or () if isinstance(port, dict)]


# How Services are listed


def external_addresses(service: Obj) -> str:
    spec, kind = objects.spec(service), kind_of(service)
    if kind == "ExternalName":
        return spec.get("externalName") or NONE
    external = list(spec.get("externalIPs") or ())
    if kind == "LoadBalancer":
        ingress = (objects.status(service).get("loadBalancer") or {}).get("ingress") or ()
        found = [*(entry.get("ip") or entry.get("hostname") or "" for entry in ingress), *external]
        return ",".join(each for each in found if each) or PENDING
    return ",".join(external) or NONE


def _port_cell(service: Obj) -> str:
    shown = []
    for port in _ports(service):
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port.get('port')}{node_port}/{port.get('protocol')}")
    return ",".join(shown) or NONE


def _selector(service: Obj) -> str:
    selector = objects.spec(service).get("selector") or {}
    return ",".join(f"{key}={selector[key]}" for key in sorted(selector)) or NONE


def _member(name: str) -> Callable[[Obj, float], Any]:
    return lambda service, _: objects.spec(service).get(name) or NONE


def services(allocate: Allocate) -> Kind:
    return Kind(
        resource=resources.SERVICES,
        name_rule="label1035",
        has_status=True,
        default=default_service,
        prepare_update=carry_over,
        validate_create=service_causes,
        validate_update=service_update_causes,
        allocate=allocate,
        returns_object_on_delete=True,
        field_labels=lambda service: {
            "spec.clusterIP": objects.spec(service).get("clusterIP") or "",
            "spec.type": kind_of(service),
        },
        field_names=frozenset({"spec.clusterIP", "spec.type"}),
        columns=(
            NAME,
            Column("Type", _member("type"), description="How the Service is exposed."),
            Column("Cluster-IP", _member("clusterIP"), description="The address of the Service inside the cluster."),
            Column(
                "External-IP",
                lambda service, _: external_addresses(service),
                description="Addresses outside the cluster that lead to the Service.",
            ),
            Column("Port(s)", lambda service, _: _port_cell(service), description="The ports of the Service."),
            AGE,
            Column(
                "Selector",
                lambda service, _: _selector(service),
                priority=1,
                description="The labels of the pods behind the Service.",
            ),
        ),
    )
