"""Which identity of a machine a token request means, and how a machine is described.

Contract: pod identity, sections 4.1 and 4.2.
"""

from dataclasses import dataclass
from typing import Any

from podpass.imds import errors
from podpass.imds.errors import ImdsError
from podpass.imds.requests import TokenRequest
from podpass.lab.arm.compute import INSTANCE
from podpass.lab.arm.model import Resource
from podpass.lab.arm.paths import resource_id


@dataclass(frozen=True, slots=True)
class Chosen:
    """The identity to issue a token for, by its principal."""

    principal_id: str


def choose(machine: Resource, asked: TokenRequest) -> Chosen | ImdsError:
    """The identity of *machine* that a request names; without a name the machine's own, else the only one it has."""
    identity = machine.extra.get("identity") or {}
    own = str(identity.get("principalId") or "")
    assigned: dict[str, dict[str, str]] = identity.get("userAssignedIdentities") or {}
    if asked.names_identity:
        for key, ids in assigned.items():
            if (
                (asked.client_id and asked.client_id.lower() == ids["clientId"])
                or (asked.object_id and asked.object_id.lower() == ids["principalId"])
                or (asked.resource_id and asked.resource_id.lower() == key.lower())
            ):
                return Chosen(ids["principalId"])
        if own and (asked.object_id.lower() == own or asked.resource_id.lower() == machine.id.lower()):
            return Chosen(own)
        return errors.IDENTITY_NOT_FOUND
    if own:
        return Chosen(own)
    if len(assigned) > 1:
        return errors.SEVERAL_IDENTITIES
    return next((Chosen(ids["principalId"]) for ids in assigned.values()), errors.IDENTITY_NOT_FOUND)


def document(machine: Resource) -> dict[str, Any]:
    """The instance document of *machine*, with the members of the newest api-version. Every scalar is a string."""
    tags = dict(machine.tags or {})
    place = resource_id(machine.id)
    scale_set = place.parent.name if place.type == INSTANCE else ""
    # As scale sets call the computer of their machine: six digits to the base of 36.
    computer = f"{scale_set}{_base36(int(place.name)):0>6}" if scale_set else machine.name
    hardware = machine.properties.get("hardwareProfile") or {}
    compute: dict[str, Any] = {
        "azEnvironment": "AzurePublicCloud",
        "customData": "",
        "evictionPolicy": "",
        "licenseType": "",
        "location": machine.location,
        "name": machine.name,
        "offer": "",
        "osProfile": {"adminUsername": "", "computerName": computer, "disablePasswordAuthentication": "true"},
        "osType": "Linux",
        "placementGroupId": "",
        "plan": {"name": "", "product": "", "publisher": ""},
        "platformFaultDomain": "0",
        "platformUpdateDomain": "0",
        "priority": "",
        "provider": "Microsoft.Compute",
        "publicKeys": [],
        "publisher": "",
        "resourceGroupName": place.group,
        "resourceId": machine.id,
        "sku": "",
        "storageProfile": {"dataDisks": [], "imageReference": {}, "osDisk": {}},
        "subscriptionId": place.subscription,
        "tags": ";".join(f"{name}:{value}" for name, value in tags.items()),
        "tagsList": [{"name": name, "value": value} for name, value in tags.items()],
        "userData": "",
        "version": "",
        "vmId": str(machine.properties.get("vmId") or machine.properties.get("uniqueId") or ""),
        "vmScaleSetName": scale_set,
        "vmSize": str(hardware.get("vmSize") or (machine.extra.get("sku") or {}).get("name") or ""),
        "zone": "".join(machine.extra.get("zones") or ()),
    }
    return {"compute": compute, "network": {"interface": []}}


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"
