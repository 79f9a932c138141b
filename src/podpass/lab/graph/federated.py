"""Federated identity credentials of application registrations.

Flexible ones are taken and shown by v1.0 as by beta; the real v1.0 fails at lists that hold one.
Contract: azure workload identity, sections 6.1, 6.2 and 6.4.
"""

import re
import uuid
from typing import Any

import msgspec

from podpass.lab.entra.directory import Application, Directory
from podpass.lab.entra.federated_credentials import Fault, Wanted, credential_of
from podpass.lab.entra.flexible import GivenExpression, shown
from podpass.lab.graph import errors
from podpass.lab.graph.applications import Applications
from podpass.lab.graph.calls import Answer, Call, collection, entity, parameters
from podpass.lab.graph.operations import Operation
from podpass.tokens.expressions import LANGUAGE_VERSION
from podpass.tokens.federation import FederatedCredential

KIND = "federatedIdentityCredentials"
_BY_NAME = re.compile(r"\(name='([^']+)'\)", re.IGNORECASE)


class CreateParameters(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    issuer: str
    audiences: list[str]
    subject: str | None = None
    description: str | None = None
    claims_matching_expression: GivenExpression | None = None


class UpdateParameters(msgspec.Struct, frozen=True, rename="camel"):
    """What is not set stays as it is; null takes a subject or an expression away."""

    name: str | None = None
    issuer: str | None = None
    audiences: list[str] | None = None
    subject: str | msgspec.UnsetType | None = msgspec.UNSET
    description: str | None = None
    claims_matching_expression: GivenExpression | msgspec.UnsetType | None = msgspec.UNSET


class FederatedCredentials:
    """The federated credentials of every registration. Every call raises GraphError when Graph would refuse."""

    def __init__(self, directory: Directory, applications: Applications) -> None:
        self._directory = directory
        self._applications = applications

    def operations(self) -> tuple[Operation, ...]:
        # The vendor's pages create flexible ones in beta.
        versions = ("v1.0", "beta")
        read, update = (f"microsoft.directory/applications/{verb}" for verb in ("standard/read", "credentials/update"))
        base = f"applications/{{}}/{KIND}"
        one = f"{base}/{{}}"
        return (
            Operation(method="GET", path=base, action=read, run=self._list, versions=versions),
            Operation(method="POST", path=base, action=update, run=self._create_one, versions=versions),
            Operation(method="GET", path=one, action=read, run=self._read, versions=versions),
            Operation(method="PATCH", path=one, action=update, run=self._update_one, versions=versions),
            Operation(method="DELETE", path=one, action=update, run=self._delete, versions=versions),
        )

    def _list(self, call: Call) -> Answer:
        application = self._parent(call)
        found = [self._shown(application, one) for one in self._of(application)]
        return collection(_context(application), f"applications/{application.registration_id}/{KIND}", found, call)

    def _create_one(self, call: Call) -> Answer:
        application = self._parent(call)
        made = self._create(application, parameters(call.body, CreateParameters))
        return entity(_context(application), made, 201)

    def _read(self, call: Call) -> Answer:
        application = self._parent(call)
        return entity(_context(application), self._shown(application, self._find(application, call.names[1])))

    def _update_one(self, call: Call) -> Answer:
        return self._update(self._parent(call), call.names[1], parameters(call.body, UpdateParameters))

    def _delete(self, call: Call) -> Answer:
        application = self._parent(call)
        found = self._find(application, call.names[1])
        self._directory.delete_credential(application.tenant_id, application.client_id, found.name)
        return Answer(None, 204)

    def _parent(self, call: Call) -> Application:
        return self._applications.find(call.tenant_id, call.names[0])

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
        if any(one.name.lower() == given.name.lower() for one in self._of(application)):
            raise errors.conflict(
                f"FederatedIdentityCredential with name {given.name[:120]} already exists.",
                "Request_MultipleObjectsWithSameKeyValue",
            )
        wanted = Wanted(
            given.name, given.issuer, tuple(given.audiences), given.subject, given.claims_matching_expression
        )
        return self._shown(application, self.put(application, wanted, given.description))

    def _update(self, application: Application, name: str, given: UpdateParameters) -> Answer:
        try:
            present = self._find(application, name)
        except errors.GraphError:
            by_name = _BY_NAME.fullmatch(name)
            if by_name is None or given.issuer is None or given.audiences is None:
                raise
            made = CreateParameters(
                by_name[1], given.issuer, given.audiences, given.subject or None, given.description,
                given.claims_matching_expression or None,
            )  # fmt: skip
            return entity(_context(application), self._create(application, made), 201)
        if given.name is not None and given.name != present.name:
            raise errors.bad_request("Property 'name' is read-only and cannot be set.")
        wanted = Wanted(
            name=present.name,
            issuer=present.issuer if given.issuer is None else given.issuer,
            audiences=present.audiences if given.audiences is None else tuple(given.audiences),
            subject=_subject(present) if given.subject is msgspec.UNSET else given.subject,
            expression=_expression(present)
            if given.claims_matching_expression is msgspec.UNSET
            else given.claims_matching_expression,
        )
        self.put(application, wanted, given.description)
        return Answer(None, 204)

    def put(self, application: Application, wanted: Wanted, description: str | None) -> FederatedCredential:
        """Add the credential, or replace the one of its name."""
        tenant_id, client_id = application.tenant_id, application.client_id
        present = self._of(application)
        siblings = [one for one in present if one.name.lower() != wanted.name.lower()]
        made = credential_of(
            wanted,
            siblings,
            holder="application",
            tenant=self._directory.tenant(tenant_id),
            is_new=len(siblings) == len(present),
        )
        if isinstance(made, Fault):
            raise errors.GraphError(400, "InvalidFederatedIdentityCredentialValue", made.message)
        with self._directory.transaction():
            self._directory.put_credential(tenant_id, client_id, made)
            if description is not None:
                members = self._directory.registration(tenant_id, client_id)
                described = {**members.get("descriptions", {}), made.name.lower(): description}
                self._directory.put_registration(tenant_id, client_id, {**members, "descriptions": described})
        return made

    def _shown(self, application: Application, one: FederatedCredential) -> dict[str, Any]:
        kept = self._directory.registration(application.tenant_id, application.client_id)
        return {
            "id": _id(application, one),
            "name": one.name,
            "issuer": one.issuer,
            "subject": _subject(one),
            "description": kept.get("descriptions", {}).get(one.name.lower()),
            "audiences": list(one.audiences),
            **({} if one.expression is None else {"claimsMatchingExpression": shown(one.expression)}),
        }


def _context(application: Application) -> str:
    return f"applications('{application.registration_id}')/{KIND}"


def _id(application: Application, one: FederatedCredential) -> str:
    """An id that follows from what never changes: the application and the credential's name."""
    return str(uuid.uuid5(uuid.UUID(application.registration_id), one.name.lower()))


def _subject(one: FederatedCredential) -> str | None:
    return one.subject if one.expression is None else None


def _expression(one: FederatedCredential) -> GivenExpression | None:
    return None if one.expression is None else GivenExpression(str(one.expression), LANGUAGE_VERSION)
