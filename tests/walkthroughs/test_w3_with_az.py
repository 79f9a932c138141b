"""Walkthrough 3 in managed mode: the guide's commands with the stock az and its extension, and what they show."""

import json
import re

import pytest

from tests.guides import HOW_TO, Followed, followed_once
from tests.pod_networks import require_pod_identity
from tests.stock_az import needs_az

pytestmark = [*needs_az]

GUIDE = HOW_TO / "walk-through-pod-identity-with-az.md"
GUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
REFUSED = "refused, as it should be\n"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    require_pod_identity()
    return followed_once(GUIDE, tmp_path_factory)


def test_the_extension_is_added_to_the_stock_az(shown: Followed) -> None:
    assert shown.printed[""].endswith("\npodpass-aks-pod-identity\n")


def test_step_2_the_feature_is_registered_for_a_while(shown: Followed) -> None:
    assert json.loads(shown[2]) == "Registering"


def test_step_4_the_add_on_is_there_with_its_exception(shown: Followed) -> None:
    text = shown[4][shown[4].index("}\n") :].splitlines()[1:]
    assert text[:2] == ["true", "azurepodidentityexception.aadpodidentity.k8s.io/aks-addon-exception"]
    assert 'daemon set "nmi" successfully rolled out' in text
    assert [line.split() for line in text[-3:]] == [
        ["Name", "Namespace", "PodLabels"],
        ["-------", "-----------", "----------------------"],
        ["trusted", "my-app", "app=trusted", "tier=inner"],
    ]


def test_step_5_kubenet_takes_a_consent_of_its_own(shown: Followed) -> None:
    assert shown[5] == REFUSED


def test_steps_6_and_7_the_identity_may_manage_the_nodes(shown: Followed) -> None:
    assert json.loads(shown[7]) == ["Virtual Machine Contributor"]


def test_step_8_what_is_added_is_listed_in_azure_and_in_the_cluster(shown: Followed) -> None:
    lines = [line.split() for line in shown[8].splitlines()]
    assert lines[0] == ["Name", "Namespace", "ProvisioningState", "Identity"]
    assert lines[2][:3] == ["my-pod-identity", "my-app", "Assigned"]
    assert lines[2][3].endswith("/userAssignedIdentities/application-identity")
    assert lines[3] == ["NAME", "TYPE", "CLIENTID", "AGE"]
    assert lines[4][:2] == ["my-pod-identity", "0"]
    assert lines[5] == ["NAME", "AZUREIDENTITY", "SELECTOR", "AGE"]
    assert lines[6][:3] == ["my-pod-identity-binding", "my-pod-identity", "my-pod-identity"]
    held = {line[0].rpartition("/")[2] for line in lines[7:9]}
    assert held == {"myAKSCluster-agentpool", "application-identity"}


def test_steps_8_and_1_bad_names_and_other_pools_are_refused(shown: Followed) -> None:
    assert shown[8].endswith(REFUSED * 2)


def test_step_9_the_demo_pod_makes_its_four_checks(shown: Followed) -> None:
    lines = [line.partition("] ")[2] for line in shown[9].splitlines() if line.startswith("I")]
    endpoint = re.escape("msiEndpoint(http://169.254.169.254/metadata/identity/oauth2/token)")
    for line, pattern in zip(
        lines,
        (
            r"starting demo pod my-app/demo 10\.[\d.]+",
            "successfully counted VM from ARM: 0",
            f"successfully acquired a token using the MSI, {endpoint}",
            rf"successfully acquired a token, userAssignedID MSI, {endpoint} clientID\({GUID}\)",
            r"successfully made GET on instance metadata, \{.*\}",
        ),
        strict=True,
    ):
        assert re.fullmatch(pattern, line)


def test_step_10_a_pod_names_the_identity_that_it_wants(shown: Followed) -> None:
    cli, first, second = shown[10].splitlines()[-3:]
    assert re.fullmatch(f"MSIClient-{GUID}", cli)
    assert re.fullmatch(f"got a token for {GUID}", first)
    assert second == cli.replace("MSIClient-", "got a token for ")


def test_step_11_nothing_is_left(shown: Followed) -> None:
    lines = shown[11].splitlines()
    assert lines[0] == 'pod "demo" deleted from my-app namespace'
    # Neither objects nor definitions.
    assert lines[1] == "false"
    assert lines[2] in ('"Unregistering"', '"Unregistered"')
