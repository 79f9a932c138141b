"""Role assignments, as calls.

Conditions on assignments are refused rather than kept and ignored: an ignored condition would grant too much.
Contract: Azure HTTP surface, sections 4 and 4.1.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Literal

import msgspec

from podpass.azure.resourceids import ResourceId
from podpass.lab.arm import errors
from podpass.lab.arm.assignments import TYPE, RoleAssignment
from podpass.lab.arm.authorization import covers
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.filters import Clause, clauses_of
from podpass.lab.arm.model import Answer, Call, Operation, timestamp
from podpass.lab.arm.role_definitions import GUID, does_not_exist

DENIALS = "Microsoft.Authorization/denyAssignments"
MAX_ASSIGNMENTS = 4_000
"""Of one subscription."""

PrincipalType = Literal["User", "Group", "ServicePrincipal", "ForeignGroup", "Device"]


class AssignmentProperties(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a request says of a role assignment."""

    role_definition_id: str
    principal_id: str
    principal_type: PrincipalType | None = None
    description: str | None = None
    condition: str | None = None


class _AssignmentBody(msgspec.Struct, frozen=True):
    properties: AssignmentProperties


def assign(
    estate: Estate, scope: ResourceId, name: str, wanted: AssignmentProperties, *, by: str
) -> tuple[RoleAssignment, bool]:
    """Give a role to a principal at *scope* under *name*, a GUID; the second value says whether it is new.

    *by* is the object id of who gives it. Raises ArmError: PrincipalNotFound, RoleDefinitionDoesNotExist,
    RoleAssignmentExists and the like.
    """
    if GUID.fullmatch(name) is None:
        raise errors.invalid_request(
            f"The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID.",
            "InvalidRoleAssignmentId",
        )
    if wanted.condition:
        raise errors.not_emulated("conditions of role assignments")
    shown_scope = estate.require_scope(scope)
    subscription = estate.subscription(scope.subscription)
    tenant_id = subscription.tenant_id if subscription else None
    role = _assignable_role(estate, wanted.role_definition_id, shown_scope)
    principal = wanted.principal_id.lower()
    principal_type = _principal_type(estate, tenant_id, principal, wanted.principal_type)
    now = timestamp(estate.clock.now())
    assignment = RoleAssignment(
        id=f"{shown_scope}/providers/{TYPE}/{name.lower()}",
        name=name.lower(),
        scope=shown_scope,
        role=role,
        principal_id=principal,
        principal_type=principal_type,
        description=wanted.description,
        created_on=now,
        created_by=by,
        updated_on=now,
    )
    with estate.store.transaction():
        for other in estate.assignments.of(principal):
            same = (other.role, other.scope.lower()) == (role, shown_scope.lower())
            if same and other.name != assignment.name:
                raise ArmError(
                    409,
                    "RoleAssignmentExists",
                    f"The role assignment already exists. The ID of the conflicting role assignment is "
                    f"{other.name.replace('-', '')}.",
                )
        before = estate.assignments.get(assignment.id)
        if before is not None:
            if (before.role, before.principal_id) != (role, principal):
                raise errors.invalid_request(
                    "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
                    "RoleAssignmentUpdateNotPermitted",
                )
            if before.description == wanted.description:
                return before, False
            assignment = replace(assignment, created_on=before.created_on, created_by=before.created_by)
        elif subscription is not None and estate.assignments.count(subscription.id) >= MAX_ASSIGNMENTS:
            raise errors.invalid_request(
                "Role assignment limit exceeded. No more role assignments can be created.",
                "RoleAssignmentLimitExceeded",
            )
        estate.assignments.put(assignment)
    return assignment, before is None


def _assignable_role(estate: Estate, definition_id: str, scope: str) -> str:
    """The GUID of the role. Raises ArmError when there is none, or it is not for *scope*."""
    guid = definition_id.rstrip("/").rpartition("/")[2].lower()
    definition = estate.definitions.all().get(guid)
    if definition is None:
        raise does_not_exist(guid, 400)
    if not definition.is_assignable_at(scope):
        raise errors.invalid_request(
            f"The role assignment scope '{scope}' must match the scope specified on the role definition "
            f"'{', '.join(definition.assignable_scopes)[:500]}'.",
            "RoleAssignmentScopeNotAssignableToRoleDefinition",
        )
    return guid


def _principal_type(estate: Estate, tenant_id: str | None, principal: str, given: str | None) -> PrincipalType:
    """What the principal is. Raises ArmError when it is nothing, or not what the request says."""
    tenants = [tenant_id] if tenant_id else [tenant.tenant_id for tenant in estate.directory.tenants()]
    found = next((kind for tenant in tenants if (kind := _type_in(estate, tenant, principal)) is not None), None)
    if found is None:
        raise errors.invalid_request(
            f"Principal {principal.replace('-', '')} does not exist in the directory {tenant_id or 'of this lab'}. "
            "Check that you have the correct principal ID. If you are creating this principal and then immediately "
            "assigning a role, this error might be related to a replication delay. In this case, set the role "
            "assignment principalType property to a value, such as ServicePrincipal, User, or Group. See "
            "https://aka.ms/docs-principaltype",
            "PrincipalNotFound",
        )
    if given not in (None, found):
        raise errors.invalid_request(
            # The service's own spelling of the last word, which tools look for.
            f"The PrincipalId '{principal.replace('-', '')}' has type '{found}', which is different from "
            f"specified PrinciaplType '{given}'.",
            "UnmatchedPrincipalType",
        )
    return found


