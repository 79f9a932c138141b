"""The calls that are the same for every type of object: lists, versions, the way to deletion and back, backups.

A type says how one of its objects is shown and adds the calls of its own.
Contract: secrets store, sections 3.3 and 3.4.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic

from podpass.lab.arm import Vault
from podpass.lab.keyvault import errors
from podpass.lab.keyvault.calls import Call, Input, Result, page_of, paged, parameters
from podpass.lab.keyvault.model import RestoreParameters
from podpass.lab.keyvault.operations import ObjectType
from podpass.lab.keyvault.routes import Route
from podpass.lab.keyvault.shelves import BodyT, Deleted, Shelf, Version


class Objects(Generic[BodyT]):
    """The objects of one type in all vaults. Every call raises KeyVaultError when a vault would refuse."""

    routes: Sequence[Route] = ()
    """The calls on them, by their paths."""

    def __init__(self, shelf: Shelf[BodyT], object_type: ObjectType) -> None:
        self.shelf = shelf
        self.type = object_type
        self._common: Mapping[str, Callable[[Call, Input], Result]] = {
            "LIST": self._list,
            "VERSIONS": self._versions,
            "DELETE": self._delete,
            "GET_DELETED": self._get_deleted,
            "LIST_DELETED": self._list_deleted,
            "RECOVER": self._recover,
            "PURGE": self._purge,
            "BACKUP": self._backup,
            "RESTORE": self._restore,
        }

    # What a type says of its objects

    def bundle(self, one: Version[BodyT], given: Input) -> dict[str, Any]:
        """A version as most calls answer it, without its value."""
        raise NotImplementedError

    def item(self, one: Version[BodyT], given: Input, *, with_version: bool) -> dict[str, Any]:
        """A version as a member of a list."""
        raise NotImplementedError

    def identifier(self, one: Version[BodyT], given: Input, *, with_version: bool = True) -> str:
        """The address by which clients know a version, or the object."""
        base = f"{given.origin}/{self.type.plural}/{one.name}"
        return f"{base}/{one.version}" if with_version else base

    def is_managed(self, vault: Vault, name: str) -> bool:
        """Whether the object belongs to a certificate."""
        try:
            return self.shelf.get(vault, name).body.managed
        except errors.KeyVaultError:
            return False

    def check_unmanaged(self, vault: Vault, name: str) -> None:
        """Raises KeyVaultError for an object that only its certificate's calls may change."""
        if self.is_managed(vault, name):
            raise errors.managed(self.type, name)

    # The calls

    async def settle(self, vault: Vault) -> None:
        """Do what has become due in *vault* without being asked."""

    async def run(self, call: Call, given: Input) -> Result:
        """Do what is allowed."""
        return self._common[call.operation.name](call, given)

    def _list(self, call: Call, given: Input) -> Result:
        after, size = page_of(given.query)
        found = self.shelf.page(given.vault, after=after, limit=size + 1)
        items = [self.item(one, given, with_version=False) for one in found]
        return Result(paged(items, [one.name.lower() for one in found], f"/{self.type.plural}", size, given))

    def _versions(self, call: Call, given: Input) -> Result:
        after, size = page_of(given.query)
        found = self.shelf.versions(given.vault, call.name, after=after, limit=size + 1)
        items = [self.item(one, given, with_version=True) for one in found]
        path = f"/{self.type.plural}/{call.name}/versions"
        return Result(paged(items, [one.version for one in found], path, size, given))

    def _delete(self, call: Call, given: Input) -> Result:
        self.check_unmanaged(given.vault, call.name)
        return Result(self._deleted_bundle(self.shelf.delete(given.vault, call.name), given))

    def _get_deleted(self, call: Call, given: Input) -> Result:
        return Result(self._deleted_bundle(self.shelf.get_deleted(given.vault, call.name), given))

    def _list_deleted(self, call: Call, given: Input) -> Result:
        after, size = page_of(given.query)
        found = self.shelf.page_of_deleted(given.vault, after=after, limit=size + 1)
        items = [{**self._deletion(one, given), **self.item(one.newest, given, with_version=False)} for one in found]
        marks = [one.newest.name.lower() for one in found]
        return Result(paged(items, marks, f"/deleted{self.type.plural}", size, given))

    def _recover(self, call: Call, given: Input) -> Result:
        self._check_deleted_alone(given.vault, call.name)
        return Result(self.bundle(self.recover(given.vault, call.name), given))

    def recover(self, vault: Vault, name: str) -> Version[BodyT]:
        """Bring back what was deleted."""
        return self.shelf.recover(vault, name)

    def _purge(self, call: Call, given: Input) -> Result:
        self._check_deleted_alone(given.vault, call.name)
        self.shelf.purge(given.vault, call.name)
        return Result(None)

    def _backup(self, call: Call, given: Input) -> Result:
        self.check_unmanaged(given.vault, call.name)
        return Result({"value": self.shelf.backup(given.vault, call.name)})

    def _restore(self, call: Call, given: Input) -> Result:
        blob = parameters(given.body, RestoreParameters).value
        return Result(self.bundle(self.shelf.restore(given.vault, blob), given))

    def _check_deleted_alone(self, vault: Vault, name: str) -> None:
        if self.shelf.get_deleted(vault, name).newest.body.managed:
            raise errors.managed(self.type, name)

    def _deleted_bundle(self, deleted: Deleted[BodyT], given: Input) -> dict[str, Any]:
        return {**self._deletion(deleted, given), **self.bundle(deleted.newest, given)}

    def _deletion(self, deleted: Deleted[BodyT], given: Input) -> dict[str, Any]:
        return {
            "recoveryId": f"{given.origin}/deleted{self.type.plural}/{deleted.newest.name}",
            "deletedDate": deleted.deleted,
            "scheduledPurgeDate": deleted.purged,
        }
