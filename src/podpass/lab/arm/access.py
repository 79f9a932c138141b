"""Role definitions and role assignments, as calls.

Conditions on assignments are refused rather than kept and ignored: an ignored condition would grant too much.
Contract: Azure HTTP surface, sections 4 and 4.1.
"""

import re
import uuid
from typing import Literal

import msgspec

from podpass.azure.resourceids import ResourceId
from podpass.lab.arm import errors
from podpass.lab.arm.assignments import TYPE, RoleAssignment, role_definition
from podpass.lab.arm.authorization import covers
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.filters import Clause, NotAFilter, parse_filter
from podpass.lab.arm.model import Actor, Answer, Call, Operation, timestamp
from podpass.lab.arm.roles import BUILT_IN, BY_GUID

DEFINITIONS = "Microsoft.Authorization/roleDefinitions"
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)

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
    estate: Estate, scope: ResourceId, name: str, wanted: AssignmentProperties, *, actor: Actor
) -> tuple[RoleAssignment, bool]:
    """Give a role to a principal at *scope* under *name*, a GUID; the second value says whether it is new.

    Raises ArmError: PrincipalNotFound, RoleDefinitionDoesNotExist, RoleAssignmentExists and the like.
    """
    if _GUID.fullmatch(name) is None:
        raise errors.invalid_request(
            f"The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID.",
            "InvalidRoleAssignmentId",
        )
    if wanted.condition:
        raise errors.not_emulated("conditions of role assignments")
    shown_scope = estate.require_scope(scope)
    subscription = estate.subscription(scope.subscription)
    role = wanted.role_definition_id.rstrip("/").rpartition("/")[2].lower()
    if role not in BY_GUID:
        raise ArmError(
            400,
            "RoleDefinitionDoesNotExist",
            f"The specified role definition with ID '{role.replace('-', '')}' does not exist.",
        )
    principal = wanted.principal_id.lower()
    _check_principal(estate, subscription.tenant_id if subscription else None, principal, wanted.principal_type)
    now = timestamp(estate.clock.now())
    assignment = RoleAssignment(
        id=f"{shown_scope}/providers/{TYPE}/{name.lower()}",
        name=name.lower(),
        scope=shown_scope,
        role=role,
        principal_id=principal,
        principal_type="ServicePrincipal",
        description=wanted.description,
        created_on=now,
        created_by=actor.id,
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
        estate.assignments.put(assignment)
    return assignment, before is None


def _check_principal(estate: Estate, tenant_id: str | None, principal: str, given: str | None) -> None:
    tenants = [tenant_id] if tenant_id else [tenant.tenant_id for tenant in estate.directory.tenants()]
    if not any(estate.directory.application_by_object_id(tenant, principal) for tenant in tenants):
        raise errors.invalid_request(
            f"Principal {principal.replace('-', '')} does not exist in the directory {tenant_id or 'of this lab'}. "
            "Check that you have the correct principal ID. If you are creating this principal and then immediately "
            "assigning a role, this error might be related to a replication delay. In this case, set the role "
            "assignment principalType property to a value, such as ServicePrincipal, User, or Group. See "
            "https://aka.ms/docs-principaltype",
            "PrincipalNotFound",
        )
    if given is not None and given != "ServicePrincipal":
        raise errors.invalid_request(
            f"The PrincipalId '{principal.replace('-', '')}' has type 'ServicePrincipal', which is different from "
            f"specified PrincipalType '{given}'.",
            "UnmatchedPrincipalType",
        )


def _put(estate: Estate, call: Call) -> Answer:
    _must_be_named(call)
    try:
        body = msgspec.json.decode(call.body, type=_AssignmentBody)
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.invalid_content(str(error)) from error
    wanted = call.address.id
    assignment, created = assign(estate, wanted.parent, wanted.name, body.properties, actor=call.actor)
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
        clauses = clauses_of(call)
        found = [one for one in estate.assignments.all() if in_list(one, scope, clauses)]
        return Answer(200, items=tuple(one.to_dict() for one in found))
    present = estate.assignments.get(str(call.address.id))
    if present is None:
        raise ArmError(404, "RoleAssignmentNotFound", f"The role assignment '{call.address.id.name}' is not found.")
    return Answer(200, present.to_dict())


def in_list(assignment: RoleAssignment, scope: str, clauses: tuple[Clause, ...]) -> bool:
    """Whether a list at *scope* with this filter shows the assignment. Raises ArmError on an unsupported filter."""
    above, below = covers(assignment.scope, scope), covers(scope, assignment.scope)
    if not above and not below:
        return False
    for clause in clauses:
        match clause:
            case Clause("atscope", "", True):
                if not above:
                    return False
            case Clause("principalid", value, False) | Clause("assignedto", value, True):
                if len(clauses) > 1 and not clause.is_call:
                    raise errors.invalid_filter("atScope() and principalId eq")
                if assignment.principal_id != value.lower():
                    return False
            case _:
                raise errors.invalid_filter(clause.name)
    return True


def _definitions(estate: Estate, call: Call) -> Answer:
    if not call.address.tail:
        guid = call.address.id.name.lower()
        scope = estate.require_scope(call.address.id.parent)
        if guid not in BY_GUID:
            raise ArmError(
                404,
                "RoleDefinitionDoesNotExist",
                f"The specified role definition with ID '{guid.replace('-', '')}' does not exist.",
            )
        return Answer(200, role_definition(guid, scope))
    scope = estate.require_scope(call.address.id)
    found = list(BUILT_IN)
    for clause in clauses_of(call):
        match clause:
            case Clause("rolename", value, False):
                found = [role for role in found if role.name.lower() == value.lower()]
            case Clause("type", value, False):
                found = found if value.lower() == "builtinrole" else []
            case Clause("atscopeandbelow", "", True):
                pass
            case _:
                raise errors.invalid_filter(clause.name)
    return Answer(200, items=tuple(role_definition(role.guid, scope) for role in found))


def _custom_role(estate: Estate, call: Call) -> Answer:
    del estate, call
    raise errors.not_emulated("custom role definitions")


def clauses_of(call: Call) -> tuple[Clause, ...]:
    """The request's `$filter`. Raises ArmError."""
    try:
        return parse_filter(call.query.get("$filter", ""))
    except NotAFilter as error:
        raise errors.invalid_filter(str(error)) from error


def _must_be_named(call: Call) -> None:
    if call.address.tail:
        raise errors.method_not_allowed(call.method, call.address.type)


def new_name() -> str:
    return str(uuid.uuid4())


OPERATIONS = (
    Operation(method="GET", path=TYPE, action=f"{TYPE}/read", run=_get),
    Operation(method="PUT", path=TYPE, action=f"{TYPE}/write", run=_put),
    Operation(method="DELETE", path=TYPE, action=f"{TYPE}/delete", run=_delete),
    Operation(method="GET", path=DEFINITIONS, action=f"{DEFINITIONS}/read", run=_definitions),
    Operation(method="PUT", path=DEFINITIONS, action=f"{DEFINITIONS}/write", run=_custom_role),
    Operation(method="DELETE", path=DEFINITIONS, action=f"{DEFINITIONS}/delete", run=_custom_role),
)

__all__ = ["OPERATIONS", "AssignmentProperties", "assign", "clauses_of", "new_name"]
