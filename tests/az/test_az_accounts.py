"""`az login` in its variants, `az account`, `az logout`, and `az rest`."""

import time

import pytest

from podpass.tokens.jwt import decode
from tests.shell import SIGN_IN, Shell
from tests.stock_az import needs_az

pytestmark = [*needs_az, pytest.mark.shows_tokens]


def test_a_federated_token_signs_in_and_prints_the_subscriptions(az: Shell) -> None:
    (subscription,) = az.json(SIGN_IN)
    ends = az.lab.endpoints
    assert subscription == {
        "cloudName": "AzureCloud",
        "homeTenantId": ends.tenant_id,
        "id": ends.subscription_id,
        "isDefault": True,
        "managedByTenants": [],
        "name": "production",
        "state": "Enabled",
        "tenantId": ends.tenant_id,
        "user": {"name": ends.operator_client_id, "type": "servicePrincipal"},
    }
    assert az.json("az account list") == [subscription]
    assert az.json("az account show") == {
        **{name: value for name, value in subscription.items() if name != "cloudName"},
        "environmentName": "AzureCloud",
    }


def test_an_access_token_comes_with_its_expiry_subscription_and_tenant(az: Shell) -> None:
    token = az.json("az account get-access-token")
    assert set(token) == {"accessToken", "expiresOn", "expires_on", "subscription", "tenant", "tokenType"}
    assert (token["tokenType"], token["tenant"]) == ("Bearer", az.lab.endpoints.tenant_id)
    assert token["subscription"] == az.lab.endpoints.subscription_id
    assert 3000 < token["expires_on"] - time.time() < 4000
    vault = "az account get-access-token --resource https://vault.azure.net --query accessToken -o tsv"
    assert decode(az(vault).strip()).claims["aud"] == "https://vault.azure.net"


def test_subscriptions_are_chosen_by_name_and_by_id(az: Shell) -> None:
    az("az account set --subscription production")
    az('az account set --subscription "$PODPASS_SUBSCRIPTION_ID"')
    said = az.refused("az account set --subscription staging", 1)
    assert "The subscription of 'staging' doesn't exist in cloud 'AzureCloud'." in said
    assert "eastus" in az.json('az account list-locations --query "[].name"')


def test_a_wrong_secret_is_refused_with_the_services_words(az: Shell) -> None:
    line = 'AZURE_CONFIG_DIR="$HOME/other" az login --service-principal -u "$PODPASS_OPERATOR_CLIENT_ID"'
    assert "AADSTS7000215" in az.refused(f'{line} -p wrong -t "$AZURE_TENANT_ID"', 1)
    unknown = "AZURE_CONFIG_DIR=$HOME/other az login --service-principal -u 11111111-2222-4333-8444-555555555555"
    assert "AADSTS700016" in az.refused(f'{unknown} -p wrong -t "$AZURE_TENANT_ID"', 1)


def test_a_principal_made_for_automation_signs_in_by_its_secret_and_by_its_certificate(az: Shell) -> None:
    other = 'export AZURE_CONFIG_DIR="$HOME/automation"'
    az("az group create -n automation -l westeurope")
    scope = '"/subscriptions/$PODPASS_SUBSCRIPTION_ID/resourceGroups/automation"'
    made = az.json(f"az ad sp create-for-rbac -n deployer --role Contributor --scopes {scope}")
    assert set(made) == {"appId", "displayName", "password", "tenant"}
    login = f"{other}; az login --service-principal -u {made['appId']} -t {made['tenant']}"
    assert az.json(f"{login} '--password={made['password']}'")[0]["user"]["name"] == made["appId"]
    assert az.json(f"{other}; az group list --query '[].name'") == ["automation"]
    assert "AuthorizationFailed" in az.refused(f"{other}; az group create -n elsewhere -l westeurope", 1)
    by_certificate = az.json("az ad sp create-for-rbac -n by-certificate --create-cert")
    assert by_certificate["fileWithCertAndPrivateKey"].startswith(str(az.lab.home))
    login = f"{other}; az login --service-principal -u {by_certificate['appId']} -t {made['tenant']}"
    certificate = f"--certificate '{by_certificate['fileWithCertAndPrivateKey']}'"
    assert "No subscriptions found" in az.refused(f"{login} {certificate}", 1)
    (tenant,) = az.json(f"{login} {certificate} --allow-no-subscriptions")
    assert tenant["name"] == "N/A(tenant level account)"


