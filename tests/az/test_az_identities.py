"""`az identity`, its federated credentials, and `az role`."""

from tests.shell import Shell
from tests.stock_az import needs_az

pytestmark = [*needs_az]

CREDENTIAL = (
    "az identity federated-credential create --name {name} --identity-name {identity} --resource-group {group}"
    ' --issuer "$PODPASS_ISSUER" --subject system:serviceaccount:{subject} --audience api://AzureADTokenExchange'
)


def test_an_identity_from_creation_to_deletion(az: Shell) -> None:
    az("az group create -n people -l eastus")
    made = az.json("az identity create --name azcli-umi --resource-group people")
    assert set(made) >= {"clientId", "id", "location", "name", "principalId", "resourceGroup", "tags", "tenantId"}
    assert (made["location"], made["resourceGroup"]) == ("eastus", "people")
    assert az("az identity show --name azcli-umi -g people --query clientId -o tsv").strip() == made["clientId"]
    assert az.json("az identity create --name AZCLI-UMI -g people")["clientId"] == made["clientId"]
    assert az.json("az identity list -g people --query '[].name'") == ["azcli-umi"]
    assert {"azcli-umi", "orders", "reports"} <= set(az.json("az identity list --query '[].name'"))
    assert made["clientId"] in az("az identity list -g people -o table")
    az("az identity delete -n azcli-umi -g people; az identity delete -n azcli-umi -g people")
    said = az.refused("az identity show -n azcli-umi -g people", 3)
    assert "(ResourceNotFound) The Resource 'Microsoft.ManagedIdentity/userAssignedIdentities/azcli-umi'" in said
    assert "ResourceGroupNotFound" in az.refused("az identity create -n x-identity -g nowhere -l eastus", 3)


def test_twenty_federated_credentials_and_no_more(az: Shell) -> None:
    az("az group create -n trust -l eastus; az identity create -n trusted -g trust")
    create = [
        CREDENTIAL.format(name=f"one-of-{number}", identity="trusted", group="trust", subject=f"ns:account-{number}")
        for number in range(21)
    ]
    made = az.json(create[0])
    assert made["audiences"] == ["api://AzureADTokenExchange"]
    assert (made["issuer"], made["subject"]) == (az.lab.endpoints.issuer, "system:serviceaccount:ns:account-0")
    assert made["type"] == "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials"
    where = "--identity-name trusted -g trust"
    changed = az.json(f"az identity federated-credential update -n one-of-0 {where} --subject system:other")
    assert changed["subject"] == "system:other"
    put = (
        'az rest --method put --url "/subscriptions/{subscriptionId}/resourceGroups/trust/providers/'
        "Microsoft.ManagedIdentity/userAssignedIdentities/trusted/federatedIdentityCredentials/one-of-%d"
        '?api-version=2024-11-30" --body \'{"properties": {"issuer": "https://issuer.example.com", "subject": "s%d",'
        ' "audiences": ["api://AzureADTokenExchange"]}}\''
    )
    az("; ".join(put % (number, number) for number in range(1, 20)))
    assert az.json(f"az identity federated-credential list {where} --query 'length(@)'") == 20
    assert "20" in az.refused(create[20], 1)
    az(f"az identity federated-credential delete -n one-of-7 {where} --yes; {create[20]}")
    assert az.refused(f"az identity federated-credential show -n one-of-7 {where}", 3)
    again = create[20].replace("one-of-20", "same-again")
    az(f"az identity federated-credential delete -n one-of-8 {where} --yes")
    assert "already exists" in az.refused(again, 1)


def test_role_assignments_by_every_way_of_naming_the_assignee(az: Shell) -> None:
    scope = az("az group create -n rights -l eastus --query id -o tsv").strip()
    identity = az.json("az identity create -n holder -g rights")
    client, principal = identity["clientId"], identity["principalId"]
    create = f"az role assignment create --scope {scope}"
    made = az.json(f'{create} --role "Virtual Machine Contributor" --assignee {client}')
    assert set(made) >= {"condition", "createdBy", "createdOn", "id", "name", "principalId", "principalType", "scope"}
    assert (made["principalId"], made["scope"]) == (principal, scope)
    assert az.json(f'{create} --role "Virtual Machine Contributor" --assignee {client}')["name"] == made["name"]
    az(f"{create} --role Reader --assignee-object-id {principal} --assignee-principal-type ServicePrincipal")
    az(f"{create} --role acdd72a7-3385-48ef-bd42-f606fba81ae7 --assignee {principal}")
    below = f"{identity['id']} --role Reader --assignee {client}"
    az(f"az role assignment create --scope {below}")
    assert "doesn't exist" in az.refused(f'{create} --role "No Such Role" --assignee {client}', 1)
    nobody = az.refused(f"{create} --role Reader --assignee 00000000-0000-4000-8000-00000000abcd", 1)
    assert "Cannot find user or service principal in graph database" in nobody
    names = "--query '[].roleDefinitionName'"
    both = az.json(f"az role assignment list --scope {scope} {names}")
    assert sorted(both) == ["Reader", "Virtual Machine Contributor"]
    assert len(az.json(f"az role assignment list --assignee {client} --all")) == 3
    assert "Owner" in az.json(f"az role assignment list -g rights --include-inherited {names}")
    (shown,) = az.json(f"az role assignment list --scope {scope} --role Reader")
    assert (shown["principalName"], shown["principalType"]) == (client, "ServicePrincipal")
    az(f'az role assignment delete --role "Virtual Machine Contributor" --assignee {client} --scope {scope}')
    assert az.json(f"az role assignment list --scope {scope} {names}") == ["Reader"]
    az(f"az role assignment delete --ids {shown['id']}")
    assert az.json(f"az role assignment list --scope {scope} {names}") == []


def test_built_in_roles_have_their_real_ids_and_actions(az: Shell) -> None:
    (reader,) = az.json("az role definition list --name Reader")
    assert (reader["name"], reader["roleType"]) == ("acdd72a7-3385-48ef-bd42-f606fba81ae7", "BuiltInRole")
    assert reader["permissions"][0]["actions"] == ["*/read"]
    assert reader["assignableScopes"] == ["/"]
    assert "Key Vault Secrets User" in az.json("az role definition list --query '[].roleName'")
