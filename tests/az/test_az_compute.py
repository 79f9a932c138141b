"""`az vm` and `az vmss`, as the walkthroughs look at them."""

from tests.shell import Shell
from tests.stock_az import needs_az

pytestmark = [*needs_az]


def test_a_machine_is_listed_with_its_identities_and_gets_another(az: Shell) -> None:
    (machine,) = az.json("az vm list")
    assert (machine["name"], machine["resourceGroup"]) == ("build-agent", "shop")
    before = az.json("az vm identity show -g shop -n build-agent")
    assert before["type"] == "SystemAssigned, UserAssigned"
    az("az vm identity assign -g shop -n build-agent --identities reports")
    held = az.json("az vm show -g shop -n build-agent --query 'keys(identity.userAssignedIdentities)'")
    assert sorted(one.rpartition("/")[2] for one in held) == ["orders", "reports"]
    az("az vm identity remove -g shop -n build-agent --identities reports")
    held = az.json("az vm show -g shop -n build-agent --query 'keys(identity.userAssignedIdentities)'")
    assert [one.rpartition("/")[2] for one in held] == ["orders"]


def test_no_scale_sets_is_an_empty_list(az: Shell) -> None:
    assert az.json("az vmss list") == []
    assert "ResourceNotFound" in az.refused("az vmss show -g shop -n none", 3)


def test_a_machine_says_that_it_runs(az: Shell) -> None:
    (machine,) = az.json("az vm list -g shop --show-details")
    assert (machine["name"], machine["powerState"], machine["privateIps"]) == ("build-agent", "VM running", "")
    assert az.json("az vm show -g shop -n build-agent -d --query powerState") == "VM running"


def test_a_scale_set_gets_identities_and_loses_them(az: Shell) -> None:
    az("az group create -n sets -l eastus; az identity create -n worker -g sets")
    group = '"https://management.azure.com/subscriptions/$PODPASS_SUBSCRIPTION_ID/resourceGroups/sets'
    url = f'{group}/providers/Microsoft.Compute/virtualMachineScaleSets/pool?api-version=2024-11-01"'
    content = '{"location": "eastus", "sku": {"name": "Standard_D2s_v3", "capacity": 2}, "properties": {}}'
    az(f"az rest --method put --url {url} --body '{content}'")
    assert az.json("az vmss list -g sets --query '[].sku.capacity'") == [2]
    assert az.json("az vmss list-instances -g sets -n pool --query '[].instanceId'") == ["0", "1"]
    worker = az("az identity show -n worker -g sets --query id -o tsv").strip()
    identity = f"az vmss identity {{}} -g sets -n pool --identities {worker}"
    az(identity.format("assign"))
    az("az vmss identity assign -g sets -n pool")
    assert az.json("az vmss identity show -g sets -n pool")["type"] == "SystemAssigned, UserAssigned"
    az(identity.format("remove"))
    assert az.json("az vmss identity show -g sets -n pool")["type"] == "SystemAssigned"
    az("az vmss identity remove -g sets -n pool --identities [system]")
    az("az vmss scale -g sets -n pool --new-capacity 3; az vmss update -g sets -n pool --set tags.a=b")
    assert az.json("az vmss show -g sets -n pool --query '[sku.capacity, tags]'") == [3, {"a": "b"}]
    az("az vmss delete -g sets -n pool")
