"""`az redis`: a cache from create to delete, as walkthrough 2 needs it, and what is in it by its keys."""

import time

import pytest

from podpass.lab.redis.driver import find_server
from tests.shell import Shell
from tests.stock_az import needs_az

pytestmark = [
    *needs_az,
    pytest.mark.skipif(find_server() is None, reason="redis-server is not installed"),
]
CACHE = "-g caches -n az-votes"
PRIMARY = "--key-type Primary"
SECONDS = 10.0


def port(az: Shell) -> int:
    """Of the host's loopback, once the cache answers there without TLS."""
    deadline = time.monotonic() + SECONDS
    while True:
        found = [one for one in az.lab.control.status()["caches"] if one["name"] == "az-votes"]
        if found and "port" in found[0]:
            return int(found[0]["port"])
        assert time.monotonic() < deadline, "the cache does not answer"


def test_a_cache_from_create_to_delete(az: Shell) -> None:
    az("az group create -n caches -l westeurope")
    create = f"az redis create {CACHE} -l westeurope --sku Basic --vm-size c0 --redis-version 6 --enable-non-ssl-port"
    made = az.json(create)
    assert (made["provisioningState"], made["hostName"], made["port"], made["sslPort"]) == (
        "Succeeded",
        "az-votes.redis.cache.windows.net",
        6379,
        6380,
    )
    assert made["accessKeys"] is None
    assert az.json("az redis list -g caches --query '[].name'") == ["az-votes"]
    key = f'REDISCLI_AUTH="$(az redis list-keys {CACHE} --query primaryKey -o tsv)"'
    assert az(f"{key} redis-cli -p {port(az)} incr cats").strip() == "1"
    before, after = (
        az.json(f"az redis {what}") for what in (f"list-keys {CACHE}", f"regenerate-keys {CACHE} {PRIMARY}")
    )
    assert [name for name in before if before[name] != after[name]] == ["primaryKey"]
    assert az(f"{key} redis-cli -p {port(az)} get cats").strip() == "1"
    az(f"az redis update {CACHE} --sku Standard --vm-size c1")
    az(f"az redis flush {CACHE} --yes")
    assert az(f"{key} redis-cli -p {port(az)} get cats").strip() == ""
    az(f"az redis identity assign {CACHE} --mi-system-assigned")
    assert az.json(f"az redis identity show {CACHE}")["type"] == "SystemAssigned"
    az(f"az redis update {CACHE} --set enableNonSslPort=false")
    assert az.json(f"az redis show {CACHE}")["enableNonSslPort"] is False
    az(f"az redis delete {CACHE} --yes")
    assert "ResourceNotFound" in az.refused(f"az redis show {CACHE}", 3)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (
            "az redis create -g refused-caches -n a--b -l westeurope --sku Basic --vm-size c0",
            "InvalidResourceName",
        ),
        ("az redis firewall-rules list -g refused-caches -n none", "NotImplemented"),
    ],
)
def test_what_is_refused(az: Shell, line: str, code: str) -> None:
    az("az group create -n refused-caches -l westeurope")
    assert f"({code})" in az.refused(line, 1)
