"""Who holds which role of the directory, as Graph's roleManagement shows and changes it.

Roles hold for the whole directory; administrative units, custom roles and roles held through groups are not emulated.
Contract: Azure HTTP surface, section 5.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from podpass.lab.entra.people import People
from podpass.lab.graph import errors
from podpass.lab.graph.authorization import BY_GUID, ROLES, DirectoryRole
from podpass.lab.graph.calls import Answer, Call, collection, entity, parameters
from podpass.lab.graph.filters import selected
from podpass.lab.graph.operations import Operation

_BASE = "roleManagement/directory"
_ASSIGNMENTS, _DEFINITIONS = f"{_BASE}/roleAssignments", f"{_BASE}/roleDefinitions"
_NAMES = uuid.UUID("a6b8f0de-1c34-5f6a-8b1e-2f5c0d9e7b11")


@dataclass(frozen=True, slots=True)
class DirectoryRoles:
    """The holders of the directory roles of every tenant."""

    people: People

    def held_by(self, tenant_id: str, object_id: str) -> tuple[str, ...]:
        """The GUIDs of the roles that an object holds in the tenant."""
        holders = self.people.holders("directory-role", object_id)
        return tuple(guid for tenant, _, guid in (one.partition(":") for one in holders) if tenant == tenant_id.lower())

    def holders(self, tenant_id: str, role: DirectoryRole) -> tuple[str, ...]:
        return self.people.belonging("directory-role", f"{tenant_id}:{role.guid}")

    def give(self, tenant_id: str, role: DirectoryRole, object_id: str) -> bool:
        """Let the object hold the role; False when it did."""
        return self.people.add("directory-role", f"{tenant_id}:{role.guid}", object_id)

    def take(self, tenant_id: str, role: DirectoryRole, object_id: str) -> bool:
        """Let the object hold the role no more; False when it did not."""
        return self.people.remove("directory-role", f"{tenant_id}:{role.guid}", object_id)


class _Body(msgspec.Struct, frozen=True, rename="camel"):
    principal_id: str
    role_definition_id: str
    directory_scope_id: str = "/"


class RoleManagement:
    """The calls on directory roles. *object_of* gives the object of an id in a tenant, None when there is none."""

    def __init__(self, roles: DirectoryRoles, object_of: Callable[[str, str], Mapping[str, Any] | None]) -> None:
        self._roles = roles
        self._object_of = object_of

    def operations(self) -> tuple[Operation, ...]:
        actions = "microsoft.directory/roleAssignments"
        one = f"{_ASSIGNMENTS}/{{}}"
        definitions = "microsoft.directory/roleDefinitions/standard/read"
        return (
            Operation(method="GET", path=_DEFINITIONS, action=definitions, run=self._definitions),
            Operation(method="GET", path=f"{_DEFINITIONS}/{{}}", action=definitions, run=self._definition),
            Operation(method="GET", path=_ASSIGNMENTS, action=f"{actions}/standard/read", run=self._list),
            Operation(method="POST", path=_ASSIGNMENTS, action=f"{actions}/allProperties/allTasks", run=self._create),
            Operation(method="GET", path=one, action=f"{actions}/standard/read", run=self._read),
            Operation(method="DELETE", path=one, action=f"{actions}/allProperties/allTasks", run=self._delete),
        )

    def _definitions(self, call: Call) -> Answer:
        wanted = selected(
            call.query.get("$filter", ""),
            {"displayname": "displayName", "id": "id", "templateid": "templateId"},
            lambda: errors.not_emulated("this filter on roleDefinitions"),
        )
        shown = [_shown_role(role) for role in ROLES]
        return collection(_DEFINITIONS, _DEFINITIONS, [one for one in shown if wanted(one)], call)

    def _definition(self, call: Call) -> Answer:
        return entity(_DEFINITIONS, _shown_role(_role(call.names[0])))

    def _list(self, call: Call) -> Answer:
        wanted = selected(
            call.query.get("$filter", ""),
            {"principalid": "principalId", "roledefinitionid": "roleDefinitionId"},
            lambda: errors.not_emulated("this filter on roleAssignments"),
        )
        shown = [_shown(role, holder) for role, holder in self._all(call.tenant_id)]
        return collection(_ASSIGNMENTS, _ASSIGNMENTS, [one for one in shown if wanted(one)], call)

    def _create(self, call: Call) -> Answer:
        given = parameters(call.body, _Body)
        if given.directory_scope_id != "/":
            raise errors.not_emulated("directory roles for a part of the directory")
        role = _role(given.role_definition_id)
        principal = self._object_of(call.tenant_id, given.principal_id)
        if principal is None:
            raise errors.not_found(given.principal_id)
        if principal["@odata.type"] == "#microsoft.graph.group":
            raise errors.not_emulated("directory roles held through groups")
        if not self._roles.give(call.tenant_id, role, principal["id"]):
            raise errors.bad_request(
                "A conflicting object with one or more of the specified property values is present in the directory."
            )
        return entity(_ASSIGNMENTS, _shown(role, principal["id"]), 201)

    def _read(self, call: Call) -> Answer:
        role, holder = self._find(call)
        return entity(_ASSIGNMENTS, _shown(role, holder))

    def _delete(self, call: Call) -> Answer:
        role, holder = self._find(call)
        self._roles.take(call.tenant_id, role, holder)
        return Answer(None, 204)

    def _find(self, call: Call) -> tuple[DirectoryRole, str]:
        for role, holder in self._all(call.tenant_id):
            if _id(role, holder) == call.names[0].lower():
                return role, holder
        raise errors.not_found(call.names[0])

    def _all(self, tenant_id: str) -> Iterator[tuple[DirectoryRole, str]]:
        return ((role, holder) for role in ROLES for holder in self._roles.holders(tenant_id, role))


def _role(guid: str) -> DirectoryRole:
    found = BY_GUID.get(guid.lower())
    if found is None:
        raise errors.not_found(guid)
    return found


def _id(role: DirectoryRole, holder: str) -> str:
    """An id that follows from what never changes. Azure's are of another form, which nobody reads."""
    return str(uuid.uuid5(_NAMES, f"{role.guid}/{holder}"))


def _shown(role: DirectoryRole, holder: str) -> dict[str, Any]:
    return {
        "id": _id(role, holder),
        "principalId": holder,
        "directoryScopeId": "/",
        "roleDefinitionId": role.guid,
    }


def _shown_role(role: DirectoryRole) -> dict[str, Any]:
    return {
        "id": role.guid,
        "description": role.description,
        "displayName": role.name,
        "isBuiltIn": True,
        "isEnabled": True,
        "resourceScopes": ["/"],
        "templateId": role.guid,
        "version": "1",
        "rolePermissions": [{"allowedResourceActions": list(role.actions), "condition": None}],
    }
