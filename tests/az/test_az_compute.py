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
