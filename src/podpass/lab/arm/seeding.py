"""Fills an estate from a scenario or a test, through the same rules as requests.

Every call is idempotent and one transaction, gives what it made, and raises ArmError when ARM would refuse.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from podpass.azure.clouds import PUBLIC
from podpass.azure.resourceids import ResourceId, resource_group
from podpass.lab.arm import compute, managed_clusters, vaults
from podpass.lab.arm.access import AssignmentProperties, assign
from podpass.lab.arm.assignments import RoleAssignment
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate, parsed_id
from podpass.lab.arm.managed_identity import CLAIMS, CREDENTIAL, IDENTITY, credential_in
from podpass.lab.arm.model import Actor, Answer, Call, Resource, Subscription
from podpass.lab.arm.paths import Address
from podpass.tokens.expressions import LANGUAGE_VERSION
from podpass.tokens.federation import FederatedCredential

_SEEDER = Actor("podpass")
_API_VERSION = "2026-02-01"
Run = Callable[[Estate, Call], Answer]
_NAMES = uuid.UUID("6f0bb2c1-7b3a-5c1e-9e4f-6b1d0f3f7a10")


@dataclass(frozen=True, slots=True)
class Group:
    """A resource group that was put there."""

    id: str
    name: str
    location: str
    subscription_id: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A user-assigned identity, with its three ids."""

    id: str
    name: str
    client_id: str
    principal_id: str
    tenant_id: str