def _type_in(estate: Estate, tenant_id: str, object_id: str) -> PrincipalType | None:
    if estate.directory.application_by_object_id(tenant_id, object_id) is not None:
        return "ServicePrincipal"
    if estate.people.group(tenant_id, object_id) is not None:
        return "Group"
    return None if estate.people.user(tenant_id, object_id) is None else "User"


def _put(estate: Estate, call: Call) -> Answer:
    _must_be_named(call)
    try:
        body = msgspec.json.decode(call.body, type=_AssignmentBody)
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.invalid_content(str(error)) from error
    wanted = call.address.id
    assignment, created = assign(estate, wanted.parent, wanted.name, body.properties, by=call.principal_id)
    return Answer(201 if created else 200, assignment.to_dict())


def _delete(estate: Estate, call: Call) -> Answer:
    _must_be_named(call)
    present = estate.assignments.get(str(call.address.id))
    if present is None:
        return Answer(204)
    estate.assignments.delete(present.id)
    return Answer(200, present.to_dict())


def _get(estate: Estate, call: Call) -> Answer:
    if call.address.tail:
        scope = estate.require_scope(call.address.id)
        clauses = clauses_of(call.query)
        groups = estate.people.groups_of
        found = [one for one in estate.assignments.all() if in_list(one, scope, clauses, groups)]
        return Answer(200, items=tuple(one.to_dict() for one in found))
    present = estate.assignments.get(str(call.address.id))
    if present is None:
        raise ArmError(404, "RoleAssignmentNotFound", f"The role assignment '{call.address.id.name}' is not found.")
    return Answer(200, present.to_dict())


def in_list(
    assignment: RoleAssignment, scope: str, clauses: tuple[Clause, ...], groups_of: Callable[[str], Collection[str]]
) -> bool:
    """Whether a list at *scope* with this filter shows the assignment. Raises ArmError on an unsupported filter.

    *groups_of* gives the groups that a principal is in, at any depth.
    """
    above, below = covers(assignment.scope, scope), covers(scope, assignment.scope)
    if not above and not below:
        return False
    for clause in clauses:
        match clause:
            case Clause("atscope", "", True):
                if not above:
                    return False
            case Clause("principalid", value, False):
                if len(clauses) > 1:
                    raise errors.invalid_filter("atScope() and principalId eq")
                if assignment.principal_id != value.lower():
                    return False
            case Clause("assignedto", value, True):
                if assignment.principal_id not in (value.lower(), *groups_of(value)):
                    return False
            case _:
                raise errors.invalid_filter(clause.name)
    return True


def _permissions(estate: Estate, call: Call) -> Answer:
    """What the caller may do at the scope, a set of permissions for each role it has there."""
    scope, known = estate.require_scope(call.address.id), estate.definitions.all()
    held = (known.get(one.role) for one in estate.grants(call.principal_id) if covers(one.scope, scope))
    found = [permission.to_dict() for definition in held if definition for permission in definition.permissions]
    return Answer(200, items=tuple(found))


def _denials(estate: Estate, call: Call) -> Answer:
    """There are none: nothing here makes any."""
    if call.method not in ("GET", "HEAD"):
        raise errors.not_emulated("deny assignments")
    if call.address.tail:
        estate.require_scope(call.address.id)
        return Answer(200, items=())
    name = call.address.id.name[:64]
    raise ArmError(404, "DenyAssignmentNotFound", f"The deny assignment '{name}' is not found.")


def _must_be_named(call: Call) -> None:
    if call.address.tail:
        raise errors.method_not_allowed(call.method, call.address.type)


OPERATIONS = (
    Operation(method="GET", path=TYPE, action=f"{TYPE}/read", run=_get),
    Operation(method="PUT", path=TYPE, action=f"{TYPE}/write", run=_put),
    Operation(method="DELETE", path=TYPE, action=f"{TYPE}/delete", run=_delete),
    *(
        Operation(method=method, path=DENIALS, action=f"{DENIALS}/{verb}", run=_denials)
        for method, verb in (("GET", "read"), ("PUT", "write"), ("DELETE", "delete"))
    ),
    Operation(
        method="GET",
        path="Microsoft.Authorization/permissions",
        action="Microsoft.Authorization/permissions/read",
        run=_permissions,
    ),
)

__all__ = ["OPERATIONS", "AssignmentProperties", "assign"]
