"""Lifetime actions of certificates at work: done when their time has come.

Contract: secrets store, section 3.5.
"""

import asyncio
from collections.abc import Callable
from typing import Generic

from podpass.lab.arm import Vault
from podpass.lab.clock import Clock
from podpass.lab.keyvault import key_material
from podpass.lab.keyvault.agenda import MOST_AT_ONCE, Agenda
from podpass.lab.keyvault.certificate_making import SELF, Policy
from podpass.lab.keyvault.certificate_records import Records
from podpass.lab.keyvault.errors import KeyVaultError
from podpass.lab.keyvault.key_material import PrivateKey
from podpass.lab.keyvault.key_rotation import Tell
from podpass.lab.keyvault.renewal import AUTO_RENEW, EMAIL_CONTACTS
from podpass.lab.keyvault.shelves import BodyT, Shelf, Version

_RENEW, _EMAIL = "certificate-renew", "certificate-email"
_DUE = frozenset((_RENEW, _EMAIL))

Renew = Callable[[Vault, Version[BodyT], PrivateKey, Policy, float], object]
"""Makes a new version with this key, valid from the time given."""


class Renewals(Generic[BodyT]):
    """What follows from the lifetime actions of all certificates.

    *reused* is the key pair that a renewal keeps, None for a new one; *contacts* are whom a vault tells.
    """

    def __init__(
        self,
        clock: Clock,
        agenda: Agenda,
        shelf: Shelf[BodyT],
        records: Records,
        tell: Tell,
        renew: Renew[BodyT],
        *,
        reused: Callable[[Vault, str, Policy], PrivateKey | None],
        contacts: Callable[[Vault], list[str]],
    ) -> None:
        self._clock, self._agenda, self._shelf, self._records = clock, agenda, shelf, records
        self._tell, self._renew, self._reused, self._contacts = tell, renew, reused, contacts

    def plan(self, vault: Vault, name: str) -> None:
        """Look at the newest version and the policy again."""
        newest, policy = self._newest(vault, name), self._records.policy(vault, name)
        moments: dict[str, float] = {}
        if newest is not None and policy is not None:
            start, end = newest.body.not_before, newest.body.expires
            for one in policy.lifetime_actions or []:
                if start is not None and end is not None:
                    moments[one.action.action_type] = one.moment(start, end)
            if policy.issuer.name.lower() != SELF:
                moments.pop(AUTO_RENEW, None)
            if self._records.told(vault, name) == newest.version:
                moments.pop(EMAIL_CONTACTS, None)
        self._agenda.plan(vault, _RENEW, name, moments.get(AUTO_RENEW))
        self._agenda.plan(vault, _EMAIL, name, moments.get(EMAIL_CONTACTS))

    async def settle(self, vault: Vault) -> None:
        """Do what is due in this vault."""
        for left in range(MOST_AT_ONCE, 0, -1):
            now = self._clock.now()
            due = self._agenda.due(vault, _DUE, now)
            if due is None:
                return
            newest, policy = self._newest(vault, due.name), self._records.policy(vault, due.name)
            if newest is None or policy is None:
                for what in _DUE:
                    self._agenda.plan(vault, what, due.name, None)
            elif due.what == _EMAIL:
                people = ", ".join(self._contacts(vault)) or "nobody: the vault has no contacts"
                self._records.keep_told(vault, due.name, newest.version)
                self._agenda.plan(vault, _EMAIL, due.name, None)
                self._tell(vault, f"certificate {newest.name}", f"it expires soon; told by email: {people}")
            else:
                key = self._reused(vault, newest.name, policy)
                if key is None:
                    key = await asyncio.to_thread(key_material.make, policy.key)
                    if self._agenda.due(vault, _DUE, now) != due:
                        continue  # Another call came first.
                self._renew(vault, newest, key, policy, due.at if left > 1 else now)
                self._tell(vault, f"certificate {newest.name}", "its policy renews it before it expires")

    def _newest(self, vault: Vault, name: str) -> Version[BodyT] | None:
        """The version that a policy is about; none of a certificate that is deleted or disabled."""
        try:
            newest = self._shelf.get(vault, name)
        except KeyVaultError:
            return None
        return newest if newest.body.enabled else None
