"""Certificates: made by policy or imported, each with a key and a secret of the same name and version.

A certificate whose issuer is `Self` is there when the answer is written. One of issuer `Unknown` waits, as a request,
until the signed certificate is merged. Other issuers are not emulated.
Contract: secrets store, section 3.5.
"""

import asyncio
import base64
import binascii
import hashlib
import uuid
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from podpass.lab.arm import Vault
from podpass.lab.clock import Clock
from podpass.lab.keyvault import certificate_making as making
from podpass.lab.keyvault import certificate_records as records
from podpass.lab.keyvault import errors, key_material
from podpass.lab.keyvault.agenda import Agenda
from podpass.lab.keyvault.calls import Call, Input, Result, parameters
from podpass.lab.keyvault.certificate_bodies import (
    CancelParameters,
    CreateParameters,
    ImportParameters,
    MergeParameters,
    UpdateParameters,
)
from podpass.lab.keyvault.certificate_making import SELF, UNKNOWN, NotACertificate, Policy
from podpass.lab.keyvault.certificate_records import Pending, Records
from podpass.lab.keyvault.certificate_renewal import Renewals
from podpass.lab.keyvault.issuers import Issuers
from podpass.lab.keyvault.key_material import NotAKey, PrivateKey, base64url_bytes, base64url_text
from podpass.lab.keyvault.key_rotation import Tell
from podpass.lab.keyvault.keys import DEFAULT_OPERATIONS, KeyBody, Keys
from podpass.lab.keyvault.model import Attributes, RestoreParameters, metadata_fault
from podpass.lab.keyvault.objects import Objects
from podpass.lab.keyvault.operations import CertificateOperation, ObjectType
from podpass.lab.keyvault.rendering import common
from podpass.lab.keyvault.routes import Route, routes_of
from podpass.lab.keyvault.secrets import SecretBody, Secrets
from podpass.lab.keyvault.shelves import Body, Shelf, Version, updated
from podpass.lab.store import Store

_REPLANNED = frozenset(
    (
        CertificateOperation.IMPORT,
        CertificateOperation.MERGE,
        CertificateOperation.UPDATE_POLICY,
        CertificateOperation.DELETE,
        CertificateOperation.RECOVER,
        CertificateOperation.PURGE,
    )
)
"""What changes when a lifetime action is due next."""
_KEY_OPERATIONS_BY_USE = {
    "digitalSignature": ("sign", "verify"),
    "keyEncipherment": ("wrapKey", "unwrapKey"),
    "dataEncipherment": ("encrypt", "decrypt"),
}


