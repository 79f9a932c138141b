"""Federated identity credentials of application registrations.

Contract: azure workload identity, sections 6.1 and 6.2.
"""

import re
import uuid
from dataclasses import replace
from typing import Any

import msgspec

from podpass.lab.entra.directory import Application, Directory
from podpass.lab.entra.federated_credentials import Fault, fault_of
from podpass.lab.graph import errors
from podpass.lab.graph.applications import Applications
from podpass.lab.graph.calls import Answer, Call, collection, entity, parameters
from podpass.tokens.federation import FederatedCredential

KIND = "federatedIdentityCredentials"
_BY_NAME = re.compile(r"\(name='([^']+)'\)", re.IGNORECASE)


class CreateParameters(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    issuer: str
    audiences: list[str]
    subject: str | None = None
    description: str | None = None
    claims_matching_expression: dict[str, Any] | None = None


class UpdateParameters(msgspec.Struct, frozen=True, rename="camel"):
    name: str | None = None
    issuer: str | None = None
    audiences: list[str] | None = None
    subject: str | None = None
    description: str | None = None
    claims_matching_expression: dict[str, Any] | None = None


class FederatedCredentials:
    """The federated credentials of every registration. Every call raises GraphError when Graph would refuse."""

    def __init__(self, directory: Directory, applications: Applications) -> None:
        self._directory = directory
        self._applications = applications

    def answer(self, call: Call) -> Answer | None:
        """The answer to a request below /applications/{id}/federatedIdentityCredentials; None: not emulated."""
        application = self._applications.find(call.tenant_id, call.path[1])
        context = f"applications('{application.registration_id}')/{KIND}"
        match call.method, *call.path[3:]:
            case ["GET"]:
                found = [self._shown(application, one) for one in self._of(application)]
                return collection(context, f"applications/{application.registration_id}/{KIND}", found, call)
            case ["POST"]:
                return entity(context, self._create(application, parameters(call.body, CreateParameters)), 201)
            case ["GET", name]:
                return entity(context, self._shown(application, self._find(application, name)))
            case ["PATCH", name]:
                return self._update(application, name, parameters(call.body, UpdateParameters), context)
            case ["DELETE", name]:
                found_one = self._find(application, name)
                self._directory.delete_credential(application.tenant_id, application.client_id, found_one.name)
                return Answer(None, 204)
        return None

    def _of(self, application: Application) -> tuple[FederatedCredential, ...]:
        return self._directory.credentials(application.tenant_id, application.client_id)

    def _find(self, application: Application, name: str) -> FederatedCredential:
        if by_name := _BY_NAME.fullmatch(name):
            name = by_name[1]
        for one in self._of(application):
            if name.lower() in (one.name.lower(), _id(application, one)):
                return one
        raise errors.not_found(name)

    def _create(self, application: Application, given: CreateParameters) -> dict[str, Any]:
        if given.claims_matching_expression is not None:
            raise errors.not_emulated("claims matching expressions")
        made = FederatedCredential(given.name, given.issuer, given.subject or "", tuple(given.audiences))
        if any(one.name.lower() == given.name.lower() for one in self._of(application)):
            raise errors.conflict(
                f"FederatedIdentityCredential with name {given.name[:120]} already exists.",
                "Request_MultipleObjectsWithSameKeyValue",
            )
        self._put(application, made, given.description)
        return self._shown(application, made)

    def _update(self, application: Application, name: str, given: UpdateParameters, context: str) -> Answer:
        try:
            present = self._find(application, name)
        except errors.GraphError:
            by_name = _BY_NAME.fullmatch(name)
            if by_name is None or given.issuer is None or given.audiences is None:
                raise
            made = CreateParameters(
                by_name[1], given.issuer, given.audiences, given.subject, given.description,
                given.claims_matching_expression,
            )  # fmt: skip
            return entity(context, self._create(application, made), 201)
        if given.claims_matching_expression is not None:
            raise errors.not_emulated("claims matching expressions")
        if given.name is not None and given.name != present.name:
            raise errors.bad_request("Property 'name' is read-only and cannot be set.")
        changed = replace(
            present,
            issuer=present.issuer if given.issuer is None else given.issuer,
            subject=present.subject if given.subject is None else given.subject,
            audiences=present.audiences if given.audiences is None else tuple(given.audiences),
        )
        self._put(application, changed, given.description)
        return Answer(None, 204)

    def _put(self, application: Application, made: FederatedCredential, description: str | None) -> None:
        tenant_id, client_id = application.tenant_id, application.client_id
        siblings = [one for one in self._of(application) if one.name.lower() != made.name.lower()]
        is_new = len(siblings) == len(self._of(application))
        if (fault := fault_of(made, siblings, is_new=is_new)) is not None:
            raise _refusal(fault)
        with self._directory.transaction():
            self._directory.put_credential(tenant_id, client_id, made)
            if description is not None:
                members = self._directory.registration(tenant_id, client_id)
                described = {**members.get("descriptions", {}), made.name.lower(): description}
                self._directory.put_registration(tenant_id, client_id, {**members, "descriptions": described})

    def _shown(self, application: Application, one: FederatedCredential) -> dict[str, Any]:
        kept = self._directory.registration(application.tenant_id, application.client_id)
        return {
            "id": _id(application, one),
            "name": one.name,
            "issuer": one.issuer,
            "subject": one.subject,
            "description": kept.get("descriptions", {}).get(one.name.lower()),
            "audiences": list(one.audiences),
        }


def _id(application: Application, one: FederatedCredential) -> str:
    """An id that follows from what never changes: the application and the credential's name."""
    return str(uuid.uuid5(uuid.UUID(application.registration_id), one.name.lower()))


def _refusal(fault: Fault) -> errors.GraphError:
    return errors.GraphError(400, "InvalidFederatedIdentityCredentialValue", fault.message)
