"""Role definitions, as calls: the built-in ones to read, custom ones to make, change and delete.

Whoever writes or deletes a custom role needs the right to it at every scope where it can be assigned. Azure answers
each PUT with 201, which its clients insist on.
Contract: Azure HTTP surface, sections 4 and 4.1.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from podpass.azure.resourceids import GROUP_TYPE
from podpass.lab.arm import errors
from podpass.lab.arm.assignments import role_definition_id
from podpass.lab.arm.authorization import Allowed, Permission, RoleDefinition, covers
from podpass.lab.arm.custom_roles import CustomRole
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate, parsed_id
from podpass.lab.arm.filters import Clause, clauses_of
from podpass.lab.arm.model import Answer, Call, Operation, timestamp
from podpass.lab.arm.namespaces import NOT_EMULATED_NAMESPACES
from podpass.lab.arm.role_actions import fault_of
from podpass.lab.arm.roles import BY_GUID

TYPE = "Microsoft.Authorization/roleDefinitions"
MAX_CUSTOM_ROLES, MAX_NAME, MAX_DESCRIPTION, MAX_SCOPES = 5_000, 512, 2_048, 2_000
GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


class _Permission(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    actions: list[str] | None = None
    not_actions: list[str] | None = None
    data_actions: list[str] | None = None
    not_data_actions: list[str] | None = None
    condition: str | None = None


class _Properties(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    role_name: str | None = None
    description: str | None = None
    type: str | None = None
    permissions: list[_Permission] | None = None
    assignable_scopes: list[str] | None = None


class _Body(msgspec.Struct, frozen=True):
    properties: _Properties


def does_not_exist(guid: str, status: int = 404) -> ArmError:
    return ArmError(
        status,
        "RoleDefinitionDoesNotExist",
        f"The specified role definition with ID '{guid[:64].replace('-', '')}' does not exist.",
    )


def _get(estate: Estate, call: Call) -> Answer:
    if call.address.tail:
        return _list(estate, call)
    scope = estate.require_scope(call.address.id.parent)
    definition = estate.definitions.all().get(call.address.id.name.lower())
    if definition is None or not _is_seen(definition, scope):
        raise does_not_exist(call.address.id.name)
    return Answer(200, shown(estate, definition, scope))


def _is_seen(definition: RoleDefinition, scope: str) -> bool:
    return not scope or definition.is_assignable_at(scope) or definition.is_assignable_below(scope)


def _list(estate: Estate, call: Call) -> Answer:
    scope = estate.require_scope(call.address.id)
    clauses = clauses_of(call.query)
    below = Clause("atscopeandbelow", "", True) in clauses
    found = estate.definitions.at(scope, below=below)
    for clause in clauses:
        match clause:
            case Clause("rolename", value, False):
                found = [role for role in found if role.name.lower() == value.lower()]
            case Clause("type", value, False):
                found = [role for role in found if _type(role).lower() == value.lower()]
            case Clause("atscopeandbelow", "", True):
                pass
            case _:
                raise errors.invalid_filter(clause.name)
    return Answer(200, items=tuple(shown(estate, role, scope) for role in found))


def put(estate: Estate, call: Call) -> Answer:
    """Make a custom role, or change it."""
    guid = _guid(call)
    try:
        given = msgspec.json.decode(call.body, type=_Body).properties
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.invalid_content(str(error)) from error
    scope = estate.require_scope(call.address.id.parent)
    assert call.subscription is not None
    with estate.store.transaction():
        before = _changeable(estate, guid, call)
        definition = _checked(estate, call, guid, given)
        for each in (*definition.assignable_scopes, *(before.definition.assignable_scopes if before else ())):
            _may(estate, call, f"{TYPE}/write", scope, each)
        _check_name(estate, definition, call.tenant_id)
        if before is None and _count(estate, call.tenant_id) >= MAX_CUSTOM_ROLES:
            raise errors.invalid_request(
                "Role definition limit exceeded. No more role definitions can be created.",
                "RoleDefinitionLimitExceeded",
            )
        now = timestamp(estate.clock.now())
        role = CustomRole(
            tenant_id=call.tenant_id,
            definition=definition,
            created_on=before.created_on if before else now,
            created_by=before.created_by if before else call.principal_id,
            updated_on=now,
            updated_by=call.principal_id,
        )
        estate.definitions.put(role)
    return Answer(201, shown(estate, definition, scope))


def _delete(estate: Estate, call: Call) -> Answer:
    guid = _guid(call)
    scope = estate.require_scope(call.address.id.parent)
    with estate.store.transaction():
        present = _changeable(estate, guid, call)
        if present is None:
            return Answer(204)
        for each in present.definition.assignable_scopes:
            _may(estate, call, f"{TYPE}/delete", scope, each)
        if estate.assignments.with_role(guid):
            raise errors.invalid_request(
                "There are existing role assignments referencing role.", "RoleDefinitionHasAssignments"
            )
        document = shown(estate, present.definition, scope)
        estate.definitions.delete(guid)
    return Answer(200, document)


def _guid(call: Call) -> str:
    if call.address.tail or not call.address.id.parent.parts:
        raise errors.method_not_allowed(call.method, TYPE)
    name = call.address.id.name
    if GUID.fullmatch(name) is None:
        raise errors.invalid_request(
            f"The role definition ID '{name[:64]}' is not valid. The role definition ID must be a GUID.",
            "InvalidRoleDefinitionId",
        )
    return name.lower()


def _changeable(estate: Estate, guid: str, call: Call) -> CustomRole | None:
    """The custom role that is to be changed. Raises ArmError when the GUID is another's."""
    before = estate.definitions.made(guid)
    if guid in BY_GUID or (before is not None and before.tenant_id != call.tenant_id):
        raise ArmError(
            409, "RoleDefinitionExists", "A role definition with this ID exists already and can't be changed."
        )
    return before


