"""`az network vnet`: networks and subnets, in which nothing runs."""

from tests.shell import Shell
from tests.stock_az import needs_az

pytestmark = [*needs_az]
SUBNET = "-g networks --vnet-name net"


def test_a_network_and_its_subnets(az: Shell) -> None:
    # Few commands: nothing of az takes as long to load as its commands on networks.
    az("az group create -n networks -l westeurope")
    create = "az network vnet create -g networks -n net --address-prefixes 10.0.0.0/8"
    made = az.json(f"{create} --subnet-name nodes --subnet-prefixes 10.240.0.0/16")["newVNet"]
    assert [one["name"] for one in made["subnets"]] == ["nodes"]
    az(f"az network vnet subnet create {SUBNET} -n pods --address-prefixes 10.241.0.0/16")
    overlap = f"az network vnet subnet create {SUBNET} -n third --address-prefixes 10.241.1.0/24"
    assert "(NetcfgSubnetRangesOverlap)" in az.refused(overlap, 1)
    az("az network vnet update -g networks -n net --set tags.a=b")
    shown = az.json("az network vnet show -g networks -n net --query '[tags, subnets[].name]'")
    assert shown == [{"a": "b"}, ["nodes", "pods"]]
    az(f"az network vnet subnet delete {SUBNET} -n pods; az network vnet delete -g networks -n net")
