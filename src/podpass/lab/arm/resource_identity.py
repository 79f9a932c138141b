"""The identity of a resource: none, its own, user-assigned ones, or both.

Contract: pod identity, section 2.7; Azure HTTP surface, section 4.
"""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from podpass.azure.resourceids import USER_ASSIGNED_IDENTITIES
from podpass.lab.arm import errors
from podpass.lab.arm.authorization import Allowed
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate, parsed_id
from podpass.lab.arm.model import Draft, Resource
from podpass.lab.entra.directory import Application

ASSIGN = f"{USER_ASSIGNED_IDENTITIES}/assign/action"
MAX_IN_ONE_REQUEST = 150
_SYSTEM, _USER = "SystemAssigned", "UserAssigned"


class Identity(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The member `identity` of a request."""

    type: str = "None"
    user_assigned_identities: dict[str, dict[str, Any] | None] | None = None


def shape(estate: Estate, draft: Draft, given: Identity | None, resource_type: str) -> dict[str, Any] | None:
    """The member `identity` to keep; None where the resource has none. Raises ArmError.

    Whoever assigns an identity anew must hold the right to it, on the identity itself.
    """
    before: Mapping[str, Any] = (draft.existing.extra.get("identity") or {}) if draft.existing else {}
    if given is None:
        return dict(before) or None
    kinds = _kinds(given.type)
    wanted = [key for key, value in (given.user_assigned_identities or {}).items() if value is not None]
    if len(given.user_assigned_identities or {}) > MAX_IN_ONE_REQUEST + len(before.get("userAssignedIdentities") or {}):
        raise errors.invalid_request(
            f"User Assigned Identities Number '{len(given.user_assigned_identities or {})}' Assign exceed limit "
            f"'{MAX_IN_ONE_REQUEST}' in one request."
        )
    if _USER in kinds and not wanted:
        raise errors.invalid_request(
            "The value of identity.userAssignedIdentities must name an identity when the type is UserAssigned.",
            "InvalidIdentityType",
        )
    if _USER not in kinds and wanted:
        raise errors.invalid_request(
            f"The value of identity.type '{given.type[:64]}' does not allow user-assigned identities.",
            "InvalidIdentityType",
        )
    kept = {key.lower(): (key, value) for key, value in (before.get("userAssignedIdentities") or {}).items()}
    assigned: dict[str, Any] = {}
    for key in wanted:
        if (known := kept.get(key.lower())) is not None:
            # It stays assigned even when it has been deleted since, as in Azure.
            assigned[known[0]] = known[1]
            continue
        found = _assignable(estate, draft, key, resource_type)
        assigned[found.id] = {
            "principalId": found.properties["principalId"],
            "clientId": found.properties["clientId"],
        }
    if not kinds:
        return None
    shown: dict[str, Any] = {"type": ", ".join(kinds)}
    if _SYSTEM in kinds:
        shown["principalId"] = before.get("principalId") or draft.stated.get("principalId") or str(uuid.uuid4())
        shown["tenantId"] = draft.subscription.tenant_id
    if assigned:
        shown["userAssignedIdentities"] = assigned
    return shown


def patched(resource: Resource, content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The member `identity` that a PATCH asks for: `{}` adds a user-assigned one, null takes it away, others stay."""
    before, given = resource.extra.get("identity") or {}, content.get("identity")
    if not isinstance(given, Mapping):
        if not before:
            return {}
        given = {}
    present: dict[str, dict[str, Any]] = {key: {} for key in before.get("userAssignedIdentities") or {}}
    by_key: dict[str, str] = {key.lower(): key for key in present}
    changes = given.get("userAssignedIdentities")
    for key, value in changes.items() if isinstance(changes, Mapping) else ():
        known = by_key.get(str(key).lower(), str(key))
        if value is None:
            present.pop(known, None)
        else:
            present[known] = {}
    kind = given.get("type", before.get("type", "None"))
    keeps = isinstance(kind, str) and _USER.lower() in kind.replace(" ", "").lower()
    return {"identity": {"type": kind, "userAssignedIdentities": present if keeps else {}}}


def enter_directory(estate: Estate, resource: Resource, before: Resource | None) -> None:
    """Keep the directory in step with the resource's own identity."""
    now, earlier = _principal(resource), _principal(before)
    if now == earlier:
        return
    tenant_id = estate.subscription_of(resource).tenant_id
    if earlier:
        leave_directory(estate, before)
    if now:
        estate.directory.put_application(
            Application(
                tenant_id=tenant_id,
                # Azure chooses one too; it shows in tokens and nowhere in the resource.
                client_id=str(uuid.uuid5(uuid.UUID(now), "client")),
                object_id=now,
                display_name=resource.name,
                kind="managed-identity",
                resource_id=resource.id,
            )
        )


def leave_directory(estate: Estate, resource: Resource | None) -> None:
    principal = _principal(resource)
    if resource is not None and principal:
        tenant_id = estate.subscription_of(resource).tenant_id
        estate.directory.delete_application(tenant_id, str(uuid.uuid5(uuid.UUID(principal), "client")))
        estate.people.forget(principal)


def _principal(resource: Resource | None) -> str:
    return str(((resource.extra.get("identity") if resource else None) or {}).get("principalId") or "")


def _kinds(text: str) -> list[str]:
    known = {_SYSTEM.lower(): _SYSTEM, _USER.lower(): _USER}
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    if words in ([], ["none"]):
        return []
    if any(word not in known for word in words):
        raise errors.invalid_request(f"The identity type '{text[:64]}' is not valid.", "InvalidIdentityType")
    return [kind for kind in (_SYSTEM, _USER) if kind.lower() in words]


def _assignable(estate: Estate, draft: Draft, key: str, resource_type: str) -> Resource:
    wanted = parsed_id(key)
    found = estate.get(wanted)
    if found is None or found.type != USER_ASSIGNED_IDENTITIES:
        raise ArmError(
            400,
            "FailedIdentityOperation",
            f"Identity operation for resource '{draft.id}' failed with error 'Failed to perform resource identity "
            f'operation. Status: \'BadRequest\'. Response: \'{{"error":{{"code":"BadRequest","message":"Resource '
            f"'{key}' was not found.\"}}}}''.",
        )
    if not draft.principal_id:
        return found
    decision = estate.decide(principal_id=draft.principal_id, action=ASSIGN, scope=found.id)
    if not isinstance(decision, Allowed):
        raise errors.linked_authorization_failed(
            draft.actor.id, draft.principal_id, f"{resource_type}/write", str(draft.id), ASSIGN, found.id
        )
    return found
