"""Tenants, applications and their credentials, kept in the lab's store.

A managed identity is an application with a resource id. What a token request looks up is remembered only while the
store's documents stay as they are, so a write that was rolled back is never seen. Client ids, object ids, tenant ids
and domains are found whatever their letter case, as GUIDs and host names are; everything else compares exactly.
"""

import base64
import math
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, Literal

from podpass.lab.clock import Clock, SystemClock
from podpass.lab.entra.client_credentials import ClientCertificate, ClientSecret
from podpass.lab.store import Recollection, Store
from podpass.tokens import expressions
from podpass.tokens.federation import FederatedCredential

SERVICE = "entra"
HISTORY_SECONDS = 3600
"""How far back the directory can say which federated credentials there were."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A directory: its GUID and the domains by which it may be called."""

    tenant_id: str
    domains: tuple[str, ...] = ()
    display_name: str = ""
    any_flexible_issuer: bool = False
    """Whether flexible federated credentials may name issuers beside those that the vendor supports."""


@dataclass(frozen=True, slots=True)
class Application:
    """Something that signs in without a user: an application's service principal, or a managed identity."""

    tenant_id: str
    client_id: str
    object_id: str
    """The service principal's object id: a managed identity's principal id, and `oid` in its access tokens.

    Empty for an application without a service principal, which can neither sign in nor be a resource."""
    display_name: str
    kind: Literal["application", "managed-identity"] = "application"
    resource_id: str | None = None
    """A managed identity's ARM id."""
    enabled: bool = True
    identifier_uris: tuple[str, ...] = ()
    """Application ID URIs: the resources under which tokens for this application may be asked for."""
    token_version: Literal[1, 2] = 1
    """The version of access tokens issued *for* this application as a resource."""
    registration_id: str = ""
    """The application object's own id, by which Graph knows it; empty for what was not registered there."""