class Seeding:
    """Makes subscriptions, groups, identities, credentials, vaults and role assignments."""

    def __init__(self, estate: Estate) -> None:
        self._estate = estate

    def put_subscription(self, tenant_id: str, name: str, subscription_id: str = "") -> Subscription:
        """The tenant's subscription of this id, or of this name when no id is given; a new one gets a GUID."""
        tenant = self._estate.directory.tenant(tenant_id)
        if tenant is None:
            raise ArmError(404, "TenantNotFound", f"The tenant '{tenant_id}' could not be found.")
        wanted = subscription_id.lower()
        for present in self._estate.subscriptions():
            same = present.id == wanted if wanted else (present.tenant_id, present.name) == (tenant.tenant_id, name)
            if same:
                wanted = present.id
                break
        subscription = Subscription(wanted or str(uuid.uuid4()), tenant.tenant_id, name)
        self._estate.put_subscription(subscription)
        return subscription

    def put_group(
        self, subscription_id: str, name: str, location: str = "eastus", *, tags: Mapping[str, str] | None = None
    ) -> Group:
        wanted = resource_group(subscription_id, name)
        resource = self._put(wanted, {"location": location, "tags": tags or {}})
        return Group(resource.id, resource.name, resource.location, subscription_id.lower())

    def put_identity(self, group_id: str, name: str, location: str = "") -> Identity:
        """The identity of this name in a group, in the group's location unless another is given."""
        resource = self._put(_in_group(group_id, IDENTITY, name), {"location": location or self._location_of(group_id)})
        return identity_of(resource)

    def put_federated_credential(
        self,
        identity_id: str,
        name: str,
        *,
        issuer: str,
        subject: str = "",
        expression: str = "",
        audience: str = PUBLIC.token_exchange_audience,
    ) -> FederatedCredential:
        """The credential of this name; with an *expression* a flexible one, which has no subject."""
        wanted = parsed_id(identity_id).child(CREDENTIAL.rpartition("/")[2], name)
        flexible = {CLAIMS: {"value": expression, "languageVersion": LANGUAGE_VERSION}}
        trusted = flexible if expression else {"subject": subject}
        resource = self._put(wanted, {"properties": {"issuer": issuer, **trusted, "audiences": [audience]}})
        return credential_in(resource)

    def put_vault(
        self,
        group_id: str,
        name: str,
        *,
        location: str = "",
        rbac: bool = True,
        policies: Mapping[str, Iterable[str]] | None = None,
    ) -> vaults.Vault:
        """A vault; *policies* gives secret permissions (`get`, `list` …) by object id, for one without RBAC."""
        group = parsed_id(group_id)
        subscription = self._estate.subscription(group.subscription)
        tenant_id = subscription.tenant_id if subscription else ""
        access = [
            {"tenantId": tenant_id, "objectId": object_id, "permissions": {"secrets": list(words)}}
            for object_id, words in (policies or {}).items()
        ]
        properties = {
            "tenantId": tenant_id,
            "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": rbac,
            "accessPolicies": access,
        }
        self._put(
            _in_group(group_id, vaults.TYPE, name),
            {"location": location or self._location_of(group_id), "properties": properties},
        )
        made = vaults.vault(self._estate, name)
        assert made is not None
        return made

    def put_machine(
        self, group_id: str, name: str, *, system_assigned: bool = False, identities: Iterable[str] = ()
    ) -> Resource:
        """A virtual machine with its own identity, with user-assigned ones by their ids, with both, or with none."""
        assigned: dict[str, dict[str, str]] = {one: {} for one in identities}
        kinds = [*(["SystemAssigned"] if system_assigned else []), *(["UserAssigned"] if assigned else [])]
        identity = {"type": ", ".join(kinds) or "None", "userAssignedIdentities": assigned}
        content = {"location": self._location_of(group_id), "identity": identity}
        return self._put(_in_group(group_id, compute.MACHINE, name), content)

    def put_managed_cluster(
        self,
        group_id: str,
        name: str,
        *,
        guid: str = "",
        location: str = "",
        node_count: int = 1,
        workload_identity: bool = True,
    ) -> Resource:
        """A managed cluster with an issuer. A new one gets *guid*, by which its issuer and its server are named."""
        wanted = _in_group(group_id, managed_clusters.TYPE, name)
        pool = {"name": "nodepool1", "mode": "System", "count": node_count}
        properties: dict[str, object] = {
            "oidcIssuerProfile": {"enabled": True},
            "securityProfile": {"workloadIdentity": {"enabled": workload_identity}},
            "agentPoolProfiles": [pool],
        }
        present = self._estate.get(wanted)
        if present is not None:
            if pool["name"] not in [one["name"] for one in present.properties["agentPoolProfiles"]]:
                del properties["agentPoolProfiles"]
            return self._put(wanted, {"properties": properties})
        properties["dnsPrefix"] = managed_clusters.dns_prefix(name)
        content = {
            "location": location or self._location_of(group_id),
            "identity": {"type": "SystemAssigned"},
            "properties": properties,
        }
        return self._put(wanted, content, {"guid": guid} if guid else {})

    def put_resource(
        self,
        group_id: str,
        resource_type: str,
        name: str,
        content: Mapping[str, object],
        *,
        stated: Mapping[str, str] | None = None,
    ) -> Resource:
        """A resource of any type, in the group's location unless *content* says another.

        The name of a child follows its parent's after a slash. *stated* are GUIDs that a new one is to show.
        """
        wanted = _in_group(group_id, resource_type, name)
        kind = self._estate.kind(resource_type)
        if kind is not None and kind.located and not content.get("location"):
            content = {**content, "location": self._location_of(group_id)}
        return self._put(wanted, content, stated)

    def call(self, tenant_id: str, method: str, wanted: ResourceId, run: Run, content: object) -> Answer:
        """Have *run* answer as it would answer a request of the lab's own for what *wanted* names."""
        return run(
            self._estate,
            Call(
                method=method,
                address=Address(wanted),
                query={},
                body=msgspec.json.encode(content),
                api_version=_API_VERSION,
                actor=_SEEDER,
                subscription=self._estate.subscription(wanted.subscription),
                tenant_id=tenant_id,
                principal_id="",
            ),
        )

    def put_role_assignment(
        self, scope: str, role: str, principal_id: str, *, name: str = "", description: str | None = None
    ) -> RoleAssignment:
        """Give *role*, a name or a GUID, to the principal at *scope*; *name*, a GUID, is for a new assignment."""
        known = self._estate.definitions.all().values()
        definition = next((one for one in known if role.lower() in (one.guid, one.name.lower())), None)
        if definition is None:
            raise ArmError(400, "RoleDefinitionDoesNotExist", f"There is no role '{role}' among the lab's roles.")
        for held in self._estate.assignments.of(principal_id):
            if (held.role, held.scope.lower()) == (definition.guid, scope.rstrip("/").lower()):
                if description is None or held.description == description:
                    return held
                name = held.name
        name = name or str(uuid.uuid5(_NAMES, f"{scope.rstrip('/')} {definition.guid} {principal_id}".lower()))
        wanted = AssignmentProperties(
            role_definition_id=definition.guid, principal_id=principal_id, description=description
        )
        assignment, _ = assign(self._estate, parsed_id(scope or "/"), name, wanted, by="")
        return assignment

    def _put(
        self, wanted: ResourceId, content: Mapping[str, object], stated: Mapping[str, str] | None = None
    ) -> Resource:
        return self._estate.put(wanted, content, actor=_SEEDER, api_version=_API_VERSION, stated=stated).resource

    def _location_of(self, group_id: str) -> str:
        return self._estate.require(parsed_id(group_id)).location


def identity_of(resource: Resource) -> Identity:
    """The three ids of a managed identity's resource."""
    return Identity(
        id=resource.id,
        name=resource.name,
        client_id=resource.properties["clientId"],
        principal_id=resource.properties["principalId"],
        tenant_id=resource.properties["tenantId"],
    )


def _in_group(group_id: str, resource_type: str, name: str) -> ResourceId:
    namespace, *kinds = resource_type.split("/")
    names = name.split("/")
    if len(kinds) != len(names):
        raise ArmError(400, "InvalidResourceName", f"'{name}' is no name of a resource of type {resource_type}.")
    wanted = parsed_id(group_id).extension(namespace, kinds[0], names[0])
    for kind, own in zip(kinds[1:], names[1:], strict=True):
        wanted = wanted.child(kind, own)
    return wanted
