"""Custom roles, role assignments and locks."""

import uuid
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

from podpass.lab.arm import lock_calls, role_definitions
from podpass.lab.arm.assignments import RoleAssignment
from podpass.lab.arm.authorization import Permission
from podpass.lab.arm.custom_roles import CustomRole
from podpass.lab.arm.estate import parsed_id
from podpass.lab.arm.locks import TYPE as LOCK
from podpass.lab.arm.locks import Lock
from podpass.lab.arm.roles import BY_GUID, BY_NAME
from podpass.lab.filling.clouds import Made, Making
from podpass.lab.filling.finding import Finding, Found
from podpass.lab.operator import OPERATOR_ROLE
from podpass.lab.scenario.entries.access import (
    LockEntry,
    PermissionEntry,
    RoleAssignmentEntry,
    RoleEntry,
)
from podpass.lab.scenario.fields import camel

_NAMES = uuid.UUID("4b0c6f0e-51a4-5f6a-9d5a-0f3d9a1b7c21")


def put_role(making: Making, entry: RoleEntry) -> Made:
    tenant_id = making.find(entry.tenant, "tenants").id
    guid = entry.id or str(uuid.uuid5(_NAMES, f"{tenant_id} {entry.name}".lower()))
    scopes = [making.scope(scope) for scope in entry.scopes]
    namespace, _, kind = role_definitions.TYPE.partition("/")
    permissions = [{camel(name): list(words) for name, words in asdict(one).items()} for one in entry.permissions]
    content = {
        "properties": {
            "roleName": entry.name,
            "description": entry.description,
            "type": "CustomRole",
            "assignableScopes": scopes,
            "permissions": permissions,
        }
    }
    wanted = parsed_id(scopes[0]).extension(namespace, kind, guid)
    making.clouds.arm.seed.call(tenant_id, "PUT", wanted, role_definitions.put, content)
    return Made(id=guid)


def roles_there(finding: Finding) -> Iterator[Found]:
    for role in finding.clouds.arm.estate.definitions.custom():
        path = (*finding.path("tenants", role.tenant_id), role.definition.name)
        yield Found(path=path, id=role.definition.guid, entry=partial(_role, finding, role))


def _role(finding: Finding, role: CustomRole) -> RoleEntry:
    return RoleEntry(
        name=role.definition.name,
        tenant=finding.reference("tenants", role.tenant_id),
        id=role.definition.guid,
        description=role.definition.description,
        scopes=tuple(finding.scope(scope) for scope in role.definition.assignable_scopes),
        permissions=tuple(_permission(one) for one in role.definition.permissions),
    )


def _permission(one: Permission) -> PermissionEntry:
    return PermissionEntry(
        actions=one.actions,
        not_actions=one.not_actions,
        data_actions=one.data_actions,
        not_data_actions=one.not_data_actions,
    )


def put_role_assignment(making: Making, entry: RoleAssignmentEntry) -> Made:
    made = making.clouds.arm.seed.put_role_assignment(
        making.scope(entry.scope),
        entry.role,
        making.principal(entry),
        name=entry.id,
        description=entry.description or None,
    )
    return Made(id=made.id)


def role_assignments_there(finding: Finding) -> Iterator[Found]:
    """Those of people and programs, without the operator's own and those that a service gave."""
    gone = 0
    for held in finding.clouds.arm.estate.assignments.all():
        if _is_the_operators(finding, held) or finding.is_made_by_another(held.scope):
            continue
        if not finding.is_somebody(held.principal_id):
            gone += 1
            continue
        yield Found(path=(held.name,), id=held.id, entry=partial(_assignment, finding, held))
    finding.note("roleAssignments", f"{gone} role assignments of principals that are not said here are not said.", gone)


def _is_the_operators(finding: Finding, held: RoleAssignment) -> bool:
    return (
        held.principal_id == finding.clouds.operator_object_id
        and held.role == BY_NAME[OPERATOR_ROLE.lower()].guid
        and finding.knows("subscriptions", held.scope)
    )


def _assignment(finding: Finding, held: RoleAssignment) -> RoleAssignmentEntry:
    definition = finding.clouds.arm.estate.definitions.all().get(held.role)
    # Names of built-in roles read better; a custom one's may be that of another tenant's, too.
    role = definition.name if definition is not None and held.role in BY_GUID else held.role
    who: dict[str, Any] = dict(finding.principal(held.principal_id))
    return RoleAssignmentEntry(
        **who, role=role, scope=finding.scope(held.scope), id=held.name, description=held.description or ""
    )


def put_lock(making: Making, entry: LockEntry) -> Made:
    scope = making.scope(entry.scope)
    namespace, _, kind = LOCK.partition("/")
    content = {
        "properties": {
            "level": entry.level,
            "notes": entry.notes or None,
            "owners": [{"applicationId": owner} for owner in entry.owners],
        }
    }
    wanted = parsed_id(scope).extension(namespace, kind, entry.name)
    making.clouds.arm.seed.call("", "PUT", wanted, lock_calls.put, content)
    return Made(id=str(wanted))


def locks_there(finding: Finding) -> Iterator[Found]:
    for lock in finding.clouds.arm.estate.locks.all():
        yield Found(path=(lock.scope, lock.name), id=lock.id, entry=partial(_lock, finding, lock))


def _lock(finding: Finding, lock: Lock) -> LockEntry:
    return LockEntry(
        name=lock.name, scope=finding.scope(lock.scope), level=lock.level, notes=lock.notes or "", owners=lock.owners
    )
