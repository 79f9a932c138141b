"""Nodes, and the Leases by which they show that they are alive.

Contract: Kubernetes API surface, sections 1.4 and 7.
"""

from collections.abc import Iterator

from podpass.kube import objects, resources
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, required
from podpass.lab.cluster.kinds import rules
from podpass.lab.cluster.registry import Column, Kind
from podpass.lab.cluster.tables import AGE, NAME, NONE, UNKNOWN

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE_LABEL = "kubernetes.io/role"


def node_status(node: Obj, _: float = 0) -> str:
    """What the Status column says: the Ready condition, and whether scheduling is off."""
    found = "Unknown"
    for condition in objects.status(node).get("conditions") or ():
        if condition.get("type") == "Ready":
            found = "Ready" if condition.get("status") == "True" else "NotReady"
    return f"{found},SchedulingDisabled" if objects.spec(node).get("unschedulable") else found


def node_roles(node: Obj, _: float = 0) -> str:
    labels = objects.labels(node)
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    if labels.get(_ROLE_LABEL):
        roles.add(labels[_ROLE_LABEL])
    return ",".join(sorted(role for role in roles if role)) or NONE


def _address(kind: str) -> Column:
    def cell(node: Obj, _: float) -> str:
        for address in objects.status(node).get("addresses") or ():
            if address.get("type") == kind:
                return address.get("address") or NONE
        return NONE

    return Column(
        "Internal-IP" if kind == "InternalIP" else "External-IP",
        cell,
        priority=1,
        description="An address of the node.",
    )


def _info(name: str, member: str) -> Column:
    def cell(node: Obj, _: float) -> str:
        return (objects.status(node).get("nodeInfo") or {}).get(member) or UNKNOWN

    priority = 0 if member == "kubeletVersion" else 1
    return Column(name, cell, priority=priority, description="As the node reports it.")


def _taint_causes(node: Obj) -> Iterator[Cause]:
    for index, taint in enumerate(objects.spec(node).get("taints") or ()):
        path = f"spec.taints[{index}]"
        if not taint.get("key"):
            yield required(f"{path}.key")
        if not taint.get("effect"):
            yield required(f"{path}.effect")
        yield from rules.one_of(f"{path}.effect", taint.get("effect"), ("NoSchedule", "PreferNoSchedule", "NoExecute"))


def nodes() -> Kind:
    return Kind(
        resource=resources.NODES,
        has_status=True,
        keeps_status_on_create=True,
        validate_create=lambda obj: list(_taint_causes(obj)),
        validate_update=lambda new, _: list(_taint_causes(new)),
        field_labels=lambda obj: {
            "spec.unschedulable": "true" if objects.spec(obj).get("unschedulable") else "false",
        },
        field_names=frozenset({"spec.unschedulable"}),
        columns=(
            NAME,
            Column("Status", node_status, description="The status of the node"),
            Column("Roles", node_roles, description="The roles of the node"),
            AGE,
            _info("Version", "kubeletVersion"),
            _address("InternalIP"),
            _address("ExternalIP"),
            _info("OS-Image", "osImage"),
            _info("Kernel-Version", "kernelVersion"),
            _info("Container-Runtime", "containerRuntimeVersion"),
        ),
    )


def _lease_causes(lease: Obj) -> Iterator[Cause]:
    spec = objects.spec(lease)
    yield from rules.at_least("spec.leaseDurationSeconds", spec.get("leaseDurationSeconds"), 1)
    yield from rules.at_least("spec.leaseTransitions", spec.get("leaseTransitions"), 0)


def leases() -> Kind:
    def holder(lease: Obj, _: float) -> str:
        return objects.spec(lease).get("holderIdentity") or ""

    return Kind(
        resource=resources.LEASES,
        validate_create=lambda obj: list(_lease_causes(obj)),
        validate_update=lambda new, _: list(_lease_causes(new)),
        columns=(NAME, Column("Holder", holder, description="The holder's identity."), AGE),
    )
