"""Role assignments: who holds which role where. Kept in a table of their own, found by principal and by scope."""

from dataclasses import dataclass
from typing import Any

from podpass.lab.arm.authorization import Assignment
from podpass.lab.store import Recollection, Store

TYPE = "Microsoft.Authorization/roleAssignments"
SERVICE = "arm-assignments"

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
            "createdBy": self.created_by or None,
            "updatedBy": self.created_by or None,
            "delegatedManagedIdentityResourceId": None,
            "description": self.description,
        }
        return {"properties": properties, "id": self.id, "type": TYPE, "name": self.name}


def role_definition_id(guid: str, scope: str) -> str:
    """The definition's id in the subscription form, whatever the scope: az compares it letter by letter."""
    segments = scope.split("/")
    subscription = f"/subscriptions/{segments[2]}" if len(segments) > 2 and segments[1] == "subscriptions" else ""
    return f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{guid}"


class RoleAssignments:
    """The stored assignments of every subscription."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = Recollection(store, SERVICE)
        store.connection.executescript(_SCHEMA)

    def get(self, assignment_id: str) -> RoleAssignment | None:
        rows = self._select("key = ?", assignment_id.lower())
        return rows[0] if rows else None

    def put(self, assignment: RoleAssignment) -> None:
        marks = ", ".join("?" * 11)
        with self._store.writing(SERVICE) as connection:
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
        with self._store.writing(SERVICE) as connection:
            connection.execute("DELETE FROM role_assignments WHERE key = ?", (assignment_id.lower(),))

    def delete_below(self, scope: str) -> None:
        """Remove those at *scope* and below it."""
        prefix = scope.lower() + "/"
        with self._store.writing(SERVICE) as connection:
            connection.execute(
                "DELETE FROM role_assignments WHERE key >= ? AND key < ?", (prefix, prefix + "\U0010ffff")
            )

    def of(self, principal_id: str) -> list[RoleAssignment]:
        return self._select("principal_id = ?", principal_id.lower())

    def grants_of(self, principal_id: str) -> tuple[Assignment, ...]:
        """What a decision needs of them; asked with every request."""
        return self._known.get("grants", principal_id.lower(), self._read_grants)

    def _read_grants(self, principal_id: str) -> tuple[Assignment, ...]:
        return tuple(one.grant for one in self.of(principal_id))

    def with_role(self, guid: str) -> list[RoleAssignment]:
        return self._select("role = ?", guid.lower())

    def count(self, subscription_id: str) -> int:
        """How many a subscription has, at any depth."""
        prefix = f"/subscriptions/{subscription_id}/".lower()
        (number,) = self._store.connection.execute(
            "SELECT count(*) FROM role_assignments WHERE key >= ? AND key < ?", (prefix, prefix + "\U0010ffff")
        ).fetchone()
        return int(number)

    def all(self) -> list[RoleAssignment]:
        return self._select("?", True)

    def _select(self, condition: str, value: object) -> list[RoleAssignment]:
        rows = self._store.connection.execute(
            f"SELECT {_COLUMNS} FROM role_assignments WHERE {condition} ORDER BY key",  # noqa: S608
            (value,),
        )
        return [RoleAssignment(*row) for row in rows]
