"""Walkthrough 5, whole: the guide's commands with the stock az, and what they show."""

import json
import re
from pathlib import Path

import pytest

from tests.guides import HOW_TO, Followed, followed_once
from tests.shell import SIGN_IN, Shell
from tests.stock_az import needs_az
from tests.terminal import terminal

pytestmark = [*needs_az, pytest.mark.shows_tokens]

GUIDE = HOW_TO / "walk-through-an-operators-checks-with-az.md"
GUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
SUBJECT = "system:serviceaccount:default:workload-identity-sa"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    return followed_once(GUIDE, tmp_path_factory)


def test_step_1_the_issuer_answers(shown: Followed) -> None:
    issuer, discovery, keys = shown[1].splitlines()
    assert re.fullmatch(rf"https://eastus\.oic\.prod-aks\.azure\.com/{GUID}/{GUID}/", issuer)
    assert json.loads(discovery) == [issuer, f"{issuer}openid/v1/jwks"]
    assert set(json.loads(keys)) == {"RSA"}


def test_step_2_the_identity_trusts_one_account(shown: Followed) -> None:
    assert json.loads(shown[2][shown[2].rindex("[") :]) == [SUBJECT]


@pytest.mark.parametrize(
    "text",
    [
        r"AZURE_CLIENT_ID: +" + GUID,
        r"AZURE_TENANT_ID: +" + GUID,
        r"AZURE_FEDERATED_TOKEN_FILE: +/var/run/secrets/azure/tokens/azure-identity-token",
        r"AZURE_AUTHORITY_HOST: +https://login\.microsoftonline\.com/",
        r"/var/run/secrets/azure/tokens from azure-identity-token \(ro\)",
        r"azure-identity-token:\n +Type: +Projected .*\n +TokenExpirationSeconds: +3600",
    ],
)
def test_step_3_what_the_webhook_added_is_visible(shown: Followed, text: str) -> None:
    assert re.search(text, shown[3])


def test_step_4_the_jump_pods_log_is_its_token(shown: Followed) -> None:
    claims = json.loads(shown[4][shown[4].index("{\n") :])["payload"]
    assert claims["aud"] == ["test"]
    assert claims["exp"] - claims["iat"] == 3600


def test_step_5_a_pod_for_a_moment_gets_an_access_token(shown: Followed) -> None:
    token = json.loads(shown[5])
    assert set(token) == {"expiresOn", "subscription", "tenant", "tokenType"}
    assert token["tokenType"] == "Bearer"


def test_step_6_the_pods_that_take_part(shown: Followed) -> None:
    assert shown[6] == "default/probe\n"


def test_step_7_three_tokens_side_by_side(shown: Followed) -> None:
    ordinary, azure, access = map(json.loads, shown[7].splitlines())
    assert ordinary == [[shown[1].splitlines()[0]], SUBJECT]
    assert azure == [["api://AzureADTokenExchange"], SUBJECT]
    client = re.search(rf"AZURE_CLIENT_ID: +({GUID})", shown[3])
    assert client is not None
    assert access[:2] == ["https://management.core.windows.net/", client[1]]


def test_step_5_as_it_is_typed_at_a_terminal(shell: Shell) -> None:
    shell(SIGN_IN)
    shell(
        "az identity federated-credential create --name workload-identity-sa --identity-name orders -g shop"
        f' --issuer "$PODPASS_ISSUER" --subject {SUBJECT} --audience api://AzureADTokenExchange'
    )
    client = shell("podpass lab identity orders").strip()
    scope = '"$(az group show -n shop --query id -o tsv)"'
    shell(f"az role assignment create --role Reader --assignee {client} --scope {scope}")
    shell("kubectl create serviceaccount workload-identity-sa -n default")
    annotate = "kubectl annotate serviceaccount workload-identity-sa -n default azure.workload.identity/client-id="
    shell(f"{annotate}{client}")
    kubectl = str(Path(shell.path.split(":")[0]) / "kubectl")
    line = (
        "run az-cli -n default -l azure.workload.identity/use=true --image=mcr.microsoft.com/azure-cli -i --tty --rm"
        " --command /usr/bin/env"
    )
    overrides = '--overrides={"spec":{"serviceAccount":"workload-identity-sa"}}'
    with terminal([kubectl, *line.split(), overrides, "--", "sh"], shell.environment, seconds=90) as person:
        person.see("try pressing enter.")
        person.type("\r")
        person.see("# ")
        person.type(
            'az login --federated-token "$(cat $AZURE_FEDERATED_TOKEN_FILE)" --service-principal'
            " -u $AZURE_CLIENT_ID -t $AZURE_TENANT_ID\r"
        )
        person.see('"type": "servicePrincipal"')
        person.type("az account get-access-token; exit\r")
        code, screen = person.end()
    assert code == 0, screen
    for member in ("accessToken", "expiresOn", "subscription", "tenant"):
        assert f'"{member}": "' in screen
