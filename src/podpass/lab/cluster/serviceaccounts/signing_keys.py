"""The keys of service-account tokens: one signs, it and older ones are published.

The signing key is one PEM file of mode 0600, the older public keys another; both are replaced atomically, so the
issuer is the same after a restart. Contract: Azure workload identity, sections 4.2 and 4.4.
"""

import asyncio
from pathlib import Path

from podpass.lab.private_files import replace_file
from podpass.tokens.keys import JwkSet, PublicKey, SigningKey, public_keys_from_pem

SIGNING_FILE = "service-account.pem"
OLDER_FILE = "service-account-older.pem"


class SigningKeys:
    """The keys as they are now. `rotate` and `withdraw` change them; readers always see a whole set."""

    def __init__(self, directory: Path, signing: SigningKey, older: tuple[PublicKey, ...] = ()) -> None:
        self._directory = directory
        self._change(signing, tuple(key for key in older if key.kid != signing.kid))

    @classmethod
    async def open(cls, directory: Path) -> "SigningKeys":
        """Read the keys below *directory*, or make them there: an RSA-2048 key, generated in a thread.

        Raises UnusableKey when a file there holds something else, OSError when it can't be read or written.
        """
        return await asyncio.to_thread(cls._read_or_make, directory)

    @classmethod
    def _read_or_make(cls, directory: Path) -> "SigningKeys":
        path, older = directory / SIGNING_FILE, directory / OLDER_FILE
        if path.exists():
            signing = SigningKey.from_pem(path.read_bytes(), own=True)
        else:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            signing = SigningKey.generate()
            replace_file(path, signing.to_pem())
        return cls(directory, signing, public_keys_from_pem(older.read_bytes()) if older.exists() else ())

    @property
    def signing(self) -> SigningKey:
        return self._signing

    @property
    def published(self) -> JwkSet:
        """What the issuer publishes and the API server accepts, the signing key first. The same object until it
        changes."""
        return self._published

    async def rotate(self) -> SigningKey:
        """Sign with a new key from now on, and keep publishing the ones before."""
        new = await asyncio.to_thread(SigningKey.generate)
        older = (self._signing.public, *self._older)
        # The old key is published on disk before it is replaced: killed in between, it is merely listed twice.
        self._write_older(older)
        replace_file(self._directory / SIGNING_FILE, new.to_pem())
        self._change(new, older)
        return new

    def withdraw(self, kid: str) -> bool:
        """Stop publishing an older key; tokens signed with it are refused. False when *kid* is no older key."""
        kept = tuple(key for key in self._older if key.kid != kid)
        if len(kept) == len(self._older):
            return False
        self._write_older(kept)
        self._change(self._signing, kept)
        return True

    def _change(self, signing: SigningKey, older: tuple[PublicKey, ...]) -> None:
        self._signing, self._older = signing, older
        self._published = JwkSet.of((signing.public, *older))

    def _write_older(self, keys: tuple[PublicKey, ...]) -> None:
        path = self._directory / OLDER_FILE
        if keys:
            replace_file(path, b"".join(key.to_pem() for key in keys))
        else:
            path.unlink(missing_ok=True)