class Directory:
    """The directory of every tenant of the lab."""

    def __init__(self, store: Store, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._known = Recollection(store, SERVICE)

    def transaction(self) -> AbstractContextManager[object]:
        """Changes made inside are kept together or not at all."""
        return self._store.transaction()

    def tenant(self, name_or_guid: str) -> Tenant | None:
        """The tenant with this id or domain."""
        return self._known.get("tenant", name_or_guid.lower(), self._read_tenant)

    def _read_tenant(self, key: str) -> Tenant | None:
        document = self._store.get(SERVICE, "tenant", key)
        if document is None:
            tenant_id = self._store.get(SERVICE, "domain", key)
            document = None if tenant_id is None else self._store.get(SERVICE, "tenant", tenant_id)
        return None if document is None else _tenant(document)

    def tenants(self) -> tuple[Tenant, ...]:
        return tuple(_tenant(document) for _, document in self._store.items(SERVICE, "tenant"))

    def put_tenant(self, tenant: Tenant) -> None:
        key = tenant.tenant_id.lower()
        with self._store.transaction():
            for domain, owner in self._store.items(SERVICE, "domain"):
                if owner == key:
                    self._store.delete(SERVICE, "domain", domain)
            self._store.put(SERVICE, "tenant", key, asdict(tenant))
            for domain in tenant.domains:
                self._store.put(SERVICE, "domain", domain.lower(), key)

    def application(self, tenant_id: str, client_id: str) -> Application | None:
        return self._known.get("application", _key(tenant_id, client_id), self._read_application)

    def _read_application(self, key: str) -> Application | None:
        document = self._store.get(SERVICE, "application", key)
        return None if document is None else _application(document)

    def application_by_object_id(self, tenant_id: str, object_id: str) -> Application | None:
        client_id = self._store.get(SERVICE, "object", _key(tenant_id, object_id))
        return None if client_id is None else self.application(tenant_id, client_id)

    def application_by_registration_id(self, tenant_id: str, registration_id: str) -> Application | None:
        client_id = self._store.get(SERVICE, "registration-id", _key(tenant_id, registration_id))
        return None if client_id is None else self.application(tenant_id, client_id)

    def application_for_resource(self, tenant_id: str, resource: str) -> Application | None:
        """The application that tokens for *resource* are meant for: by Application ID URI or client id."""
        owner = self._store.get(SERVICE, "identifier", _key(tenant_id, resource))
        return self.application(tenant_id, resource if owner is None else owner)

    def applications(self, tenant_id: str) -> tuple[Application, ...]:
        prefix = _key(tenant_id, "")
        return tuple(_application(document) for _, document in self._store.items(SERVICE, "application", prefix))

    def put_application(self, application: Application) -> None:
        """Create the application, or change it; its federated credentials stay."""
        tenant_id, client_id = application.tenant_id, application.client_id.lower()
        with self._store.transaction():
            self._forget_names(tenant_id, client_id)
            self._store.put(SERVICE, "application", _key(tenant_id, client_id), application)
            if application.object_id:
                self._store.put(SERVICE, "object", _key(tenant_id, application.object_id), client_id)
            if application.registration_id:
                self._store.put(SERVICE, "registration-id", _key(tenant_id, application.registration_id), client_id)
            for uri in application.identifier_uris:
                self._store.put(SERVICE, "identifier", _key(tenant_id, uri), client_id)

    def delete_application(self, tenant_id: str, client_id: str) -> bool:
        """Remove the application with its federated credentials; False when there was none."""
        key = _key(tenant_id, client_id)
        with self._store.transaction():
            self._forget_names(tenant_id, client_id.lower())
            for kind in ("credentials", "past-credentials", "registration", "secrets", "certificates"):
                self._store.delete(SERVICE, kind, key)
            if (present := self.application(tenant_id, client_id)) is not None:
                self._store.delete(SERVICE, "revoked", _key(tenant_id, present.object_id))
            return self._store.delete(SERVICE, "application", key)

    def revoked(self, tenant_id: str, object_id: str) -> int:
        """From when on, in seconds since the epoch, a service principal's tokens count again; 0: they always did."""
        return self._known.get("revoked", _key(tenant_id, object_id), self._read_revoked)

    def _read_revoked(self, key: str) -> int:
        return int(self._store.get(SERVICE, "revoked", key) or 0)

    def revoke_tokens(self, tenant_id: str, object_id: str) -> int:
        """Revoke what was issued to a service principal until now; from when on its tokens count again.

        Tokens know whole seconds, so that moment is one after every token of before, be it issued within this second.
        """
        since = max(math.ceil(self._clock.now()), self.revoked(tenant_id, object_id) + 1)
        self._store.put(SERVICE, "revoked", _key(tenant_id, object_id), since)
        return since

    def registration(self, tenant_id: str, client_id: str) -> dict[str, Any]:
        """What Graph keeps of an application and nobody else here reads."""
        return self._store.get(SERVICE, "registration", _key(tenant_id, client_id)) or {}

    def put_registration(self, tenant_id: str, client_id: str, members: dict[str, Any]) -> None:
        self._store.put(SERVICE, "registration", _key(tenant_id, client_id), members)

    def secrets(self, tenant_id: str, client_id: str) -> tuple[ClientSecret, ...]:
        documents = self._store.get(SERVICE, "secrets", _key(tenant_id, client_id)) or []
        return tuple(ClientSecret(**document) for document in documents)

    def put_secrets(self, tenant_id: str, client_id: str, secrets: tuple[ClientSecret, ...]) -> None:
        self._store.put(SERVICE, "secrets", _key(tenant_id, client_id), [asdict(one) for one in secrets])

    def certificates(self, tenant_id: str, client_id: str) -> tuple[ClientCertificate, ...]:
        documents = self._store.get(SERVICE, "certificates", _key(tenant_id, client_id)) or []
        return tuple(ClientCertificate(**{**one, "der": base64.b64decode(one["der"])}) for one in documents)

    def put_certificates(self, tenant_id: str, client_id: str, certificates: tuple[ClientCertificate, ...]) -> None:
        documents = [{**asdict(one), "der": base64.b64encode(one.der).decode()} for one in certificates]
        self._store.put(SERVICE, "certificates", _key(tenant_id, client_id), documents)

    def credentials(self, tenant_id: str, client_id: str) -> tuple[FederatedCredential, ...]:
        """The application's federated credentials in the order of their creation."""
        return self._known.get("credentials", _key(tenant_id, client_id), self._read_credentials)

    def _read_credentials(self, key: str) -> tuple[FederatedCredential, ...]:
        documents = self._store.get(SERVICE, "credentials", key) or []
        return tuple(_credential(document) for document in documents)

    def credentials_as_of(self, tenant_id: str, client_id: str, moment: float) -> tuple[FederatedCredential, ...]:
        """The credentials as they stood at *moment*, seconds since the epoch; at most HISTORY_SECONDS ago."""
        for changed_at, before in self._store.get(SERVICE, "past-credentials", _key(tenant_id, client_id)) or []:
            if changed_at > moment:
                return tuple(_credential(document) for document in before)
        return self.credentials(tenant_id, client_id)

    def put_credential(self, tenant_id: str, client_id: str, credential: FederatedCredential) -> None:
        """Add the credential, or replace the one of its name. Raises KeyError when there is no such application."""
        if self.application(tenant_id, client_id) is None:
            raise KeyError(client_id)
        kept = {present.name.lower(): present for present in self.credentials(tenant_id, client_id)}
        kept[credential.name.lower()] = credential
        self._write_credentials(tenant_id, client_id, tuple(kept.values()))

    def delete_credential(self, tenant_id: str, client_id: str, name: str) -> bool:
        """Remove the credential of this name; False when there was none."""
        present = self.credentials(tenant_id, client_id)
        kept = tuple(credential for credential in present if credential.name.lower() != name.lower())
        if len(kept) == len(present):
            return False
        self._write_credentials(tenant_id, client_id, kept)
        return True

    def _write_credentials(self, tenant_id: str, client_id: str, credentials: tuple[FederatedCredential, ...]) -> None:
        key, now = _key(tenant_id, client_id), self._clock.now()
        with self._store.transaction():
            before = self._store.get(SERVICE, "credentials", key) or []
            past = self._store.get(SERVICE, "past-credentials", key) or []
            past = [entry for entry in past if entry[0] > now - HISTORY_SECONDS]
            self._store.put(SERVICE, "past-credentials", key, [*past, [now, before]])
            self._store.put(SERVICE, "credentials", key, [_document(credential) for credential in credentials])

    def _forget_names(self, tenant_id: str, client_id: str) -> None:
        present = self.application(tenant_id, client_id)
        if present is not None:
            self._store.delete(SERVICE, "object", _key(tenant_id, present.object_id))
            self._store.delete(SERVICE, "registration-id", _key(tenant_id, present.registration_id))
            for uri in present.identifier_uris:
                self._store.delete(SERVICE, "identifier", _key(tenant_id, uri))


def _key(tenant_id: str, name: str) -> str:
    return f"{tenant_id}/{name}".lower()


def _tenant(document: dict[str, Any]) -> Tenant:
    return Tenant(**{**document, "domains": tuple(document["domains"])})


def _application(document: dict[str, Any]) -> Application:
    return Application(**{**document, "identifier_uris": tuple(document["identifier_uris"])})


def _document(credential: FederatedCredential) -> dict[str, Any]:
    expression = None if credential.expression is None else str(credential.expression)
    return {
        "name": credential.name,
        "issuer": credential.issuer,
        "subject": credential.subject,
        "audiences": credential.audiences,
        **({} if expression is None else {"expression": expression}),
    }


def _credential(document: dict[str, Any]) -> FederatedCredential:
    expression = None
    if (text := document.get("expression")) is not None:
        parsed = expressions.parse(text)
        assert isinstance(parsed, expressions.Expression), "only what was parsed is kept"
        expression = parsed
    return FederatedCredential(
        document["name"], document["issuer"], document["subject"], tuple(document["audiences"]), expression
    )
