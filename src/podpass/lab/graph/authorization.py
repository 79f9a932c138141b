"""May this principal do this in the directory? Directory roles, as values.

An action is named as Microsoft Entra names it. Application permissions, which an administrator consents to, are not
emulated: a directory role is the other way in which Graph lets an application act.
Contract: Azure HTTP surface, section 5.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from podpass.lab.arm.authorization import matches


@dataclass(frozen=True, slots=True)
class DirectoryRole:
    """A built-in role of the directory: its template's GUID, its name, and patterns of the actions it holds."""

    guid: str
    name: str
    description: str
    actions: tuple[str, ...]

    def grants(self, action: str) -> bool:
        return any(matches(pattern, action) for pattern in self.actions)


@dataclass(frozen=True, slots=True)
class Permitted:
    """The role that lets the caller do it; none where everybody may."""

    role: DirectoryRole | None

    @property
    def why(self) -> str:
        return f"{self.role.name} in the directory" if self.role else "every caller may"

    def to_dict(self) -> dict[str, Any]:
        return {"role": self.role.name} if self.role else {}


@dataclass(frozen=True, slots=True)
class NotPermitted:
    """No role of the caller holds the action."""

    action: str
    held: tuple[DirectoryRole, ...]

    @property
    def granting(self) -> tuple[DirectoryRole, ...]:
        """The roles that would help, those that hold the least first."""
        able = (role for role in ROLES if role.grants(self.action))
        return tuple(sorted(able, key=lambda role: ("*" in role.actions, len(role.actions))))

    @property
    def granting_roles(self) -> tuple[str, ...]:
        return tuple(role.name for role in self.granting)

    @property
    def why(self) -> str:
        if not self.held:
            return f"the caller has no directory role; {self.action} takes one, such as {self.granting_roles[0]}"
        names = " and ".join(role.name for role in self.held)
        return f"{names} in the directory does not hold {self.action}, as {self.granting_roles[0]} does"

    def to_dict(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "held": [role.name for role in self.held],
            "granting_roles": list(self.granting_roles),
        }


def decide(action: str, held: Iterable[str]) -> Permitted | NotPermitted:
    """Whether one of the roles *held*, by their GUIDs, lets its holder do *action*; an empty one everybody may."""
    if not action:
        return Permitted(None)
    roles = tuple(role for guid in held if (role := BY_GUID.get(guid.lower())) is not None)
    allowing = next((role for role in roles if role.grants(action)), None)
    return NotPermitted(action, roles) if allowing is None else Permitted(allowing)


def _on(kinds: Collection[str], rest: str) -> tuple[str, ...]:
    return tuple(f"microsoft.directory/{kind}/{rest}" for kind in kinds)


_OBJECTS = ("applications", "groups", "servicePrincipals", "users")
_READS = (
    *_on((*_OBJECTS, "directoryObjects", "roleDefinitions", "roleAssignments"), "standard/read"),
    *_on(("groups",), "members/read"),
    *_on(("applications", "groups", "servicePrincipals"), "owners/read"),
    *_on(("groups", "servicePrincipals", "users"), "memberOf/read"),
)
_APPLICATIONS = _on(("applications", "servicePrincipals"), "*")

ROLES: tuple[DirectoryRole, ...] = (
    DirectoryRole(
        "62e90394-69f5-4237-9190-012177145e10",
        "Global Administrator",
        "Can manage all aspects of Microsoft Entra ID and Microsoft services that use Microsoft Entra identities.",
        ("*",),
    ),
    DirectoryRole(
        "f2ef992c-3afb-46b9-b7cf-a126ee74c451",
        "Global Reader",
        "Can read everything that a Global Administrator can, but not update anything.",
        ("*/read",),
    ),
    DirectoryRole(
        "88d8e3e3-8f55-4a1e-953a-9b9898b8876b",
        "Directory Readers",
        "Can read basic directory information. Commonly used to grant directory read access to applications and "
        "guests.",
        _READS,
    ),
    DirectoryRole(
        "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3",
        "Application Administrator",
        "Can create and manage all aspects of app registrations and enterprise apps.",
        _APPLICATIONS,
    ),
    DirectoryRole(
        "158c047a-c907-4556-b7ef-446551a6b5f7",
        "Cloud Application Administrator",
        "Can create and manage all aspects of app registrations and enterprise apps except App Proxy.",
        _APPLICATIONS,
    ),
    DirectoryRole(
        "fe930be7-5e62-47db-91af-98c3a49a38b1",
        "User Administrator",
        "Can manage all aspects of users and groups, including resetting passwords for limited admins.",
        (*_on(("users", "groups"), "*"), "microsoft.directory/directoryObjects/standard/read"),
    ),
    DirectoryRole(
        "fdd7a751-b60b-444a-984c-02652fe8fa1c",
        "Groups Administrator",
        "Can create and manage groups and their settings.",
        (*_on(("groups",), "*"), "microsoft.directory/directoryObjects/standard/read"),
    ),
    DirectoryRole(
        "e8611ab8-c189-46e8-94e1-60213ab1f814",
        "Privileged Role Administrator",
        "Can manage role assignments in Microsoft Entra ID, and all aspects of Privileged Identity Management.",
        _on(("roleAssignments", "roleDefinitions"), "*"),
    ),
)
BY_GUID = {role.guid: role for role in ROLES}
GLOBAL_ADMINISTRATOR = ROLES[0]