def test_a_machines_identity_signs_in_by_the_metadata_service(az: Shell) -> None:
    own = 'export AZURE_CONFIG_DIR="$HOME/machine"'
    principal = az("az vm show -g shop -n build-agent --query identity.principalId -o tsv").strip()
    group = '"$(az group show -n shop --query id -o tsv)"'
    assign = "az role assignment create --role Reader --assignee-principal-type ServicePrincipal"
    assert "No access was configured for the managed identity" in az.refused(f"{own}; az login --identity", 1)
    az(f"{assign} --assignee-object-id {principal} --scope {group}")
    (subscription,) = az.json(f"{own}; az login --identity")
    assert subscription["user"] == {
        "assignedIdentityInfo": "MSI",
        "name": "systemAssignedIdentity",
        "type": "servicePrincipal",
    }
    assert "build-agent" in az.json(f"{own}; az vm list --query '[].name'")
    orders = az("podpass lab identity orders").strip()
    az(f"{assign} --assignee-object-id $(az ad sp show --id {orders} --query id -o tsv) --scope {group}")
    (subscription,) = az.json(f"{own}; az login --identity --client-id {orders}")
    assert subscription["user"]["assignedIdentityInfo"] == f"MSIClient-{orders}"
    resource = az("az identity show -g shop -n orders --query id -o tsv").strip()
    (subscription,) = az.json(f"{own}; az login --identity --resource-id {resource}")
    assert subscription["user"]["name"] == "userAssignedIdentity"
    stranger = az("podpass lab identity reports").strip()
    assert "Identity not found" in az.refused(f"{own}; az login --identity --client-id {stranger}", 1)


def test_after_signing_out_az_asks_to_sign_in(az: Shell) -> None:
    own = 'export AZURE_CONFIG_DIR="$HOME/leaver"'
    az(f"{own}; {SIGN_IN}; az logout")
    assert az.json(f"{own}; az account list") == []
    assert "az login" in az.refused(f"{own}; az group list", 1)
    az(f"{own}; az account clear")


def test_rest_speaks_to_every_plane(az: Shell) -> None:
    group = "/subscriptions/{subscriptionId}/resourceGroups/shop"
    assert az.json(f"az rest --url '{group}?api-version=2021-04-01' --query name") == "shop"
    assert az.json("az rest --url '/subscriptions?api-version=2020-01-01' --query 'value[].displayName'") == [
        "production"
    ]
    identity = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/by-rest?api-version=2023-01-31"
    made = az.json(f"""az rest --method put --url '{identity}' --body '{{"location":"westeurope"}}'""")
    assert made["type"] == "Microsoft.ManagedIdentity/userAssignedIdentities"
    az(f'az rest --method patch --url \'{identity}\' --body \'{{"tags":{{"by":"rest"}}}}\'')
    assert az.json(f"az rest --url '{identity}' --query tags") == {"by": "rest"}
    assert az(f"az rest --method delete --url '{identity}'") == ""
    assert "Not Found({" in az.refused(f"az rest --url '{identity}'", 1)
    assert "MissingApiVersionParameter" in az.refused(f"az rest --url '{group}'", 1)
    applications = "az rest --url https://graph.microsoft.com/v1.0/applications --query 'value[].displayName'"
    assert isinstance(az.json(applications), list)
    said = az.refused("az rest --url https://graph.microsoft.com/v1.0/me", 1)
    assert "/me request is only valid with delegated authentication flow." in said
    secrets = "https://kv-az-found.vault.azure.net/secrets?api-version=7.4"
    assert "Forbidden({" in az.refused(f"az rest --url '{secrets}' --resource https://vault.azure.net", 1)
    assert "Tunnel connection failed: 502" in az.refused("az rest --url https://example.com/ --skip-authorization", 1)
