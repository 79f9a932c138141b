"""What the webhook reads at start, and how it says what is wrong."""

import json
from pathlib import Path

import pytest

from podpass.settings.options import SettingsError
from podpass.settings.values import Address
from podpass.webhook.settings import OPTIONS, CertificateSource, Layout, Settings

TENANT = {"AZURE_TENANT_ID": "contoso.onmicrosoft.com"}


def test_defaults():
    settings = Settings.read(TENANT)
    assert settings == Settings(tenant_id="contoso.onmicrosoft.com")
    assert settings.authority_host == "https://login.microsoftonline.com/"
    assert settings.layout is Layout.V1
    assert settings.audience == "api://AzureADTokenExchange"
    assert settings.namespace == "azure-workload-identity-system"
    assert (settings.webhook_address.port, settings.health_address.port, settings.metrics_address.port) == (
        9443,
        9440,
        8095,
    )
    assert settings.certificates is CertificateSource.SECRET
    assert settings.tls_min_version == "1.3"


def test_all_that_is_wrong_is_said_at_once_by_the_name_the_user_wrote(tmp_path: Path):
    file = tmp_path / "webhook.yaml"
    file.write_text("log-level: loud\nfoo: 1\ntls-min-version: 1.1\n")
    with pytest.raises(SettingsError) as caught:
        Settings.read(
            {"AZURE_ENVIRONMENT": "AzureMoonCloud", "PODPASS_WEBHOOK_HEALTH_ADDR": "9440"}, {"layout": "v3"}, file
        )
    assert {bad.source for bad in caught.value.bad} == {
        "--layout",
        "AZURE_ENVIRONMENT",
        "AZURE_TENANT_ID",
        "PODPASS_WEBHOOK_HEALTH_ADDR",
        f"{file}: foo",
        f"{file}: log-level",
    }
    for bad in caught.value.bad:
        assert str(bad) in caught.value.cause


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path: Path):
    file = tmp_path / "webhook.yaml"
    file.write_text("layout: both\naudience: from-file\nstrict-annotations: true\n")
    environ = {**TENANT, "PODPASS_WEBHOOK_LAYOUT": "v2", "PODPASS_WEBHOOK_AUDIENCE": "from-environment"}
    settings = Settings.read(environ, {"layout": "v1", "audience": None}, file)
    assert (settings.layout, settings.audience, settings.strict_annotations) == (Layout.V1, "from-environment", True)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("AzurePublicCloud", "https://login.microsoftonline.com/"),
        ("azurepubliccloud", "https://login.microsoftonline.com/"),
        ("AzureUSGovernmentCloud", "https://login.microsoftonline.us/"),
        ("AZURECHINACLOUD", "https://login.chinacloudapi.cn/"),
        ("AzureGermanCloud", "https://login.microsoftonline.de/"),
    ],
)
def test_the_cloud_gives_the_authority_host(name: str, host: str):
    assert Settings.read({**TENANT, "AZURE_ENVIRONMENT": name}).authority_host == host


@pytest.mark.parametrize("endpoint", ["https://login.stack.test/", "https://login.stack.test"])
def test_azure_stack_is_described_by_its_file(tmp_path: Path, endpoint: str):
    file = tmp_path / "stack.json"
    file.write_text(json.dumps({"activeDirectoryEndpoint": endpoint, "name": "AzureStackCloud"}))
    environ = {**TENANT, "AZURE_ENVIRONMENT": "azurestackcloud", "AZURE_ENVIRONMENT_FILEPATH": str(file)}
    assert Settings.read(environ).authority_host == "https://login.stack.test/"


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"activeDirectoryEndpoint": "http://plain.test"}'])
def test_an_azure_stack_file_that_cant_be_used(tmp_path: Path, content: str | None):
    file = tmp_path / "stack.json"
    if content is not None:
        file.write_text(content)
    environ = {**TENANT, "AZURE_ENVIRONMENT": "AzureStackCloud", "AZURE_ENVIRONMENT_FILEPATH": str(file)}
    with pytest.raises(SettingsError, match="AZURE_ENVIRONMENT_FILEPATH"):
        Settings.read(environ)


def test_azure_stack_without_a_file():
    with pytest.raises(SettingsError, match="AZURE_ENVIRONMENT_FILEPATH: is required"):
        Settings.read({**TENANT, "AZURE_ENVIRONMENT": "AzureStackCloud"})


@pytest.mark.parametrize(
    ("given", "host"),
    [("https://login.lab.test", "https://login.lab.test/"), ("https://127.0.0.1:8443/", "https://127.0.0.1:8443/")],
)
def test_an_authority_host_is_given_a_trailing_slash(given: str, host: str):
    assert Settings.read(TENANT, {"authority-host": given}).authority_host == host


@pytest.mark.parametrize(
    "given", ["http://login.lab.test", "login.lab.test", "https://u@h/", "https://h/?q=1", "https://"]
)
def test_an_authority_host_that_is_no_https_address(given: str):
    with pytest.raises(SettingsError, match="--authority-host"):
        Settings.read(TENANT, {"authority-host": given})


@pytest.mark.parametrize(
    ("text", "address"),
    [(":9443", Address("", 9443)), ("127.0.0.1:1", Address("127.0.0.1", 1)), ("[::1]:65535", Address("::1", 65535))],
)
def test_addresses(text: str, address: Address):
    assert Settings.read(TENANT, {"webhook-addr": text}).webhook_address == address


@pytest.mark.parametrize("text", ["9443", ":", ":x", ":65536", ":-1", "[x]:1"])
def test_bad_addresses(text: str):
    with pytest.raises(SettingsError, match="--webhook-addr"):
        Settings.read(TENANT, {"webhook-addr": text})


@pytest.mark.parametrize(("text", "version"), [("1.0", "1.2"), ("1.1", "1.2"), ("1.2", "1.2"), ("1.3", "1.3")])
def test_old_tls_versions_are_accepted_and_not_spoken(text: str, version: str):
    assert Settings.read(TENANT, {"tls-min-version": text}).tls_min_version == version


def test_a_placeholder_for_the_tenant_is_not_a_tenant():
    with pytest.raises(SettingsError, match="placeholder"):
        Settings.read({"AZURE_TENANT_ID": "${AZURE_TENANT_ID}"})


def test_certificates_come_from_one_place():
    assert Settings.read(TENANT, {"disable-cert-rotation": True}).certificates is CertificateSource.FILES
    assert Settings.read(TENANT, {"self-signed": "true"}).certificates is CertificateSource.SELF_SIGNED
    with pytest.raises(SettingsError, match="--self-signed"):
        Settings.read(TENANT, {"disable-cert-rotation": True, "self-signed": True})


def test_only_prometheus_in_any_letter_case():
    Settings.read(TENANT, {"metrics-backend": "Prometheus"})
    with pytest.raises(SettingsError, match="--metrics-backend"):
        Settings.read(TENANT, {"metrics-backend": "statsd"})


def test_every_option_has_a_variable_and_a_help():
    assert all(option.variable and option.help.endswith(".") for option in OPTIONS)
    assert len({option.variable for option in OPTIONS}) == len(OPTIONS)


def test_a_flag_that_does_not_exist_is_a_mistake_of_the_caller():
    with pytest.raises(KeyError):
        Settings.read(TENANT, {"layuot": "v1"})


def test_the_reference_lists_every_option_with_its_names():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "webhook.md").read_text()
    for option in OPTIONS:
        flag = f"`{option.flag}`" if option.flag else ""
        assert f"| `{option.key}` | {flag} | `{option.variable}` |".replace("|  |", "| |") in page
