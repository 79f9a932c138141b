"""Certificate issuers, as a vault's owner sets up accounts of them, and the people whom it tells of certificates.

An issuer can be kept, changed and deleted; what its certificate authority would sign is not there.
Contract: secrets store, section 3.5.
"""

from typing import Any

import msgspec

from podpass.lab.arm import Vault
from podpass.lab.clock import Clock
from podpass.lab.keyvault import errors
from podpass.lab.keyvault.calls import Call, Input, Result, page_of, paged, parameters
from podpass.lab.keyvault.model import is_name
from podpass.lab.keyvault.operations import IssuerOperation
from podpass.lab.keyvault.routes import Route
from podpass.lab.keyvault.shelves import SERVICE
from podpass.lab.store import Store

_ISSUER, _CONTACTS = "certificate-issuer", "certificate-contacts"
PROVIDERS = ("DigiCert", "GlobalSign", "Test")
RESERVED = frozenset(("self", "unknown"))


class _Credentials(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    account_id: str | None = None
    pwd: str | None = None

    def __repr__(self) -> str:
        return "_Credentials()"


class _Administrator(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None


class _Organization(msgspec.Struct, frozen=True, kw_only=True):
    id: str | None = None
    admin_details: list[_Administrator] = msgspec.field(default_factory=list)


class _Attributes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    enabled: bool | None = None
    created: int | None = None
    updated: int | None = None


class _Parameters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a request to set or change an issuer, and what is kept of one."""

    provider: str | None = None
    credentials: _Credentials | None = None
    org_details: _Organization | None = None
    attributes: _Attributes | None = None
    name: str = ""
    """As it was first written."""


class _Contact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    email: str
    name: str | None = None
    phone: str | None = None


class _Contacts(msgspec.Struct, frozen=True):
    contacts: list[_Contact]


class Issuers:
    """All issuers and contacts of the lab. Every call raises KeyVaultError when a vault would refuse."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    routes = (
        Route(
            "certificates/contacts",
            {
                "GET": IssuerOperation.GET_CONTACTS,
                "PUT": IssuerOperation.SET_CONTACTS,
                "DELETE": IssuerOperation.DELETE_CONTACTS,
            },
        ),
        Route("certificates/issuers", {"GET": IssuerOperation.LIST}),
        Route(
            "certificates/issuers/{}",
            {
                "GET": IssuerOperation.GET,
                "PUT": IssuerOperation.SET,
                "PATCH": IssuerOperation.UPDATE,
                "DELETE": IssuerOperation.DELETE,
            },
        ),
    )

    async def settle(self, vault: Vault) -> None:
        """Nothing of this happens by itself."""

    async def run(self, call: Call, given: Input) -> Result:
        """Do what is allowed."""
        match call.operation:
            case IssuerOperation.GET_CONTACTS:
                return Result(self._shown_contacts(self._contacts(given.vault), given))
            case IssuerOperation.SET_CONTACTS:
                return Result(self._shown_contacts(self._set_contacts(given), given))
            case IssuerOperation.DELETE_CONTACTS:
                shown = self._shown_contacts(self._contacts(given.vault), given)
                self._store.delete(SERVICE, _CONTACTS, given.vault.instance)
                return Result(shown)
            case IssuerOperation.LIST:
                return Result(self._list(given))
            case IssuerOperation.SET:
                return Result(self._shown(self._set(call, given), given))
            case IssuerOperation.UPDATE:
                return Result(self._shown(self._update(call, given), given))
            case IssuerOperation.DELETE:
                issuer = self.require(given.vault, call.name)
                self._store.delete(SERVICE, _ISSUER, _place(given.vault, call.name))
                return Result(self._shown(issuer, given))
        return Result(self._shown(self.require(given.vault, call.name), given))

    def require(self, vault: Vault, name: str) -> _Parameters:
        """The issuer of this name. Raises KeyVaultError."""
        if not is_name(name):
            raise errors.invalid_name("issuer", name)
        kept = self._store.get(SERVICE, _ISSUER, _place(vault, name))
        if kept is None:
            raise errors.issuer_not_found(name)
        return msgspec.convert(kept, _Parameters)

    def addresses(self, vault: Vault) -> list[str]:
        """Of the people who are told of certificates."""
        kept = self._store.get(SERVICE, _CONTACTS, vault.instance)
        return [] if kept is None else [one.email for one in msgspec.convert(kept, _Contacts).contacts]

    def drop(self, instance: str) -> None:
        """Forget everything of a purged vault."""
        self._store.delete(SERVICE, _CONTACTS, instance)
        for key, _ in self._store.items(SERVICE, _ISSUER, f"{instance}/"):
            self._store.delete(SERVICE, _ISSUER, key)

    # Issuers

    def _set(self, call: Call, given: Input) -> _Parameters:
        if not is_name(call.name) or call.name.lower() in RESERVED:
            raise errors.invalid_name("issuer", call.name)
        wanted = parameters(given.body, _Parameters)
        now = int(self._clock.now())
        kept = self._store.get(SERVICE, _ISSUER, _place(given.vault, call.name))
        before = None if kept is None else msgspec.convert(kept, _Parameters)
        created = before.attributes.created if before and before.attributes else now
        return self._keep(call, given, msgspec.structs.replace(wanted, name=before.name if before else ""), created)

    def _update(self, call: Call, given: Input) -> _Parameters:
        """What the request leaves out stays."""
        wanted, present = parameters(given.body, _Parameters), self.require(given.vault, call.name)
        attributes = present.attributes or _Attributes()
        if wanted.attributes is not None and wanted.attributes.enabled is not None:
            attributes = msgspec.structs.replace(attributes, enabled=wanted.attributes.enabled)
        changed = msgspec.structs.replace(
            present,
            provider=wanted.provider or present.provider,
            credentials=wanted.credentials or present.credentials,
            org_details=wanted.org_details or present.org_details,
            attributes=attributes,
        )
        return self._keep(call, given, changed, attributes.created)

    def _keep(self, call: Call, given: Input, wanted: _Parameters, created: int | None) -> _Parameters:
        known = {one.lower(): one for one in PROVIDERS}
        provider = known.get((wanted.provider or "").lower())
        if provider is None:
            raise errors.bad_parameter(f"The issuer provider '{(wanted.provider or '')[:64]}' is not supported.")
        enabled = wanted.attributes is None or wanted.attributes.enabled is not False
        kept = msgspec.structs.replace(
            wanted,
            name=wanted.name or call.name,
            provider=provider,
            attributes=_Attributes(enabled=enabled, created=created, updated=int(self._clock.now())),
        )
        self._store.put(SERVICE, _ISSUER, _place(given.vault, call.name), msgspec.to_builtins(kept))
        return kept

    def _list(self, given: Input) -> dict[str, Any]:
        after, size = page_of(given.query)
        prefix = f"{given.vault.instance}/"
        kept = [msgspec.convert(one, _Parameters) for _, one in self._store.items(SERVICE, _ISSUER, prefix)]
        found = [one for one in kept if one.name.lower() > after][: size + 1]
        items = [{"id": _identifier(one, given), "provider": one.provider} for one in found]
        return paged(items, [one.name.lower() for one in found], "/certificates/issuers", size, given)

    def _shown(self, issuer: _Parameters, given: Input) -> dict[str, Any]:
        shown: dict[str, Any] = msgspec.to_builtins(issuer)
        del shown["name"]
        if "credentials" in shown:
            # The password is for the certificate authority alone.
            shown["credentials"] = {"account_id": issuer.credentials.account_id if issuer.credentials else None}
        return {"id": _identifier(issuer, given), **shown}

    def counts(self, vault: Vault) -> dict[str, int]:
        """How many issuers and how many contacts a vault has."""
        issuers = len(self._store.items(SERVICE, _ISSUER, f"{vault.instance}/"))
        contacts = self._store.get(SERVICE, _CONTACTS, vault.instance)
        return {
            "certificate issuer": issuers,
            "certificate contact": len(msgspec.convert(contacts, _Contacts).contacts) if contacts else 0,
        }

    # Contacts

    def _contacts(self, vault: Vault) -> _Contacts:
        kept = self._store.get(SERVICE, _CONTACTS, vault.instance)
        if kept is None:
            raise errors.contacts_not_found()
        return msgspec.convert(kept, _Contacts)

    def _set_contacts(self, given: Input) -> _Contacts:
        wanted = parameters(given.body, _Contacts)
        emails = [one.email.lower() for one in wanted.contacts]
        if not emails or len(emails) != len(set(emails)) or any("@" not in one for one in emails):
            raise errors.bad_parameter("The property contacts must hold people with an email address each.")
        self._store.put(SERVICE, _CONTACTS, given.vault.instance, msgspec.to_builtins(wanted))
        return wanted

    def _shown_contacts(self, contacts: _Contacts, given: Input) -> dict[str, Any]:
        return {"id": f"{given.origin}/certificates/contacts", **msgspec.to_builtins(contacts)}


def _identifier(issuer: _Parameters, given: Input) -> str:
    return f"{given.origin}/certificates/issuers/{issuer.name}"


def _place(vault: Vault, name: str) -> str:
    return f"{vault.instance}/{name.lower()}"
