"""The lab's Azure Resource Manager: subscriptions, groups, identities, role assignments, vaults, machines,
managed clusters.

Imitated: Microsoft.Resources (tenants, subscriptions, locations, resource groups, deployments, lists of resources,
registration of providers), Microsoft.Features (preview features), Microsoft.ManagedIdentity (user-assigned identities
and federated credentials), Microsoft.Authorization (role definitions, built-in and custom, role assignments,
management locks), Microsoft.KeyVault (vaults, their secrets, access policies, soft delete), Microsoft.Compute (virtual
machines and scale sets, as what carries identities), Microsoft.ContainerService (managed clusters and their pools),
Microsoft.Cache (caches and their keys), and the cloud's metadata. Any api-version from 2014 on is taken, as clients
raise theirs with every release; where versions differ, the one sent counts.

Missing: policies, conditions and deny assignments, management groups, private endpoints. Types
that Azure has and the lab has not are answered 501.
Writes and deletes of machines go on for a moment of the lab's time, those of managed clusters until their host has
done the work, a group's until its clusters are gone; all others have ended when they are answered.

Contract: Azure HTTP surface, sections 1 and 4; workload identity, section 6; secrets store, section 4; pod identity,
section 2.7.
"""

from collections.abc import Callable

from podpass.lab.arm import compute, vaults
from podpass.lab.arm.authorization import Allowed, Denied
from podpass.lab.arm.caches import WantedCache, wanted
from podpass.lab.arm.catalogue import TYPES
from podpass.lab.arm.deployments.service import Deployments
from podpass.lab.arm.endpoint import PUBLIC, Endpoint
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import DELETING, Estate, parsed_id
from podpass.lab.arm.hosting import ClusterHost
from podpass.lab.arm.http import ArmHttp
from podpass.lab.arm.managed_clusters.hosted import Hosted
from podpass.lab.arm.model import Resource
from podpass.lab.arm.seeding import Seeding
from podpass.lab.arm.vault_secrets import VaultSecrets
from podpass.lab.arm.vaults import Vault
from podpass.lab.clock import Clock
from podpass.lab.entra.access import AccessTokens
from podpass.lab.entra.directory import Directory
from podpass.lab.journal import Journal
from podpass.lab.store import Store

__all__ = ["Allowed", "Arm", "ArmError", "Denied", "Endpoint", "Vault", "WantedCache"]


class Arm:
    """Azure Resource Manager over the lab's store and directory."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        journal: Journal,
        directory: Directory,
        access_tokens: AccessTokens,
        *,
        endpoint: Endpoint = PUBLIC,
    ) -> None:
        self.directory = directory
        self.estate = Estate(store, clock, directory, TYPES)
        self.seed = Seeding(self.estate)
        self.deployments = self.estate.deployments = Deployments(self.estate, journal)
        self.hosted = Hosted(self.estate)
        """What the host of managed clusters asks."""
        self.app = ArmHttp(self.estate, access_tokens, journal, endpoint).app

    def vault(self, name: str) -> Vault | None:
        """The vault of this name; None when there is none, or only a deleted one."""
        return vaults.vault(self.estate, name)

    def machine(self, resource_id: str) -> tuple[Resource, str] | None:
        """The virtual machine, or that of a scale set, with its tenant; None when there is none, or it goes."""
        if not resource_id:
            return None
        wanted = parsed_id(resource_id)
        is_instance = wanted.type.lower() == compute.INSTANCE.lower()
        found = self.estate.get(wanted.parent if is_instance else wanted)
        if found is None or found.busy == DELETING:
            return None
        if is_instance and wanted.name.isdecimal():
            found = compute.instance(found, int(wanted.name))
        elif found.type != compute.MACHINE:
            return None
        return found, self.estate.subscription_of(found).tenant_id

    def use_host(self, host: ClusterHost) -> None:
        """Have *host* run the managed clusters. It looks at what is wanted by itself when it begins."""
        self.estate.cluster_host = host

    def caches(self) -> list[WantedCache]:
        """The caches that should run, by name."""
        return wanted.wanted(self.estate)

    def cache_exists(self, name: str) -> bool:
        """Whether there is a cache of this name, and so a host name that resolves."""
        return wanted.exists(self.estate, name)

    def on_caches_changed(self, tell: Callable[[], None]) -> None:
        """Have *tell* called whenever `caches` may say something else."""
        self.estate.cache_listeners.append(tell)

    def refuse_caches(self, why: str) -> None:
        """Have none made from now on; *why* is for whoever asks for one."""
        self.estate.caches_refused = why

    def use_vault_secrets(self, secrets: VaultSecrets) -> None:
        """Have *secrets* keep what is made as Microsoft.KeyVault/vaults/secrets."""
        self.estate.vault_secrets = secrets

    def on_vault_purged(self, tell: Callable[[str], None]) -> None:
        """Have *tell* called with the instance of each vault that is gone for good."""
        self.estate.purge_listeners.append(tell)

    def decide(self, *, principal_id: str, action: str, scope: str, is_data_action: bool) -> Allowed | Denied:
        """Whether role assignments let the principal do *action* at *scope*."""
        return self.estate.decide(principal_id=principal_id, action=action, scope=scope, is_data_action=is_data_action)
