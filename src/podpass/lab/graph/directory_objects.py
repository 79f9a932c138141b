"""Directory objects by their ids, which `az` asks for to show names in the place of ids.

Contract: Azure HTTP surface, section 5.
"""

from collections.abc import Collection, Iterable

import msgspec

from podpass.lab.entra.directory import Application, Directory
from podpass.lab.graph import errors
from podpass.lab.graph.calls import ROOT, Answer, Call, parameters
from podpass.lab.graph.principals import shown

MOST_IDS = 1_000


class ObjectIds(msgspec.Struct, frozen=True, kw_only=True):
    """The body of directoryObjects/getByIds."""

    ids: list[str]
    types: list[str] | None = None


def by_ids(directory: Directory, call: Call) -> Answer:
    """The answer to directoryObjects/getByIds; ids that nothing has are left out. Raises GraphError."""
    asked = parameters(call.body, ObjectIds)
    if not 0 < len(asked.ids) <= MOST_IDS:
        raise errors.bad_body(f"ids must hold between 1 and {MOST_IDS} ids.")
    found = _with_ids(directory.applications(call.tenant_id), asked)
    value = [{"@odata.type": "#microsoft.graph.servicePrincipal", **shown(one, directory)} for one in found]
    return Answer({"@odata.context": f"{ROOT}/$metadata#directoryObjects", "value": value})


def _with_ids(applications: Iterable[Application], asked: ObjectIds) -> list[Application]:
    if not _are_wanted(asked.types):
        return []
    wanted = {each.lower() for each in asked.ids}
    return [one for one in applications if one.object_id and one.object_id.lower() in wanted]


def _are_wanted(types: Collection[str] | None) -> bool:
    return not types or any(each.lower() in ("serviceprincipal", "directoryobject") for each in types)
