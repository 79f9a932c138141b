"""Virtual machines and scale sets: what carries identities. No machine runs behind them.

A write or delete takes a moment of the lab's time and can be followed as a long-running operation.
Contract: Azure HTTP surface, section 4; pod identity, section 2.7.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from podpass.lab.arm import long_running, resource_identity
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.model import Answer, Body, Call, Draft, NameRule, Operation, Resource, ResourceType, Shaped
from podpass.lab.arm.resource_identity import Identity

SCALE_SET = "Microsoft.Compute/virtualMachineScaleSets"
INSTANCE = f"{SCALE_SET}/virtualMachines"
MACHINE = "Microsoft.Compute/virtualMachines"
SECONDS = 1.0
API_VERSIONS = ("2026-04-01", "2024-11-01", "2024-07-01", "2023-03-01", "2019-12-01", "2019-07-01")
MAX_CAPACITY = 1000


class _Sku(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    tier: str = "Standard"
    capacity: int = 0


class ScaleSetBody(Body, frozen=True, kw_only=True, rename="camel"):
    sku: _Sku | None = None
    identity: Identity | None = None
    zones: list[str] | None = None
    properties: dict[str, Any] = msgspec.field(default_factory=dict)


class MachineBody(Body, frozen=True, kw_only=True, rename="camel"):
    identity: Identity | None = None
    zones: list[str] | None = None
    properties: dict[str, Any] = msgspec.field(default_factory=dict)


def _shape_scale_set(estate: Estate, draft: Draft) -> Shaped:
    given: ScaleSetBody = draft.body
    before = draft.existing
    sku = given.sku or (_Sku(**before.extra["sku"]) if before else _Sku(name="Standard_D2s_v3", capacity=0))
    capacity = min(max(sku.capacity, 0), MAX_CAPACITY)
    properties = {
        "singlePlacementGroup": True,
        "orchestrationMode": "Uniform",
        "upgradePolicy": {"mode": "Manual"},
        "overprovision": False,
        **given.properties,
        "uniqueId": draft.guid("uniqueId"),
        "provisioningState": "Succeeded",
    }
    extra: dict[str, Any] = {"sku": {"name": sku.name, "tier": sku.tier, "capacity": capacity}}
    return Shaped(properties=properties, extra=_with_identity(estate, draft, given.identity, SCALE_SET, extra))


def _shape_machine(estate: Estate, draft: Draft) -> Shaped:
    given: MachineBody = draft.body
    properties = {
        "hardwareProfile": {"vmSize": "Standard_D2s_v3"},
        **given.properties,
        "vmId": draft.guid("vmId"),
        "provisioningState": "Succeeded",
    }
    return Shaped(properties=properties, extra=_with_identity(estate, draft, given.identity, MACHINE, {}))


def _with_identity(
    estate: Estate, draft: Draft, given: Identity | None, resource_type: str, extra: dict[str, Any]
) -> dict[str, Any]:
    if draft.body.zones:
        extra["zones"] = draft.body.zones
    identity = resource_identity.shape(estate, draft, given, resource_type)
    return extra if identity is None else {**extra, "identity": identity}


def _view(estate: Estate, call: Call) -> Answer:
    """How a machine is, or a scale set's machines."""
    resource = estate.require(call.address.id)
    if resource.type == MACHINE:
        return Answer(200, _machine_view(resource))
    count = resource.extra["sku"]["capacity"]
    states = [{"code": "ProvisioningState/succeeded", "count": count}] if count else []
    statuses = [_status("ProvisioningState", "succeeded")]
    return Answer(200, {"virtualMachine": {"statusesSummary": states}, "statuses": statuses})


def _expanded(resource: Resource, what: str) -> Mapping[str, Any]:
    return {"instanceView": _machine_view(resource)} if what.lower() == "instanceview" else {}


def _machine_view(machine: Resource) -> dict[str, Any]:
    """A machine of the lab is on for life: nothing switches it off."""
    del machine
    return {"statuses": [_status("ProvisioningState", "succeeded"), _status("PowerState", "running")]}


def _status(what: str, state: str) -> dict[str, str]:
    shown = f"VM {state}" if what == "PowerState" else f"Provisioning {state}"
    return {"code": f"{what}/{state}", "level": "Info", "displayStatus": shown}


def _instances(estate: Estate, call: Call) -> Answer:
    """The machines of a scale set, as many as its capacity says."""
    scale_set = estate.require(call.address.id)
    shown = [_shown(instance(scale_set, number)) for number in range(scale_set.extra["sku"]["capacity"])]
    return Answer(200, items=tuple(shown))


def instance_id(scale_set_id: str, number: int) -> str:
    return f"{scale_set_id}/virtualMachines/{number}"


def instance(scale_set: Resource, number: int) -> Resource:
    """One machine of a scale set, which has the set's identities, tags, size and zones."""
    properties = {
        "latestModelApplied": True,
        "vmId": str(uuid.uuid5(uuid.UUID(scale_set.properties["uniqueId"]), str(number))),
        "provisioningState": "Succeeded",
    }
    name, place = f"{scale_set.name}_{number}", instance_id(scale_set.id, number)
    return replace(scale_set, id=place, name=name, type=INSTANCE, properties=properties)


def _shown(machine: Resource) -> dict[str, Any]:
    return {
        "id": machine.id,
        "name": machine.name,
        "instanceId": machine.id.rpartition("/")[2],
        "type": INSTANCE,
        "location": machine.location,
        "properties": machine.properties,
    }


_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9._-]{0,62}[a-zA-Z0-9_])?")
_INVALID_NAME = (
    "The entity name '{name}' is invalid according to its validation rule: ^[^_\\W][\\w-._]{{0,79}}(?<![-.])$."
)

TYPES = (
    ResourceType(
        name=SCALE_SET,
        api_versions=API_VERSIONS,
        body=ScaleSetBody,
        shape=_shape_scale_set,
        name_rule=NameRule(_NAME, "InvalidParameter", _INVALID_NAME),
        seconds=SECONDS,
        patched=resource_identity.patched,
        written=resource_identity.enter_directory,
        removed=resource_identity.leave_directory,
    ),
    ResourceType(
        name=MACHINE,
        expanded=_expanded,
        api_versions=API_VERSIONS,
        body=MachineBody,
        shape=_shape_machine,
        name_rule=NameRule(_NAME, "InvalidParameter", _INVALID_NAME),
        seconds=SECONDS,
        patched=resource_identity.patched,
        written=resource_identity.enter_directory,
        removed=resource_identity.leave_directory,
    ),
)

OPERATIONS = (
    *long_running.operations("Microsoft.Compute"),
    Operation(
        method="GET",
        path=INSTANCE,
        action=f"{INSTANCE}/read",
        run=_instances,
    ),
    *(
        Operation(method="GET", path=f"{kind}/instanceView", action=f"{kind}/instanceView/read", run=_view)
        for kind in (MACHINE, SCALE_SET)
    ),
)
