"""`az role`, `az lock`, `az ad user` and `az ad group`: who may do what, and what may not go."""

import json
import shlex
from typing import Any

import pytest

from tests.shell import Shell
from tests.stock_az import needs_az

pytestmark = [*needs_az]

DOMAIN = "contoso.example.com"


def definition(name: str, scope: str, **more: Any) -> str:
    whole = {"Name": name, "Actions": ["Microsoft.KeyVault/vaults/read"], "AssignableScopes": [scope], **more}
    return shlex.quote(json.dumps(whole))


def subscription(az: Shell) -> str:
    return "/subscriptions/" + az("az account show --query id -o tsv").strip()


def test_a_role_of_ones_own(az: Shell) -> None:
    scope = subscription(az)
    data = ["Microsoft.KeyVault/vaults/secrets/readMetadata/action"]
    made = az.json(f"az role definition create --role-definition {definition('Watcher', scope, DataActions=data)}")
    assert (made["roleName"], made["roleType"]) == ("Watcher", "CustomRole")
    assert made["permissions"][0]["dataActions"] == data
    said = az.refused(f"az role definition create --role-definition {definition('Watcher', scope)}", 1)
    assert "(RoleDefinitionWithSameNameExists)" in said
    assert az.json("az role definition list --custom-role-only --query '[].roleName'") == ["Watcher"]
    assert az.json(f"az role definition show --scope {scope} --name {made['name']} --query roleName") == "Watcher"
    made["description"] = "Sees vaults."
    az(f"az role definition update --role-definition {shlex.quote(json.dumps(made))}")
    assert az.json("az role definition list --name Watcher --query '[0].description'") == "Sees vaults."
    principal = az("az identity show -g shop -n reports --query principalId -o tsv").strip()
    given = f"--role Watcher --scope {scope}/resourceGroups/shop --assignee-object-id {principal}"
    az(f"az role assignment create {given} --assignee-principal-type ServicePrincipal")
    assert "(RoleDefinitionHasAssignments)" in az.refused("az role definition delete --name Watcher", 1)
    az(f"az role assignment delete --role Watcher --scope {scope}/resourceGroups/shop --assignee {principal}")
    az("az role definition delete --name Watcher")
    assert az.json("az role definition list --custom-role-only") == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Actions": ["Microsoft.Nothing/things/read"]}, "InvalidActionOrNotAction"),
        ({"Actions": ["Microsoft.KeyVault/vaults/secrets/getSecret/action"]}, "InvalidActionOrNotAction"),
        ({"Name": "Reader"}, "RoleDefinitionWithSameNameExists"),
    ],
    ids=["provider", "plane", "name"],
)
def test_a_role_that_can_not_be(az: Shell, change: dict[str, Any], code: str) -> None:
    whole = json.loads(shlex.split(definition("Nobody", subscription(az)))[0])
    said = az.refused(f"az role definition create --role-definition {shlex.quote(json.dumps({**whole, **change}))}", 1)
    assert f"({code})" in said


def test_locks_on_a_group_and_a_resource(az: Shell) -> None:
    az("az group create -n locked -l westeurope && az identity create -g locked -n kept")
    one = "-g locked --resource-type Microsoft.ManagedIdentity/userAssignedIdentities --resource kept"
    made = az.json("az lock create -n keep -t CanNotDelete -g locked --notes production")
    assert (made["level"], made["notes"]) == ("CanNotDelete", "production")
    az(f"az lock create -n still -t ReadOnly {one}")
    assert sorted(az.json("az lock list -g locked --query '[].name'")) == ["keep", "still"]
    said = az.refused("az group delete -n locked -y", 1)
    assert "(ScopeLocked)" in said
    assert "cannot perform delete operation because following scope(s) are locked" in said
    assert "cannot perform write operation" in az.refused("az identity update -g locked -n kept --tags a=b", 1)
    az(f"az lock delete -n still {one}")
    az("az identity update -g locked -n kept --tags a=b")
    assert az.json("az lock update -n keep -g locked -t ReadOnly --query level") == "ReadOnly"
    assert az.json("az lock show -n keep -g locked --query level") == "ReadOnly"
    az("az lock delete -n keep -g locked && az group delete -n locked -y")


