"""Role assignments: who holds which role where. Kept in a table of their own, found by principal and by scope."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podpass.lab.arm.authorization import Assignment
from podpass.lab.arm.roles import BY_GUID
from podpass.lab.store import Store

TYPE = "Microsoft.Authorization/roleAssignments"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS role_assignments (
    key            TEXT PRIMARY KEY,
    id             TEXT NOT NULL,
    name           TEXT NOT NULL,
    scope          TEXT NOT NULL,
    role           TEXT NOT NULL,
    principal_id   TEXT NOT NULL,
    principal_type TEXT NOT NULL,
    description    TEXT,
    created_on     TEXT NOT NULL,
    created_by     TEXT NOT NULL,
    updated_on     TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS role_assignments_principal ON role_assignments (principal_id);
"""
_COLUMNS = "id, name, scope, role, principal_id, principal_type, description, created_on, created_by, updated_on"


@dataclass(frozen=True, slots=True)
class RoleAssignment:
    """A stored assignment. GUIDs are in lower case; *scope* keeps its letter case, and is empty for the root."""

    id: str
    name: str
    scope: str
    role: str
    principal_id: str
    principal_type: str
    description: str | None
    created_on: str
    created_by: str
    updated_on: str

    @property
    def grant(self) -> Assignment:
        return Assignment(self.id, self.scope, self.role, self.principal_id)

    def to_dict(self) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "roleDefinitionId": role_definition_id(self.role, self.scope),
            "principalId": self.principal_id,
            "principalType": self.principal_type,
            "scope": self.scope or "/",
            "condition": None,
            "conditionVersion": None,
            "createdOn": self.created_on,
            "updatedOn": self.updated_on,
            "createdBy": self.created_by,
            "updatedBy": self.created_by,
            "delegatedManagedIdentityResourceId": None,
            "description": self.description,
        }
        return {"properties": properties, "id": self.id, "type": TYPE, "name": self.name}


def role_definition_id(guid: str, scope: str) -> str:
    """The definition's id in the subscription form, whatever the scope: az compares it letter by letter."""
    segments = scope.split("/")
    subscription = f"/subscriptions/{segments[2]}" if len(segments) > 2 and segments[1] == "subscriptions" else ""
    return f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{guid}"


def role_definition(guid: str, scope: str) -> Mapping[str, Any]:
    """A built-in role as ARM shows it below *scope*."""
    role = BY_GUID[guid]
    return {
        "id": role_definition_id(guid, scope),
        "name": guid,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": role.name,
            "type": "BuiltInRole",
            "description": role.description,
            "assignableScopes": ["/"],
            "permissions": [
                {
                    "actions": permission.actions,
                    "notActions": permission.not_actions,
                    "dataActions": permission.data_actions,
                    "notDataActions": permission.not_data_actions,
                }
                for permission in role.permissions
            ],
        },
    }


class RoleAssignments:
    """The stored assignments of every subscription."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.connection.executescript(_SCHEMA)

    def get(self, assignment_id: str) -> RoleAssignment | None:
        rows = self._select("key = ?", assignment_id.lower())
        return rows[0] if rows else None

    def put(self, assignment: RoleAssignment) -> None:
        marks = ", ".join("?" * 11)
        with self._store.transaction() as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO role_assignments (key, {_COLUMNS}) VALUES ({marks})",  # noqa: S608
                (
                    assignment.id.lower(),
                    assignment.id,
                    assignment.name,
                    assignment.scope,
                    assignment.role,
                    assignment.principal_id,
                    assignment.principal_type,
                    assignment.description,
                    assignment.created_on,
                    assignment.created_by,
                    assignment.updated_on,
                ),
            )

    def delete(self, assignment_id: str) -> None:
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM role_assignments WHERE key = ?", (assignment_id.lower(),))

    def delete_below(self, scope: str) -> None:
        """Remove those at *scope* and below it."""
        prefix = scope.lower() + "/"
        with self._store.transaction() as connection:
            connection.execute(
                "DELETE FROM role_assignments WHERE key >= ? AND key < ?", (prefix, prefix + "\U0010ffff")
            )

    def of(self, principal_id: str) -> list[RoleAssignment]:
        return self._select("principal_id = ?", principal_id.lower())

    def all(self) -> list[RoleAssignment]:
        return self._select("?", True)

    def _select(self, condition: str, value: object) -> list[RoleAssignment]:
        rows = self._store.connection.execute(
            f"SELECT {_COLUMNS} FROM role_assignments WHERE {condition} ORDER BY key",  # noqa: S608
            (value,),
        )
        return [RoleAssignment(*row) for row in rows]
