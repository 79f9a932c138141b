"""`az keyvault`: vaults in both access modes, secrets, keys, certificates, soft delete."""

from tests.shell import Shell
from tests.stock_az import needs_az

pytestmark = [*needs_az]

OFFICER = (
    "az role assignment create --role 'Key Vault Administrator' --assignee \"$PODPASS_OPERATOR_CLIENT_ID\" --scope {id}"
)


def test_a_vault_with_roles_lets_nobody_in_without_one(az: Shell) -> None:
    az("az group create -n vaults -l westeurope")
    vault = az.json("az keyvault create --name kv-az-roles --resource-group vaults")
    assert vault["properties"]["vaultUri"] == "https://kv-az-roles.vault.azure.net/"
    assert vault["properties"]["enableRbacAuthorization"] is True
    assert vault["properties"]["softDeleteRetentionInDays"] == 90
    said = az.refused("az keyvault secret set --vault-name kv-az-roles -n s --value v", 1)
    assert "ForbiddenByRbac" in said
    assert "Action: 'Microsoft.KeyVault/vaults/secrets/setSecret/action'" in said
    az(OFFICER.format(id=vault["id"]))
    secret = az.json("az keyvault secret set --vault-name kv-az-roles -n s --value v")
    assert set(secret) == {"attributes", "contentType", "id", "kid", "managed", "name", "tags", "value"}
    assert az.json("az keyvault show -n kv-az-roles --query id") == vault["id"]
    assert "kv-az-roles" in az("az keyvault list -o table")
    assert "(VaultAlreadyExists)" in az.refused("az keyvault create -n kv-az-roles -g shop", 1)


def test_access_policies_by_object_and_by_client_id(az: Shell) -> None:
    az("az group create -n policies -l westeurope")
    identity = az.json("az identity create -n azure-vote -g policies")
    vault = az.json("az keyvault create -n kv-az-policies -g policies --enable-rbac-authorization false")
    (own,) = vault["properties"]["accessPolicies"]
    assert set(own["permissions"]) == {"certificates", "keys", "secrets", "storage"}
    policies = "--query 'properties.accessPolicies[1:].permissions'"
    spn = f"--spn {identity['clientId']}"
    set_policy = f"az keyvault set-policy --name kv-az-policies {policies}"
    assert az.json(f"{set_policy} {spn} --secret-permissions get")[0]["secrets"] == ["get"]
    by_object = f"--object-id {identity['principalId']} --key-permissions get list"
    (both,) = az.json(f"{set_policy} {by_object}")
    assert (both["secrets"], sorted(both["keys"])) == (["get"], ["get", "list"])
    az(f"az keyvault delete-policy --name kv-az-policies {spn}")
    assert az.json(f"az keyvault show -n kv-az-policies {policies}") == []


def test_secrets_with_versions_and_soft_delete(az: Shell) -> None:
    az("az group create -n secrets -l westeurope")
    az("az keyvault create -n kv-az-secrets -g secrets --enable-rbac-authorization false")
    where = "--vault-name kv-az-secrets --name connection"
    first = az.json(f"az keyvault secret set {where} --value one")
    second = az.json(f"az keyvault secret set {where} --value two")
    assert az.json(f"az keyvault secret show {where} --query value") == "two"
    assert az.json(f"az keyvault secret show --id {first['id']} --query value") == "one"
    assert az.json(f"az keyvault secret list-versions {where} --query 'length(@)'") == 2
    (listed,) = az.json("az keyvault secret list --vault-name kv-az-secrets")
    assert listed["id"] == second["id"].rpartition("/")[0]
    assert "value" not in listed
    az(f"az keyvault secret set-attributes {where} --content-type text/plain --tags a=b")
    missing = az.refused("az keyvault secret show --vault-name kv-az-secrets -n nothing", 3)
    assert "(SecretNotFound) A secret with (name/id) nothing was not found in this key vault." in missing
    az(f'az keyvault secret backup {where} --file "$HOME/kept"; az keyvault secret delete {where}')
    assert az.json("az keyvault secret list-deleted --vault-name kv-az-secrets --query '[].name'") == ["connection"]
    az(f"az keyvault secret recover {where}; az keyvault secret delete {where}")
    # What az gives the creator is `all`, and that leaves purging out.
    assert "does not have secrets purge permission" in az.refused(f"az keyvault secret purge {where}", 1)
    own = '--spn "$PODPASS_OPERATOR_CLIENT_ID"'
    az(f"az keyvault set-policy -n kv-az-secrets {own} --secret-permissions purge restore get")
    az(f"az keyvault secret purge {where}")
    az('az keyvault secret restore --vault-name kv-az-secrets --file "$HOME/kept"')
    assert az.json(f"az keyvault secret show {where} --query value") == "two"


def test_keys_and_certificates_are_made_and_used(az: Shell) -> None:
    az("az group create -n crypto -l westeurope")
    az("az keyvault create -n kv-az-crypto -g crypto --enable-rbac-authorization false")
    key = "--vault-name kv-az-crypto --name signing"
    assert az.json(f"az keyvault key create {key} --kty RSA --size 2048 --query key.kty") == "RSA"
    text = "aGVsbG8="
    locked = az.json(f"az keyvault key encrypt {key} -a RSA-OAEP --value {text} --data-type base64 --query result")
    opened = f"az keyvault key decrypt {key} -a RSA-OAEP --value '{locked}' --data-type base64 --query result"
    assert az.json(opened) == text
    digest = "digest=$(printf x | openssl dgst -sha256 -binary | base64)"
    signature = az.json(f'{digest}; az keyvault key sign {key} -a RS256 --digest "$digest" --query signature')
    verify = f"az keyvault key verify {key} -a RS256 --digest \"$digest\" --signature '{signature}' --query isValid"
    assert az.json(f"{digest}; {verify}") is True
    assert az.json("az keyvault key list --vault-name kv-az-crypto --query '[].name'") == ["signing"]
    certificate = "--vault-name kv-az-crypto --name front"
    az(f'az keyvault certificate create {certificate} --policy "$(az keyvault certificate get-default-policy)"')
    shown = az.json(f"az keyvault certificate show {certificate}")
    assert shown["policy"]["x509CertificateProperties"]["subject"] == "CN=CLIGetDefaultPolicy"
    az(f'az keyvault certificate download {certificate} --file "$HOME/front.pem"')
    assert "CN = CLIGetDefaultPolicy" in az('openssl x509 -noout -subject -in "$HOME/front.pem"').replace(
        "CN=", "CN = "
    )


def test_a_deleted_vault_keeps_its_name_until_it_is_purged(az: Shell) -> None:
    az("az group create -n gone -l westeurope; az keyvault create -n kv-az-gone -g gone")
    az("az keyvault delete --name kv-az-gone")
    assert az.json("az keyvault list-deleted --query '[].name'") == ["kv-az-gone"]
    assert "(ConflictError)" in az.refused("az keyvault create -n kv-az-gone -g gone", 1)
    az("az keyvault recover --name kv-az-gone; az keyvault delete --name kv-az-gone; az keyvault purge -n kv-az-gone")
    assert az.json("az keyvault list-deleted") == []
    assert "not found within subscription" in az.refused("az keyvault show --name kv-az-gone", 1)
    az("az keyvault create -n kv-az-gone -g gone")
