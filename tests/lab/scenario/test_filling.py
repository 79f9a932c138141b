"""What a scenario declares is there afterwards, by the services' own rules, and is there again after it was changed."""

import stat
from pathlib import Path

import pytest

from podpass.azure.resourceids import ResourceId
from podpass.lab.arm import Allowed
from podpass.lab.entra.client_credentials import digest_of
from podpass.problems import PodpassError
from tests.lab.scenario.clouds_world import ISSUER, Filled

HEAD = """\
version: 1
tenants: [{name: contoso, id: 11111111-2222-4333-8444-555555555555}]
subscriptions: [{name: prod, tenant: contoso, id: aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee}]
clusters: [{name: shop, tenant: contoso}]
resourceGroups: [{name: shop, subscription: prod, tags: {team: payments}}]
"""
TENANT = "11111111-2222-4333-8444-555555555555"
GROUP = "/subscriptions/aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee/resourceGroups/shop"
APPLICATION = (
    HEAD
    + """\
applications:
- name: orders
  tenant: contoso
  clientId: 33333333-2222-4333-8444-555555555555
  servicePrincipalId: 44444444-2222-4333-8444-555555555555
  identifierUris: [api://orders]
  tokenVersion: 2
  secrets: [{name: made}, {name: given, valueFrom: {env: ORDERS_SECRET}}]
  federatedCredentials:
  - {name: in-shop, cluster: shop, subject: "system:serviceaccount:shop:orders"}
  - {name: in-gitlab, issuer: "https://gitlab.com", expression: "claims['sub'] matches 'project_path:shop/*'"}
  registration: {notes: for the shop}
roleAssignments:
- application: orders
  role: Reader
  scope: {resourceGroup: shop}
"""
)


def resource(clouds: Filled, path: str) -> dict[str, object]:
    return clouds.clouds.arm.estate.require(ResourceId.parse(f"{GROUP}/providers/{path}")).to_dict()


def test_an_application_signs_in_by_each_of_its_credentials(clouds: Filled, tmp_path: Path) -> None:
    clouds.apply(APPLICATION, ORDERS_SECRET="correct horse")
    directory = clouds.clouds.directory
    (application,) = (one for one in directory.applications(TENANT) if one.registration_id)
    assert (application.object_id, application.token_version) == ("44444444-2222-4333-8444-555555555555", 2)
    credential, flexible = directory.credentials(application.tenant_id, application.client_id)
    assert (credential.issuer, credential.subject) == (ISSUER, "system:serviceaccount:shop:orders")
    assert str(flexible.expression) == "claims['sub'] matches 'project_path:shop/*'"
    by_name = {one.display_name: one for one in directory.secrets(application.tenant_id, application.client_id)}
    assert by_name["given"].digest == digest_of("correct horse")
    file = tmp_path / "client-secrets" / application.client_id / "made"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert by_name["made"].digest == digest_of(file.read_text())


def test_what_is_applied_twice_is_as_after_once(clouds: Filled) -> None:
    clouds.apply(APPLICATION, ORDERS_SECRET="correct horse")
    before = [clouds.store.items("entra", kind) for kind in ("application", "secrets")]
    clouds.apply(APPLICATION, ORDERS_SECRET="correct horse")
    assert before == [clouds.store.items("entra", kind) for kind in ("application", "secrets")]
    assert len(clouds.clouds.arm.estate.assignments.of("44444444-2222-4333-8444-555555555555")) == 1


def test_a_missing_variable_is_named_and_nothing_is_kept(clouds: Filled) -> None:
    with pytest.raises(PodpassError) as refused:
        clouds.apply(APPLICATION)
    assert "the variable ORDERS_SECRET is not set" in refused.value.cause
    assert not clouds.clouds.directory.tenants()


def test_ids_that_are_stated_are_kept(clouds: Filled) -> None:
    clouds.apply(
        HEAD
        + """\
identities: [{name: app-1, resourceGroup: shop, clientId: 55555555-2222-4333-8444-555555555555}]
virtualMachines:
- {name: vm, resourceGroup: shop, systemAssigned: true, principalId: 66666666-2222-4333-8444-555555555555}
virtualMachineScaleSets: [{name: pool, resourceGroup: shop, identities: [app-1], capacity: 3, size: Standard_B2s}]
roleAssignments:
- virtualMachine: vm
  role: Reader
  scope: {identity: app-1}
  id: 77777777-2222-4333-8444-555555555555
"""
    )
    identity = resource(clouds, "Microsoft.ManagedIdentity/userAssignedIdentities/app-1")
    assert identity["properties"]["clientId"] == "55555555-2222-4333-8444-555555555555"  # type: ignore[index]
    machine = resource(clouds, "Microsoft.Compute/virtualMachines/vm")
    assert machine["identity"]["principalId"] == "66666666-2222-4333-8444-555555555555"  # type: ignore[index]
    pool = resource(clouds, "Microsoft.Compute/virtualMachineScaleSets/pool")
    assert pool["sku"] == {"name": "Standard_B2s", "tier": "Standard", "capacity": 3}
    (held,) = clouds.clouds.arm.estate.assignments.of("66666666-2222-4333-8444-555555555555")
    assert (held.name, held.scope) == ("77777777-2222-4333-8444-555555555555", identity["id"])


