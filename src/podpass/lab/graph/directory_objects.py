"""Directory objects of any kind by their ids, which `az` asks for to show names in the place of ids.

Contract: Azure HTTP surface, section 5.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from podpass.lab.entra.directory import Directory
from podpass.lab.entra.people import People
from podpass.lab.graph import errors, groups, users
from podpass.lab.graph.calls import ROOT, Answer, Call, parameters
from podpass.lab.graph.operations import Operation
from podpass.lab.graph.principals import Principals

MOST_IDS = 1_000
_ACTION = "microsoft.directory/directoryObjects/standard/read"


class ObjectIds(msgspec.Struct, frozen=True, kw_only=True):
    """The body of directoryObjects/getByIds."""

    ids: list[str]
    types: list[str] | None = None


class DirectoryObjects:
    """The objects of every tenant that can belong to something or hold a role."""

    def __init__(self, directory: Directory, people: People, principals: Principals) -> None:
        self._directory = directory
        self._people = people
        self._principals = principals

    def shown(self, tenant_id: str, object_id: str) -> Mapping[str, Any] | None:
        """The object as Graph shows it among others, with its type; None when there is none."""
        principal = self._directory.application_by_object_id(tenant_id, object_id)
        if principal is not None:
            return {"@odata.type": "#microsoft.graph.servicePrincipal", **self._principals.shown(principal)}
        user = self._people.user(tenant_id, object_id)
        if user is not None:
            return {"@odata.type": "#microsoft.graph.user", **users.shown(user)}
        group = self._people.group(tenant_id, object_id)
        return None if group is None else {"@odata.type": "#microsoft.graph.group", **groups.shown(group)}

    def id_of(self, tenant_id: str, name: str) -> str:
        """The id of the object of that id. Raises GraphError."""
        found = self.shown(tenant_id, name)
        if found is None:
            raise errors.not_found(name)
        return str(found["id"])

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(method="POST", path="directoryObjects/getByIds", action=_ACTION, run=self._by_ids),
            Operation(method="GET", path="directoryObjects/{}", action=_ACTION, run=self._read),
        )

    def _by_ids(self, call: Call) -> Answer:
        """The objects of the ids; those that nothing has are left out."""
        asked = parameters(call.body, ObjectIds)
        if not 0 < len(asked.ids) <= MOST_IDS:
            raise errors.bad_body(f"ids must hold between 1 and {MOST_IDS} ids.")
        types = {one.lower() for one in asked.types or ("directoryObject",)}
        value = []
        for object_id in dict.fromkeys(one.lower() for one in asked.ids):
            found = self.shown(call.tenant_id, object_id)
            kind = "" if found is None else str(found["@odata.type"]).rpartition(".")[2].lower()
            if found is not None and ("directoryobject" in types or kind in types):
                value.append(found)
        return Answer({"@odata.context": f"{ROOT}/$metadata#directoryObjects", "value": value})

    def _read(self, call: Call) -> Answer:
        found = self.shown(call.tenant_id, call.names[0])
        if found is None:
            raise errors.not_found(call.names[0])
        return Answer({"@odata.context": f"{ROOT}/$metadata#directoryObjects/$entity", **found})