def test_groups_and_what_is_in_them(az: Shell) -> None:
    scope = subscription(az) + "/resourceGroups/shop"
    name = f"ann@{DOMAIN}"
    az(f"az ad user create --display-name Ann --password Correct-Horse-9 --user-principal-name {name}")
    az(f"az ad user update --id {name} --display-name Anna")
    assert az.json("az ad user list --display-name An --query '[].displayName'") == ["Anna"]
    ann = az(f"az ad user show --id {name} --query id -o tsv").strip()
    operators, inner = (
        az(f"az ad group create --display-name {one} --mail-nickname {one} --query id -o tsv").strip()
        for one in ("operators", "on-call")
    )
    az(f"az ad group member add -g operators --member-id {inner}")
    az(f"az ad group member add -g on-call --member-id {ann}")
    assert "already exist" in az.refused(f"az ad group member add -g on-call --member-id {ann}", 1)
    assert az.json(f"az ad group member check -g operators --member-id {ann} --query value") is True
    assert az.json("az ad group member list -g on-call --query '[].userPrincipalName'") == [name]
    assert az.json(f"az ad user get-member-groups --id {name} --query 'length(@)'") == 2
    az(f"az ad group owner add -g operators --owner-object-id {ann}")
    assert az.json("az ad group owner list -g operators --query '[].displayName'") == ["Anna"]
    assert az.json(f"az role assignment create --role Reader --assignee {operators} --scope {scope}")[
        "principalType"
    ] == ("Group")
    said = az.refused(
        f"az role assignment create --role Owner --assignee-object-id {operators} --assignee-principal-type User"
        f" --scope {scope}",
        1,
    )
    assert "(UnmatchedPrincipalType)" in said
    listed = f"az role assignment list --scope {scope} --assignee {name} --query '[].principalName'"
    assert az.json(listed) == []
    assert az.json(f"{listed} --include-groups") == ["operators"]
    assert az.json(f"{listed} --include-groups --include-inherited") == ["operators"]
    assert az.json(f"az role assignment list --all --assignee {operators} --query '[].roleDefinitionName'") == [
        "Reader"
    ]
    az(f"az ad group member remove -g on-call --member-id {ann}")
    assert az.json(f"{listed} --include-groups") == []
    az(f"az ad group delete -g on-call && az ad group delete -g operators && az ad user delete --id {name}")
    assert az.json(f"az role assignment list --scope {scope} --query \"[?principalType=='Group'].principalName\"") == [
        ""
    ]


def test_an_application_without_a_directory_role_may_not_read_the_directory(az: Shell) -> None:
    app = az.json("az ad app create --display-name reader --query '{id: appId, object: id}'")
    az(f"az ad sp create --id {app['id']}")
    password = az(f"az ad app credential reset --id {app['id']} --query password -o tsv").strip()
    tenant = az("az account show --query tenantId -o tsv").strip()
    own = 'AZURE_CONFIG_DIR="$(mktemp -d)"; export AZURE_CONFIG_DIR'
    login = (
        f"az login --service-principal -u {app['id']} -p {shlex.quote(password)} -t {tenant} --allow-no-subscriptions"
    )
    done = az.run(f"{own}; {login} && az ad user list")
    assert done.returncode == 1
    assert "Insufficient privileges to complete the operation." in done.stderr
    principal = az(f"az ad sp show --id {app['id']} --query id -o tsv").strip()
    body = json.dumps(
        {
            "principalId": principal,
            "roleDefinitionId": "88d8e3e3-8f55-4a1e-953a-9b9898b8876b",
            "directoryScopeId": "/",
        }
    )
    url = "https://graph.microsoft.com/v1.0/roleManagement/directory/roleAssignments"
    az(f"az rest --method post --url {url} --body {shlex.quote(body)}")
    assert az.run(f"{own}; {login} && az ad user list").returncode == 0
    az(f"az ad app delete --id {app['id']}")
