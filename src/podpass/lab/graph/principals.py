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
from podpass.lab.graph import credentials, errors
from podpass.lab.graph.calls import Answer, Call, collection, entity, parameters
from podpass.lab.graph.filters import selected

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

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock

    def answer(self, call: Call) -> Answer | None:
        """The answer to a request below /servicePrincipals; None for one that is not emulated."""
        match call.method, *call.path[1:]:
            case ["GET"]:
                return self._list(call)
            case ["POST"]:
                return self._create(call)
            case [method, name]:
                application = self.find(call.tenant_id, name)
                match method:
                    case "GET":
                        return entity(KIND, shown(application, self._directory))
                    case "PATCH":
                        self.update(application, parameters(call.body, UpdateParameters))
                        return Answer(None, 204)
                    case "DELETE":
                        self.delete(application)
                        return Answer(None, 204)
            case ["POST", name, action] if action.lower() in ("addpassword", "removepassword"):
                application = self.find(call.tenant_id, name)
                return credentials.change_passwords(self._directory, self._clock, application, "servicePrincipal", call)
        return None

    def find(self, tenant_id: str, name: str) -> Application:
        """By object id, or by client id as `(appId='…')` writes it. Raises GraphError."""
        found = self._directory.application_by_object_id(tenant_id, name)
        if found is None and (by_client := re.fullmatch(r"\(appid='([^']+)'\)", name, re.IGNORECASE)):
            found = self._directory.application(tenant_id, by_client[1])
        if found is None or not found.object_id:
            raise errors.not_found(name)
        return found

    def _list(self, call: Call) -> Answer:
        wanted = selected(
            call.query.get("$filter", ""), FILTERED, lambda: errors.not_emulated("this filter on service principals")
        )
        found = [shown(one, self._directory) for one in self._directory.applications(call.tenant_id) if one.object_id]
        return collection(KIND, KIND, [one for one in found if wanted(one)], call)

    def _create(self, call: Call) -> Answer:
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
        made = self.create(application, enabled=given.account_enabled)
        return entity(KIND, shown(made, self._directory), 201)

    def create(self, application: Application, *, enabled: bool, object_id: str = "") -> Application:
        """The application with a service principal, of an id of its own unless one is given."""
        made = replace(application, object_id=object_id or str(uuid.uuid4()), enabled=enabled)
        self._directory.put_application(made)
        return made

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


def _own(application: Application) -> None:
    if application.kind == "managed-identity":
        raise errors.bad_request("A service principal of type ManagedIdentity can't be changed through Graph.")


def names_of(application: Application) -> tuple[str, ...]:
    return (application.client_id, *application.identifier_uris)


def shown(application: Application, directory: Directory) -> dict[str, Any]:
    """The service principal as Graph shows it."""
    managed = application.kind == "managed-identity"
    return {
        "id": application.object_id,
        "deletedDateTime": None,
        "accountEnabled": application.enabled,
        "alternativeNames": ["isExplicit=True", application.resource_id] if application.resource_id else [],
        "appDisplayName": application.display_name,
        "appId": application.client_id,
        "appOwnerOrganizationId": None if managed else application.tenant_id,
        "appRoles": [],
        "displayName": application.display_name,
        "keyCredentials": credentials.shown_certificates(directory, application, "servicePrincipal"),
        "oauth2PermissionScopes": [],
        "passwordCredentials": credentials.shown_secrets(directory, application, "servicePrincipal"),
        "servicePrincipalNames": list(names_of(application)),
        "servicePrincipalType": "ManagedIdentity" if managed else "Application",
        "tags": [],
    }
