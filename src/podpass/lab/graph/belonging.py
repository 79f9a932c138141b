"""What belongs to an object of the directory: a group's members, the owners of groups, applications and principals.

Contract: Azure HTTP surface, section 5.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from podpass.lab.entra.people import People
from podpass.lab.graph import errors
from podpass.lab.graph.calls import Answer, Call, collection, parameters
from podpass.lab.graph.operations import Operation

Relation = Literal["member", "owner"]
MAX_BOUND, MAX_CHECKED = 20, 20
_Find = Callable[[str, str], Mapping[str, Any] | None]


class _Reference(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="@odata.id")


class _GroupIds(msgspec.Struct, frozen=True, rename="camel"):
    group_ids: list[str]


class _Wanted(msgspec.Struct, frozen=True, rename="camel"):
    security_enabled_only: bool = False
    """Every group here is a security group."""


class Belonging:
    """Lists, adds and removes. *object_of* gives the object of an id in a tenant as Graph shows it, with its type."""

    def __init__(self, people: People, object_of: _Find) -> None:
        self._people = people
        self._object_of = object_of

    def operations(
        self, collection_name: str, relation: Relation, id_of: Callable[[str, str], str]
    ) -> tuple[Operation, ...]:
        """The calls on what belongs to one kind of object; *id_of* gives an object's id by a name in a path."""
        below = f"{collection_name}/{{}}/{relation}s"
        actions = f"microsoft.directory/{collection_name}/{relation}s"

        def listed(call: Call) -> Answer:
            holder = id_of(call.tenant_id, call.names[0])
            return self._shown(self._people.belonging(relation, holder), call)

        def added(call: Call) -> Answer:
            holder = id_of(call.tenant_id, call.names[0])
            self._add(relation, call.tenant_id, holder, parameters(call.body, _Reference).id)
            return Answer(None, 204)

        def removed(call: Call) -> Answer:
            holder = id_of(call.tenant_id, call.names[0])
            if not self._people.remove(relation, holder, call.names[1]):
                raise errors.not_found(call.names[1])
            return Answer(None, 204)

        return (
            Operation(method="GET", path=below, action=f"{actions}/read", run=listed),
            Operation(method="POST", path=f"{below}/$ref", action=f"{actions}/update", run=added),
            Operation(method="DELETE", path=f"{below}/{{}}/$ref", action=f"{actions}/update", run=removed),
        )

    def memberships(self, collection_name: str, id_of: Callable[[str, str], str]) -> tuple[Operation, ...]:
        """The calls on the groups that one kind of object is in."""
        action = f"microsoft.directory/{collection_name}/memberOf/read"
        base = f"{collection_name}/{{}}"

        def direct(call: Call) -> Answer:
            return self._shown(self._people.holders("member", id_of(call.tenant_id, call.names[0])), call)

        def transitive(call: Call) -> Answer:
            return self._shown(tuple(self._people.groups_of(id_of(call.tenant_id, call.names[0]))), call)

        def ids(call: Call) -> Answer:
            parameters(call.body, _Wanted)
            return _strings(sorted(self._people.groups_of(id_of(call.tenant_id, call.names[0]))))

        def checked(call: Call) -> Answer:
            asked = parameters(call.body, _GroupIds).group_ids
            if len(asked) > MAX_CHECKED:
                raise errors.bad_request(f"groupIds can hold at most {MAX_CHECKED} ids.")
            held = self._people.groups_of(id_of(call.tenant_id, call.names[0]))
            return _strings([one for one in asked if one.lower() in held])

        return (
            Operation(method="GET", path=f"{base}/memberOf", action=action, run=direct),
            Operation(method="GET", path=f"{base}/transitiveMemberOf", action=action, run=transitive),
            Operation(method="POST", path=f"{base}/getMemberGroups", action=action, run=ids),
            Operation(method="POST", path=f"{base}/checkMemberGroups", action=action, run=checked),
        )

    def bind(self, relation: Relation, tenant_id: str, holder: str, given: Any) -> None:
        """Add what an `@odata.bind` member of a request names."""
        if not isinstance(given, list) or len(given) > MAX_BOUND or not all(isinstance(one, str) for one in given):
            raise errors.bad_request(f"{relation}s@odata.bind must be a list of at most {MAX_BOUND} references.")
        for one in given:
            self._add(relation, tenant_id, holder, one)

    def _add(self, relation: Relation, tenant_id: str, holder: str, reference: str) -> None:
        object_id = reference.rstrip("/").rpartition("/")[2]
        found = self._object_of(tenant_id, object_id)
        if found is None:
            raise errors.not_found(object_id)
        if found["id"].lower() == holder.lower() or (
            relation == "owner" and found["@odata.type"] == "#microsoft.graph.group"
        ):
            raise errors.bad_request(f"The reference can't be one of the {relation}s of this object.")
        if not self._people.add(relation, holder, found["id"]):
            raise errors.bad_request(
                "One or more added object references already exist for the following modified properties: "
                f"'{relation}s'."
            )

    def _shown(self, ids: tuple[str, ...], call: Call) -> Answer:
        # What has been deleted since belongs nowhere any more.
        found = [one for each in ids if (one := self._object_of(call.tenant_id, each)) is not None]
        return collection("directoryObjects", "/".join(call.path), found, call)


def _strings(found: list[str]) -> Answer:
    return Answer(
        {"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#Collection(Edm.String)", "value": found}
    )
