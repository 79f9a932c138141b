"""`az ad`: an application with an Application ID URI, its service principal, its federated credentials."""

from tests.shell import Shell
from tests.stock_az import needs_az

pytestmark = [*needs_az]


def test_an_application_with_an_exposed_uri_and_its_principal(az: Shell) -> None:
    made = az.json("az ad app create --display-name gcp-federation --identifier-uris api://gcp-federation")
    assert made["identifierUris"] == ["api://gcp-federation"]
    assert made["signInAudience"] == "AzureADMyOrg"
    app = made["appId"]
    assert az.json(f"az ad app show --id {app}")["id"] == made["id"]
    assert az.json("az ad app show --id api://gcp-federation --query appId") == app
    assert az.json("az ad app list --display-name gcp-federation --query '[].appId'") == [app]
    principal = az.json(f"az ad sp create --id {app}")
    assert (principal["appId"], principal["servicePrincipalType"]) == (app, "Application")
    assert principal["servicePrincipalNames"] == [app, "api://gcp-federation"]
    assert "already in use" in az.refused(f"az ad sp create --id {app}", 1)
    assert az.json("az ad sp show --id api://gcp-federation --query id") == principal["id"]
    assert az.json(f"az ad sp list --filter \"appId eq '{app}'\" --query '[].id'") == [principal["id"]]
    az(f"az ad app update --id {app} --display-name renamed")
    assert az.json(f"az ad app show --id {app} --query displayName") == "renamed"
    az(f"az ad app delete --id {app}")
    assert "does not exist" in az.refused(f"az ad app show --id {app}", 3)


def test_the_applications_federated_credentials(az: Shell) -> None:
    app = az("az ad app create --display-name trusting --query appId -o tsv").strip()
    parameters = (
        '{"name": "main", "issuer": "https://token.actions.githubusercontent.com",'
        ' "subject": "repo:acme/shop:ref:refs/heads/main", "audiences": ["api://AzureADTokenExchange"]}'
    )
    made = az.json(f"az ad app federated-credential create --id {app} --parameters '{parameters}'")
    assert (made["name"], made["audiences"]) == ("main", ["api://AzureADTokenExchange"])
    one = f"--id {app} --federated-credential-id main"
    change = '{"subject": "repo:acme/shop:ref:refs/heads/next"}'
    az(f"az ad app federated-credential update {one} --parameters '{change}'")
    assert az.json(f"az ad app federated-credential show {one} --query subject").endswith("/next")
    assert az.json(f"az ad app federated-credential list --id {app} --query '[].name'") == ["main"]
    az(f"az ad app federated-credential delete {one}")
    assert az.json(f"az ad app federated-credential list --id {app}") == []


def test_an_application_has_no_signed_in_user(az: Shell) -> None:
    said = az.refused("az ad signed-in-user show", 1)
    assert "/me request is only valid with delegated authentication flow." in said
