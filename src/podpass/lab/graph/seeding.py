"""Fills the directory from a scenario, and tells what it holds, through the same rules as requests.

Every call is idempotent and raises GraphError when Graph would refuse.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podpass.lab.clock import Clock
from podpass.lab.entra import federated_credentials
from podpass.lab.entra.client_credentials import ClientCertificate, ClientSecret, certificate_of, digest_of, lifetime_of
from podpass.lab.entra.directory import Application, Directory
from podpass.lab.entra.people import Group, People, User
from podpass.lab.graph import errors
from podpass.lab.graph.applications import READ_ONLY
from podpass.lab.graph.catalogue import Catalogue
from podpass.lab.graph.credentials import new_password
from podpass.lab.graph.principals import UpdateParameters

_DAY_SECONDS = 86_400
_SAID_ELSEWHERE = frozenset(
    {"displayName", "identifierUris", "keyCredentials", "passwordCredentials", "api"} | READ_ONLY
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An application as it is to be; empty ids stand for those that it has, or for new ones."""

    tenant_id: str
    client_id: str = ""
    registration_id: str = ""
    principal_id: str = ""
    has_principal: bool = True
    enabled: bool = True
    members: dict[str, Any]
    """As Graph spells them."""


class Seeding:
    """Puts applications, their service principals and credentials into the directory."""

    def __init__(self, directory: Directory, people: People, clock: Clock, kinds: Catalogue) -> None:
        self._directory = directory
        self._people = people
        self._clock = clock
        self._users, self._groups = kinds.users, kinds.groups
        self._applications = kinds.applications
        self._principals = kinds.principals
        self._federated = kinds.federated

    def put_application(self, wanted: Wanted) -> Application:
        """The application, found by its client id."""
        found = self._directory.application(wanted.tenant_id, wanted.client_id) if wanted.client_id else None
        if found is None:
            found = self._applications.create(
                wanted.tenant_id, wanted.members, client_id=wanted.client_id, registration_id=wanted.registration_id
            )
        else:
            self._applications.update(found, wanted.members)
        application = self._applications.find(wanted.tenant_id, found.registration_id)
        if wanted.has_principal and not application.object_id:
            return self._principals.create(application, enabled=wanted.enabled, object_id=wanted.principal_id)
        if not wanted.has_principal:
            if application.object_id:
                self._principals.delete(application)
        elif application.enabled != wanted.enabled:
            self._principals.update(application, UpdateParameters(account_enabled=wanted.enabled))
        return self._applications.find(wanted.tenant_id, found.registration_id)

    def put_user(self, tenant_id: str, object_id: str, members: Mapping[str, Any]) -> User:
        """The user of this id."""
        found = self._people.user(tenant_id, object_id)
        return self._users.update(found or User(tenant_id, object_id, "", "", "", self._clock.now()), members)

    def put_group(self, tenant_id: str, object_id: str, members: Mapping[str, Any]) -> Group:
        """The group of this id; who is in it stays."""
        found = self._people.group(tenant_id, object_id)
        return self._groups.update(found or Group(tenant_id, object_id, "", "", self._clock.now()), members)

    def put_credential(
        self, application: Application, credential: federated_credentials.Wanted, description: str
    ) -> None:
        self._federated.put(application, credential, description)

    def put_secret(self, application: Application, name: str, text: str | None, *, days: int) -> str | None:
        """A password under *name*: *text*, or else a random one unless there is one already. Gives what was made anew.

        A text that is another than that under the name takes its place.
        """
        present = self._directory.secrets(application.tenant_id, application.client_id)
        named = [one for one in present if one.display_name == name and one.holder == "application"]
        if named and (text is None or named[-1].digest == digest_of(text)):
            return None
        made, now = text if text is not None else new_password(), self._clock.now()
        secret = ClientSecret(
            key_id=str(uuid.uuid4()),
            digest=digest_of(made),
            hint=made[:3],
            display_name=name,
            starts=now,
            ends=now + days * _DAY_SECONDS,
        )
        others = tuple(one for one in present if one not in named)
        self._directory.put_secrets(application.tenant_id, application.client_id, (*others, secret))
        return made

    def put_certificate(self, application: Application, name: str, der: bytes) -> None:
        """A certificate under *name*, in the place of one that is there under it."""
        try:
            starts, ends = lifetime_of(certificate_of(der))
        except ValueError as error:
            raise errors.bad_request(f"Key credential's key is no certificate: {error}.") from error
        present = self._directory.certificates(application.tenant_id, application.client_id)
        if any((one.der, one.display_name, one.holder) == (der, name, "application") for one in present):
            return
        made = ClientCertificate(key_id=str(uuid.uuid4()), der=der, display_name=name, starts=starts, ends=ends)
        others = tuple(one for one in present if (one.display_name, one.holder) != (name, "application"))
        self._directory.put_certificates(application.tenant_id, application.client_id, (*others, made))

    def members(self, application: Application) -> dict[str, Any]:
        """What the registration holds beside names, credentials and the token version, as Graph spells it."""
        kept = self._directory.registration(application.tenant_id, application.client_id)
        shown = {name: value for name, value in kept.items() if name not in _SAID_ELSEWHERE and name != "descriptions"}
        return {**shown, **({"api": kept["api"]} if kept.get("api") else {})}

    def descriptions(self, application: Application) -> dict[str, str]:
        """What federated credentials say of themselves, by their names in lower case."""
        kept = self._directory.registration(application.tenant_id, application.client_id)
        found: dict[str, str] = kept.get("descriptions", {})
        return found
