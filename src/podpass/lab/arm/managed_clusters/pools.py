"""Node pools as values: what they may be, and what the service fills in.

Contract: Azure HTTP surface, section 4.2; walkthroughs, W3.1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from podpass.lab.arm.managed_clusters import gaps, refusals, versions
from podpass.lab.arm.managed_clusters.bodies import Pool, read_pool
from podpass.lab.arm.managed_clusters.names import POOL_NAME

MAX_COUNT = 1000
MAX_POOLS = 100
SYSTEM = "System"

_READ_ONLY = frozenset(
    {
        "provisioningState",
        "currentOrchestratorVersion",
        "nodeImageVersion",
        "eTag",
        "status",
        "virtualMachineNodesStatus",
    }
)
_FIXED = ("vmSize", "osType", "type", "maxPods", "osDiskSizeGB", "osDiskType", "enableFIPS")
"""What a pool keeps for life; `enableFIPS` and the disk could be changed in Azure by a new image."""


def filled(given: Mapping[str, Any], before: Mapping[str, Any] | None, *, default_max_pods: int) -> dict[str, Any]:
    """The pool that *given* asks for, over what it was *before*. Raises ArmError."""
    pool = read_pool(dict(given))
    kept = {name: value for name, value in given.items() if name not in _READ_ONLY and value != ""}
    if before is None:
        _check_name(pool.name or "")
    else:
        _check_fixed(kept, before)
    gaps.check_pool(kept)
    version = versions.chosen(pool.orchestrator_version, (before or {}).get("orchestratorVersion"))
    if version is None:
        raise refusals.pool_version_not_supported(pool.orchestrator_version or "")
    wanted: dict[str, Any] = {
        "count": 1,
        "vmSize": "Standard_D8ds_v5",
        "osDiskSizeGB": 128,
        "osDiskType": "Managed",
        "maxPods": default_max_pods,
        "type": "VirtualMachineScaleSets",
        "enableFIPS": False,
        "mode": "User",
        "osType": "Linux",
        "osSKU": "Ubuntu",
        **(before or {}),
        **kept,
        "orchestratorVersion": version,
        "currentOrchestratorVersion": versions.CURRENT,
        "powerState": {"code": "Running"},
    }
    if wanted["osDiskSizeGB"] == 0:
        wanted["osDiskSizeGB"] = 128
    _check_size(wanted)
    return wanted


def check_all(pools: Sequence[Mapping[str, Any]]) -> None:
    """The rules for all pools of a cluster together. Raises ArmError."""
    names = [pool["name"] for pool in pools]
    if len(set(names)) != len(names):
        raise refusals.parameter("agentPoolProfiles", "The names of agent pools must be unique.")
    if len(pools) > MAX_POOLS:
        raise refusals.parameter("agentPoolProfiles", f"A cluster can have at most {MAX_POOLS} agent pools.")
    if not any(pool["mode"] == SYSTEM for pool in pools):
        raise refusals.no_system_pool()


def can_have_pod_identities(pool: Pool) -> bool:
    """Whether its pods can: Linux, on a scale set."""
    return (pool.os_type or "Linux").lower() == "linux" and (
        pool.type or "VirtualMachineScaleSets"
    ).lower() == "virtualmachinescalesets"


def _check_name(name: str) -> None:
    if POOL_NAME.fullmatch(name) is None:
        raise refusals.parameter("agentPoolProfile.name")


def _check_fixed(given: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    for name in _FIXED:
        if name in given and str(given[name]).lower() != str(before.get(name)).lower():
            if name == "osDiskSizeGB" and given[name] == 0:
                continue
            raise refusals.fixed(f"agentPoolProfile.{name}")


def _check_size(pool: Mapping[str, Any]) -> None:
    least = 1 if pool["mode"] == SYSTEM else 0
    if not least <= pool["count"] <= MAX_COUNT:
        raise refusals.parameter(
            "agentPoolProfile.count",
            f"The count of a {pool['mode']} agent pool must be from {least} to {MAX_COUNT}.",
        )
    if not 10 <= pool["maxPods"] <= 250:
        raise refusals.parameter("agentPoolProfile.maxPods", "maxPods must be from 10 to 250.")
