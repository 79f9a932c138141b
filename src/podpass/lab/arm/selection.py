"""Which resources the `$filter` of a list keeps.

Contract: Azure HTTP surface, section 4.
"""

from podpass.lab.arm import errors
from podpass.lab.arm.filters import Clause
from podpass.lab.arm.model import Resource
from podpass.lab.arm.paths import resource_id


def selected(resource: Resource, clauses: tuple[Clause, ...]) -> bool:
    """Whether every clause of a list's `$filter` fits the resource. Raises ArmError for one that ARM does not know."""
    tagged = [clause for clause in clauses if clause.name in ("tagname", "tagvalue")]
    if tagged and not _is_tagged(resource, {clause.name: clause.value for clause in tagged}):
        return False
    for clause in clauses:
        if clause in tagged:
            continue
        match clause.name:
            case "resourcetype":
                present = resource.type
            case "name":
                present = resource.name
            case "location":
                present = resource.location
            case "resourcegroup":
                present = resource_id(resource.id).group
            case _:
                raise errors.invalid_filter(clause.name)
        if clause.is_call:
            raise errors.invalid_filter(clause.name)
        if present.lower() != clause.value.lower():
            return False
    return True


def _is_tagged(resource: Resource, wanted: dict[str, str]) -> bool:
    """Whether the resource has the tag of that name and, when one is given, of that value."""
    name, value = wanted.get("tagname", ""), wanted.get("tagvalue")
    return any(
        (not name or name.lower() == key.lower()) and value in (None, present)
        for key, present in (resource.tags or {}).items()
    )
