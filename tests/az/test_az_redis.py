"""`az redis` and `az network`, as walkthrough 2 needs them."""

from tests.shell import Shell
from tests.stock_az import needs_az

pytestmark = [*needs_az]


def test_a_cache_with_its_host_name_and_keys(az: Shell) -> None:
    az("az group create -n caches -l eastus")
    where = "-n podpass-az-vote -g caches"
    made = az.json(
        f"az redis create {where} -l eastus --sku Basic --vm-size c0 --redis-version 6 --enable-non-ssl-port"
    )
    assert (made["hostName"], made["port"]) == ("podpass-az-vote.redis.cache.windows.net", 6379)
    assert (made["provisioningState"], made["enableNonSslPort"]) == ("Succeeded", True)
    keys = az.json(f"az redis list-keys {where}")
    assert set(keys) == {"primaryKey", "secondaryKey"}
    again = az.json(f"az redis regenerate-keys {where} --key-type Primary")
    assert again["primaryKey"] != keys["primaryKey"]
    assert again["secondaryKey"] == keys["secondaryKey"]
    assert "podpass-az-vote" in az.json("az redis list -g caches --query '[].name'")
    az(f"az redis delete {where} --yes")
    assert "ResourceNotFound" in az.refused(f"az redis show {where}", 3)
