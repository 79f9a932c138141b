"""A lab whose clouds were filled by requests is exported, and a new one made from the file is the same."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from podpass.lab.demo.client import Operator
from podpass.lab.environment import LabPaths
from tests.running_lab import RunningLab

GROUP = "/resourceGroups/shop"
PROVIDERS = f"{GROUP}/providers"


async def fill(operator: Operator) -> None:
    subscription = f"/subscriptions/{operator.endpoints.subscription_id}"

    async def put(path: str, version: str, **content: Any) -> Any:
        return await operator.arm("PUT", f"{subscription}{path}", version, {"location": "eastus", **content})

    await put(GROUP, "2024-11-01", tags={"team": "payments"})
    path = f"{PROVIDERS}/Microsoft.ManagedIdentity/userAssignedIdentities/orders"
    identity = await put(path, "2024-11-30")
    trusted = {"issuer": operator.endpoints.issuer, "subject": "system:serviceaccount:shop:orders"}
    credential = {**trusted, "audiences": ["api://AzureADTokenExchange"]}
    await put(f"{path}/federatedIdentityCredentials/in-shop", "2024-11-30", properties=credential)
    assigned = {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {identity["id"]: {}}}
    await put(f"{PROVIDERS}/Microsoft.Compute/virtualMachines/agent", "2024-11-01", identity=assigned)
    cache = {"sku": {"name": "Basic", "family": "C", "capacity": 0}}
    await put(f"{PROVIDERS}/Microsoft.Cache/redis/votes-export", "2024-11-01", properties=cache)
    policy = {
        "tenantId": operator.endpoints.tenant_id,
        "objectId": identity["properties"]["principalId"],
        "permissions": {"secrets": ["get"], "keys": ["sign"]},
    }
    vault = {
        "tenantId": operator.endpoints.tenant_id,
        "sku": {"family": "A", "name": "premium"},
        "enableRbacAuthorization": True,
        "accessPolicies": [policy],
        "softDeleteRetentionInDays": 30,
    }
    made = await put(f"{PROVIDERS}/Microsoft.KeyVault/vaults/kv-export", "2024-11-01", properties=vault)
    await operator.assign(made["id"], "Reader", identity["properties"]["principalId"])
    lock = {"properties": {"level": "CanNotDelete"}}
    await operator.arm("PUT", f"{made['id']}/providers/Microsoft.Authorization/locks/keep", "2020-05-01", lock)


def test_a_lab_filled_by_requests_is_recreated_from_its_export(podpass: Callable[..., Any], tmp_path: Path) -> None:
    file, again = tmp_path / "exported.yaml", tmp_path / "again.yaml"
    for lab, given in (("first", ()), ("second", ("--scenario", str(file)))):
        assert podpass("lab", "up", "--name", lab, *given).returncode == 0
        try:
            if lab == "first":
                RunningLab(LabPaths.of(lab, home=tmp_path), tmp_path).operate(fill)
            target = file if lab == "first" else again
            done = podpass("lab", "export", "--name", lab, "--output", str(target))
            assert (done.returncode, done.stdout) == (0, "")
        finally:
            assert podpass("lab", "reset", "--name", lab, "--yes").returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    remarks = [line for line in file.read_text().splitlines() if line.startswith("#")]
    assert remarks[2:] == ["# kv-export: 1 access policies without effect are not said."]
    assert [line for line in file.read_text().splitlines() if line not in remarks] == [
        line for line in again.read_text().splitlines() if not line.startswith("#")
    ]
    assert "operator" not in file.read_text()


def test_values_of_secrets_go_to_no_terminal(podpass: Callable[..., Any]) -> None:
    done = podpass("lab", "export", "--with-secret-values")
    assert done.returncode == 1
    assert "PP505" in done.stderr
