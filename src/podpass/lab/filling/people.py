"""Users and groups, and what roles of the directory principals hold."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from podpass.lab.arm.errors import ArmError
from podpass.lab.entra.people import Group, User
from podpass.lab.filling.clouds import Made, Making
from podpass.lab.filling.finding import Finding, Found
from podpass.lab.graph.authorization import ROLES
from podpass.lab.scenario.entries.access import PrincipalEntry
from podpass.lab.scenario.entries.people import GroupEntry, UserEntry


def put_user(making: Making, entry: UserEntry) -> Made:
    tenant_id = making.find(entry.tenant, "tenants").id
    object_id = making.clouds.remembered.guid(f"user/{tenant_id}/{entry.name}".lower(), entry.id)
    members: Mapping[str, Any] = {
        **entry.members,
        "accountEnabled": entry.enabled,
        "displayName": entry.display_name or entry.name,
        "mailNickname": entry.members.get("mailNickname") or entry.principal_name.partition("@")[0],
        "userPrincipalName": entry.principal_name,
    }
    user = making.clouds.graph.seed.put_user(tenant_id, object_id, members)
    give_roles(making, tenant_id, user.object_id, entry.directory_roles)
    return Made(id=user.object_id, principal_id=user.object_id)


def users_there(finding: Finding) -> Iterator[Found]:
    people = finding.clouds.arm.estate.people
    for tenant in finding.clouds.directory.tenants():
        holder, taken = finding.path("tenants", tenant.tenant_id), set[str]()
        for user in people.users(tenant.tenant_id):
            name = finding.free_name(user.display_name, taken)
            yield Found(
                path=(*holder, name),
                id=user.object_id,
                principal_id=user.object_id,
                entry=partial(_user, finding, user, name),
            )


def _user(finding: Finding, user: User, name: str) -> UserEntry:
    members = {key: value for key, value in (user.members or {}).items() if value is not None}
    if user.mail_nickname != user.principal_name.partition("@")[0]:
        members["mailNickname"] = user.mail_nickname
    return UserEntry(
        name=name,
        tenant=finding.reference("tenants", user.tenant_id),
        principal_name=user.principal_name,
        display_name="" if user.display_name == name else user.display_name,
        id=user.object_id,
        enabled=user.enabled,
        directory_roles=roles_of(finding, user.tenant_id, user.object_id),
        members=members,
    )


def put_group(making: Making, entry: GroupEntry) -> Made:
    tenant_id = making.find(entry.tenant, "tenants").id
    object_id = making.clouds.remembered.guid(f"group/{tenant_id}/{entry.name}".lower(), entry.id)
    members = {
        "displayName": entry.display_name or entry.name,
        "description": entry.description or None,
        "mailNickname": entry.mail_nickname or _nickname(entry.name),
    }
    group = making.clouds.graph.seed.put_group(tenant_id, object_id, members)
    return Made(id=group.object_id, principal_id=group.object_id)


def put_members(making: Making, entry: GroupEntry) -> Made:
    """Who is in a group: put once everybody is there."""
    made = making.find(f"{entry.tenant}/{entry.name}", "groups")
    for member in entry.members:
        making.clouds.arm.estate.people.add("member", made.id, making.principal(member))
    return made


def groups_there(finding: Finding) -> Iterator[Found]:
    people = finding.clouds.arm.estate.people
    for tenant in finding.clouds.directory.tenants():
        holder, taken = finding.path("tenants", tenant.tenant_id), set[str]()
        for group in people.groups(tenant.tenant_id):
            name = finding.free_name(group.display_name, taken)
            owners = len(people.belonging("owner", group.object_id))
            finding.note("groups", f"{name}: {owners} owners are not said.", owners)
            yield Found(
                path=(*holder, name),
                id=group.object_id,
                principal_id=group.object_id,
                entry=partial(_group, finding, group, name),
            )


def _group(finding: Finding, group: Group, name: str) -> GroupEntry:
    members = finding.clouds.arm.estate.people.belonging("member", group.object_id)
    return GroupEntry(
        name=name,
        tenant=finding.reference("tenants", group.tenant_id),
        display_name="" if group.display_name == name else group.display_name,
        id=group.object_id,
        description=group.description or "",
        mail_nickname="" if group.mail_nickname == _nickname(name) else group.mail_nickname,
        members=tuple(PrincipalEntry(**finding.principal(one)) for one in members if finding.is_somebody(one)),
    )


def _nickname(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "", name)[:64] or "group"


def give_roles(making: Making, tenant_id: str, object_id: str, names: Iterable[str]) -> None:
    """Let a principal hold these roles of the directory, beside those that it holds."""
    by_name = {role.name.lower(): role for role in ROLES}
    for name in names:
        role = by_name.get(name.lower())
        if role is None:
            known = ", ".join(role.name for role in ROLES)
            raise ArmError(400, "NotInScenario", f"There is no role '{name}' of the directory; there are {known}.")
        making.clouds.graph.roles.give(tenant_id, role, object_id)


def roles_of(finding: Finding, tenant_id: str, object_id: str) -> tuple[str, ...]:
    held = finding.clouds.graph.roles.held_by(tenant_id, object_id) if object_id else ()
    return tuple(role.name for role in ROLES if role.guid in held)
