"""Role assignments."""

from podpass.lab.filling.clouds import Made, Making
from podpass.lab.scenario.entries.access import RoleAssignmentEntry


def put_role_assignment(making: Making, entry: RoleAssignmentEntry) -> Made:
    made = making.clouds.arm.seed.put_role_assignment(
        making.scope(entry.scope),
        entry.role,
        making.principal(entry),
        name=entry.id,
        description=entry.description or None,
    )
    return Made(made.id)
