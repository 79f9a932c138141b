"""Managed identities, machines, scale sets and resources of other types."""

from typing import Any

from podpass.lab.arm import compute
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.managed_identity import IDENTITY
from podpass.lab.arm.model import Resource
from podpass.lab.filling import trust
from podpass.lab.filling.clouds import Made, Making
from podpass.lab.scenario.entries.resources import (
    CarrierEntry,
    IdentityEntry,
    PlacedEntry,
    ResourceEntry,
    ScaleSetEntry,
    VirtualMachineEntry,
)

_READ_ONLY_GUIDS = ("vmId", "uniqueId")


def put_identity(making: Making, entry: IdentityEntry) -> Made:
    stated = {"clientId": entry.client_id, "principalId": entry.principal_id}
    resource = put_placed(making, entry, IDENTITY, {}, stated)
    for member, wanted in stated.items():
        if wanted and resource.properties[member] != wanted:
            raise ArmError(409, "IdentityExists", f"It exists, and its {member} is {resource.properties[member]}.")
    seed = making.clouds.arm.seed
    for one in entry.federated_credentials:
        credential = trust.wanted(making, one)
        seed.put_federated_credential(
            resource.id,
            credential.name,
            issuer=credential.issuer,
            subject=one.subject,
            expression=one.expression,
            audience=credential.audiences[0],
        )
    return Made(resource.id, resource.properties["principalId"])


def put_machine(making: Making, entry: VirtualMachineEntry) -> Made:
    made = _put_carrier(making, entry, compute.MACHINE, {})
    if entry.host:
        making.clouds.remembered.keep_host_machine(made.id)
    return made


def put_scale_set(making: Making, entry: ScaleSetEntry) -> Made:
    return _put_carrier(making, entry, compute.SCALE_SET, {"sku": {"name": entry.size, "capacity": entry.capacity}})


def put_other(making: Making, entry: ResourceEntry) -> Made:
    return _put_carrier(making, entry, entry.type, {"sku": entry.sku} if entry.sku else {})


def _put_carrier(making: Making, entry: CarrierEntry, resource_type: str, content: dict[str, Any]) -> Made:
    kinds = [*(["SystemAssigned"] if entry.system_assigned else []), *(["UserAssigned"] if entry.identities else [])]
    assigned: dict[str, Any] = {making.find("identities", name).id: {} for name in entry.identities}
    content = {
        **content,
        "identity": {"type": ", ".join(kinds) or "None", "userAssignedIdentities": assigned},
        "properties": entry.properties,
    }
    if entry.zones:
        content["zones"] = list(entry.zones)
    stated = {name: str(entry.properties[name]) for name in _READ_ONLY_GUIDS if name in entry.properties}
    resource = put_placed(making, entry, resource_type, content, {**stated, "principalId": entry.principal_id})
    principal = (resource.extra.get("identity") or {}).get("principalId") or ""
    return Made(resource.id, str(principal))


def put_placed(
    making: Making, entry: PlacedEntry, resource_type: str, content: dict[str, Any], stated: dict[str, str]
) -> Resource:
    """Give *content*, with what every resource has, to Resource Manager."""
    group = making.find("resourceGroups", entry.resource_group).id
    whole = {"location": entry.location or None, "tags": entry.tags, **content}
    given = {name: guid for name, guid in stated.items() if guid}
    return making.clouds.arm.seed.put_resource(group, resource_type, entry.name, whole, stated=given)
