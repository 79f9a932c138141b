"""Secrets: their values, and the calls of their own.

Contract: secrets store, section 3.3.
"""

from typing import Any

import msgspec

from podpass.lab.arm import Vault
from podpass.lab.clock import Clock
from podpass.lab.keyvault import errors
from podpass.lab.keyvault.calls import Call, Input, Result, parameters
from podpass.lab.keyvault.model import SetParameters, UpdateParameters, metadata_fault, value_fault
from podpass.lab.keyvault.objects import Objects
from podpass.lab.keyvault.operations import ObjectType, SecretOperation
from podpass.lab.keyvault.rendering import common, managed
from podpass.lab.keyvault.routes import routes_of
from podpass.lab.keyvault.shelves import Body, Shelf, Version, updated
from podpass.lab.store import Store


class SecretBody(Body, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a version of a secret beside its value."""

    content_type: str | None = None


SecretVersion = Version[SecretBody]


class Secrets(Objects[SecretBody]):
    """All secrets of the lab."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._clock = clock
        super().__init__(Shelf(store, clock, ObjectType.SECRET, SecretBody), ObjectType.SECRET)

    def put(self, vault: Vault, name: str, wanted: SetParameters) -> SecretVersion:
        """A new version, the newest from now on. Raises KeyVaultError."""
        self.shelf.check_name(name)
        if fault := value_fault(wanted.value) or metadata_fault(ObjectType.SECRET, wanted.tags, wanted.attributes):
            raise errors.bad_parameter(fault)
        self.check_unmanaged(vault, name)
        now = int(self._clock.now())
        body = SecretBody(
            created=now,
            updated=now,
            content_type=wanted.content_type,
            tags=wanted.tags,
            enabled=wanted.attributes.enabled is not False,
            not_before=wanted.attributes.nbf,
            expires=wanted.attributes.exp,
        )
        return self.shelf.put(vault, name, wanted.value, body)

    routes = routes_of("secrets", SecretOperation, put=SecretOperation.SET)

    async def run(self, call: Call, given: Input) -> Result:
        match call.operation:
            case SecretOperation.SET:
                return self._with_value(self.put(given.vault, call.name, parameters(given.body, SetParameters)), given)
            case SecretOperation.GET:
                secret = self.shelf.get(given.vault, call.name, call.version)
                if not secret.body.enabled:
                    raise errors.disabled(ObjectType.SECRET, given.vault.name, call.name, "get")
                return self._with_value(secret, given)
            case SecretOperation.UPDATE:
                return Result(self.bundle(self._update(call, given), given))
        return await super().run(call, given)

    def _update(self, call: Call, given: Input) -> SecretVersion:
        """Change what is said of a version; its value stays."""
        wanted = parameters(given.body, UpdateParameters)
        self.shelf.check_name(call.name)
        if fault := metadata_fault(ObjectType.SECRET, wanted.tags, wanted.attributes):
            raise errors.bad_parameter(fault)
        present = self.shelf.get(given.vault, call.name, call.version)
        self.check_unmanaged(given.vault, call.name)
        changed = updated(present.body, wanted.attributes, wanted.tags, now=int(self._clock.now()))
        if wanted.content_type is not None:
            changed = msgspec.structs.replace(changed, content_type=wanted.content_type)
        return self.shelf.change(given.vault, call.name, present.version, changed)

    def _with_value(self, secret: SecretVersion, given: Input) -> Result:
        return Result({"value": secret.value.text, **self.bundle(secret, given)}, secret)

    def bundle(self, one: SecretVersion, given: Input) -> dict[str, Any]:
        return self.item(one, given, with_version=True)

    def item(self, one: SecretVersion, given: Input, *, with_version: bool) -> dict[str, Any]:
        document = {} if one.body.content_type is None else {"contentType": one.body.content_type}
        if one.body.managed and with_version:
            document["kid"] = f"{given.origin}/keys/{one.name}/{one.version}"
        return {
            **document,
            "id": self.identifier(one, given, with_version=with_version),
            **common(one.body, given.vault),
            **managed(one.body),
        }
