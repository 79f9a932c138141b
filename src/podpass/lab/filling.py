"""Make a scenario so: every entry goes through the rules of the service it ends in, all in one transaction."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from podpass.azure.clouds import PUBLIC
from podpass.lab.arm import Arm, ArmError
from podpass.lab.arm.estate import parsed_id
from podpass.lab.arm.managed_identity import IDENTITY
from podpass.lab.arm.seeding import Identity, identity_of
from podpass.lab.entra.directory import Application, Directory, Tenant
from podpass.lab.keyvault import KeyVault, KeyVaultError
from podpass.lab.operator import OPERATOR_CREDENTIAL, OPERATOR_ROLE, OPERATOR_SUBJECT
from podpass.lab.remembered import Remembered
from podpass.lab.scenario.model import IdentityEntry, Scenario, VaultEntry
from podpass.lab.store import Store
from podpass.problems import PodpassError
from podpass.tokens.federation import FederatedCredential


@dataclass(frozen=True, slots=True)
class Operator:
    """The application that acts for the lab's owner."""

    client_id: str
    object_id: str
    tenant_id: str


class Filling:
    """Fills one lab's clouds. *issuer_of* gives the issuer URL of a cluster by its name in the scenario."""

    def __init__(
        self,
        store: Store,
        remembered: Remembered,
        directory: Directory,
        arm: Arm,
        keyvault: KeyVault,
        issuer_of: Callable[[str], str],
    ) -> None:
        self._store = store
        self._remembered = remembered
        self._directory = directory
        self._arm = arm
        self._keyvault = keyvault
        self._issuer_of = issuer_of

    def apply(self, scenario: Scenario) -> None:
        """Create what the scenario names, or bring it back to what the scenario says; all of it or nothing.

        Raises PodpassError PP504 with the service's own words when a service refuses an entry.
        """
        with self._store.transaction():
            for tenant in scenario.tenants:
                tenant_id = self._remembered.tenant_id(tenant.name, tenant.id)
                domains = (tenant.domain,) if tenant.domain else ()
                any_issuer = tenant.flexible_issuers == "any"
                self._directory.put_tenant(Tenant(tenant_id, domains, tenant.name, any_issuer))
            subscriptions = {
                entry.name: self._arm.seed.put_subscription(
                    self._remembered.tenant_id(entry.tenant),
                    entry.name,
                    self._remembered.subscription_id(entry.name, entry.id),
                ).id
                for entry in scenario.subscriptions
            }
            groups: dict[str, str] = {}
            for group in scenario.resource_groups:
                with _refusals_of("resource group", group.name):
                    made = self._arm.seed.put_group(subscriptions[group.subscription], group.name, group.location)
                groups[group.name] = made.id
            identities = {entry.name: self._identity(entry, groups) for entry in scenario.identities}
            vaults = {entry.name: self._vault(entry, groups, identities) for entry in scenario.vaults}
            for machine in scenario.virtual_machines:
                with _refusals_of("virtual machine", machine.name):
                    made_machine = self._arm.seed.put_machine(
                        groups[machine.resource_group],
                        machine.name,
                        system_assigned=machine.system_assigned,
                        identities=[identities[name].id for name in machine.identities],
                    )
                if machine.host:
                    self._remembered.keep_host_machine(made_machine.id)
            scopes = {
                "vault": vaults,
                "resourceGroup": groups,
                "subscription": {name: f"/subscriptions/{guid}" for name, guid in subscriptions.items()},
            }
            for assignment in scenario.role_assignments:
                with _refusals_of("role assignment", assignment.role):
                    self._arm.seed.put_role_assignment(
                        scopes[assignment.scope_kind][assignment.scope],
                        assignment.role,
                        identities[assignment.identity].principal_id,
                    )

    def _identity(self, entry: IdentityEntry, groups: dict[str, str]) -> Identity:
        with _refusals_of("identity", entry.name):
            identity = self._arm.seed.put_identity(groups[entry.resource_group], entry.name)
        for credential in entry.federated_credentials:
            with _refusals_of("federated credential", credential.name):
                self._arm.seed.put_federated_credential(
                    identity.id,
                    credential.name,
                    issuer=credential.issuer or self._issuer_of(credential.cluster),
                    subject=credential.subject,
                    expression=credential.expression,
                    audience=credential.audience,
                )
        return identity

    def _vault(self, entry: VaultEntry, groups: dict[str, str], identities: dict[str, Identity]) -> str:
        policies = {identities[policy.identity].principal_id: policy.secrets for policy in entry.access_policies}
        with _refusals_of("vault", entry.name):
            vault = self._arm.seed.put_vault(
                groups[entry.resource_group], entry.name, rbac=entry.authorization == "rbac", policies=policies
            )
            for secret in entry.secrets:
                if secret.value is not None or not self._keyvault.has_secret(entry.name, secret.name):
                    value = secret.value if secret.value is not None else secrets.token_urlsafe(24)
                    self._keyvault.set_secret(entry.name, secret.name, value, secret.content_type)
        return vault.id

    def identities(self) -> list[Identity]:
        """Every managed identity there is, by its id."""
        found = []
        for subscription in self._arm.estate.subscriptions():
            scope = parsed_id(f"/subscriptions/{subscription.id}")
            for resource in self._arm.estate.below(scope, IDENTITY):
                found.append(identity_of(resource))
        return found

    def operator(self, tenant: str, cluster: str) -> Operator:
        """The lab's operator: Owner of the tenant's subscriptions, trusted from the cluster, without a secret."""
        tenant_id = self._remembered.tenant_id(tenant)
        application = Application(
            tenant_id=tenant_id,
            client_id=self._remembered.guid("operator/client"),
            object_id=self._remembered.guid("operator/object"),
            display_name="podpass lab operator",
            kind="application",
            resource_id=None,
        )
        credential = FederatedCredential(
            OPERATOR_CREDENTIAL, self._issuer_of(cluster), OPERATOR_SUBJECT, (PUBLIC.token_exchange_audience,)
        )
        with self._store.transaction():
            self._directory.put_application(application)
            self._directory.put_credential(tenant_id, application.client_id, credential)
            for subscription in self._arm.estate.subscriptions():
                if subscription.tenant_id == tenant_id:
                    scope = f"/subscriptions/{subscription.id}"
                    self._arm.seed.put_role_assignment(scope, OPERATOR_ROLE, application.object_id)
        return Operator(application.client_id, application.object_id, tenant_id)


class _refusals_of:  # noqa: N801 - reads as a phrase
    """Turn a service's refusal of an entry into a problem that names the entry."""

    def __init__(self, kind: str, name: str) -> None:
        self._what = f"{kind} {name}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ArmError | KeyVaultError):
            raise PodpassError(
                "PP504", f"{self._what} was refused", what=self._what, reason=f"{error.code}: {error.message}"
            ) from error