VAULT = (
    HEAD
    + """\
identities: [{name: app-1, resourceGroup: shop}]
vaults:
- name: kv-shop
  resourceGroup: shop
  authorization: accessPolicies
  retentionDays: 7
  tags: {team: payments}
  network: {defaultAction: Deny, addresses: [10.0.0.0/8]}
  accessPolicies: [{identity: app-1, secrets: [get], keys: [sign, list], certificates: [get]}]
  secrets:
  - {name: random, tags: {a: b}}
  - {name: given, value: hello, contentType: text/plain, expires: 1900000000}
  keys:
  - {name: ec, type: EC, curve: P-384, operations: [sign]}
  certificates:
  - {name: tls, subject: CN=shop, dnsNames: [shop.example], validityMonths: 6}
"""
)


def test_a_vault_is_filled_and_brought_back(clouds: Filled) -> None:
    clouds.apply(VAULT)
    keyvault = clouds.clouds.keyvault
    before = keyvault.seed.contents("kv-shop")
    assert {one.name: one.body.content_type for one in before.secrets} == {"random": None, "given": "text/plain"}
    assert [(one.name, one.body.public["crv"], one.body.operations) for one in before.keys] == [
        ("ec", "P-384", ("sign",))
    ]
    assert [one.name for one, _ in before.certificates] == ["tls"]
    clouds.apply(VAULT)
    assert keyvault.seed.contents("kv-shop") == before
    keyvault.set_secret("kv-shop", "given", "changed")
    vault = clouds.clouds.arm.vault("kv-shop")
    assert vault is not None
    assert vault.allowed_addresses == ("10.0.0.0/8",)
    clouds.apply(VAULT)
    after = {one.name: one for one in keyvault.seed.contents("kv-shop").secrets}
    assert after["given"].value.text == "hello"
    assert after["random"] == next(one for one in before.secrets if one.name == "random")


def test_what_was_deleted_comes_back_with_what_it_held(clouds: Filled) -> None:
    clouds.apply(VAULT)
    before = clouds.clouds.keyvault.seed.contents("kv-shop")
    clouds.clouds.arm.estate.delete(ResourceId.parse(f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-shop"))
    assert clouds.clouds.arm.vault("kv-shop") is None
    clouds.apply(VAULT)
    assert clouds.clouds.keyvault.seed.contents("kv-shop") == before


def test_names_that_stand_in_two_groups_are_told_apart_by_the_group(clouds: Filled) -> None:
    text = (
        HEAD.replace("resourceGroups: [", "resourceGroups: [{name: other, subscription: prod}, ")
        + """\
identities: [{name: app-1, resourceGroup: shop}, {name: app-1, resourceGroup: other}]
roleAssignments: [{identity: REFERENCE, role: Reader, scope: {subscription: prod}}]
"""
    )
    with pytest.raises(PodpassError, match="may be any of contoso/prod/shop/app-1, contoso/prod/other/app-1"):
        clouds.apply(text.replace("REFERENCE", "app-1"))
    clouds.apply(text.replace("REFERENCE", "other/app-1"))


def test_providers_features_and_faults_are_as_they_were_said(clouds: Filled) -> None:
    clouds.apply(
        HEAD.replace(
            "prod, tenant: contoso,",
            "prod, tenant: contoso, providers: [{namespace: Microsoft.Compute, state: Unregistered}],"
            " features: [{name: Microsoft.ContainerService/EnableOIDC}],",
        )
        + "faults: {propagationDelaySeconds: 2.5, issuerUnreachable: true}\n"
    )
    from podpass.lab.arm import features

    estate, subscription = clouds.clouds.arm.estate, "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
    assert not estate.is_registered(subscription, "Microsoft.Compute")
    assert features.is_registered(estate, subscription, "Microsoft.ContainerService", "EnableOIDC")
    assert (clouds.clouds.faults.propagation_delay_seconds, clouds.clouds.faults.issuer_unreachable) == (2.5, True)


def test_what_is_in_a_group_holds_what_is_assigned_to_the_group(clouds: Filled) -> None:
    clouds.apply(
        HEAD.replace("name: contoso,", "name: contoso, domain: contoso.example,")
        + """\
users: [{name: jane, tenant: contoso, principalName: jane@contoso.example, directoryRoles: [Directory Readers]}]
groups:
- {name: everybody, tenant: contoso, members: [{group: voters}]}
- {name: voters, tenant: contoso, members: [{user: jane}, {identity: app-1}]}
identities: [{name: app-1, resourceGroup: shop}]
roleAssignments: [{group: everybody, role: Reader, scope: {resourceGroup: shop}}]
"""
    )
    estate = clouds.clouds.arm.estate
    (jane,) = estate.people.users(TENANT)
    action = "Microsoft.Resources/subscriptions/resourceGroups/read"
    identity = resource(clouds, "Microsoft.ManagedIdentity/userAssignedIdentities/app-1")
    for principal in (jane.object_id, identity["properties"]["principalId"]):  # type: ignore[index]
        assert isinstance(estate.decide(principal_id=principal, action=action, scope=GROUP), Allowed)
    assert len(clouds.clouds.graph.roles.held_by(TENANT, jane.object_id)) == 1


def test_a_user_of_another_domain_is_refused_in_graphs_own_words(clouds: Filled) -> None:
    with pytest.raises(PodpassError) as refused:
        clouds.apply(HEAD + "users: [{name: jane, tenant: contoso, principalName: jane@elsewhere.example}]\n")
    assert "verified domain names in your organization" in refused.value.cause
