"""The built-in roles that the lab knows, with the actions that count for the services it has.

Left out: actions for providers the lab has not (alert rules of Insights, Support tickets), and roles that are only
safe with a condition, such as Key Vault Data Access Administrator: the lab evaluates no conditions.
Contract: Azure HTTP surface, section 4.4; secrets store, section 4.1.
"""

from podpass.lab.arm.authorization import RoleDefinition
from podpass.lab.arm.roles import clusters, general, vaults

BUILT_IN: tuple[RoleDefinition, ...] = (*general.ROLES, *vaults.ROLES, *clusters.ROLES)

BY_GUID: dict[str, RoleDefinition] = {role.guid: role for role in BUILT_IN}
BY_NAME: dict[str, RoleDefinition] = {role.name.lower(): role for role in BUILT_IN}
