"""What is exported recreates what there is: in an empty lab it gives the same, which exports the same."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podpass.lab.filling.export import export, exported
from podpass.lab.scenario import read
from podpass.lab.scenario.entries.resources import VirtualMachineEntry
from podpass.lab.scenario.writing import write
from tests.lab.scenario.clouds_world import Filled
from tests.lab.scenario.test_filling import APPLICATION, HEAD, VAULT

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "scenario.yaml"
EVERYTHING = (
    HEAD.replace("name: contoso,", "name: contoso, domain: contoso.example,")
    + """\
users:
- {name: Jane Doe, tenant: contoso, principalName: jane@contoso.example, members: {jobTitle: Votes}}
- {name: Jane-2, displayName: Jane Doe, tenant: contoso, principalName: jd@contoso.example, enabled: false}
groups:
- {name: voters, tenant: contoso, members: [{user: Jane Doe}, {identity: app-1}, {application: orders-2}]}
- {name: all, tenant: contoso, description: everybody, members: [{group: voters}]}
applications:
- {name: orders, tenant: contoso, secrets: [{name: a, days: 30}], servicePrincipal: false}
- name: orders-2
  displayName: orders
  tenant: contoso
  enabled: false
  directoryRoles: [Directory Readers]
  registration: {tags: [x], api: {a: 1}}
identities:
- name: app-1
  resourceGroup: shop
  location: westeurope
  federatedCredentials: [{name: in-vote, cluster: vote, subject: "system:serviceaccount:vote:vote"}]
vaults:
- name: kv-shop
  resourceGroup: shop
  keys:
  - name: rotating
    type: EC
    rotation: {lifetimeActions: [{action: {type: Rotate}, trigger: {timeAfterCreate: P90D}}]}
managedClusters:
- name: vote
  resourceGroup: shop
  tags: {a: b}
  workloadIdentity: false
  nodePools: [{name: system, count: 2}, {name: apps, mode: User, properties: {vmSize: Standard_B2s}}]