def _checked(estate: Estate, call: Call, guid: str, given: _Properties) -> RoleDefinition:
    if not (given.role_name or "").strip():
        raise errors.invalid_request(
            "The role definition name can't be null or empty.", "RoleDefinitionNameNullOrEmpty"
        )
    name, description = given.role_name or "", given.description or ""
    if len(name) > MAX_NAME or len(description) > MAX_DESCRIPTION:
        raise errors.bad_request(
            f"The name of a role can have {MAX_NAME} characters at most, its description {MAX_DESCRIPTION}."
        )
    if (given.type or "CustomRole").lower() != "customrole":
        raise errors.invalid_request(
            f"The role definition type '{(given.type or '')[:64]}' is not valid. It must be CustomRole.",
            "InvalidRoleDefinitionType",
        )
    return RoleDefinition(
        guid=guid,
        name=name,
        description=description,
        permissions=tuple(_permission(estate, one) for one in given.permissions or ()),
        assignable_scopes=_scopes(estate, call, given.assignable_scopes or ()),
        is_custom=True,
    )


def _permission(estate: Estate, given: _Permission) -> Permission:
    if given.condition:
        raise errors.not_emulated("conditions of role definitions")
    providers = {name.partition("/")[0] for name in estate.types} | NOT_EMULATED_NAMESPACES
    providers |= {"microsoft.authorization", "microsoft.features", "microsoft.resources"}
    made = Permission(
        actions=tuple(given.actions or ()),
        not_actions=tuple(given.not_actions or ()),
        data_actions=tuple(given.data_actions or ()),
        not_data_actions=tuple(given.not_data_actions or ()),
    )
    for is_data, actions in (
        (False, (*made.actions, *made.not_actions)),
        (True, (*made.data_actions, *made.not_data_actions)),
    ):
        for action in actions:
            if (fault := fault_of(action, providers, is_data=is_data)) is not None:
                raise errors.invalid_request(fault, "InvalidActionOrNotAction")
    return made


