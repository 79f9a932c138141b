"""Which versions of Kubernetes there are: the one that the lab's clusters are, and none to go to.

Contract: Azure HTTP surface, section 4.2.
"""

from typing import Any

from podpass.lab.arm.errors import location_not_available
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.managed_clusters.names import NAMESPACE, POOLS, TYPE
from podpass.lab.arm.model import LOCATIONS, Answer, Call, Operation, location_name
from podpass.lab.cluster.discovery import VERSION

CURRENT = str(VERSION["gitVersion"]).removeprefix("v")
MINOR = CURRENT.rpartition(".")[0]


def chosen(wanted: str | None, kept: str | None) -> str | None:
    """What to keep of a version that was asked for, `1.37` or empty for the newest; None when it is not supported.

    *kept* is what was kept before: a cluster that an older podpass made has since become what it is now.
    """
    if wanted in (None, "", kept):
        return kept if kept in (MINOR, CURRENT) else CURRENT
    return wanted if wanted in (MINOR, CURRENT) else None


def _versions(estate: Estate, call: Call) -> Answer:
    del estate
    location = call.address.id.name
    if location_name(location) not in LOCATIONS:
        raise location_not_available(location, f"{NAMESPACE}/locations/kubernetesVersions", ",".join(LOCATIONS))
    version = {
        "version": MINOR,
        "isDefault": True,
        "capabilities": {"supportPlan": ["KubernetesOfficial"]},
        "patchVersions": {CURRENT: {"upgrades": []}},
    }
    return Answer(200, {"values": [version]})


def _cluster_upgrades(estate: Estate, call: Call) -> Answer:
    cluster = estate.require(call.address.id.parent)
    # az prints a table of it only where there is a list, be it empty.
    properties = {
        "controlPlaneProfile": {
            "name": "master",
            "kubernetesVersion": cluster.properties["currentKubernetesVersion"],
            "osType": "Linux",
            "upgrades": [],
        },
        "agentPoolProfiles": [
            {
                "name": pool["name"],
                "kubernetesVersion": pool["currentOrchestratorVersion"],
                "osType": pool["osType"],
                "upgrades": [],
            }
            for pool in cluster.properties["agentPoolProfiles"]
        ],
    }
    return Answer(200, _profile(call, f"{TYPE}/upgradeprofiles", properties))


def _pool_upgrades(estate: Estate, call: Call) -> Answer:
    estate.require(call.address.id.parent.parent)
    properties = {"kubernetesVersion": CURRENT, "osType": "Linux", "upgrades": []}
    return Answer(200, _profile(call, f"{POOLS}/upgradeProfiles", properties))


def _profile(call: Call, resource_type: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"id": str(call.address.id), "name": "default", "type": resource_type, "properties": properties}


OPERATIONS = (
    Operation(
        method="GET",
        path=f"{NAMESPACE}/locations/kubernetesVersions",
        action=f"{NAMESPACE}/locations/kubernetesVersions/read",
        run=_versions,
    ),
    Operation(
        method="GET",
        path=f"{TYPE}/upgradeProfiles",
        action=f"{TYPE}/upgradeProfiles/read",
        run=_cluster_upgrades,
    ),
    Operation(
        method="GET",
        path=f"{POOLS}/upgradeProfiles",
        action=f"{POOLS}/upgradeProfiles/read",
        run=_pool_upgrades,
    ),
)