- {name: other, resourceGroup: shop, identity: app-1}
virtualMachines: [{name: vm, resourceGroup: shop, systemAssigned: true, identities: [app-1], host: true, zones: ["1"]}]
virtualMachineScaleSets: [{name: pool, resourceGroup: shop, capacity: 2}]
roles:
- name: Vote reader
  tenant: contoso
  scopes: [{resourceGroup: shop}]
  permissions: [{actions: [Microsoft.Compute/*/read], notActions: [Microsoft.Compute/virtualMachines/read]}]
roleAssignments:
- {virtualMachine: vm, role: Vote reader, scope: {resourceGroup: shop}, description: why not}
- {kubelet: vote, role: Reader, scope: {managedCluster: other}}
- {managedCluster: vote, role: Reader, scope: {identity: app-1}}
- {application: orders-2, role: Contributor, scope: {subscription: prod}}
- {group: all, role: Reader, scope: {subscription: prod}}
- {user: Jane-2, role: Reader, scope: {managedCluster: vote}}
locks:
- {name: keep, scope: {resourceGroup: shop}, notes: for the audit}
- {name: frozen, scope: {virtualMachine: vm}, level: ReadOnly}
- {name: of-nodes, scope: {managedCluster: vote}}
resources:
- name: net
  type: Microsoft.Network/virtualNetworks
  resourceGroup: shop
  properties: {addressSpace: {addressPrefixes: [10.1.0.0/16]}}
faults: {clusterSkewSeconds: -30, metadataLimited: true}
"""
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("version: 1\n", id="default"),
        pytest.param(APPLICATION, id="application"),
        pytest.param(VAULT, id="vault"),
        pytest.param(EVERYTHING, id="everything"),
        pytest.param(EXAMPLE.read_text(), id="example"),
    ],
)
def test_an_export_gives_the_same_in_an_empty_lab(make_clouds: Callable[[], Filled], text: str) -> None:
    first, second = make_clouds(), make_clouds()
    first.apply(text, ORDERS_SECRET="correct horse")
    written = export(first.clouds)
    second.apply(written)
    assert export(second.clouds) == written
    assert read(written) == exported(first.clouds)[0]


SECRETS = HEAD + "vaults: [{name: kv-shop, resourceGroup: shop, secrets: [{name: given, value: correct horse}]}]\n"


def test_values_of_secrets_are_left_out_and_counted(clouds: Filled) -> None:
    clouds.apply(SECRETS)
    clouds.clouds.keyvault.set_secret("kv-shop", "given", "battery staple")
    written = export(clouds.clouds)
    assert "correct horse" not in written
    assert "battery staple" not in written
    assert "# kv-shop: 1 older versions of secrets are not said." in written
    assert "# kv-shop: the value of given is made anew." in written
    assert "# 2 remarks below on what a scenario can't say." in written


def test_values_of_secrets_are_written_when_asked_for(make_clouds: Callable[[], Filled]) -> None:
    first, second = make_clouds(), make_clouds()
    first.apply(SECRETS)
    second.apply(export(first.clouds, with_secret_values=True))
    (secret,) = second.clouds.keyvault.seed.contents("kv-shop").secrets
    assert secret.value.text == "correct horse"


def test_what_a_cluster_makes_for_its_nodes_is_made_by_the_cluster(clouds: Filled) -> None:
    clouds.apply(HEAD + "managedClusters: [{name: vote, resourceGroup: shop}]\n")
    scenario = read(export(clouds.clouds))
    assert [group.name for group in scenario.resource_groups] == ["shop"]
    assert (scenario.identities, scenario.virtual_machine_scale_sets, scenario.role_assignments) == ((), (), ())


def test_the_labs_own_cluster_may_be_shown_in_a_group(make_clouds: Callable[[], Filled]) -> None:
    first, second = make_clouds(), make_clouds()
    first.apply(
        HEAD.replace("{name: shop, tenant: contoso}]", "{name: shop, tenant: contoso, resourceGroup: shop}]")
        + """\
managedClusters: [{name: vote, resourceGroup: shop}]
identities:
- name: app-1
  resourceGroup: shop
  federatedCredentials:
  - {name: in-shop, cluster: shop, subject: "system:serviceaccount:shop:orders"}
  - {name: in-vote, cluster: vote, subject: "system:serviceaccount:shop:orders"}
roleAssignments:
- {managedCluster: shop, role: Reader, scope: {resourceGroup: shop}}
- {kubelet: vote, role: Reader, scope: {managedCluster: vote}}
"""
    )
    written = export(first.clouds)
    second.apply(written)
    assert export(second.clouds) == written


def test_names_that_stand_twice_are_told_apart(make_clouds: Callable[[], Filled]) -> None:
    first, second = make_clouds(), make_clouds()
    first.apply(
        HEAD.replace("resourceGroups: [", "resourceGroups: [{name: other, subscription: prod}, ")
        + """\
identities: [{name: app-1, resourceGroup: shop}, {name: app-1, resourceGroup: other}]
roleAssignments:
- {identity: shop/app-1, role: Reader, scope: {identity: other/app-1}}
- {identity: other/app-1, role: Reader, scope: {subscription: prod}}
"""
    )
    written = export(first.clouds)
    assert "identity: other/app-1" in written
    second.apply(written)
    assert export(second.clouds) == written


def test_an_applied_export_changes_nothing(clouds: Filled) -> None:
    clouds.apply(EVERYTHING)
    written = export(clouds.clouds)
    clouds.apply(written)
    assert export(clouds.clouds) == written


TEXTS = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(bool), inner, max_size=3),
    max_leaves=4,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=4), st.dictionaries(TEXTS.filter(bool), VALUES, max_size=4))
def test_any_text_and_any_json_are_written_so_that_they_read_the_same(
    tags: dict[str, str], properties: dict[str, object]
) -> None:
    scenario = replace(
        read(HEAD),
        virtual_machines=(VirtualMachineEntry(name="vm", resource_group="shop", tags=tags, properties=properties),),
    )
    assert read(write(scenario, notes={"virtualMachines": ["\n".join(tags.values())]})) == scenario
