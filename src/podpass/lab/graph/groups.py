"""Security groups: what is in them holds what is assigned to them.

Contract: Azure HTTP surface, section 5.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from podpass.lab.clock import Clock, rfc3339
from podpass.lab.entra.people import Group, People
from podpass.lab.graph import errors
from podpass.lab.graph.belonging import Belonging, Relation
from podpass.lab.graph.calls import Call, parameters

_NICKNAME = re.compile(r"[^@()\\\[\]\";:<>,\s]{1,64}")
_BOUND: Mapping[str, Relation] = {"members@odata.bind": "member", "owners@odata.bind": "owner"}


class Groups:
    """The groups of every tenant. Every call raises GraphError when Graph would refuse."""

    name = "groups"
    filtered: Mapping[str, str] = {
        "description": "description",
        "displayname": "displayName",
        "id": "id",
        "mailnickname": "mailNickname",
    }

    def __init__(self, people: People, belonging: Belonging, clock: Clock) -> None:
        self._people = people
        self._belonging = belonging
        self._clock = clock

    def all(self, tenant_id: str) -> tuple[Group, ...]:
        return self._people.groups(tenant_id)

    def find(self, tenant_id: str, name: str) -> Group:
        found = self._people.group(tenant_id, name)
        if found is None:
            raise errors.not_found(name)
        return found

    def made(self, call: Call) -> Group:
        given = parameters(call.body, dict[str, Any])
        for required in ("displayName", "mailEnabled", "mailNickname", "securityEnabled"):
            if given.get(required) in (None, ""):
                raise errors.bad_request(f"A value is required for property '{required}' of resource 'Group'.")
        if given.get("groupTypes") or given.get("isAssignableToRole"):
            raise errors.not_emulated("groups other than plain security groups")
        group = Group(
            tenant_id=call.tenant_id,
            object_id=str(uuid.uuid4()),
            display_name="",
            mail_nickname="",
            created=self._clock.now(),
        )
        return self.update(group, given)

    def change(self, one: Group, body: bytes) -> None:
        self.update(one, parameters(body, dict[str, Any]))

    def update(self, group: Group, given: Mapping[str, Any]) -> Group:
        """Change what *given* names, all of it or nothing."""
        with self._people.transaction():
            for name, value in given.items():
                match name:
                    case "displayName" if isinstance(value, str) and 0 < len(value) <= 256:
                        group = replace(group, display_name=value)
                    case "mailNickname" if isinstance(value, str) and _NICKNAME.fullmatch(value):
                        group = replace(group, mail_nickname=value)
                    case "description" if value is None or (isinstance(value, str) and len(value) <= 1024):
                        group = replace(group, description=value)
                    case "mailEnabled" if value is False:
                        pass
                    case "mailEnabled":
                        raise errors.bad_request(
                            "The service does not currently support writes of mail-enabled groups. Please ensure that "
                            "the mail-enablement property is unset and the security-enablement property is set."
                        )
                    case "securityEnabled" if value is True:
                        pass
                    case "groupTypes" | "isAssignableToRole" if not value:
                        pass
                    case "displayName" | "mailNickname" | "description" | "securityEnabled":
                        raise errors.bad_request(f"Invalid value specified for property '{name}' of resource 'Group'.")
                    case _ if name not in _BOUND and not name.startswith("@"):
                        raise errors.bad_request(f"Invalid property '{name[:64]}'.")
            self._people.put_group(group)
            for name, relation in _BOUND.items():
                if name in given:
                    self._belonging.bind(relation, group.tenant_id, group.object_id, given[name])
        return group

    def delete(self, one: Group) -> None:
        self._people.delete_group(one)

    def members(self, one: Group) -> dict[str, Any]:
        return shown(one)

    def shown(self, one: Group) -> dict[str, Any]:
        return shown(one)


def shown(one: Group) -> dict[str, Any]:
    """The group as Graph shows it."""
    return {
        "id": one.object_id,
        "deletedDateTime": None,
        "classification": None,
        "createdDateTime": rfc3339(one.created),
        "description": one.description,
        "displayName": one.display_name,
        "groupTypes": [],
        "isAssignableToRole": None,
        "mail": None,
        "mailEnabled": False,
        "mailNickname": one.mail_nickname,
        "membershipRule": None,
        "onPremisesSyncEnabled": None,
        "proxyAddresses": [],
        "securityEnabled": True,
        "visibility": None,
    }
