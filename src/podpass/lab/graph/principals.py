"""Service principals: what an application, or a managed identity, is in its tenant.

Contract: Azure HTTP surface, section 5.
"""

import re
import uuid
from dataclasses import replace
from typing import Any

import msgspec

from podpass.lab.clock import Clock
from podpass.lab.entra.directory import Application, Directory
from podpass.lab.entra.people import People
from podpass.lab.graph import credentials, errors
from podpass.lab.graph.calls import Call, parameters
from podpass.lab.graph.operations import Operation, Plain

KIND = "servicePrincipals"
FILTERED = {
    "appid": "appId",
    "displayname": "displayName",
    "id": "id",
    "serviceprincipalnames": "servicePrincipalNames",
    "serviceprincipaltype": "servicePrincipalType",
}


class CreateParameters(msgspec.Struct, frozen=True, rename="camel"):
    """The body of a request to create a service principal; other members count for nothing here."""

    app_id: str
    account_enabled: bool = True


class UpdateParameters(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What may be changed of a service principal."""

    account_enabled: bool | None = None
    display_name: str | None = None
    key_credentials: list[dict[str, Any]] | None = None


class Principals:
    """The service principals of every tenant. Every call raises GraphError when Graph would refuse."""

    name = KIND
    filtered = FILTERED

    def __init__(self, directory: Directory, people: People, clock: Clock) -> None:
        self._directory = directory
        self._people = people
        self._clock = clock

    def operations(self) -> tuple[Operation, ...]:
        return (
            *Plain(self).operations(),
            *credentials.operations(self, "servicePrincipal", self._directory, self._clock),
        )

    def all(self, tenant_id: str) -> list[Application]:
        return [one for one in self._directory.applications(tenant_id) if one.object_id]

    def find(self, tenant_id: str, name: str) -> Application:
        """By object id, or by client id as `(appId='…')` writes it. Raises GraphError."""
        found = self._directory.application_by_object_id(tenant_id, name)
        if found is None and (by_client := re.fullmatch(r"\(appid='([^']+)'\)", name, re.IGNORECASE)):
            found = self._directory.application(tenant_id, by_client[1])
        if found is None or not found.object_id:
            raise errors.not_found(name)
        return found

    def made(self, call: Call) -> Application:
        given = parameters(call.body, CreateParameters)
        application = self._directory.application(call.tenant_id, given.app_id)
        if application is None:
            raise errors.bad_request(
                f"The appId '{given.app_id[:64]}' of the service principal does not reference a valid application"
                " object."
            )
        if application.object_id:
            raise errors.conflict(
                "The service principal cannot be created, updated, or restored because the service principal name"
                f" {application.client_id} is already in use.",
            )
        return self.create(application, enabled=given.account_enabled)

    def create(self, application: Application, *, enabled: bool, object_id: str = "") -> Application:
        """The application with a service principal, of an id of its own unless one is given."""
        made = replace(application, object_id=object_id or str(uuid.uuid4()), enabled=enabled)
        self._directory.put_application(made)
        return made

    def change(self, one: Application, body: bytes) -> None:
        self.update(one, parameters(body, UpdateParameters))

    def update(self, application: Application, given: UpdateParameters) -> None:
        _own(application)
        enabled = application.enabled if given.account_enabled is None else given.account_enabled
        with self._directory.transaction():
            self._directory.put_application(replace(application, enabled=enabled))
            if given.key_credentials is not None:
                credentials.replace_certificates(
                    self._directory, application, "servicePrincipal", given.key_credentials
                )

    def delete(self, application: Application) -> None:
        _own(application)
        with self._directory.transaction():
            self._directory.put_application(replace(application, object_id=""))
            credentials.forget(self._directory, application, "servicePrincipal")
            self._people.forget(application.object_id)

    def members(self, one: Application) -> dict[str, Any]:
        return {
            "id": one.object_id,
            "appId": one.client_id,
            "displayName": one.display_name,
            "servicePrincipalNames": list(names_of(one)),
            "servicePrincipalType": _type(one),
        }

    def shown(self, one: Application) -> dict[str, Any]:
        """The service principal as Graph shows it."""
        managed = one.kind == "managed-identity"
        return {
            "id": one.object_id,
            "deletedDateTime": None,
            "accountEnabled": one.enabled,
            "alternativeNames": ["isExplicit=True", one.resource_id] if one.resource_id else [],
            "appDisplayName": one.display_name,
            "appId": one.client_id,
            "appOwnerOrganizationId": None if managed else one.tenant_id,
            "appRoles": [],
            "displayName": one.display_name,
            "keyCredentials": credentials.shown_certificates(self._directory, one, "servicePrincipal"),
            "oauth2PermissionScopes": [],
            "passwordCredentials": credentials.shown_secrets(self._directory, one, "servicePrincipal"),
            "servicePrincipalNames": list(names_of(one)),
            "servicePrincipalType": _type(one),
            "tags": [],
        }


def _own(application: Application) -> None:
    if application.kind == "managed-identity":
        raise errors.bad_request("A service principal of type ManagedIdentity can't be changed through Graph.")


def _type(application: Application) -> str:
    return "ManagedIdentity" if application.kind == "managed-identity" else "Application"


def names_of(application: Application) -> tuple[str, ...]:
    return (application.client_id, *application.identifier_uris)
