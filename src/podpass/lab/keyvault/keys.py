"""Keys: made or imported, used inside the vault, rotated. The private half never leaves it.

Contract: secrets store, section 3.4.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from podpass.lab.arm import Vault
from podpass.lab.clock import Clock
from podpass.lab.keyvault import errors, key_material, key_operations, rotation
from podpass.lab.keyvault.agenda import Agenda
from podpass.lab.keyvault.calls import Call, Input, Result, parameters
from podpass.lab.keyvault.errors import KeyVaultError
from podpass.lab.keyvault.key_material import JsonWebKey, NotAKey, PrivateKey, Wanted, base64url_bytes, base64url_text
from podpass.lab.keyvault.key_operations import CanNot
from podpass.lab.keyvault.key_rotation import Rotations, Tell
from podpass.lab.keyvault.model import Attributes, metadata_fault
from podpass.lab.keyvault.objects import Objects
from podpass.lab.keyvault.operations import KeyOperation, ObjectType
from podpass.lab.keyvault.rendering import common, managed
from podpass.lab.keyvault.rotation import RotationPolicy
from podpass.lab.keyvault.routes import Route, routes_of
from podpass.lab.keyvault.shelves import Body, Shelf, Version, updated
from podpass.lab.store import Store

_OPERATIONS = ("encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey")
DEFAULT_OPERATIONS = {"RSA": _OPERATIONS, "EC": ("sign", "verify")}
_USES = {
    "encrypt": KeyOperation.ENCRYPT,
    "decrypt": KeyOperation.DECRYPT,
    "sign": KeyOperation.SIGN,
    "verify": KeyOperation.VERIFY,
    "wrapkey": KeyOperation.WRAP,
    "unwrapkey": KeyOperation.UNWRAP,
}
_OUTSIDE_LIFETIME = (KeyOperation.DECRYPT, KeyOperation.VERIFY, KeyOperation.UNWRAP)
"""What works before a key is valid and after it has expired: what was made with it must stay readable."""
_REPLANNED = frozenset(
    (
        KeyOperation.CREATE,
        KeyOperation.IMPORT,
        KeyOperation.ROTATE,
        KeyOperation.UPDATE,
        KeyOperation.DELETE,
        KeyOperation.RECOVER,
    )
)
"""What changes when a rotation policy is to be followed next."""
_MAX_VALUE_BYTES = 1024
"""Twice the longest value that any algorithm takes."""


class KeyBody(Body, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a version of a key beside the key pair."""

    public: dict[str, str]
    """The public half, as members of a JSON Web Key."""
    operations: tuple[str, ...]


KeyVersion = Version[KeyBody]


class CreateParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request to create a key."""

    kty: str
    key_size: int | None = None
    public_exponent: int | None = None
    crv: str | None = None
    key_ops: list[str] | None = None
    tags: dict[str, str] | None = None
    attributes: Attributes = Attributes()
    release_policy: dict[str, Any] | None = None


class ImportParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request to import a key."""

    key: JsonWebKey
    in_hardware: bool = msgspec.field(default=False, name="Hsm")
    tags: dict[str, str] | None = None
    attributes: Attributes = Attributes()
    release_policy: dict[str, Any] | None = None


class UpdateParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request to update a version; what is absent stays."""

    key_ops: list[str] | None = None
    tags: dict[str, str] | None = None
    attributes: Attributes = Attributes()
    release_policy: dict[str, Any] | None = None


class UseParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request to use a key. What is to be encrypted or was decrypted does not show."""

    alg: str
    value: str
    digest: str = ""

    def __repr__(self) -> str:
        return f"UseParameters(alg={self.alg!r})"


