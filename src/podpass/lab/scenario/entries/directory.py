"""What a tenant's directory holds beside managed identities: applications with their service principals."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from podpass.lab.scenario.entries import spelling
from podpass.lab.scenario.entries.trust import FederatedCredentialEntry
from podpass.lab.scenario.fields import Between, Json, Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEntry:
    """Where a value that does not stand in the file comes from."""

    env: Annotated[str, spelling.VARIABLE, "a variable of the environment in which `podpass lab up` runs"] = ""
    file: Annotated[str, "a file, relative to the scenario; a newline at its end does not count"] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        if bool(self.env) == bool(self.file):
            yield "", "exactly one of env and file is needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecretEntry:
    """A password of an application. Only its digest is kept in the lab."""

    name: Annotated[str, spelling.OBJECT, "what Graph calls displayName"]
    value_from: Annotated[
        SourceEntry | None,
        "without it the lab makes a random one, once, and writes it to `client-secrets` in its directory",
    ] = None
    days: Annotated[int, Between(1, 36_500), "how long it is good for"] = 730


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificateEntry:
    """A certificate whose key signs an application in."""

    name: Annotated[str, spelling.TITLE, "what Graph calls displayName"]
    file: Annotated[str, "a PEM or DER file, relative to the scenario"] = ""
    pem: Annotated[str, "the certificate itself; exactly one of `file` and `pem` is needed"] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        if bool(self.file) == bool(self.pem):
            yield "file", "exactly one of file and pem is needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationEntry:
    """An application registration, and its service principal."""

    name: Annotated[str, spelling.TITLE, "how the rest of the file refers to it"]
    tenant: Annotated[str, Ref("tenants", parent=True), "whose it is"]
    display_name: Annotated[str, "the `name` when absent"] = ""
    client_id: Annotated[str, spelling.GUID, "also called appId; chosen and kept when absent"] = ""
    object_id: Annotated[str, spelling.GUID, "the registration's own id"] = ""
    identifier_uris: Annotated[tuple[str, ...], "Application ID URIs, such as `api://orders`"] = ()
    token_version: Annotated[int, Between(1, 2), "of access tokens for it"] = 1
    service_principal: Annotated[bool, "whether it has one, without which it can't sign in"] = True
    service_principal_id: Annotated[str, spelling.GUID, "the service principal's object id"] = ""
    enabled: Annotated[bool, "whether the service principal may sign in"] = True
    directory_roles: Annotated[tuple[str, ...], "names of roles of the directory that it holds"] = ()
    secrets: Annotated[tuple[ClientSecretEntry, ...], "passwords"] = ()
    certificates: Annotated[tuple[ClientCertificateEntry, ...], "certificates"] = ()
    federated_credentials: Annotated[tuple[FederatedCredentialEntry, ...], "whose tokens it trusts"] = ()
    registration: Annotated[Json, "further members as Graph spells them, such as `appRoles` and `web`"] = field(
        default_factory=dict
    )