def _scopes(estate: Estate, call: Call, given: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    if not given:
        raise errors.invalid_request(
            "The role definition must have at least one assignable scope.", "MissingAssignableScopes"
        )
    if len(given) > MAX_SCOPES:
        raise errors.bad_request(f"A role can have at most {MAX_SCOPES} assignable scopes.")
    return tuple(dict.fromkeys(_scope(estate, call, text, index) for index, text in enumerate(given)))


def _scope(estate: Estate, call: Call, text: str, index: int) -> str:
    if text.strip("/") == "":
        raise errors.invalid_request(
            "A custom role's assignable scope must be a subscription or below one.",
            "AssignableScopeNotUnderSubscriptionScope",
        )
    if text.lower().startswith("/providers/microsoft.management/managementgroups/"):
        raise errors.not_emulated("management groups as assignable scopes")
    try:
        wanted = parsed_id(text)
    except ArmError as error:
        raise errors.invalid_request(
            f"Property id '{text[:200]}' at path 'properties.assignableScopes[{index}]' is invalid. Expect fully "
            "qualified resource Id that start with '/subscriptions/{subscriptionId}' or "
            "'/providers/{resourceProviderNamespace}/'.",
            "LinkedInvalidPropertyId",
        ) from error
    subscription = estate.subscription(wanted.subscription) if wanted.subscription else None
    if subscription is None or subscription.tenant_id.lower() != call.tenant_id.lower():
        raise errors.linked_subscription_not_found(
            call.actor.id, call.principal_id, f"{TYPE}/write", str(call.address.id), wanted.subscription or text[:64]
        )
    group = estate.get(wanted.group_id) if wanted.type.lower() == GROUP_TYPE.lower() else None
    return group.id if group is not None else str(wanted)


def _may(estate: Estate, call: Call, action: str, scope: str, linked: str) -> None:
    """Raises ArmError unless the caller may do *action* at *linked* too."""
    # The lab's own filling has no principal.
    if not call.principal_id or covers(scope, linked):
        return
    if not isinstance(estate.decide(principal_id=call.principal_id, action=action, scope=linked), Allowed):
        raise errors.linked_authorization_failed(
            call.actor.id, call.principal_id, action, str(call.address.id), action, linked
        )


def _check_name(estate: Estate, definition: RoleDefinition, tenant_id: str) -> None:
    others = [*BY_GUID.values(), *(one.definition for one in estate.definitions.custom() if one.tenant_id == tenant_id)]
    if any(one.name.lower() == definition.name.lower() and one.guid != definition.guid for one in others):
        raise ArmError(
            409,
            "RoleDefinitionWithSameNameExists",
            "A custom role with the same name already exists in this directory. Use a different name.",
        )


def _count(estate: Estate, tenant_id: str) -> int:
    return sum(one.tenant_id == tenant_id for one in estate.definitions.custom())


def _type(definition: RoleDefinition) -> str:
    return "CustomRole" if definition.is_custom else "BuiltInRole"


def shown(estate: Estate, definition: RoleDefinition, scope: str) -> Mapping[str, Any]:
    """The role as ARM shows it below *scope*."""
    made = estate.definitions.made(definition.guid) if definition.is_custom else None
    properties: dict[str, Any] = {
        "roleName": definition.name,
        "type": _type(definition),
        "description": definition.description,
        "assignableScopes": definition.assignable_scopes,
        "permissions": [permission.to_dict() for permission in definition.permissions],
    }
    if made is not None:
        properties |= {
            "createdOn": made.created_on,
            "updatedOn": made.updated_on,
            "createdBy": made.created_by,
            "updatedBy": made.updated_by,
        }
    return {
        "id": role_definition_id(definition.guid, scope),
        "name": definition.guid,
        "type": TYPE,
        "properties": properties,
    }


OPERATIONS = (
    Operation(method="GET", path=TYPE, action=f"{TYPE}/read", run=_get),
    Operation(method="PUT", path=TYPE, action=f"{TYPE}/write", run=put),
    Operation(method="DELETE", path=TYPE, action=f"{TYPE}/delete", run=_delete),
)
