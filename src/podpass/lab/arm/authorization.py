"""May this principal do this here? Azure's role-based access control, as values.

The answer names the assignment that allows, or says what the principal holds and which roles would help, so that
the wire error, the journal and the remedy come from one decision.
Contract: Azure HTTP surface, section 4.4; secrets store, section 4.1.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Permission:
    """Action patterns of a role; what a `not` list names is taken out of its own list, and forbids nothing else."""

    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()

    def grants(self, action: str, *, is_data_action: bool) -> bool:
        wanted, removed = (
            (self.data_actions, self.not_data_actions) if is_data_action else (self.actions, self.not_actions)
        )
        return any(matches(pattern, action) for pattern in wanted) and not any(
            matches(pattern, action) for pattern in removed
        )

    def to_dict(self) -> dict[str, Any]:
        """As Resource Manager shows it."""
        return {
            "actions": self.actions,
            "notActions": self.not_actions,
            "dataActions": self.data_actions,
            "notDataActions": self.not_data_actions,
        }


@dataclass(frozen=True, slots=True)
class RoleDefinition:
    """A role: what it is called and what it permits."""

    guid: str
    name: str
    description: str
    permissions: tuple[Permission, ...]
    assignable_scopes: tuple[str, ...] = ("/",)
    """Where it can be assigned: there and below."""
    is_custom: bool = False

    def is_assignable_at(self, scope: str) -> bool:
        return any(covers(assignable, scope) for assignable in self.assignable_scopes)

    def is_assignable_below(self, scope: str) -> bool:
        return any(covers(scope, assignable) for assignable in self.assignable_scopes)

    def grants(self, action: str, *, is_data_action: bool) -> bool:
        return any(permission.grants(action, is_data_action=is_data_action) for permission in self.permissions)


@dataclass(frozen=True, slots=True)
class Assignment:
    """A role given to a principal at a scope and everything below it."""

    id: str
    scope: str
    role: str
    """The GUID of the role definition."""
    principal_id: str


@dataclass(frozen=True, slots=True)
class Held:
    """An assignment of the principal that did not help, and what it lacked."""

    assignment: Assignment
    role_name: str
    covers_scope: bool
    grants_action: bool


@dataclass(frozen=True, slots=True)
class Allowed:
    """The assignment that allows an action, with its role."""

    assignment: Assignment
    definition: RoleDefinition

    @property
    def why(self) -> str:
        return f"{self.definition.name} at {self.assignment.scope or '/'}"

    def to_dict(self) -> dict[str, Any]:
        return {"role": self.definition.name, "scope": self.assignment.scope or "/", "assignment": self.assignment.id}


@dataclass(frozen=True, slots=True)
class Denied:
    """No assignment allows the action; *held* are those of the principal, each with what it lacked."""

    principal_id: str
    action: str
    scope: str
    is_data_action: bool
    held: tuple[Held, ...]
    """Every assignment of the principal and of the groups it is in, the closest first."""
    definitions: Mapping[str, RoleDefinition] = field(repr=False, compare=False)

    @property
    def granting_roles(self) -> tuple[str, ...]:
        """Names of the roles that hold the action, the narrowest first."""
        able = granting_roles(self.action, self.definitions.values(), is_data_action=self.is_data_action)
        return tuple(definition.name for definition in able)

    @property
    def closest(self) -> Held | None:
        return self.held[0] if self.held else None

    @property
    def why(self) -> str:
        closest = self.closest
        if closest is None:
            return "the principal has no role assignment at all"
        here = f"{closest.role_name} at {closest.assignment.scope or '/'}"
        if closest.grants_action:
            return f"{here} holds the action, but that scope does not cover {self.scope}"
        kind = "data action" if self.is_data_action else "action"
        if closest.covers_scope:
            return f"{here} covers the scope, but the role does not hold the {kind} {self.action}"
        return f"{here} neither covers the scope nor holds the {kind}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "principal_id": self.principal_id,
            "action": self.action,
            "scope": self.scope,
            "held": [
                {
                    "role": held.role_name,
                    "scope": held.assignment.scope or "/",
                    "covers_scope": held.covers_scope,
                    "grants_action": held.grants_action,
                }
                for held in self.held
            ],
            "granting_roles": list(self.granting_roles),
        }


def decide(
    *,
    principal_id: str,
    action: str,
    scope: str,
    is_data_action: bool,
    assignments: Iterable[Assignment],
    definitions: Mapping[str, RoleDefinition],
    groups: Collection[str] = (),
) -> Allowed | Denied:
    """Whether one of *assignments* lets the principal do *action* at *scope*, by itself or as a member of *groups*.

    *definitions* maps GUIDs in lower case. An assignment whose role is not among them grants nothing.
    """
    held: list[Held] = []
    counting = {principal_id.lower(), *groups}
    for assignment in assignments:
        if assignment.principal_id.lower() not in counting:
            continue
        definition = definitions.get(assignment.role.lower())
        covered = covers(assignment.scope, scope)
        granted = definition is not None and definition.grants(action, is_data_action=is_data_action)
        if covered and granted and definition is not None:
            return Allowed(assignment, definition)
        held.append(Held(assignment, definition.name if definition else assignment.role, covered, granted))
    held.sort(key=lambda one: (not one.grants_action, not one.covers_scope))
    return Denied(principal_id, action, scope, is_data_action, tuple(held), definitions)


def granting_roles(action: str, definitions: Iterable[RoleDefinition], *, is_data_action: bool) -> list[RoleDefinition]:
    """The roles that hold *action*, those that name it most exactly and hold least else first."""
    able = [one for one in definitions if one.grants(action, is_data_action=is_data_action)]
    return sorted(able, key=lambda one: _breadth(one, action, is_data_action))


def covers(assigned: str, wanted: str) -> bool:
    """Whether a scope is *assigned* itself or below it. Letter case and a trailing slash do not count."""
    above, below = assigned.rstrip("/").lower(), wanted.rstrip("/").lower()
    return not above or below == above or below.startswith(above + "/")


@lru_cache(maxsize=65_536)
def matches(pattern: str, action: str) -> bool:
    """Whether *action* fits *pattern*, in which `*` stands for any run of characters, slashes included.

    `/*/` also stands for a single slash. Inferred: Managed Identity Operator holds
    `userAssignedIdentities/*/assign/action` and does grant `userAssignedIdentities/assign/action`.
    """
    pattern, action = pattern.lower(), action.lower()
    return _glob(pattern, action) or ("/*/" in pattern and _glob(pattern.replace("/*/", "/"), action))


def _glob(pattern: str, text: str) -> bool:
    first, *rest = pattern.split("*")
    if not rest:
        return text == first
    if not text.startswith(first):
        return False
    position = len(first)
    *middle, last = rest
    for piece in middle:
        found = text.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    return len(text) - position >= len(last) and text.endswith(last)


def _breadth(definition: RoleDefinition, action: str, is_data_action: bool) -> tuple[bool, bool, int, int, int]:
    """Sorts roles: those that only read, those for management alone, those that name the action exactly, those with few
    other actions.
    """
    patterns: list[str] = []
    others: list[str] = []
    removed = 0
    for permission in definition.permissions:
        data, management = permission.data_actions, permission.actions
        patterns += data if is_data_action else management
        others += management if is_data_action else data
        removed += len(permission.not_data_actions if is_data_action else permission.not_actions)
    exact = min(
        (
            pattern.count("*") * 1_000 - len(pattern.partition("*")[0])
            for pattern in patterns
            if matches(pattern, action)
        ),
        default=0,
    )
    changes = any(not pattern.lower().endswith("/read") for pattern in patterns)
    return changes, bool(others) and not is_data_action, exact, len(patterns), -removed
