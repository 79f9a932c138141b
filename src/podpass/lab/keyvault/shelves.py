"""Where the objects of vaults are kept: named, with versions, deleted softly, backed up sealed.

Secrets and keys live the same life; each has a shelf with tables of its own. What lies in a vault is kept under the
vault's instance, so that a vault made anew under an old name starts empty.
Contract: secrets store, sections 3.3 and 3.4.
"""

import base64
import binascii
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from podpass.lab.arm import Vault
from podpass.lab.clock import Clock
from podpass.lab.keyvault import errors
from podpass.lab.keyvault.model import Attributes, SecretValue, is_name
from podpass.lab.keyvault.operations import ObjectType
from podpass.lab.store import Store

SERVICE = "keyvault"
MAX_VERSIONS_IN_BACKUP = 500
_DAY_SECONDS = 86_400
_NONCE_BYTES = 12

_SCHEMA = """
CREATE TABLE IF NOT EXISTS {objects} (
    vault      TEXT NOT NULL,
    name       TEXT NOT NULL,
    shown      TEXT NOT NULL,
    deleted_at INTEGER,
    purge_at   INTEGER,
    PRIMARY KEY (vault, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {versions} (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    vault   TEXT NOT NULL,
    name    TEXT NOT NULL,
    version TEXT NOT NULL,
    value   TEXT NOT NULL,
    body    BLOB NOT NULL,
    UNIQUE (vault, name, version),
    FOREIGN KEY (vault, name) REFERENCES {objects} (vault, name) ON DELETE CASCADE
);
"""


