"""Deleted vaults: kept for their retention, recovered or purged, their names reserved meanwhile.

Contract: secrets store, section 4.2.
"""

from collections.abc import Mapping
from typing import Any

from podpass.azure.resourceids import ResourceId
from podpass.lab.arm import errors
from podpass.lab.arm.estate import SERVICE, Estate
from podpass.lab.arm.model import Answer, Call, Operation, Resource, timestamp
from podpass.lab.arm.paths import resource_id

_DAY_SECONDS = 86_400


def keep_deleted(estate: Estate, resource: Resource) -> None:
    """Remember a vault that is being deleted, until the end of its retention."""
    now = estate.clock.now()
    document = {
        "resource": resource,
        "deleted_at": now,
        "purge_at": now + resource.properties["softDeleteRetentionInDays"] * _DAY_SECONDS,
    }
    key = f"{resource_id(resource.id).subscription}/{resource.location}/{resource.name}".lower()
    estate.store.put(SERVICE, "deleted-vault", key, document)


def recover(estate: Estate, key: str) -> Resource:
    """The deleted vault under *key*, which is deleted no longer."""
    document = estate.store.get(SERVICE, "deleted-vault", key)
    assert document is not None
    estate.store.delete(SERVICE, "deleted-vault", key)
    return Resource(**document["resource"])


def deleted_key(estate: Estate, name: str) -> str | None:
    """Where the deleted vault of this name is kept; None when there is none."""
    expire(estate)
    for key, _ in estate.store.items(SERVICE, "deleted-vault"):
        if key.rpartition("/")[2] == name.lower():
            return key
    return None


def expire(estate: Estate) -> None:
    """Purge the vaults whose retention is over."""
    now = estate.clock.now()
    for key, document in estate.store.items(SERVICE, "deleted-vault"):
        if document["purge_at"] <= now:
            _purge(estate, key, document)


def _purge(estate: Estate, key: str, document: Mapping[str, Any]) -> None:
    with estate.store.transaction():
        estate.store.delete(SERVICE, "deleted-vault", key)
        estate.store.delete(SERVICE, "vault-name", key.rpartition("/")[2])
        for tell in estate.purge_listeners:
            tell(document["resource"]["hidden"]["instance"])


def _deleted_vaults(estate: Estate, call: Call) -> Answer:
    if not call.address.tail:
        raise errors.method_not_allowed(call.method, "Microsoft.KeyVault/deletedVaults")
    expire(estate)
    prefix = f"{call.address.id.subscription}/".lower()
    found = estate.store.items(SERVICE, "deleted-vault", prefix)
    return Answer(200, items=tuple(_shown_deleted(document) for _, document in found))


def _deleted_vault(estate: Estate, call: Call) -> Answer:
    document = _require_deleted(estate, call.address.id)[1]
    return Answer(200, _shown_deleted(document))


def _purge_deleted(estate: Estate, call: Call) -> Answer:
    key, document = _require_deleted(estate, call.address.id)
    if document["resource"]["properties"].get("enablePurgeProtection"):
        raise errors.ArmError(405, "MethodNotAllowed", "Operation 'DeletedVaultPurge' is not allowed.")
    _purge(estate, key, document)
    return Answer(200)


def _require_deleted(estate: Estate, wanted: ResourceId) -> tuple[str, dict[str, Any]]:
    expire(estate)
    pairs = wanted.parts[-1].pairs
    key = f"{wanted.subscription}/{pairs[0][1]}/{pairs[-1][1]}".lower()
    document = estate.store.get(SERVICE, "deleted-vault", key) if len(pairs) == 2 else None
    if document is None:
        raise errors.ArmError(
            404, "DeletedVaultNotFound", f"The specified deleted vault '{pairs[-1][1]}' does not exist."
        )
    return key, document


def _shown_deleted(document: Mapping[str, Any]) -> dict[str, Any]:
    resource = Resource(**document["resource"])
    subscription = resource_id(resource.id).subscription
    properties: dict[str, Any] = {
        "vaultId": resource.id,
        "location": resource.location,
        "tags": resource.tags or {},
        "deletionDate": timestamp(document["deleted_at"]),
        "scheduledPurgeDate": timestamp(document["purge_at"]),
    }
    if resource.properties.get("enablePurgeProtection"):
        properties["purgeProtectionEnabled"] = True
    return {
        "id": f"/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/{resource.location}"
        f"/deletedVaults/{resource.name}",
        "name": resource.name,
        "type": "Microsoft.KeyVault/deletedVaults",
        "properties": properties,
    }


_DELETED = "Microsoft.KeyVault/deletedVaults"
_LOCATED = "Microsoft.KeyVault/locations/deletedVaults"
OPERATIONS = (
    Operation(method="GET", path=_DELETED, action=f"{_DELETED}/read", run=_deleted_vaults),
    Operation(method="GET", path=_LOCATED, action=f"{_LOCATED}/read", run=_deleted_vault),
    Operation(method="POST", path=f"{_LOCATED}/purge", action=f"{_LOCATED}/purge/action", run=_purge_deleted),
)
