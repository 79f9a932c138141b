"""Rotation policies at work: kept by key, and done when their time has come.

Contract: secrets store, section 3.4.
"""

import asyncio
from collections.abc import Callable
from typing import Generic

import msgspec

from podpass.lab.arm import Vault
from podpass.lab.clock import Clock
from podpass.lab.keyvault import errors, key_material, rotation
from podpass.lab.keyvault.agenda import MOST_AT_ONCE, Agenda
from podpass.lab.keyvault.calls import Call, Input, parameters
from podpass.lab.keyvault.errors import KeyVaultError
from podpass.lab.keyvault.key_material import PrivateKey
from podpass.lab.keyvault.rotation import NOTIFY, ROTATE, NotAPolicy, RotationPolicy
from podpass.lab.keyvault.shelves import SERVICE, BodyT, Shelf, Version
from podpass.lab.store import Store

_KIND = "rotation-policy"
_DUE = frozenset((f"key-{ROTATE}", f"key-{NOTIFY}"))

Tell = Callable[[Vault, str, str], None]
"""Records what a vault did by itself: to what, and why."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    policy: RotationPolicy
    told: str = ""
    """The version whose coming expiry was announced."""


PutRotated = Callable[[Vault, Version[BodyT], PrivateKey, RotationPolicy, float], object]
"""Makes a key the newest version, like the one before it, as old as the time says and valid as the policy says."""


class Rotations(Generic[BodyT]):
    """The policies of all keys, and what follows from them."""

    def __init__(
        self, store: Store, clock: Clock, agenda: Agenda, shelf: Shelf[BodyT], tell: Tell, put: PutRotated[BodyT]
    ) -> None:
        self._store, self._clock, self._agenda = store, clock, agenda
        self._shelf, self._tell, self._put = shelf, tell, put

    def policy(self, vault: Vault, name: str) -> RotationPolicy:
        kept = self._kept(vault, name)
        return rotation.DEFAULT if kept is None else kept.policy

    def set(self, call: Call, given: Input) -> RotationPolicy:
        """Raises KeyVaultError."""
        newest = self._shelf.get(given.vault, call.name)
        wanted = parameters(given.body, RotationPolicy)
        try:
            policy = rotation.checked(wanted, key_expires=newest.body.expires is not None)
        except NotAPolicy as error:
            raise errors.bad_parameter(f"{error}.") from error
        before, now = self._kept(given.vault, call.name), int(self._clock.now())
        attributes = msgspec.structs.replace(
            policy.attributes, created=before.policy.attributes.created if before else now, updated=now
        )
        kept = _Kept(policy=msgspec.structs.replace(policy, attributes=attributes), told=before.told if before else "")
        with self._store.transaction():
            self._keep(given.vault, call.name, kept)
            self.plan(given.vault, call.name)
        return kept.policy

    def plan(self, vault: Vault, name: str) -> None:
        """Look at the newest version again: something about it has changed, or it is deleted."""
        kept = self._kept(vault, name)
        if kept is None:
            return
        newest = self._newest(vault, name)
        for kind in (ROTATE, NOTIFY):
            moment = None
            if newest is not None and not (kind == NOTIFY and kept.told == newest.version):
                moment = kept.policy.moment(kind, created=newest.body.created, expires=newest.body.expires)
            self._agenda.plan(vault, f"key-{kind}", name, moment)

    def forget(self, vault: Vault, name: str) -> None:
        self._store.delete(SERVICE, _KIND, _place(vault, name))
        self.plan_nothing(vault, name)

    def plan_nothing(self, vault: Vault, name: str) -> None:
        for what in _DUE:
            self._agenda.plan(vault, what, name, None)

    def drop(self, instance: str) -> None:
        """Forget everything of a purged vault."""
        for key, _ in self._store.items(SERVICE, _KIND, f"{instance}/"):
            self._store.delete(SERVICE, _KIND, key)

    async def settle(self, vault: Vault) -> None:
        """Do what is due in this vault."""
        for left in range(MOST_AT_ONCE, 0, -1):
            now = self._clock.now()
            due = self._agenda.due(vault, _DUE, now)
            if due is None:
                return
            newest, kept = self._newest(vault, due.name), self._kept(vault, due.name)
            if newest is None or kept is None:
                self.plan_nothing(vault, due.name)
            elif due.what == f"key-{NOTIFY}":
                self._tell(vault, f"key {newest.name}", "it expires soon (Microsoft.KeyVault.KeyNearExpiry)")
                with self._store.transaction():
                    self._keep(vault, due.name, msgspec.structs.replace(kept, told=newest.version))
                    self.plan(vault, due.name)
            else:
                wanted = key_material.like(key_material.opened(newest.value.text))
                key = await asyncio.to_thread(key_material.make, wanted)
                if self._agenda.due(vault, _DUE, now) != due:
                    continue  # Another call came first.
                with self._store.transaction():
                    self._put(vault, newest, key, kept.policy, due.at if left > 1 else now)
                    self.plan(vault, due.name)
                self._tell(vault, f"key {newest.name}", "its rotation policy said so (KeyNewVersionCreated)")

    def _newest(self, vault: Vault, name: str) -> Version[BodyT] | None:
        """The version that a policy is about; none of a key that is deleted or disabled."""
        try:
            newest = self._shelf.get(vault, name)
        except KeyVaultError:
            return None
        return newest if newest.body.enabled else None

    def _kept(self, vault: Vault, name: str) -> _Kept | None:
        kept = self._store.get(SERVICE, _KIND, _place(vault, name))
        return None if kept is None else msgspec.convert(kept, _Kept)

    def _keep(self, vault: Vault, name: str, kept: _Kept) -> None:
        self._store.put(SERVICE, _KIND, _place(vault, name), msgspec.to_builtins(kept))


def _place(vault: Vault, name: str) -> str:
    return f"{vault.instance}/{name.lower()}"