class Keys(Objects[KeyBody]):
    """All keys of the lab."""

    def __init__(self, store: Store, clock: Clock, agenda: Agenda, tell: Tell) -> None:
        self._clock = clock
        shelf = Shelf(store, clock, ObjectType.KEY, KeyBody)
        self._rotations: Rotations[KeyBody] = Rotations(store, clock, agenda, shelf, tell, self._put_rotated)
        super().__init__(shelf, ObjectType.KEY)

    routes = (
        Route("keys/{}/create", {"POST": KeyOperation.CREATE}, only_these=True),
        Route("keys/{}/rotate", {"POST": KeyOperation.ROTATE}, only_these=True),
        Route(
            "keys/{}/rotationpolicy",
            {"GET": KeyOperation.GET_ROTATION_POLICY, "PUT": KeyOperation.SET_ROTATION_POLICY},
        ),
        *(Route(f"keys/{{}}/{{}}/{what}", gap=f"the {what} of keys") for what in ("release", "attestation")),
        Route("keys/{}/release", gap="the release of keys"),
        *(Route(f"keys/{{}}/{use}", {"POST": operation}, only_these=True) for use, operation in _USES.items()),
        *(Route(f"keys/{{}}/{{}}/{use}", {"POST": operation}) for use, operation in _USES.items()),
        *routes_of("keys", KeyOperation, put=KeyOperation.IMPORT),
    )

    def rotation_policy(self, vault: Vault, name: str) -> RotationPolicy:
        return self._rotations.policy(vault, name)

    def set_rotation_policy(self, vault: Vault, name: str, content: object) -> None:
        """Raises KeyVaultError."""
        given = Input(vault=vault, origin="", query={}, api_version="", body=msgspec.json.encode(content))
        self._rotations.set(Call(KeyOperation.SET_ROTATION_POLICY, name), given)
        self._rotations.plan(vault, name)

    async def settle(self, vault: Vault) -> None:
        await self._rotations.settle(vault)

    async def run(self, call: Call, given: Input) -> Result:
        result = await self._run(call, given)
        if call.operation in _REPLANNED:
            self._rotations.plan(given.vault, call.name)
        elif call.operation is KeyOperation.PURGE:
            self._rotations.forget(given.vault, call.name)
        return result

    def drop(self, instance: str) -> None:
        """Forget everything that a purged vault held."""
        self.shelf.drop(instance)
        self._rotations.drop(instance)

    async def _run(self, call: Call, given: Input) -> Result:
        match call.operation:
            case KeyOperation.CREATE:
                return Result(self.bundle(await self._create(call, given), given))
            case KeyOperation.IMPORT:
                return Result(self.bundle(self._import(call, given), given))
            case KeyOperation.ROTATE:
                return Result(self.bundle(await self._rotate(call, given), given))
            case KeyOperation.GET_ROTATION_POLICY:
                self.shelf.get(given.vault, call.name)
                return Result(self._shown_policy(self._rotations.policy(given.vault, call.name), call, given))
            case KeyOperation.SET_ROTATION_POLICY:
                self.check_unmanaged(given.vault, call.name)
                return Result(self._shown_policy(self._rotations.set(call, given), call, given))
            case KeyOperation.GET:
                return Result(self.bundle(self.shelf.get(given.vault, call.name, call.version), given))
            case KeyOperation.UPDATE:
                return Result(self.bundle(self._update(call, given), given))
            case operation if operation in _USES.values():
                return self._use(call, given)
        return await super().run(call, given)

    # Making

    async def _create(self, call: Call, given: Input) -> KeyVersion:
        wanted = parameters(given.body, CreateParameters)
        sort = self.check_new(given.vault, call.name, wanted)
        key = await asyncio.to_thread(key_material.make, sort)
        return self.put_new(given.vault, call.name, wanted, key)

    def check_new(self, vault: Vault, name: str, wanted: CreateParameters) -> Wanted:
        """What key pair is wanted. Raises KeyVaultError when the vault would not take it."""
        self._check(name, wanted)
        if wanted.kty.upper() in ("RSA-HSM", "EC-HSM", "OCT-HSM"):
            raise errors.not_emulated(f"keys in hardware ({wanted.kty})")
        try:
            if wanted.kty == "RSA":
                size, exponent = wanted.key_size, wanted.public_exponent
                sort = Wanted("RSA", 2048 if size is None else size, 65537 if exponent is None else exponent)
            elif wanted.kty == "EC":
                sort = Wanted("EC", curve="P-256" if wanted.crv is None else wanted.crv)
            else:
                raise NotAKey(f"The key type {wanted.kty[:32]} is not supported: it must be RSA or EC")
        except NotAKey as error:
            raise errors.bad_parameter(f"{error}.") from error
        _operations(wanted.key_ops, sort.type)
        self.shelf.check_free(vault, name)
        self.check_unmanaged(vault, name)
        return sort

    def put_new(self, vault: Vault, name: str, wanted: CreateParameters, key: PrivateKey) -> KeyVersion:
        """A new version that is *key*, made as `check_new` said."""
        operations = _operations(wanted.key_ops, wanted.kty)
        return self._put(vault, name, key, operations, wanted.attributes, wanted.tags)

    def _import(self, call: Call, given: Input) -> KeyVersion:
        wanted = parameters(given.body, ImportParameters)
        self._check(call.name, wanted)
        if wanted.in_hardware or wanted.key.kty.upper().endswith("-HSM"):
            raise errors.not_emulated("keys in hardware")
        try:
            key = key_material.read(wanted.key)
        except NotAKey as error:
            raise errors.bad_parameter(f"{error}.") from error
        operations = _operations(wanted.key.key_ops, wanted.key.kty)
        self.check_unmanaged(given.vault, call.name)
        return self._put(given.vault, call.name, key, operations, wanted.attributes, wanted.tags)

    async def _rotate(self, call: Call, given: Input) -> KeyVersion:
        """A new key pair like the newest one, with what is said of it but its lifetime."""
        newest = self.shelf.get(given.vault, call.name)
        self.check_unmanaged(given.vault, call.name)
        if not newest.body.enabled:
            raise errors.disabled(ObjectType.KEY, given.vault.name, call.name, "rotate")
        key = await asyncio.to_thread(key_material.make, key_material.like(key_material.opened(newest.value.text)))
        policy = self._rotations.policy(given.vault, call.name)
        return self._put_rotated(given.vault, newest, key, policy, self._clock.now())

    def _put_rotated(
        self, vault: Vault, newest: KeyVersion, key: PrivateKey, policy: RotationPolicy, at: float
    ) -> KeyVersion:
        expires = policy.expiry.after(at) if policy.expiry is not None else None
        body = msgspec.structs.replace(
            newest.body,
            created=int(at),
            updated=int(at),
            not_before=None,
            expires=None if expires is None else int(expires),
            public=key_material.public_members(key),
        )
        return self.shelf.put(vault, newest.name, key_material.kept(key), body)

    def _put(
        self,
        vault: Vault,
        name: str,
        key: PrivateKey,
        operations: tuple[str, ...],
        attributes: Attributes,
        tags: dict[str, str] | None,
    ) -> KeyVersion:
        now = int(self._clock.now())
        body = KeyBody(
            created=now,
            updated=now,
            tags=tags,
            enabled=attributes.enabled is not False,
            not_before=attributes.nbf,
            expires=attributes.exp,
            public=key_material.public_members(key),
            operations=operations,
        )
        return self.shelf.put(vault, name, key_material.kept(key), body)

    def _update(self, call: Call, given: Input) -> KeyVersion:
        """Change what is said of a version; the key pair stays."""
        wanted = parameters(given.body, UpdateParameters)
        self._check(call.name, wanted)
        present = self.shelf.get(given.vault, call.name, call.version)
        self.check_unmanaged(given.vault, call.name)
        body = updated(present.body, wanted.attributes, wanted.tags, now=int(self._clock.now()))
        if wanted.key_ops is not None:
            body = msgspec.structs.replace(body, operations=_operations(wanted.key_ops, body.public["kty"]))
        return self.shelf.change(given.vault, call.name, present.version, body)

    def _check(self, name: str, wanted: CreateParameters | ImportParameters | UpdateParameters) -> None:
        self.shelf.check_name(name)
        if fault := metadata_fault(ObjectType.KEY, wanted.tags, wanted.attributes):
            raise errors.bad_parameter(fault)
        if wanted.release_policy is not None:
            raise errors.not_emulated("the release of keys")

    # Using

    def _use(self, call: Call, given: Input) -> Result:
        wanted = parameters(given.body, UseParameters)
        found = self.shelf.get(given.vault, call.name, call.version)
        if refusal := self._refusal(call, given.vault, found):
            raise refusal
        key = key_material.opened(found.value.text)
        try:
            value, digest = _bytes("value", wanted.value), _bytes("digest", wanted.digest)
            match call.operation:
                case KeyOperation.VERIFY:
                    return Result({"value": key_operations.verify(key, wanted.alg, digest, value)})
                case KeyOperation.SIGN:
                    made = key_operations.sign(key, wanted.alg, value)
                case KeyOperation.ENCRYPT | KeyOperation.WRAP:
                    made = key_operations.encrypt(key, wanted.alg, value)
                case _:
                    made = key_operations.decrypt(key, wanted.alg, value)
        except CanNot as error:
            raise errors.bad_parameter(f"{error}.") from error
        return Result({"kid": self.identifier(found, given), "value": base64url_text(made)})

    def _refusal(self, call: Call, vault: Vault, found: KeyVersion) -> KeyVaultError | None:
        """Why this version may not be used so at this time."""
        operation, body = call.operation.permission, found.body
        if not body.enabled:
            return errors.disabled(ObjectType.KEY, vault.name, call.name, operation)
        now = self._clock.now()
        if call.operation not in _OUTSIDE_LIFETIME:
            if body.not_before is not None and now < body.not_before:
                return errors.outside_lifetime(operation, "KeyNotYetValid")
            if body.expires is not None and now >= body.expires:
                return errors.outside_lifetime(operation, "KeyExpired")
        return None if operation in body.operations else errors.operation_not_permitted(operation)

    # Showing

    def bundle(self, one: KeyVersion, given: Input) -> dict[str, Any]:
        key = {"kid": self.identifier(one, given), "key_ops": list(one.body.operations), **one.body.public}
        return {"key": key, **common(one.body, given.vault), **managed(one.body)}

    def _shown_policy(self, policy: RotationPolicy, call: Call, given: Input) -> Mapping[str, Any]:
        return rotation.shown(policy, f"{given.origin}/keys/{call.name}/rotationpolicy")

    def item(self, one: KeyVersion, given: Input, *, with_version: bool) -> dict[str, Any]:
        identifier = self.identifier(one, given, with_version=with_version)
        return {"kid": identifier, **common(one.body, given.vault), **managed(one.body)}


def _operations(given: list[str] | None, key_type: str) -> tuple[str, ...]:
    """The operations that a key is for. Raises KeyVaultError."""
    if given is None:
        return DEFAULT_OPERATIONS[key_type]
    unknown = [one for one in given if one not in _OPERATIONS]
    if unknown:
        raise errors.bad_parameter(f"The key operation {unknown[0][:32]} is not supported.")
    return tuple(dict.fromkeys(given))


def _bytes(member: str, text: str) -> bytes:
    """Raises CanNot."""
    if len(text) > 2 * _MAX_VALUE_BYTES:
        raise CanNot(f"The member {member} is too long")
    try:
        return base64url_bytes(text)
    except ValueError as error:
        raise CanNot(f"The member {member} is not base64url") from error
