"""Which cloud MIC works with, from the node's file and from the environment."""

import json
from pathlib import Path

import pytest

from podpass.azure.clouds import CHINA, PUBLIC
from podpass.cli import run
from podpass.mic.cloud import BadCloud, ClientSecret, FederatedToken, ManagedIdentity, from_environment, from_file
from podpass.mic.loop import WatchedCloud
from podpass.mic.settings import OPTIONS, Settings
from podpass.problems import PodpassError
from podpass.settings.options import SettingsError
from podpass.telemetry.logging import make_logger

FILE = {"cloud": "AzurePublicCloud", "subscriptionId": "s", "resourceGroup": "g", "tenantId": "t"}
PRINCIPAL = {**FILE, "aadClientId": "c", "aadClientSecret": "hidden"}


def test_a_managed_identity() -> None:
    found = from_file(json.dumps({**FILE, "useManagedIdentityExtension": True, "userAssignedIdentityID": "Own"}))
    assert (found.cloud, found.subscription_id, found.resource_group) == (PUBLIC, "s", "g")
    assert found.credential == ManagedIdentity("Own")
    assert found.cluster_identity == "Own"


def test_a_service_principal_whose_secret_is_not_shown() -> None:
    found = from_file(json.dumps(PRINCIPAL))
    assert found.credential == ClientSecret("t", "c", "hidden")
    assert "hidden" not in repr(found)


def test_yaml_and_other_clouds() -> None:
    text = "cloud: azurechinacloud\nsubscriptionId: s\nresourceGroup: g\nuseManagedIdentityExtension: true\n"
    assert from_file(text).cloud is CHINA


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "neither JSON nor YAML"),
        ("[]", "names no subscription"),
        ("[1]", "not an object"),
        (json.dumps({**PRINCIPAL, "cloud": "Moon"}), "no cloud named 'Moon'"),
        (json.dumps({**PRINCIPAL, "subscriptionId": ""}), "names no subscription"),
        (json.dumps({**PRINCIPAL, "resourceGroup": None}), "names no resource group"),
        (json.dumps(FILE), "no client id, client secret"),
    ],
)
def test_a_file_that_can_t_be_used(text: str, why: str) -> None:
    with pytest.raises(BadCloud, match=why):
        from_file(text)


def test_the_environment() -> None:
    base = {"SUBSCRIPTION_ID": "s", "RESOURCE_GROUP": "g"}
    assert from_environment({**base, "USE_MSI": "True"}).credential == ManagedIdentity()
    principal = {**base, "TENANT_ID": "t", "CLIENT_ID": "c", "CLIENT_SECRET": "x"}
    assert from_environment(principal).credential == ClientSecret("t", "c", "x")
    federated = {
        **base,
        "AZURE_TENANT_ID": "t",
        "AZURE_CLIENT_ID": "c",
        "AZURE_FEDERATED_TOKEN_FILE": "/var/token",
    }
    assert from_environment(federated).credential == FederatedToken("t", "c", Path("/var/token"))
    with pytest.raises(BadCloud):
        from_environment(base)


def test_a_changed_file_counts_and_a_broken_one_does_not(tmp_path: Path) -> None:
    path = tmp_path / "azure.json"
    path.write_text(json.dumps(PRINCIPAL))
    cloud = WatchedCloud(path, {}, make_logger("mic"))
    assert cloud().resource_group == "g"
    path.write_text(json.dumps({**PRINCIPAL, "resourceGroup": "another"}))
    assert cloud().resource_group == "another"
    path.write_text("{ not whole")
    assert cloud().resource_group == "another"
    path.unlink()
    assert cloud().resource_group == "another"
    with pytest.raises(PodpassError, match="MIC does not know"):
        WatchedCloud(path, {}, make_logger("mic"))


def test_settings() -> None:
    flags = {"immutable-user-msis": "A, b", "identity-assignment-reconcile-interval": "3m", "createDeleteBatch": "5"}
    found = Settings.read({"FORCENAMESPACED": "true"}, flags)
    assert found.immutable == {"a", "b"}
    assert (found.reconcile_seconds, found.at_once, found.forced_namespaced) == (180.0, 5, True)
    with pytest.raises(SettingsError) as caught:
        Settings.read({}, {"syncRetryDuration": "0", "http-probe-port": "x"})
    assert len(caught.value.bad) == 2


def test_the_command_has_exactly_these_flags(capsys: pytest.CaptureFixture[str]) -> None:
    given = [f"{option.flag}=true" if option.switch else f"{option.flag}=-" for option in OPTIONS]
    assert run(["mic", *given]) == 1
    assert "code:  PP401" in capsys.readouterr().err
