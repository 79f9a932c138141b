"""Walkthrough 4, the Azure half: an application with an Application ID URI, and the token that Google is shown."""

import json
from collections.abc import Iterator

import pytest

from podpass.tokens.jwt import decode
from tests.shell import SIGN_IN, Shell, shell_in_a_lab
from tests.stock_az import needs_az, warm_az

pytestmark = [*needs_az, pytest.mark.shows_tokens]

URI = "api://gcp-federation"


@pytest.fixture(scope="module")
def az(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_in_a_lab(tmp_path_factory.mktemp("w4")) as shell, warm_az(shell.environment) as directory:
        shell.put_first(directory)
        shell(SIGN_IN)
        app = shell(f"az ad app create --display-name gcp-federation --identifier-uris {URI} --query appId -o tsv")
        shell(f"az ad sp create --id {app}")
        yield shell


def test_step_1_the_application_exposes_its_uri(az: Shell) -> None:
    assert az.json(f"az ad app show --id {URI} --query identifierUris") == [URI]
    assert URI in az.json(f"az ad sp show --id {URI} --query servicePrincipalNames")


def test_steps_2_and_3_the_metadata_service_gives_the_token_that_the_provider_expects(az: Shell) -> None:
    """What `credential_source.url` of the configuration file for Google leads to, its header written as documented."""
    path = f"/metadata/identity/oauth2/token?api-version=2018-02-01&resource={URI}"
    url = f'"$AZURE_POD_IDENTITY_AUTHORITY_HOST{path}"'
    answer = json.loads(az(f"curl -sSf -H 'Metadata: true' {url}"))
    assert answer["resource"] == URI
    claims = decode(answer["access_token"]).claims
    tenant = az.lab.endpoints.tenant_id
    assert (claims["iss"], claims["aud"], claims["tid"]) == (f"https://sts.windows.net/{tenant}/", URI, tenant)
    machine = az.json("az vm show -g shop -n build-agent --query identity.principalId")
    assert claims["sub"] == claims["oid"] == machine
    assert az.run(f"curl -sSf {url}").returncode, "without the header there is no token"


def test_a_service_principal_gets_the_same_by_its_secret(az: Shell) -> None:
    made = az.json("az ad sp create-for-rbac -n gcp-caller")
    own = 'export AZURE_CONFIG_DIR="$HOME/caller"'
    login = "az login --service-principal --allow-no-subscriptions"
    az(f"{own}; {login} -u {made['appId']} '--password={made['password']}' -t {made['tenant']}")
    token = az(f"{own}; az account get-access-token --scope {URI}/.default --query accessToken -o tsv").strip()
    claims = decode(token).claims
    assert (claims["aud"], claims["tid"], claims["appid"]) == (URI, made["tenant"], made["appId"])


def test_the_pods_account_may_stand_for_the_application(az: Shell) -> None:
    credential = json.dumps(
        {
            "name": "pod",
            "issuer": az.lab.endpoints.issuer,
            "subject": "system:serviceaccount:default:default",
            "audiences": ["api://AzureADTokenExchange"],
        }
    )
    app = az(f"az ad app show --id {URI} --query appId -o tsv").strip()
    az(f"az ad app federated-credential create --id {app} --parameters '{credential}'")
    own = 'export AZURE_CONFIG_DIR="$HOME/pod"'
    token = '"$(kubectl create token default --audience api://AzureADTokenExchange)"'
    line = "az login --service-principal --allow-no-subscriptions"
    az(f'{own}; {line} -u {app} -t "$AZURE_TENANT_ID" --federated-token {token}')
    assert az.json(f"{own}; az account show --query user.name") == app
