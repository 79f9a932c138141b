"""Scenario files: what is right is read whole, what is wrong is reported whole, each fault with its line."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podpass.lab.faults import Faults
from podpass.lab.scenario import DEFAULT, ScenarioInvalid, read
from podpass.lab.scenario.fields import members
from podpass.lab.scenario.model import FaultsEntry

COMPLETE = Path(__file__).parents[3] / "docs" / "examples" / "scenario.yaml"


def faults(text: str) -> list[str]:
    with pytest.raises(ScenarioInvalid) as caught:
        read(text, source="s.yaml")
    return [str(fault) for fault in caught.value.faults]


def test_the_documented_example_is_valid() -> None:
    scenario = read(COMPLETE.read_text())
    assert [vault.name for vault in scenario.vaults] == [
        "kv-podpass-example",
        "kv-podpass-policies",
        "kv-podpass-tls",
    ]
    assert scenario.clusters[0].host_paths == ("/srv/shop",)
    assert scenario.clusters[0].nodes == 2
    assert scenario.identities[0].federated_credentials[0].subject == "system:serviceaccount:shop:orders"
    (machine,) = scenario.virtual_machines
    assert (machine.name, machine.system_assigned, machine.identities, machine.host) == (
        "build-agent",
        True,
        ("orders",),
        True,
    )


def test_a_file_that_says_nothing_more_is_the_default() -> None:
    assert read("version: 1\n") == DEFAULT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "the file is empty", id="empty"),
        pytest.param("version: 2\n", "must be one of 1, not '2'", id="version"),
        pytest.param("version: 1\nvautls: []\n", "is not known here; did you mean vaults?", id="misspelt-member"),
        pytest.param(
            "version: 1\nresourceGroups: [{name: g, subscription: labb}]\n", "did you mean lab?", id="misspelt-name"
        ),
        pytest.param(
            "version: 1\nroleAssignments: [{role: Reader, scope: {id: /}}]\n",
            "needs exactly one of identity",
            id="nobody",
        ),
        pytest.param(
            "version: 1\nfaults: {propagationDelaySeconds: -1}\n",
            "is not a number from 0 to",
            id="number-out-of-bounds",
        ),
        pytest.param("version: 1\nversion: 1\n", "stands twice", id="member-twice"),
        pytest.param("- version: 1\n", "must be a mapping", id="list-at-the-top"),
        pytest.param(
            "version: 1\nvirtualMachines: [{name: a, resourceGroup: g, host: maybe}]\n",
            "must be one of true, false, not 'maybe'",
            id="neither-true-nor-false",
        ),
        pytest.param(
            "version: 1\nresourceGroups: [{name: g, subscription: lab}]\nvirtualMachines:"
            " [{name: a, resourceGroup: g, host: true}, {name: b, resourceGroup: g, host: true}]\n",
            "only one machine can be the host",
            id="two-hosts",
        ),
        pytest.param("version: 1\nvaults: {}\n", "must be a list", id="mapping-for-list"),
        pytest.param("version: 1\nvaults: [1]\n", "must be a mapping", id="number-for-entry"),
        pytest.param("version: [\n", "not YAML", id="broken-yaml"),
        pytest.param("a: &x 1\nb: *x\n", "aliases", id="alias"),
        pytest.param("version: 1\nvaults: [{name: a--b, resourceGroup: g}]\n", "not a vault's name", id="vault-name"),
        pytest.param("version: 1\nvaults: [{name: abc, resourceGroup: g}]\n", "is not among resourceGroups", id="ref"),
        pytest.param("version: 1\nidentities: [{name: abc}]\n", "resourceGroup: is required", id="required"),
        pytest.param(
            "version: 1\nclusters: [{name: a, tenant: lab}, {name: b, tenant: lab}]\n", "one cluster", id="two-clusters"
        ),
        pytest.param(
            "version: 1\nclusters: [{name: a, tenant: lab, hostPaths: [/srv/../etc]}]\n",
            "'/srv/../etc' is not the absolute path of a directory",
            id="host-path",
        ),
        *(
            pytest.param(
                f"version: 1\nclusters: [{{name: a, tenant: lab, nodes: {number}}}]\n",
                "clusters[0].nodes: ",
                id=f"nodes-{number}",
            )
            for number in ("0", "251", "-1", "1.5", "many", "[2]", "null", "99999999999")
        ),
        pytest.param(
            "version: 1\nresourceGroups: [{name: a, subscription: lab}, {name: A, subscription: lab}]\n",
            "stands twice among resourceGroups",
            id="names-differ-by-case-only",
        ),
    ],
)
def test_a_fault_is_named(text: str, expected: str) -> None:
    assert any(expected in fault for fault in faults(text)), faults(text)


def test_all_faults_are_reported_at_once_in_the_order_of_their_lines() -> None:
    found = faults("version: 1\nidentities:\n- name: a\n  colour: red\nvaults:\n- resourceGroup: g\n")
    assert len(found) == 5
    assert [int(fault.split()[1].rstrip(",")) for fault in found] == sorted(
        int(fault.split()[1].rstrip(",")) for fault in found
    )


def test_a_secret_in_a_scenario_is_not_in_its_repr() -> None:
    text = "version: 1\nresourceGroups: [{name: g, subscription: lab}]\n"
    text += "vaults: [{name: abc, resourceGroup: g, secrets: [{name: s, value: hunter2}]}]\n"
    assert "hunter2" not in repr(read(text))


def test_deep_and_wide_files_are_refused_quickly() -> None:
    assert faults("a: " + "[" * 5_000 + "]" * 5_000)
    assert faults("a: [" + "1," * 60_000 + "]")
    assert faults("#" * (1 << 20) + "\nversion: 1\n")


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused_with_faults(text: str) -> None:
    try:
        read(text)
    except ScenarioInvalid as refusal:
        assert refusal.faults


def test_every_fault_of_the_lab_can_be_declared() -> None:
    assert {member.attribute for member in members(FaultsEntry)} == {one.name for one in fields(Faults)}
