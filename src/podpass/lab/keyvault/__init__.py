"""The lab's Key Vault: the data plane of every vault that the lab's Resource Manager has.

Imitated: the authentication challenge, access by roles or by access policies, and all calls on secrets, keys and
certificates, for the api-versions from 2015-06-01 to those of today. A vault's network rules count, by the address
the lab sees.

Keys are rotated and certificates renewed by their policies, on the lab's clock; what a vault would announce or send
by email is an event in the journal. A vault keeps the service's limits when a fault says so.

Missing, and answered 501: what a certificate authority signs, managed storage accounts, keys in hardware, random bytes
and the release of keys, which need hardware. Missing: private links.
Role assignments and policies take effect at once, and a deleted object is found deleted at once.

Contract: secrets store, section 3.
"""

from podpass.lab.arm import Arm, Vault
from podpass.lab.clock import Clock
from podpass.lab.entra.access import AccessTokens
from podpass.lab.faults import Faults
from podpass.lab.journal import Hop, Journal
from podpass.lab.keyvault import errors
from podpass.lab.keyvault.agenda import Agenda
from podpass.lab.keyvault.certificates import Certificates
from podpass.lab.keyvault.errors import KeyVaultError
from podpass.lab.keyvault.http import PUBLIC, Endpoint, KeyVaultHttp
from podpass.lab.keyvault.issuers import Issuers
from podpass.lab.keyvault.keys import Keys
from podpass.lab.keyvault.model import SetParameters
from podpass.lab.keyvault.resource_manager import ManagedSecrets
from podpass.lab.keyvault.secrets import Secrets, SecretVersion
from podpass.lab.keyvault.seeding import Seeding
from podpass.lab.store import Store

__all__ = ["Endpoint", "KeyVault", "KeyVaultError"]


class KeyVault:
    """Key Vault over the lab's store; vaults and role assignments are Resource Manager's."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        journal: Journal,
        access_tokens: AccessTokens,
        arm: Arm,
        *,
        endpoint: Endpoint = PUBLIC,
        faults: Faults | None = None,
    ) -> None:
        self._arm = arm
        agenda, issuers = Agenda(store), Issuers(store, clock)
        self._journal = journal
        self._secrets = Secrets(store, clock)
        keys = Keys(store, clock, agenda, self._tell)
        certificates = Certificates(store, clock, self._secrets, keys, issuers, agenda, self._tell)
        # The paths of issuers look like those of certificates.
        self.services = (issuers, self._secrets, keys, certificates)
        self.app = KeyVaultHttp(self.services, arm, access_tokens, journal, clock, endpoint, faults=faults).app
        self.seed = Seeding(self._secrets, keys, certificates, issuers, clock, self._require)
        for drop in (self._secrets.shelf.drop, keys.drop, certificates.drop, issuers.drop, agenda.drop):
            arm.on_vault_purged(drop)
        arm.use_vault_secrets(ManagedSecrets(self._secrets, clock))

    def exists(self, name: str) -> bool:
        """Whether there is a vault of this name, and so a host name that resolves."""
        return self._arm.vault(name) is not None

    def set_secret(self, vault: str, name: str, value: str, content_type: str | None = None) -> SecretVersion:
        """The secret with this value, in a new version unless the newest one has it. Raises KeyVaultError."""
        return self.seed.put_secret(vault, name, SetParameters(value=value, content_type=content_type))

    def _tell(self, vault: Vault, what: str, why: str) -> None:
        self._journal.record(
            Hop(
                who="the vault itself",
                whom="keyvault",
                what=what,
                outcome="noted",
                why=why,
                decision={"vault": vault.name},
            )
        )

    def _require(self, name: str) -> Vault:
        found = self._arm.vault(name)
        if found is None:
            raise errors.vault_not_found(name)
        return found