class Body(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What is kept of a version beside its value. Times are whole seconds since the epoch."""

    created: int
    updated: int
    tags: dict[str, str] | None = None
    enabled: bool = True
    not_before: int | None = None
    expires: int | None = None
    managed: bool = False
    """It belongs to a certificate and lives and dies with it."""


BodyT = TypeVar("BodyT", bound=Body)


def updated(body: BodyT, attributes: Attributes, tags: dict[str, str] | None, *, now: int) -> BodyT:
    """*body* after a request to update it; what the request leaves out stays."""
    return msgspec.structs.replace(
        body,
        updated=now,
        tags=body.tags if tags is None else tags,
        enabled=body.enabled if attributes.enabled is None else attributes.enabled,
        not_before=body.not_before if attributes.nbf is None else attributes.nbf,
        expires=body.expires if attributes.exp is None else attributes.exp,
    )


@dataclass(frozen=True, slots=True)
class Version(Generic[BodyT]):
    """One version of an object. The value shows only its fingerprint."""

    name: str
    """As it was written when the object was made."""
    version: str
    value: SecretValue
    body: BodyT


@dataclass(frozen=True, slots=True)
class Deleted(Generic[BodyT]):
    """A softly deleted object, shown by its newest version. Times are seconds since the epoch."""

    newest: Version[BodyT]
    deleted: int
    purged: int


class _BackedUp(msgspec.Struct):
    version: str
    value: str
    body: msgspec.Raw


class _Backup(msgspec.Struct):
    name: str
    versions: list[_BackedUp]


_backup = msgspec.json.Decoder(_Backup).decode


class Shelf(Generic[BodyT]):
    """All objects of one type in all vaults. Every method raises KeyVaultError when a vault would refuse."""

    def __init__(self, store: Store, clock: Clock, object_type: ObjectType, body: type[BodyT]) -> None:
        self._store = store
        self._clock = clock
        self._type = object_type
        self._decode = msgspec.json.Decoder(body).decode
        # Names of ours, never of a caller.
        self._objects, self._rows = object_type.tables
        store.connection.executescript(_SCHEMA.format(objects=self._objects, versions=self._rows))

    def put(self, vault: Vault, name: str, value: str, body: BodyT, *, version: str = "") -> Version[BodyT]:
        """A new version, the newest from now on; its id is *version* where that is given."""
        self.check_name(name)
        with self._store.transaction() as connection:
            self.check_free(vault, name)
            connection.execute(
                f"INSERT INTO {self._objects} VALUES (?, ?, ?, NULL, NULL) ON CONFLICT DO NOTHING",  # noqa: S608
                (vault.instance, name.lower(), name),
            )
            version = version or uuid.uuid4().hex
            self._insert(vault, name, version, value, msgspec.json.encode(body))
        return self.get(vault, name, version)

    def check_free(self, vault: Vault, name: str) -> None:
        """Raises KeyVaultError when *name* is that of a deleted object, and so can't be used."""
        present = self._entry(vault, name)
        if present is not None and present[1] is not None:
            raise errors.deleted_but_recoverable(self._type, vault.name, name)

    def exists(self, vault: Vault, name: str) -> bool:
        """Whether there is an object of this name, deleted or not."""
        return self._entry(vault, name) is not None

    def get(self, vault: Vault, name: str, version: str = "") -> Version[BodyT]:
        """The version, or the newest one. A disabled one is found too."""
        self.check_name(name)
        found = self._versions(vault, name, version.lower(), newest_only=True)
        present = self._entry(vault, name)
        if not found or present is None or present[1] is not None:
            raise errors.object_not_found(self._type, vault.name, name, version)
        return found[0]

    def change(self, vault: Vault, name: str, version: str, body: BodyT) -> Version[BodyT]:
        """Change what is said of a version; its value stays."""
        present = self.get(vault, name, version)
        with self._store.transaction() as connection:
            connection.execute(
                f"UPDATE {self._rows} SET body = ? WHERE vault = ? AND name = ? AND version = ?",  # noqa: S608
                (msgspec.json.encode(body), vault.instance, name.lower(), present.version),
            )
        return self.get(vault, name, present.version)

    def page(self, vault: Vault, *, after: str, limit: int) -> list[Version[BodyT]]:
        """The newest versions of the objects whose names follow *after*, by name."""
        return [self.get(vault, name) for name in self._names(vault, after, limit, deleted=False)]

    def versions(self, vault: Vault, name: str, *, after: str, limit: int) -> list[Version[BodyT]]:
        """Versions whose ids follow *after*, by id."""
        self.get(vault, name)
        found = sorted(self._versions(vault, name), key=lambda one: one.version)
        return [one for one in found if one.version > after][:limit]

    def delete(self, vault: Vault, name: str) -> Deleted[BodyT]:
        self.get(vault, name)
        now = int(self._clock.now())
        with self._store.transaction() as connection:
            connection.execute(
                f"UPDATE {self._objects} SET deleted_at = ?, purge_at = ? WHERE vault = ? AND name = ?",  # noqa: S608
                (now, now + vault.retention_days * _DAY_SECONDS, vault.instance, name.lower()),
            )
        return self.get_deleted(vault, name)

    def get_deleted(self, vault: Vault, name: str) -> Deleted[BodyT]:
        self.check_name(name)
        present = self._entry(vault, name)
        if present is None or present[1] is None:
            raise errors.deleted_object_not_found(self._type, vault.name, name)
        newest = self._versions(vault, name, newest_only=True)[0]
        return Deleted(newest, present[1], present[2])

    def page_of_deleted(self, vault: Vault, *, after: str, limit: int) -> list[Deleted[BodyT]]:
        return [self.get_deleted(vault, name) for name in self._names(vault, after, limit, deleted=True)]

    def recover(self, vault: Vault, name: str) -> Version[BodyT]:
        self.get_deleted(vault, name)
        with self._store.transaction() as connection:
            connection.execute(
                f"UPDATE {self._objects} SET deleted_at = NULL, purge_at = NULL WHERE vault = ? AND name = ?",  # noqa: S608
                (vault.instance, name.lower()),
            )
        return self.get(vault, name)

    def purge(self, vault: Vault, name: str) -> None:
        self.get_deleted(vault, name)
        if vault.purge_protected:
            raise errors.purge_protected(name)
        with self._store.transaction() as connection:
            connection.execute(
                f"DELETE FROM {self._objects} WHERE vault = ? AND name = ?",  # noqa: S608
                (vault.instance, name.lower()),
            )

    def backup(self, vault: Vault, name: str) -> str:
        """All versions in a sealed blob, which only vaults of the same subscription open."""
        shown = self.get(vault, name).name
        kept = self._versions(vault, name)
        if len(kept) > MAX_VERSIONS_IN_BACKUP:
            raise errors.bad_parameter(
                f"A {self._type.singular} with more than {MAX_VERSIONS_IN_BACKUP} versions can't be backed up."
            )
        versions = [
            _BackedUp(one.version, one.value.text, msgspec.Raw(msgspec.json.encode(one.body))) for one in reversed(kept)
        ]
        nonce = uuid.uuid4().bytes[:_NONCE_BYTES]
        sealed = AESGCM(self._sealing_key()).encrypt(
            nonce, msgspec.json.encode(_Backup(shown, versions)), self._bound_to(vault)
        )
        return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def restore(self, vault: Vault, blob: str) -> Version[BodyT]:
        """Bring back a backed-up object with all its versions. Its name must be free."""
        try:
            data = base64.urlsafe_b64decode(blob + "=" * (-len(blob) % 4))
            opened = AESGCM(self._sealing_key()).decrypt(
                data[:_NONCE_BYTES], data[_NONCE_BYTES:], self._bound_to(vault)
            )
            backup = _backup(opened)
        except (binascii.Error, InvalidTag, ValueError, msgspec.DecodeError) as error:
            raise errors.bad_parameter("The backup blob is malformed, or was made in another subscription.") from error
        with self._store.transaction() as connection:
            self.check_free(vault, backup.name)
            if self._entry(vault, backup.name) is not None:
                raise errors.already_exists(self._type, backup.name)
            connection.execute(
                f"INSERT INTO {self._objects} VALUES (?, ?, ?, NULL, NULL)",  # noqa: S608
                (vault.instance, backup.name.lower(), backup.name),
            )
            for one in backup.versions:
                self._insert(vault, backup.name, one.version, one.value, bytes(one.body))
        return self.get(vault, backup.name)

    def drop(self, instance: str) -> None:
        """Forget everything that a purged vault held."""
        with self._store.transaction() as connection:
            connection.execute(f"DELETE FROM {self._objects} WHERE vault = ?", (instance,))  # noqa: S608

    def check_name(self, name: str) -> None:
        if not is_name(name):
            raise errors.invalid_name(self._type.singular, name)

    # Rows

    def _entry(self, vault: Vault, name: str) -> tuple[str, Any, Any] | None:
        """Name as first written, time of deletion, time of purge; one whose time has come is gone."""
        with self._store.transaction() as connection:
            connection.execute(
                f"DELETE FROM {self._objects} WHERE vault = ? AND name = ? AND purge_at <= ?",  # noqa: S608
                (vault.instance, name.lower(), int(self._clock.now())),
            )
            row = connection.execute(
                f"SELECT shown, deleted_at, purge_at FROM {self._objects} WHERE vault = ? AND name = ?",  # noqa: S608
                (vault.instance, name.lower()),
            ).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    def _names(self, vault: Vault, after: str, limit: int, *, deleted: bool) -> list[str]:
        rows = self._store.connection.execute(
            f"SELECT name FROM {self._objects} WHERE vault = ? AND name > ? AND (deleted_at IS NOT NULL) = ?"  # noqa: S608
            " AND (purge_at IS NULL OR purge_at > ?) ORDER BY name LIMIT ?",
            (vault.instance, after, deleted, int(self._clock.now()), limit),
        )
        return [row[0] for row in rows.fetchall()]

    def _versions(
        self, vault: Vault, name: str, version: str = "", *, newest_only: bool = False
    ) -> Sequence[Version[BodyT]]:
        """The newest first."""
        rows = self._store.connection.execute(
            f"SELECT shown, version, value, body FROM {self._rows} JOIN {self._objects} USING (vault, name)"  # noqa: S608
            " WHERE vault = ? AND name = ? AND (? = '' OR version = ?) ORDER BY number DESC LIMIT ?",
            (vault.instance, name.lower(), version, version, 1 if newest_only else -1),
        )
        return [
            Version(shown, identifier, SecretValue(value), self._decode(body))
            for shown, identifier, value, body in rows.fetchall()
        ]

    def _insert(self, vault: Vault, name: str, version: str, value: str, body: bytes) -> None:
        with self._store.transaction() as connection:
            connection.execute(
                f"INSERT INTO {self._rows} (vault, name, version, value, body) VALUES (?, ?, ?, ?, ?)",  # noqa: S608
                (vault.instance, name.lower(), version, value, body),
            )

    def _sealing_key(self) -> bytes:
        kept = self._store.get(SERVICE, "sealing-key", "backup")
        if kept is None:
            kept = AESGCM.generate_key(256).hex()
            self._store.put(SERVICE, "sealing-key", "backup", kept)
        return bytes.fromhex(kept)

    def _bound_to(self, vault: Vault) -> bytes:
        """What a backup is good for: this type of object, in this subscription."""
        return f"{self._type.plural} {vault.id.lower().partition('/resourcegroups/')[0]}".encode()
