"""Fills vaults from a scenario or a test, and tells what they hold, through the same rules as requests.

Every call is idempotent and raises KeyVaultError when a vault would refuse. Key pairs are made in the call, which takes
some tenths of a second for one of RSA: this is for a lab that does not answer yet.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from podpass.lab.arm import Vault
from podpass.lab.clock import Clock
from podpass.lab.keyvault import certificate_bodies, key_material, rotation
from podpass.lab.keyvault.certificate_making import Policy, filled
from podpass.lab.keyvault.certificates import Certificates, CertificateVersion
from podpass.lab.keyvault.errors import KeyVaultError
from podpass.lab.keyvault.issuers import Issuers
from podpass.lab.keyvault.keys import CreateParameters, Keys, KeyVersion
from podpass.lab.keyvault.model import Attributes, SetParameters
from podpass.lab.keyvault.objects import Objects
from podpass.lab.keyvault.secrets import Secrets, SecretVersion
from podpass.lab.keyvault.shelves import BodyT, Shelf, Version

_EVERYTHING = 1 << 31


@dataclass(frozen=True, slots=True)
class Contents:
    """What a vault holds: the newest versions, by name, and the counts of what else there is."""

    secrets: list[SecretVersion]
    keys: list[KeyVersion]
    certificates: list[tuple[CertificateVersion, Policy]]
    older: dict[str, int] = field(default_factory=dict)
    """Older versions by the type of object, without those of certificates' keys and secrets."""
    deleted: dict[str, int] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    """What else there is, by kind."""


class Seeding:
    """Puts secrets, keys and certificates into vaults."""

    def __init__(
        self,
        secrets: Secrets,
        keys: Keys,
        certificates: Certificates,
        issuers: Issuers,
        clock: Clock,
        require: Callable[[str], Vault],
    ) -> None:
        self._secrets, self._keys, self._certificates = secrets, keys, certificates
        self._issuers = issuers
        self._clock = clock
        self._require = require

    def put_secret(self, vault: str, name: str, wanted: SetParameters, *, keep_value: bool = False) -> SecretVersion:
        """The secret, in a new version when its value is another; with *keep_value* one that is there keeps its own."""
        found = self._require(vault)
        newest = self._newest(self._secrets, found, name)
        if newest is None or not (keep_value or newest.value.text == wanted.value):
            return self._secrets.put(found, name, wanted)
        return self._changed(
            self._secrets.shelf, found, newest, wanted.attributes, wanted.tags, content_type=wanted.content_type
        )

    def put_key(self, vault: str, name: str, wanted: CreateParameters) -> KeyVersion:
        """The key; the newest version stays when it is of the same sort."""
        found = self._require(vault)
        newest = self._newest(self._keys, found, name)
        sort = self._keys.check_new(found, name, wanted)
        if newest is None or key_material.like(key_material.opened(newest.value.text)) != sort:
            return self._keys.put_new(found, name, wanted, key_material.make(sort))
        operations = tuple(wanted.key_ops) if wanted.key_ops is not None else newest.body.operations
        return self._changed(self._keys.shelf, found, newest, wanted.attributes, wanted.tags, operations=operations)

    def put_rotation_policy(self, vault: str, key: str, content: Mapping[str, Any]) -> None:
        """What is to happen to a key as time goes, as Key Vault spells it."""
        self._keys.set_rotation_policy(self._require(vault), key, content)

    def rotation_policy(self, vault: str, key: str) -> dict[str, Any]:
        """The same; empty when nobody has set one."""
        policy = self._keys.rotation_policy(self._require(vault), key)
        if policy == rotation.DEFAULT:
            return {}
        attributes = msgspec.structs.replace(policy.attributes, created=None, updated=None)
        shown: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(policy, attributes=attributes))
        return shown

    def put_certificate(
        self, vault: str, name: str, policy: Policy, tags: dict[str, str] | None, *, enabled: bool
    ) -> CertificateVersion:
        """The certificate; the newest version stays when it was made by the same policy."""
        found = self._require(vault)
        newest = self._newest(self._certificates, found, name)
        wanted = certificate_bodies.CreateParameters(policy=policy, tags=tags, attributes=Attributes(enabled=enabled))
        if newest is None or self._certificates.policy(found, name) != msgspec.structs.replace(
            filled(policy, created=0, updated=0), attributes=None
        ):
            policy = self._certificates.check_new(found, name, wanted)
            key = self._certificates.reused(found, name, policy) or key_material.make(policy.key)
            self._certificates.put_new(found, name, wanted, policy, key)
            return self._certificates.shelf.get(found, name)
        if (newest.body.tags or {}, newest.body.enabled) == (tags or {}, enabled):
            return newest
        changes = certificate_bodies.UpdateParameters(tags=tags or {}, attributes=Attributes(enabled=enabled))
        return self._certificates.update(found, name, newest.version, changes)

    def contents(self, vault: str) -> Contents:
        """What there is in the vault."""
        found = self._require(vault)
        certificates = self._all(self._certificates, found)
        policies = [(one, self._certificates.policy(found, one.name) or Policy()) for one in certificates]
        contents = Contents(
            [one for one in self._all(self._secrets, found) if not one.body.managed],
            [one for one in self._all(self._keys, found) if not one.body.managed],
            policies,
            others=self._issuers.counts(found),
        )
        shown: tuple[tuple[Objects[Any], list[str]], ...] = (
            (self._secrets, [one.name for one in contents.secrets]),
            (self._keys, [one.name for one in contents.keys]),
            (self._certificates, [one.name for one in certificates]),
        )
        for objects, names in shown:
            versions = [objects.shelf.versions(found, name, after="", limit=_EVERYTHING) for name in names]
            contents.older[objects.type.singular] = sum(map(len, versions)) - len(names)
            deleted = objects.shelf.page_of_deleted(found, after="", limit=_EVERYTHING)
            contents.deleted[objects.type.singular] = sum(not one.newest.body.managed for one in deleted)
        return contents

    def _all(self, objects: Objects[BodyT], vault: Vault) -> list[Version[BodyT]]:
        return objects.shelf.page(vault, after="", limit=_EVERYTHING)

    def _newest(self, objects: Objects[BodyT], vault: Vault, name: str) -> Version[BodyT] | None:
        """The newest version; one that was deleted is there again. None when there is none."""
        if not objects.shelf.exists(vault, name):
            return None
        try:
            objects.shelf.check_free(vault, name)
        except KeyVaultError:
            objects.recover(vault, name)
        return objects.shelf.get(vault, name)

    def _changed(
        self,
        shelf: Shelf[BodyT],
        vault: Vault,
        newest: Version[BodyT],
        attributes: Attributes,
        tags: dict[str, str] | None,
        **own: object,
    ) -> Version[BodyT]:
        """*newest* as the scenario says, whatever was said of it since."""
        body = msgspec.structs.replace(
            newest.body,
            tags=tags or None,
            enabled=attributes.enabled is not False,
            not_before=attributes.nbf,
            expires=attributes.exp,
            **own,
        )
        if body == newest.body:
            return newest
        body = msgspec.structs.replace(body, updated=int(self._clock.now()))
        return shelf.change(vault, newest.name, newest.version, body)
