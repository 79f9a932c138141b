"""Managed identities, machines, scale sets and resources of other types."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from podpass.azure.resourceids import GROUP_TYPE
from podpass.lab.arm import compute, managed_clusters, vaults
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.managed_identity import CREDENTIAL, IDENTITY
from podpass.lab.arm.model import Resource
from podpass.lab.filling import people, trust
from podpass.lab.filling.clouds import Made, Making
from podpass.lab.filling.finding import Finding, Found
from podpass.lab.scenario.entries import spelling
from podpass.lab.scenario.entries.resources import (
    CarrierEntry,
    IdentityEntry,
    PlacedEntry,
    ResourceEntry,
    ScaleSetEntry,
    VirtualMachineEntry,
)

_SAID_ELSEWHERE = frozenset(
    {GROUP_TYPE, IDENTITY, CREDENTIAL, compute.MACHINE, compute.SCALE_SET, managed_clusters.TYPE, vaults.TYPE}
)
_EXTRA = frozenset({"identity", "sku", "zones", "kind"})
_NOT_SAID = frozenset({"Microsoft.Resources/deployments"})
"""What has been, not what is."""


def put_identity(making: Making, entry: IdentityEntry) -> Made:
    stated = {"clientId": entry.client_id, "principalId": entry.principal_id}
    resource = put_placed(making, entry, IDENTITY, {}, stated)
    for member, wanted in stated.items():
        if wanted and resource.properties[member] != wanted:
            raise ArmError(409, "IdentityExists", f"It exists, and its {member} is {resource.properties[member]}.")
    tenant_id, principal_id = resource.properties["tenantId"], resource.properties["principalId"]
    people.give_roles(making, tenant_id, principal_id, entry.directory_roles)
    return Made(id=resource.id, principal_id=resource.properties["principalId"])


def put_trust(making: Making, entry: IdentityEntry) -> Made:
    """Whose tokens an identity trusts: put once there are clusters, whose issuers it may name."""
    made = making.find(f"{entry.resource_group}/{entry.name}", "identities")
    for one in entry.federated_credentials:
        credential = trust.wanted(making, one)
        making.clouds.arm.seed.put_federated_credential(
            made.id,
            credential.name,
            issuer=credential.issuer,
            subject=one.subject,
            expression=one.expression,
            audience=one.audience,
        )
    return made


def identities_there(finding: Finding) -> Iterator[Found]:
    for identity in finding.resources(IDENTITY):
        yield Found(
            path=finding.place(identity),
            id=identity.id,
            principal_id=identity.properties["principalId"],
            entry=partial(_identity, finding, identity),
        )


def _identity(finding: Finding, identity: Resource) -> IdentityEntry:
    client_id, tenant_id = identity.properties["clientId"], identity.properties["tenantId"]
    credentials = finding.clouds.directory.credentials(tenant_id, client_id)
    return IdentityEntry(
        **finding.placed(identity),
        client_id=client_id,
        principal_id=identity.properties["principalId"],
        directory_roles=people.roles_of(finding, tenant_id, identity.properties["principalId"]),
        federated_credentials=tuple(trust.entry_of(finding, one) for one in credentials),
    )


def put_machine(making: Making, entry: VirtualMachineEntry) -> Made:
    made = _put_carrier(making, entry, compute.MACHINE, {})
    if entry.host:
        making.clouds.remembered.keep_host_machine(made.id)
    return made


def machines_there(finding: Finding) -> Iterator[Found]:
    for machine in finding.resources(compute.MACHINE):
        yield _found(finding, machine, partial(_machine, finding, machine))


def _machine(finding: Finding, machine: Resource) -> VirtualMachineEntry:
    is_host = finding.clouds.remembered.host_machine.lower() == machine.id.lower()
    return VirtualMachineEntry(**_carrier(finding, machine), host=is_host)


def put_scale_set(making: Making, entry: ScaleSetEntry) -> Made:
    return _put_carrier(making, entry, compute.SCALE_SET, {"sku": {"name": entry.size, "capacity": entry.capacity}})


def scale_sets_there(finding: Finding) -> Iterator[Found]:
    for scale_set in finding.resources(compute.SCALE_SET):
        yield _found(finding, scale_set, partial(_scale_set, finding, scale_set))


def _scale_set(finding: Finding, scale_set: Resource) -> ScaleSetEntry:
    sku: Mapping[str, Any] = scale_set.extra["sku"]
    return ScaleSetEntry(**_carrier(finding, scale_set), size=sku["name"], capacity=sku["capacity"])


def put_other(making: Making, entry: ResourceEntry) -> Made:
    content: dict[str, Any] = {"sku": entry.sku} if entry.sku else {}
    return _put_carrier(making, entry, entry.type, {**content, **({"kind": entry.kind} if entry.kind else {})})


def others_there(finding: Finding) -> Iterator[Found]:
    kinds = [kind.name for kind in finding.clouds.arm.estate.types.values() if kind.name not in _SAID_ELSEWHERE]
    for resource in finding.resources(*kinds):
        if resource.type in _NOT_SAID:
            finding.note("resources", f"{resource.name}: what {resource.type} keeps has been, and is not said.")
            continue
        further = ", ".join(sorted(resource.extra.keys() - _EXTRA))
        finding.note("resources", f"{resource.name}: its members {further} are not said.", len(further))
        yield _found(finding, resource, partial(_other, finding, resource))


def _other(finding: Finding, resource: Resource) -> ResourceEntry:
    return ResourceEntry(
        **_carrier(finding, resource),
        type=resource.type,
        sku=dict(resource.extra.get("sku") or {}),
        kind=str(resource.extra.get("kind") or ""),
    )


def _put_carrier(making: Making, entry: CarrierEntry, resource_type: str, content: dict[str, Any]) -> Made:
    kinds = [*(["SystemAssigned"] if entry.system_assigned else []), *(["UserAssigned"] if entry.identities else [])]
    assigned: dict[str, Any] = {making.find(name, "identities").id: {} for name in entry.identities}
    content = {
        **content,
        "identity": {"type": ", ".join(kinds) or "None", "userAssignedIdentities": assigned},
        "properties": entry.properties,
    }
    if entry.zones:
        content["zones"] = list(entry.zones)
    # What the service chooses for life stands among the properties, as the service shows it: vmId, uniqueId.
    texts = {name: value for name, value in entry.properties.items() if isinstance(value, str)}
    stated = {name: value for name, value in texts.items() if value and spelling.GUID.pattern.fullmatch(value)}
    resource = put_placed(making, entry, resource_type, content, {**stated, "principalId": entry.principal_id})
    return Made(id=resource.id, principal_id=_principal(resource))


def put_placed(
    making: Making, entry: PlacedEntry, resource_type: str, content: dict[str, Any], stated: dict[str, str]
) -> Resource:
    """Give *content*, with what every resource has, to Resource Manager."""
    group = making.find(entry.resource_group, "resourceGroups").id
    whole = {"location": entry.location or None, "tags": entry.tags, **content}
    given = {name: guid for name, guid in stated.items() if guid}
    return making.clouds.arm.seed.put_resource(group, resource_type, entry.name, whole, stated=given)


def _found(finding: Finding, resource: Resource, entry: Any) -> Found:
    return Found(path=finding.place(resource), id=resource.id, principal_id=_principal(resource), entry=entry)


def _principal(resource: Resource) -> str:
    return str((resource.extra.get("identity") or {}).get("principalId") or "")


def _carrier(finding: Finding, resource: Resource) -> dict[str, Any]:
    """The members that every resource with identities has. Identities that are gone can't be assigned again."""
    assigned = list((resource.extra.get("identity") or {}).get("userAssignedIdentities") or {})
    return {
        **finding.placed(resource),
        "system_assigned": bool(_principal(resource)),
        "principal_id": _principal(resource),
        "identities": tuple(
            finding.reference("identities", one) for one in assigned if finding.knows("identities", one)
        ),
        "zones": tuple(resource.extra.get("zones") or ()),
        "properties": {name: value for name, value in resource.properties.items() if name != "provisioningState"},
    }
