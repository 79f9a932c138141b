"""The secrets of every vault, in tables of their own, and the changes they go through.

A vault's contents are kept under its instance, so that a vault made anew under an old name starts empty.
Contract: secrets store, section 3.3.
"""

import base64
import binascii
import uuid
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from podpass.lab.arm import Vault
from podpass.lab.clock import Clock
from podpass.lab.keyvault import errors
from podpass.lab.keyvault.model import (
    Attributes,
    DeletedSecret,
    SecretValue,
    SecretVersion,
    SetParameters,
    UpdateParameters,
    is_name,
    parameter_fault,
)
from podpass.lab.store import Store

SERVICE = "keyvault"
MAX_VERSIONS_IN_BACKUP = 500
_DAY_SECONDS = 86_400
_NONCE_BYTES = 12

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keyvault_secrets (
    vault      TEXT NOT NULL,
    name       TEXT NOT NULL,
    shown      TEXT NOT NULL,
    deleted_at INTEGER,
    purge_at   INTEGER,
    PRIMARY KEY (vault, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keyvault_versions (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    vault   TEXT NOT NULL,
    name    TEXT NOT NULL,
    version TEXT NOT NULL,
    value   TEXT NOT NULL,
    body    BLOB NOT NULL,
    UNIQUE (vault, name, version),
    FOREIGN KEY (vault, name) REFERENCES keyvault_secrets (vault, name) ON DELETE CASCADE
);
"""


class _Body(msgspec.Struct, omit_defaults=True):
    """What is kept of a version beside its value."""

    created: int
    updated: int
    content_type: str | None = None
    tags: dict[str, str] | None = None
    enabled: bool = True
    not_before: int | None = None
    expires: int | None = None


class _BackedUp(msgspec.Struct):
    version: str
    value: str
    body: _Body


class _Backup(msgspec.Struct):
    name: str
    versions: list[_BackedUp]


_body = msgspec.json.Decoder(_Body).decode
_backup = msgspec.json.Decoder(_Backup).decode


class Secrets:
    """All secrets of the lab. Every method raises KeyVaultError when a vault would refuse."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        store.connection.executescript(_SCHEMA)

    def put(self, vault: Vault, name: str, wanted: SetParameters) -> SecretVersion:
        """A new version, the newest from now on."""
        _check(name, wanted.value, wanted.tags, wanted.attributes)
        now = int(self._clock.now())
        body = _Body(
            created=now,
            updated=now,
            content_type=wanted.content_type,
            tags=wanted.tags,
            enabled=wanted.attributes.enabled is not False,
            not_before=wanted.attributes.nbf,
            expires=wanted.attributes.exp,
        )
        with self._store.transaction() as connection:
            present = self._entry(vault, name)
            if present is not None and present[1] is not None:
                raise errors.deleted_but_recoverable(vault.name, name)
            if present is None:
                connection.execute(
                    "INSERT INTO keyvault_secrets VALUES (?, ?, ?, NULL, NULL)", (vault.instance, name.lower(), name)
                )
            version = uuid.uuid4().hex
            self._insert(vault, name, version, wanted.value, body)
        return self.get(vault, name, version)

    def get(self, vault: Vault, name: str, version: str = "") -> SecretVersion:
        """The version, or the newest one. A disabled one is found too."""
        if not is_name(name):
            raise errors.invalid_name("secret", name)
        found = self._versions(vault, name, version.lower(), newest_only=True)
        present = self._entry(vault, name)
        if not found or present is None or present[1] is not None:
            raise errors.secret_not_found(vault.name, name, version)
        return found[0]

    def update(self, vault: Vault, name: str, version: str, wanted: UpdateParameters) -> SecretVersion:
        """Change what is said of a version; its value stays."""
        _check(name, None, wanted.tags, wanted.attributes)
        with self._store.transaction() as connection:
            present = self.get(vault, name, version)
            given = wanted.attributes
            body = _Body(
                created=present.created,
                updated=int(self._clock.now()),
                content_type=present.content_type if wanted.content_type is None else wanted.content_type,
                tags=dict(present.tags) if wanted.tags is None and present.tags is not None else wanted.tags,
                enabled=present.enabled if given.enabled is None else given.enabled,
                not_before=present.not_before if given.nbf is None else given.nbf,
                expires=present.expires if given.exp is None else given.exp,
            )
            connection.execute(
                "UPDATE keyvault_versions SET body = ? WHERE vault = ? AND name = ? AND version = ?",
                (msgspec.json.encode(body), vault.instance, name.lower(), present.version),
            )
        return self.get(vault, name, present.version)

    def page(self, vault: Vault, *, after: str, limit: int) -> list[SecretVersion]:
        """The newest versions of the secrets whose names follow *after*, by name."""
        return [self.get(vault, name) for name in self._names(vault, after, limit, deleted=False)]

    def versions(self, vault: Vault, name: str, *, after: str, limit: int) -> list[SecretVersion]:
        """Versions whose ids follow *after*, by id; none of a secret that does not exist."""
        if not is_name(name):
            raise errors.invalid_name("secret", name)
        present = self._entry(vault, name)
        if present is None or present[1] is not None:
            raise errors.secret_not_found(vault.name, name)
        found = sorted(self._versions(vault, name), key=lambda one: one.version)
        return [one for one in found if one.version > after][:limit]

    def delete(self, vault: Vault, name: str) -> DeletedSecret:
        self.get(vault, name)
        now = int(self._clock.now())
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE keyvault_secrets SET deleted_at = ?, purge_at = ? WHERE vault = ? AND name = ?",
                (now, now + vault.retention_days * _DAY_SECONDS, vault.instance, name.lower()),
            )
        return self.get_deleted(vault, name)

    def get_deleted(self, vault: Vault, name: str) -> DeletedSecret:
        if not is_name(name):
            raise errors.invalid_name("secret", name)
        present = self._entry(vault, name)
        if present is None or present[1] is None:
            raise errors.deleted_secret_not_found(vault.name, name)
        newest = self._versions(vault, name, newest_only=True)[0]
        return DeletedSecret(newest, present[1], present[2])

    def page_of_deleted(self, vault: Vault, *, after: str, limit: int) -> list[DeletedSecret]:
        return [self.get_deleted(vault, name) for name in self._names(vault, after, limit, deleted=True)]

    def recover(self, vault: Vault, name: str) -> SecretVersion:
        self.get_deleted(vault, name)
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE keyvault_secrets SET deleted_at = NULL, purge_at = NULL WHERE vault = ? AND name = ?",
                (vault.instance, name.lower()),
            )
        return self.get(vault, name)

    def purge(self, vault: Vault, name: str) -> None:
        self.get_deleted(vault, name)
        if vault.purge_protected:
            raise errors.purge_protected(name)
        with self._store.transaction() as connection:
            connection.execute(
                "DELETE FROM keyvault_secrets WHERE vault = ? AND name = ?", (vault.instance, name.lower())
            )

    def backup(self, vault: Vault, name: str) -> str:
        """All versions in a sealed blob, which only vaults of the same subscription open."""
        shown = self.get(vault, name).name
        kept = self._versions(vault, name)
        if len(kept) > MAX_VERSIONS_IN_BACKUP:
            raise errors.bad_parameter(f"A secret with more than {MAX_VERSIONS_IN_BACKUP} versions can't be backed up.")
        versions = [_BackedUp(one.version, one.value.text, _body_of(one)) for one in reversed(kept)]
        nonce = uuid.uuid4().bytes[:_NONCE_BYTES]
        sealed = AESGCM(self._sealing_key()).encrypt(
            nonce, msgspec.json.encode(_Backup(shown, versions)), _bound_to(vault)
        )
        return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def restore(self, vault: Vault, blob: str) -> SecretVersion:
        """Bring back a backed-up secret with all its versions. Its name must be free."""
        try:
            data = base64.urlsafe_b64decode(blob + "=" * (-len(blob) % 4))
            opened = AESGCM(self._sealing_key()).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _bound_to(vault))
            backup = _backup(opened)
        except (binascii.Error, InvalidTag, ValueError, msgspec.DecodeError) as error:
            raise errors.bad_parameter("The backup blob is malformed, or was made in another subscription.") from error
        with self._store.transaction() as connection:
            present = self._entry(vault, backup.name)
            if present is not None:
                if present[1] is not None:
                    raise errors.deleted_but_recoverable(vault.name, backup.name)
                raise errors.already_exists(backup.name)
            connection.execute(
                "INSERT INTO keyvault_secrets VALUES (?, ?, ?, NULL, NULL)",
                (vault.instance, backup.name.lower(), backup.name),
            )
            for one in backup.versions:
                self._insert(vault, backup.name, one.version, one.value, one.body)
        return self.get(vault, backup.name)

    def drop(self, instance: str) -> None:
        """Forget everything that a purged vault held."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM keyvault_secrets WHERE vault = ?", (instance,))

    # Rows

    def _entry(self, vault: Vault, name: str) -> tuple[str, Any, Any] | None:
        """Name as first written, time of deletion, time of purge; one whose time has come is gone."""
        with self._store.transaction() as connection:
            connection.execute(
                "DELETE FROM keyvault_secrets WHERE vault = ? AND name = ? AND purge_at <= ?",
                (vault.instance, name.lower(), int(self._clock.now())),
            )
            row = connection.execute(
                "SELECT shown, deleted_at, purge_at FROM keyvault_secrets WHERE vault = ? AND name = ?",
                (vault.instance, name.lower()),
            ).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    def _names(self, vault: Vault, after: str, limit: int, *, deleted: bool) -> list[str]:
        rows = self._store.connection.execute(
            "SELECT name FROM keyvault_secrets WHERE vault = ? AND name > ? AND (deleted_at IS NOT NULL) = ?"
            " AND (purge_at IS NULL OR purge_at > ?) ORDER BY name LIMIT ?",
            (vault.instance, after, deleted, int(self._clock.now()), limit),
        )
        return [row[0] for row in rows.fetchall()]

    def _versions(
        self, vault: Vault, name: str, version: str = "", *, newest_only: bool = False
    ) -> list[SecretVersion]:
        """The newest first."""
        rows = self._store.connection.execute(
            "SELECT shown, version, value, body FROM keyvault_versions JOIN keyvault_secrets USING (vault, name)"
            " WHERE vault = ? AND name = ? AND (? = '' OR version = ?) ORDER BY number DESC LIMIT ?",
            (vault.instance, name.lower(), version, version, 1 if newest_only else -1),
        )
        return [_version(*row) for row in rows.fetchall()]

    def _insert(self, vault: Vault, name: str, version: str, value: str, body: _Body) -> None:
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT INTO keyvault_versions (vault, name, version, value, body) VALUES (?, ?, ?, ?, ?)",
                (vault.instance, name.lower(), version, value, msgspec.json.encode(body)),
            )

    def _sealing_key(self) -> bytes:
        kept = self._store.get(SERVICE, "sealing-key", "backup")
        if kept is None:
            kept = AESGCM.generate_key(256).hex()
            self._store.put(SERVICE, "sealing-key", "backup", kept)
        return bytes.fromhex(kept)


def _check(name: str, value: str | None, tags: dict[str, str] | None, attributes: Attributes) -> None:
    if not is_name(name):
        raise errors.invalid_name("secret", name)
    if fault := parameter_fault(value, tags, attributes):
        raise errors.bad_parameter(fault)


def _version(shown: str, version: str, value: str, body: bytes) -> SecretVersion:
    kept = _body(body)
    return SecretVersion(
        name=shown,
        version=version,
        value=SecretValue(value),
        content_type=kept.content_type,
        tags=kept.tags,
        enabled=kept.enabled,
        not_before=kept.not_before,
        expires=kept.expires,
        created=kept.created,
        updated=kept.updated,
    )


def _body_of(version: SecretVersion) -> _Body:
    return _Body(
        created=version.created,
        updated=version.updated,
        content_type=version.content_type,
        tags=None if version.tags is None else dict(version.tags),
        enabled=version.enabled,
        not_before=version.not_before,
        expires=version.expires,
    )


def _bound_to(vault: Vault) -> bytes:
    return vault.id.lower().partition("/resourcegroups/")[0].encode()
