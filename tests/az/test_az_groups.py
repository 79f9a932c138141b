"""`az group`, `az tag`, `az resource`, `az provider` and `az feature`."""

from tests.shell import Shell
from tests.stock_az import needs_az

pytestmark = [*needs_az]

GROUP_MEMBERS = {"id", "location", "managedBy", "name", "properties", "tags", "type"}


def test_a_group_from_creation_to_deletion(az: Shell) -> None:
    made = az.json("az group create --name myResourceGroup --location eastus")
    assert set(made) == GROUP_MEMBERS
    subscription = az.lab.endpoints.subscription_id
    assert made["id"] == f"/subscriptions/{subscription}/resourceGroups/myResourceGroup"
    assert made["properties"] == {"provisioningState": "Succeeded"}
    assert az.json("az group create --name MYRESOURCEGROUP --location eastus")["name"] == "myResourceGroup"
    assert "InvalidResourceGroupLocation" in az.refused("az group create -n myResourceGroup -l westus", 1)
    assert az.json("az group exists -n myresourcegroup") is True
    assert az("az group show --name myResourceGroup --query id -o tsv").strip() == made["id"]
    az("az group update -n myResourceGroup --tags env=lab; az group update -n myResourceGroup --set tags.team=a")
    assert az.json("az group list --tag env=lab --query '[].tags'") == [{"env": "lab", "team": "a"}]
    assert "myResourceGroup  eastus" in az("az group list -o table")
    az("az identity create -n inside -g myResourceGroup; az group delete -n myResourceGroup --yes")
    assert az.json("az group exists -n myResourceGroup") is False
    said = az.refused("az group show -n myResourceGroup", 3)
    assert "(ResourceGroupNotFound) Resource group 'myResourceGroup' could not be found." in said
    assert az.refused("az group delete -n myResourceGroup --yes", 3)


def test_a_wrong_command_line_is_azs_own_refusal(az: Shell) -> None:
    assert "required" in az.refused("az group create -n x", 2)
    assert "misspelled or not recognized" in az.refused("az grupo list", 2)


def test_tags_are_set_merged_replaced_and_deleted(az: Shell) -> None:
    scope = az("az group create -n tagged -l eastus --query id -o tsv").strip()
    tags = az.json(f"az tag create --resource-id {scope} --tags a=1 b=2")
    assert set(tags) >= {"id", "name", "properties", "type"}
    assert (tags["name"], tags["type"]) == ("default", "Microsoft.Resources/tags")
    assert tags["properties"] == {"tags": {"a": "1", "b": "2"}}
    update = f"az tag update --resource-id {scope} --query properties.tags"
    assert az.json(f"{update} --operation Merge --tags b=3 c=4") == {"a": "1", "b": "3", "c": "4"}
    assert az.json(f"{update} --operation Delete --tags c=4") == {"a": "1", "b": "3"}
    assert az.json(f"{update} --operation Replace --tags d=5") == {"d": "5"}
    assert az.json("az group show -n tagged --query tags") == {"d": "5"}
    az(f"az tag delete --resource-id {scope} --yes")
    assert az.json(f"az tag list --resource-id {scope} --query properties.tags") == {}
    assert "NotImplemented" in az.refused("az tag list", 1)


def test_resources_are_found_shown_tagged_and_deleted(az: Shell) -> None:
    az("az group create -n things -l norwayeast")
    kind = "--resource-type Microsoft.ManagedIdentity/userAssignedIdentities"
    made = az.json(f"az resource create -g things -n one {kind} --properties '{{}}'")
    assert made["properties"]["tenantId"] == az.lab.endpoints.tenant_id
    az(f"az resource tag --ids {made['id']} --tags kind=thing")
    assert az.json("az resource list --tag kind=thing --query '[].id'") == [made["id"]]
    assert az.json("az resource list --tag kind --query '[].id'") == [made["id"]]
    assert az.json("az resource list -g things --query '[].name'") == ["one"]
    assert az.json(f"az resource list {kind} --location norwayeast --query '[].name'") == ["one"]
    assert az.json(f"az resource show --ids {made['id']} --query tags") == {"kind": "thing"}
    az(f"az resource update -g things -n one {kind} --set tags.more=1")
    assert az.json(f"az resource show -g things -n one {kind} --query tags.more") == "1"
    az(f"az resource delete --ids {made['id']}")
    assert "ResourceNotFound" in az.refused(f"az resource show --ids {made['id']}", 3)
    assert "ResourceGroupNotFound" in az.refused("az resource list -g nowhere", 3)


def test_a_preview_feature_is_registered_and_taken_back(az: Shell) -> None:
    # Not the one that clusters with pod identity need: others in this lab may have registered that.
    feature = "--namespace Microsoft.ContainerService --name AKS-ExtensionManager"
    registering = az.json(f"az feature register {feature}")
    assert set(registering) == {"id", "name", "properties", "type"}
    assert registering["name"] == "Microsoft.ContainerService/AKS-ExtensionManager"
    assert registering["properties"] == {"state": "Registering"}
    wait = f'until [ "$(az feature show {feature} --query properties.state -o tsv)" = Registered ]; do sleep 0.1; done'
    az(wait)
    table = az("az feature list --namespace Microsoft.ContainerService -o table").splitlines()
    assert table[0].split() == ["Name", "RegistrationState"]
    assert ["Microsoft.ContainerService/AKS-ExtensionManager", "Registered"] in [row.split() for row in table[2:]]
    assert az.json(f"az feature unregister {feature}")["properties"]["state"] in ("Unregistering", "Unregistered")


def test_providers_are_registered(az: Shell) -> None:
    az("az provider register --namespace Microsoft.KeyVault --wait")
    shown = az.json("az provider show -n Microsoft.KeyVault")
    assert {"id", "namespace", "registrationPolicy", "registrationState", "resourceTypes"} <= set(shown)
    assert shown["registrationState"] == "Registered"
    assert "vaults" in [kind["resourceType"] for kind in shown["resourceTypes"]]
    assert "Microsoft.ManagedIdentity" in az.json("az provider list --query '[].namespace'")
    assert "InvalidResourceNamespace" in az.refused("az provider show -n Acme.Shop", 3)
