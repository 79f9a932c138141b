"""Make a scenario so: every entry goes through the rules of the service it ends in, all in one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from podpass.azure.clouds import PUBLIC
from podpass.lab.arm import ArmError
from podpass.lab.arm.estate import parsed_id
from podpass.lab.arm.managed_identity import IDENTITY
from podpass.lab.arm.seeding import Identity, identity_of
from podpass.lab.entra.directory import Application
from podpass.lab.filling.clouds import Clouds, Making
from podpass.lab.filling.export import export
from podpass.lab.filling.parts import PARTS
from podpass.lab.graph.authorization import GLOBAL_ADMINISTRATOR
from podpass.lab.graph.errors import GraphError
from podpass.lab.keyvault import KeyVaultError
from podpass.lab.operator import OPERATOR_CREDENTIAL, OPERATOR_ROLE, OPERATOR_SUBJECT
from podpass.lab.private_files import replace_file
from podpass.lab.scenario.fields import members
from podpass.lab.scenario.model import Scenario
from podpass.lab.scenario.references import path_of
from podpass.lab.scenario.sources import SourceMissing, Sources
from podpass.problems import PodpassError
from podpass.tokens.federation import FederatedCredential


@dataclass(frozen=True, slots=True)
class Operator:
    """The application that acts for the lab's owner."""

    client_id: str
    object_id: str
    tenant_id: str


class Filling:
    """Fills one lab's clouds."""

    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds

    def apply(self, scenario: Scenario, sources: Sources | None = None) -> None:
        """Create what the scenario names, or bring it back to what the scenario says; all of it or nothing.

        What it does not name stays. *sources* gives the values that stand elsewhere. Raises PodpassError PP504, with
        the service's own words when a service refuses an entry.
        """
        making = Making(clouds=self._clouds, sources=sources or Sources())
        attributes = {member.name: member.attribute for member in members(Scenario)}
        with self._clouds.store.transaction():
            for part in PARTS:
                for entry in getattr(scenario, attributes[part.section]):
                    with _refusals_of(part.says, entry):
                        made = part.put(making, entry)
                    if hasattr(entry, "name"):
                        making.made.add(part.section, path_of(entry, making.made), made)
            for part in PARTS:
                if part.later is None:
                    continue
                for entry in getattr(scenario, attributes[part.section]):
                    with _refusals_of(part.says, entry):
                        part.later(making, entry)
            for path, text in making.written.items():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                replace_file(path, text.encode())
        if scenario.faults is not None:
            self._clouds.faults.change(self._clouds.store, asdict(scenario.faults))

    def export(self, *, with_secret_values: bool = False) -> str:
        """The text of a scenario that recreates what there is."""
        return export(self._clouds, with_secret_values=with_secret_values)

    def identities(self) -> list[Identity]:
        """Every managed identity there is, by its id."""
        estate = self._clouds.arm.estate
        found = []
        for subscription in estate.subscriptions():
            scope = parsed_id(f"/subscriptions/{subscription.id}")
            for resource in estate.below(scope, IDENTITY):
                found.append(identity_of(resource))
        return found

    def operator(self, tenant: str, cluster: str) -> Operator:
        """The lab's operator: Owner of the tenant's subscriptions, trusted from the cluster, without a secret."""
        clouds = self._clouds
        tenant_id = clouds.remembered.tenant_id(tenant)
        application = Application(
            tenant_id=tenant_id,
            client_id=clouds.operator_client_id,
            object_id=clouds.operator_object_id,
            display_name="podpass lab operator",
            kind="application",
            resource_id=None,
        )
        credential = FederatedCredential(
            OPERATOR_CREDENTIAL, clouds.issuer_of(cluster), OPERATOR_SUBJECT, (PUBLIC.token_exchange_audience,)
        )
        with clouds.store.transaction():
            clouds.directory.put_application(application)
            clouds.directory.put_credential(tenant_id, application.client_id, credential)
            clouds.graph.roles.give(tenant_id, GLOBAL_ADMINISTRATOR, application.object_id)
            for subscription in clouds.arm.estate.subscriptions():
                if subscription.tenant_id == tenant_id:
                    scope = f"/subscriptions/{subscription.id}"
                    clouds.arm.seed.put_role_assignment(scope, OPERATOR_ROLE, application.object_id)
        return Operator(application.client_id, application.object_id, tenant_id)


@contextmanager
def _refusals_of(kind: str, entry: Any) -> Iterator[None]:
    """Turn a service's refusal of an entry into a problem that names the entry."""
    what = f"{kind} {getattr(entry, 'name', '') or entry.role}"
    try:
        yield
    except (ArmError, KeyVaultError, GraphError) as error:
        reason = f"{error.code}: {error.message}"
        raise PodpassError("PP504", f"{what} was refused", what=what, reason=reason) from error
    except SourceMissing as error:
        raise PodpassError("PP504", f"{what} has no value", what=what, reason=str(error)) from error
