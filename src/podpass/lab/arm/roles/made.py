"""How the tables of built-in roles are written down."""

from podpass.lab.arm.authorization import Permission, RoleDefinition

SHARED = (
    "Microsoft.Authorization/*/read",
    "Microsoft.Resources/deployments/*",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
)
"""What nearly every role for managing one kind of resource holds beside its own."""


def role(guid: str, name: str, description: str, **permission: tuple[str, ...]) -> RoleDefinition:
    """A role with one set of permissions."""
    return RoleDefinition(guid, name, description, (Permission(**permission),))
