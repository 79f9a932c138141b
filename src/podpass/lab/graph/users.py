"""Users: people of a tenant, who can be members of groups and hold roles. Nobody signs in as one here.

A password has to be good enough and is not kept.
Contract: Azure HTTP surface, section 5.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from podpass.lab.clock import Clock
from podpass.lab.entra.directory import Directory
from podpass.lab.entra.people import People, User
from podpass.lab.graph import errors
from podpass.lab.graph.calls import Call, parameters

_TEXTS = (
    "city", "companyName", "country", "department", "employeeId", "givenName", "jobTitle", "mobilePhone",
    "officeLocation", "onPremisesImmutableId", "postalCode", "preferredLanguage", "state", "streetAddress", "surname",
    "usageLocation",
)  # fmt: skip
"""Members that are kept without a meaning."""
_SHOWN = ("givenName", "jobTitle", "mobilePhone", "officeLocation", "preferredLanguage", "surname")
_PRINCIPAL_NAME = re.compile(r"[A-Za-z0-9'._#!^~-]{1,64}@([A-Za-z0-9.-]{1,113})")
_NICKNAME = re.compile(r"[^@()\\\[\]\";:<>,\s]{1,64}")


class _PasswordProfile(msgspec.Struct, frozen=True, rename="camel"):
    password: str = ""

    def __repr__(self) -> str:
        return "_PasswordProfile()"


class Users:
    """The users of every tenant. Every call raises GraphError when Graph would refuse."""

    name = "users"
    filtered: Mapping[str, str] = {
        "displayname": "displayName",
        "givenname": "givenName",
        "id": "id",
        "mail": "mail",
        "surname": "surname",
        "userprincipalname": "userPrincipalName",
    }

    def __init__(self, directory: Directory, people: People, clock: Clock) -> None:
        self._directory = directory
        self._people = people
        self._clock = clock

    def all(self, tenant_id: str) -> tuple[User, ...]:
        return self._people.users(tenant_id)

    def find(self, tenant_id: str, name: str) -> User:
        """By object id or principal name, which may be quoted in parentheses."""
        name = name[2:-2] if name.startswith("('") and name.endswith("')") else name
        found = self._people.user(tenant_id, name) or self._people.user_by_name(tenant_id, name)
        if found is None:
            raise errors.not_found(name)
        return found

    def made(self, call: Call) -> User:
        given = parameters(call.body, dict[str, Any])
        for required in ("accountEnabled", "displayName", "mailNickname", "passwordProfile", "userPrincipalName"):
            if given.get(required) in (None, ""):
                raise errors.bad_request(f"A value is required for property '{required}' of resource 'User'.")
        user = User(
            tenant_id=call.tenant_id,
            object_id=str(uuid.uuid4()),
            principal_name="",
            display_name="",
            mail_nickname="",
            created=self._clock.now(),
        )
        return self.update(user, given)

    def change(self, one: User, body: bytes) -> None:
        self.update(one, parameters(body, dict[str, Any]))

    def update(self, user: User, given: Mapping[str, Any]) -> User:
        """Change what *given* names, all of it or nothing."""
        members = dict(user.members or {})
        for name, value in given.items():
            match name:
                case "accountEnabled" if isinstance(value, bool):
                    user = replace(user, enabled=value)
                case "displayName" if isinstance(value, str) and 0 < len(value) <= 256:
                    user = replace(user, display_name=value)
                case "mailNickname" if isinstance(value, str) and _NICKNAME.fullmatch(value):
                    user = replace(user, mail_nickname=value)
                case "userPrincipalName" if isinstance(value, str):
                    self._check_principal_name(user, value)
                    user = replace(user, principal_name=value)
                case "passwordProfile":
                    _check_password(value)
                case _ if name in _TEXTS and (value is None or isinstance(value, str)):
                    members[name] = value
                case "accountEnabled" | "displayName" | "mailNickname" | "userPrincipalName":
                    raise _invalid(name)
                case _ if name in _TEXTS:
                    raise _invalid(name)
                case _ if not name.startswith("@"):
                    raise errors.bad_request(f"Invalid property '{name[:64]}'.")
        user = replace(user, members=members)
        self._people.put_user(user)
        return user

    def delete(self, one: User) -> None:
        self._people.delete_user(one)

    def members(self, one: User) -> dict[str, Any]:
        return shown(one)

    def shown(self, one: User) -> dict[str, Any]:
        return shown(one)

    def _check_principal_name(self, user: User, name: str) -> None:
        form = _PRINCIPAL_NAME.fullmatch(name)
        if form is None:
            raise _invalid("userPrincipalName")
        tenant = self._directory.tenant(user.tenant_id)
        if tenant is None or form[1].lower() not in (domain.lower() for domain in tenant.domains):
            raise errors.bad_request(
                "The domain portion of the userPrincipalName property is invalid. You must use one of the verified "
                "domain names in your organization."
            )
        other = self._people.user_by_name(user.tenant_id, name)
        if other is not None and other.object_id != user.object_id:
            raise errors.bad_request(
                "Another object with the same value for property userPrincipalName already exists."
            )


def _check_password(value: Any) -> None:
    try:
        password = msgspec.convert(value, _PasswordProfile).password
    except msgspec.ValidationError as error:
        raise _invalid("passwordProfile") from error
    kinds = sum(bool(re.search(pattern, password)) for pattern in (r"[a-z]", r"[A-Z]", r"[0-9]", r"[^A-Za-z0-9]"))
    if not 8 <= len(password) <= 256 or kinds < 3:
        raise errors.bad_request(
            "The specified password does not comply with password complexity requirements. Please provide a different "
            "password."
        )


def _invalid(member: str) -> errors.GraphError:
    return errors.bad_request(f"Invalid value specified for property '{member}' of resource 'User'.")


def shown(one: User) -> dict[str, Any]:
    """The members that Graph shows of a user unless it is asked for others."""
    members = one.members or {}
    return {
        "businessPhones": [],
        "displayName": one.display_name,
        **{name: members.get(name) for name in _SHOWN},
        "mail": None,
        "userPrincipalName": one.principal_name,
        "id": one.object_id,
    }
