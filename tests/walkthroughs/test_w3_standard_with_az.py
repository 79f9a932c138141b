"""Walkthrough 3 in standard mode: the guide's commands, with MIC and NMI as workloads, and what they show."""

import re

import pytest

from tests.guides import HOW_TO, Followed, followed_once
from tests.pod_networks import require_pod_identity
from tests.stock_az import needs_az

pytestmark = [*needs_az]

GUIDE = HOW_TO / "walk-through-standard-pod-identity.md"
GUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    require_pod_identity()
    return followed_once(GUIDE, tmp_path_factory)


def held(text: str) -> set[str]:
    """The identities of the scale set, by name, as the last lines of *text* list them."""
    return {line.rpartition("/")[2] for line in text.splitlines() if "/userAssignedIdentities/" in line}


def test_the_manifests_pass_the_servers_dry_run_and_roll_out(shown: Followed) -> None:
    dry = [line for line in shown[3].splitlines() if line.endswith(" created (server dry run)")]
    assert len(dry) == 17
    assert 'daemon set "nmi" successfully rolled out' in shown[3]
    assert 'deployment "mic" successfully rolled out' in shown[3]


def test_each_component_may_do_what_it_must_and_no_more(shown: Followed) -> None:
    rights = [line.split(None, 1) for line in shown[3].splitlines() if line.startswith("azure") and "[]" in line]
    assert {(kind.partition(".")[0], rest[rest.rindex("[") :]) for kind, rest in rights} == {
        ("azureassignedidentities", "[list watch]"),
        ("azureassignedidentities", "[create delete get list patch update watch]"),
        ("azureidentities", "[list watch]"),
        ("azureidentitybindings", "[list watch]"),
        ("azurepodidentityexceptions", "[list watch]"),
    }


def test_nothing_is_assigned_before_a_pod_needs_it(shown: Followed) -> None:
    assert held(shown[4]) == {"myAKSCluster-agentpool"}


def test_the_demo_pod_makes_its_four_checks(shown: Followed) -> None:
    lines = [line.partition("] ")[2] for line in shown[5].splitlines() if line.startswith("I")]
    assert [line.partition(",")[0].partition(":")[0] for line in lines[1:]] == [
        "successfully counted VM from ARM",
        "successfully acquired a token using the MSI",
        "successfully acquired a token",
        "successfully made GET on instance metadata",
    ]


def test_mic_assigned_the_identity_for_it_and_says_so(shown: Followed) -> None:
    lines = [line.split() for line in shown[5].splitlines()]
    assert ["demo-my-app-first", "lab-node", "Assigned"] in lines
    assert ["binding", "applied", "first-binding"] in lines
    assert held(shown[5]) == {"myAKSCluster-agentpool", "first-identity"}


def test_clients_get_the_identity_that_they_name(shown: Followed) -> None:
    *_, chosen, by_client, by_object, by_resource, default, aio, object_id, resource_id, first, second = shown[
        6
    ].splitlines()
    # As the stock az shows how it signed in.
    assert chosen == "MSI"
    assert by_client == f"MSIClient-{second}"
    assert re.fullmatch(f"MSIObject-{GUID}", by_object)
    assert re.fullmatch(r"MSIResource-/subscriptions/.*/second-identity", by_resource)
    assert default == first
    assert [aio, object_id, resource_id] == [second] * 3


def test_an_excepted_pod_asks_the_metadata_service_itself(shown: Followed) -> None:
    assert shown[7].endswith("\ntrusted got a token\n")


def test_with_the_last_pod_the_identities_leave_the_scale_set(shown: Followed) -> None:
    assert held(shown[8]) == {"myAKSCluster-agentpool"}


def test_what_finalizers_would_keep_is_cleaned_up(shown: Followed) -> None:
    assert "\nazureassignedidentity default/last-my-app-first\n" in shown[9]
    assert "\n2 deleted\n" in shown[9]
    assert (
        'customresourcedefinition.apiextensions.k8s.io "azureassignedidentities.aadpodidentity.k8s.io" deleted'
        in (shown[9])
    )