class CertificateBody(Body, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a version of a certificate; its value is the DER in base64."""

    thumbprint: str
    """SHA-1, in base64url."""


CertificateVersion = Version[CertificateBody]


class Certificates(Objects[CertificateBody]):
    """All certificates of the lab, and with them their keys and secrets."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        secrets: Secrets,
        keys: Keys,
        issuers: Issuers,
        agenda: Agenda,
        tell: Tell,
    ) -> None:
        self._store, self._clock = store, clock
        self._records = Records(store)
        self._secrets, self._keys, self._issuers = secrets, keys, issuers
        shelf = Shelf(store, clock, ObjectType.CERTIFICATE, CertificateBody)
        self._renewals: Renewals[CertificateBody] = Renewals(
            clock,
            agenda,
            shelf,
            self._records,
            tell,
            self._renewed,
            reused=self.reused,
            contacts=issuers.addresses,
        )
        self._backing: tuple[Shelf[Any], ...] = (keys.shelf, secrets.shelf)
        super().__init__(shelf, ObjectType.CERTIFICATE)

    routes = (
        Route("certificates/{}/create", {"POST": CertificateOperation.CREATE}, only_these=True),
        Route("certificates/{}/import", {"POST": CertificateOperation.IMPORT}, only_these=True),
        Route(
            "certificates/{}/policy",
            {"GET": CertificateOperation.GET_POLICY, "PATCH": CertificateOperation.UPDATE_POLICY},
        ),
        Route(
            "certificates/{}/pending",
            {
                "GET": CertificateOperation.GET_PENDING,
                "PATCH": CertificateOperation.CANCEL,
                "DELETE": CertificateOperation.DELETE_PENDING,
            },
        ),
        Route("certificates/{}/pending/merge", {"POST": CertificateOperation.MERGE}),
        *routes_of("certificates", CertificateOperation),
    )

    async def settle(self, vault: Vault) -> None:
        await self._renewals.settle(vault)

    async def run(self, call: Call, given: Input) -> Result:
        result = await self._run(call, given)
        if call.operation in _REPLANNED:
            self._renewals.plan(given.vault, call.name)
        return result

    async def _run(self, call: Call, given: Input) -> Result:
        match call.operation:
            case CertificateOperation.CREATE:
                return Result(await self._create(call, given), status=202)
            case CertificateOperation.IMPORT:
                return Result(self.bundle(self._import(call, given), given))
            case CertificateOperation.MERGE:
                return Result(self.bundle(self._merge(call, given), given), status=201)
            case CertificateOperation.GET:
                return Result(self.bundle(self.shelf.get(given.vault, call.name, call.version), given))
            case CertificateOperation.UPDATE:
                return Result(self.bundle(self._update(call, given), given))
            case CertificateOperation.GET_POLICY:
                return Result(records.shown_policy(self._policy(call, given), call.name, given.origin))
            case CertificateOperation.UPDATE_POLICY:
                return Result(self._update_policy(call, given))
            case CertificateOperation.GET_PENDING:
                return Result(records.shown_operation(self._pending(call, given), given.origin))
            case CertificateOperation.CANCEL:
                return Result(self._cancel(call, given))
            case CertificateOperation.DELETE_PENDING:
                pending = self._pending(call, given)
                self._records.forget_pending(given.vault, call.name)
                return Result(records.shown_operation(pending, given.origin))
        return await super().run(call, given)

    def drop(self, instance: str) -> None:
        """Forget everything that a purged vault held."""
        with self._store.transaction():
            self.shelf.drop(instance)
            self._records.drop(instance)

    # Making

    async def _create(self, call: Call, given: Input) -> dict[str, Any]:
        wanted = parameters(given.body, CreateParameters)
        policy = self.check_new(given.vault, call.name, wanted)
        key = self.reused(given.vault, call.name, policy)
        if key is None:
            key = await asyncio.to_thread(key_material.make, policy.key)
        pending = self.put_new(given.vault, call.name, wanted, policy, key)
        # azure-keyvault-certificates fetches the certificate only after an operation that it saw in progress.
        return records.shown_operation(pending, given.origin, status="inProgress")

    def check_new(self, vault: Vault, name: str, wanted: CreateParameters) -> Policy:
        """By which policy a new version is to be made. Raises KeyVaultError when the vault would not take it."""
        self._check(name, wanted.tags, wanted.attributes)
        policy = wanted.policy or self._records.policy(vault, name)
        if policy is None:
            raise errors.bad_parameter("The property policy is missing.")
        if policy.issuer.name.lower() not in (SELF, UNKNOWN):
            self._issuers.require(vault, policy.issuer.name)
            raise errors.not_emulated(f"the certificate authority behind the issuer {policy.issuer.name[:64]}")
        policy = self._filled(vault, name, _checked(policy))
        self._check_free(vault, name)
        return policy

    def put_new(self, vault: Vault, name: str, wanted: CreateParameters, policy: Policy, key: PrivateKey) -> Pending:
        """A new version for *key*, made as `check_new` said, or a request for one."""
        issuer = policy.issuer.name.lower()
        pending = Pending(
            name=name,
            request_id=uuid.uuid4().hex,
            issuer=policy.issuer,
            csr=base64.b64encode(making.request(policy, key)).decode(),
        )
        with self._store.transaction():
            self._records.keep_policy(vault, name, policy)
            if issuer == UNKNOWN:
                pending = msgspec.structs.replace(
                    pending,
                    status="inProgress",
                    key=key_material.kept(key),
                    tags=wanted.tags,
                    attributes=wanted.attributes,
                )
            else:
                now = self._clock.now()
                certificate = making.self_signed(policy, key, now=now)
                self._put(vault, name, key, certificate, (), policy, wanted.tags, wanted.attributes)
            self._records.keep_pending(vault, pending)
            self._renewals.plan(vault, name)
        return pending

    def _renewed(
        self, vault: Vault, newest: CertificateVersion, key: PrivateKey, policy: Policy, at: float
    ) -> CertificateVersion:
        with self._store.transaction():
            certificate = making.self_signed(policy, key, now=at)
            made = self._put(vault, newest.name, key, certificate, (), policy, newest.body.tags, Attributes(), at=at)
            self._renewals.plan(vault, newest.name)
        return made

    def _filled(self, vault: Vault, name: str, policy: Policy) -> Policy:
        """The policy to keep, in place of the one that there may be."""
        now, before = int(self._clock.now()), self._records.policy(vault, name)
        created = (before.attributes or {}).get("created", now) if before else now
        return making.filled(policy, created=created, updated=now)

    def reused(self, vault: Vault, name: str, policy: Policy) -> PrivateKey | None:
        """The newest version's key pair, when the policy wants no new one."""
        if not policy.key_props.reuse_key:
            return None
        try:
            return key_material.opened(self._keys.shelf.get(vault, name).value.text)
        except errors.KeyVaultError:
            return None

    def _import(self, call: Call, given: Input) -> CertificateVersion:
        wanted = parameters(given.body, ImportParameters)
        self._check(call.name, wanted.tags, wanted.attributes)
        content_type = making.PFX if wanted.policy is None else wanted.policy.secret_props.content_type
        if content_type not in (making.PFX, making.PEM):
            raise errors.bad_parameter("The content type of the secret is not supported.")
        try:
            imported = making.read(wanted.value, wanted.pwd, content_type)
            policy = making.policy_of(imported)
            if wanted.policy is not None:
                policy = msgspec.structs.replace(
                    policy, secret_props=wanted.policy.secret_props, lifetime_actions=wanted.policy.lifetime_actions
                )
            key_material.like(imported.key)
        except (NotACertificate, NotAKey) as error:
            raise errors.bad_parameter(f"{error}.") from error
        self._check_free(given.vault, call.name)
        with self._store.transaction():
            policy = self._filled(given.vault, call.name, policy)
            self._records.keep_policy(given.vault, call.name, policy)
            return self._put(
                given.vault,
                call.name,
                imported.key,
                imported.certificate,
                imported.chain,
                policy,
                wanted.tags,
                wanted.attributes,
            )

    def _merge(self, call: Call, given: Input) -> CertificateVersion:
        wanted = parameters(given.body, MergeParameters)
        self._check(call.name, wanted.tags, wanted.attributes)
        pending, policy = self._pending(call, given), self._records.policy(given.vault, call.name)
        if not pending.key or policy is None:
            raise errors.bad_parameter("The certificate has no operation in progress to merge into.")
        key = key_material.opened(pending.key)
        try:
            certificates = [x509.load_der_x509_certificate(base64.b64decode(one, validate=True)) for one in wanted.x5c]
        except (ValueError, binascii.Error) as error:
            raise errors.bad_parameter("The property x5c holds what is no certificate.") from error
        if not certificates or len(certificates) > making.MAX_CHAIN + 1 or not making.belongs(certificates[0], key):
            raise errors.bad_parameter("The public key of the first certificate is not that of the pending request.")
        done = msgspec.structs.replace(pending, status="completed", key="", attributes=Attributes())
        tags = wanted.tags if wanted.tags is not None else pending.tags
        attributes = wanted.attributes if wanted.attributes != Attributes() else pending.attributes
        with self._store.transaction():
            self._records.keep_pending(given.vault, done)
            return self._put(
                given.vault, call.name, key, certificates[0], tuple(certificates[1:]), policy, tags, attributes
            )

    def _put(
        self,
        vault: Vault,
        name: str,
        key: PrivateKey,
        certificate: x509.Certificate,
        chain: tuple[x509.Certificate, ...],
        policy: Policy,
        tags: dict[str, str] | None,
        attributes: Attributes,
        *,
        at: float | None = None,
    ) -> CertificateVersion:
        """The three objects of a new version, in one transaction; as old as *at* says, or new."""
        now = int(self._clock.now() if at is None else at)
        der = certificate.public_bytes(serialization.Encoding.DER)
        body = CertificateBody(
            created=now,
            updated=now,
            tags=tags,
            enabled=attributes.enabled is not False,
            not_before=int(certificate.not_valid_before_utc.timestamp()),
            expires=int(certificate.not_valid_after_utc.timestamp()),
            thumbprint=base64url_text(hashlib.sha1(der).digest()),  # noqa: S324 - x5t is SHA-1
        )
        shared: dict[str, Any] = {
            "created": now,
            "updated": now,
            "tags": tags,
            "enabled": body.enabled,
            "not_before": body.not_before,
            "expires": body.expires,
            "managed": True,
        }
        version = uuid.uuid4().hex
        public = key_material.public_members(key)
        with self._store.transaction():
            made = self.shelf.put(vault, name, base64.b64encode(der).decode(), body, version=version)
            operations = _key_operations(policy, public["kty"])
            key_body = KeyBody(**shared, public=public, operations=operations)
            self._keys.shelf.put(vault, name, key_material.kept(key), key_body, version=version)
            # A key that may not leave the vault is not in the secret either: that holds the certificate alone.
            value = making.bundled(
                key if policy.key_props.exportable else None, certificate, chain, policy.secret_props.content_type
            )
            secret_body = SecretBody(**shared, content_type=policy.secret_props.content_type)
            self._secrets.shelf.put(vault, name, value, secret_body, version=version)
        return made

    def _update(self, call: Call, given: Input) -> CertificateVersion:
        return self.update(given.vault, call.name, call.version, parameters(given.body, UpdateParameters))

    def update(self, vault: Vault, name: str, version: str, wanted: UpdateParameters) -> CertificateVersion:
        """Change what is said of a version, and of the key and the secret with it; the newest without *version*."""
        self._check(name, wanted.tags, wanted.attributes)
        present = self.shelf.get(vault, name, version)
        now = int(self._clock.now())
        # The lifetime is the certificate's own.
        attributes = Attributes(enabled=wanted.attributes.enabled)
        if wanted.policy is not None:
            _checked(wanted.policy)
        with self._store.transaction():
            if wanted.policy is not None:
                self._records.keep_policy(vault, name, self._filled(vault, name, wanted.policy))
            for shelf in self._backing:
                body = shelf.get(vault, name, present.version).body
                shelf.change(vault, name, present.version, updated(body, attributes, wanted.tags, now=now))
            body = updated(present.body, attributes, wanted.tags, now=now)
            changed = self.shelf.change(vault, name, present.version, body)
            self._renewals.plan(vault, name)
            return changed

    def policy(self, vault: Vault, name: str) -> Policy | None:
        """The policy of a certificate, without the times that the service adds."""
        found = self._records.policy(vault, name)
        return None if found is None else msgspec.structs.replace(found, attributes=None)

    # The life of all three together

    def _delete(self, call: Call, given: Input) -> Result:
        with self._store.transaction():
            result = super()._delete(call, given)
            for shelf in self._backing:
                shelf.delete(given.vault, call.name)
            return result

    def recover(self, vault: Vault, name: str) -> CertificateVersion:
        with self._store.transaction():
            recovered = super().recover(vault, name)
            for shelf in self._backing:
                shelf.recover(vault, name)
            return recovered

    def _purge(self, call: Call, given: Input) -> Result:
        with self._store.transaction():
            result = super()._purge(call, given)
            for shelf in self._backing:
                shelf.purge(given.vault, call.name)
            self._records.forget(given.vault, call.name)
            return result

    def _backup(self, call: Call, given: Input) -> Result:
        name, policy = call.name, self._records.policy(given.vault, call.name)
        backup = _Backup(
            certificate=self.shelf.backup(given.vault, name),
            backing=[shelf.backup(given.vault, name) for shelf in self._backing],
            policy=policy or Policy(),
        )
        return Result({"value": base64url_text(msgspec.json.encode(backup))})

    def _restore(self, call: Call, given: Input) -> Result:
        try:
            backup = _backup(base64url_bytes(parameters(given.body, RestoreParameters).value))
        except (ValueError, msgspec.DecodeError) as error:
            raise errors.bad_parameter("The backup blob is malformed, or was made in another subscription.") from error
        with self._store.transaction():
            restored = self.shelf.restore(given.vault, backup.certificate)
            for shelf, blob in zip(self._backing, backup.backing, strict=True):
                if shelf.restore(given.vault, blob).name != restored.name:
                    raise errors.bad_parameter("The backup blob holds objects of several names.")
            self._records.keep_policy(given.vault, restored.name, backup.policy)
            self._renewals.plan(given.vault, restored.name)
        return Result(self.bundle(restored, given))

    # Policies and operations

    def _policy(self, call: Call, given: Input) -> Policy:
        """The policy of a certificate, or of one that is yet to be merged."""
        self.shelf.check_name(call.name)
        policy = self._records.policy(given.vault, call.name)
        if policy is None or self._records.pending(given.vault, call.name) is None:
            self.shelf.get(given.vault, call.name)
        return policy or Policy()

    def _update_policy(self, call: Call, given: Input) -> dict[str, Any]:
        """The parts that a request leaves out stay."""
        changes = parameters(given.body, dict[str, Any])
        present = msgspec.to_builtins(self._policy(call, given))
        policy = _checked(parameters(msgspec.json.encode({**present, **changes}), Policy))
        policy = self._filled(given.vault, call.name, policy)
        self._records.keep_policy(given.vault, call.name, policy)
        return records.shown_policy(policy, call.name, given.origin)

    def _pending(self, call: Call, given: Input) -> Pending:
        self.shelf.check_name(call.name)
        found = self._records.pending(given.vault, call.name)
        if found is None:
            raise errors.pending_certificate_not_found(call.name)
        return found

    def _cancel(self, call: Call, given: Input) -> dict[str, Any]:
        wanted = parameters(given.body, CancelParameters)
        pending = self._pending(call, given)
        if pending.status != "inProgress":
            raise errors.bad_parameter("An operation that is no longer in progress can't be cancelled.")
        changed = msgspec.structs.replace(pending, canceled=wanted.cancellation_requested)
        self._records.keep_pending(given.vault, changed)
        return records.shown_operation(changed, given.origin)

    def _check(self, name: str, tags: dict[str, str] | None, attributes: Attributes) -> None:
        self.shelf.check_name(name)
        if fault := metadata_fault(ObjectType.CERTIFICATE, tags, attributes):
            raise errors.bad_parameter(fault)

    def _check_free(self, vault: Vault, name: str) -> None:
        """Raises KeyVaultError when one of the three objects could not be made."""
        self.shelf.check_free(vault, name)
        for objects in (self._keys, self._secrets):
            objects.shelf.check_free(vault, name)
            if objects.shelf.exists(vault, name) and not objects.is_managed(vault, name):
                raise errors.already_exists(objects.type, name)

    # Showing

    def bundle(self, one: CertificateVersion, given: Input) -> dict[str, Any]:
        backing = f"{one.name}/{one.version}"
        document: dict[str, Any] = {
            "id": self.identifier(one, given),
            "kid": f"{given.origin}/keys/{backing}",
            "sid": f"{given.origin}/secrets/{backing}",
            "x5t": one.body.thumbprint,
            "cer": one.value.text,
            **common(one.body, given.vault),
        }
        if (policy := self._records.policy(given.vault, one.name)) is not None:
            document["policy"] = records.shown_policy(policy, one.name, given.origin)
        if self._records.pending(given.vault, one.name) is not None:
            document["pending"] = {"id": f"{given.origin}/certificates/{one.name}/pending"}
        return document

    def item(self, one: CertificateVersion, given: Input, *, with_version: bool) -> dict[str, Any]:
        identifier = self.identifier(one, given, with_version=with_version)
        return {"id": identifier, "x5t": one.body.thumbprint, **common(one.body, given.vault)}


class _Backup(msgspec.Struct):
    """A certificate's three sealed blobs, and its policy."""

    certificate: str
    backing: list[str]
    policy: Policy


_backup = msgspec.json.Decoder(_Backup).decode


def _checked(policy: Policy) -> Policy:
    try:
        making.check(policy)
        _ = policy.key
    except (NotACertificate, NotAKey) as error:
        raise errors.bad_parameter(f"{error}.") from error
    return policy


def _key_operations(policy: Policy, key_type: str) -> tuple[str, ...]:
    """What the key of a certificate is for, by the certificate's key usage."""
    usages = policy.x509_props.key_usage
    if usages is None or key_type != "RSA":
        return DEFAULT_OPERATIONS[key_type]
    found = [operation for usage in usages for operation in _KEY_OPERATIONS_BY_USE.get(usage, ())]
    return tuple(found) or DEFAULT_OPERATIONS[key_type]
