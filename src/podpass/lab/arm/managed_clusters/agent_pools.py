"""Agent pools as resources of their own. They are kept as members of their cluster, and every change to one is a
change to it.

Contract: Azure HTTP surface, section 4.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from podpass.lab.arm import errors, long_running, preconditions
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.managed_clusters import cluster as clusters
from podpass.lab.arm.managed_clusters import hosted, node_group, pod_identity, pools
from podpass.lab.arm.managed_clusters.bodies import read_pool, without_nulls
from podpass.lab.arm.managed_clusters.names import POOLS, TYPE
from podpass.lab.arm.model import Answer, Call, Operation, Resource, decoded_json


def _read(estate: Estate, call: Call) -> Answer:
    if call.address.tail:
        cluster = estate.require(call.address.id)
        return Answer(200, items=tuple(_shown(cluster, pool) for pool in _pools(estate, cluster)))
    cluster = estate.require(call.address.id.parent)
    return Answer(200, _shown(cluster, _require(estate, call, cluster)))


def _put(estate: Estate, call: Call) -> Answer:
    cluster = _changeable(estate, call)
    content = decoded_json(call.body)
    given = content.get("properties") if isinstance(content, dict) else None
    if not isinstance(given, Mapping):
        raise errors.invalid_content("Expected `object` - at `$.properties`")
    name = call.address.id.name
    wanted = {**without_nulls(dict(given)), "name": name}
    present = {pool["name"]: pool for pool in cluster.properties["agentPoolProfiles"]}
    profile = cluster.properties.get("podIdentityProfile") or {}
    if profile.get("enabled"):
        pod_identity.check_pools([read_pool(wanted)])
    most = next(iter(present.values()))["maxPods"]
    before = present.get(name.lower())
    preconditions.check(call, None if before is None else preconditions.tag(before))
    made = pools.filled({**wanted, "name": before["name"] if before else name}, before, default_max_pods=most)
    after = {**present, made["name"]: made}
    changed, headers = _keep(estate, call, cluster, list(after.values()))
    shown = next(pool for pool in _pools(estate, changed) if pool["name"] == made["name"])
    return Answer(201 if before is None else 200, _shown(changed, shown), headers=headers)


def _delete(estate: Estate, call: Call) -> Answer:
    cluster = _changeable(estate, call)
    name = call.address.id.name.lower()
    present = {pool["name"]: pool for pool in cluster.properties["agentPoolProfiles"]}
    before = present.pop(name, None)
    preconditions.check(call, None if before is None else preconditions.tag(before))
    if before is None:
        return Answer(204)
    _, headers = _keep(estate, call, cluster, list(present.values()))
    return Answer(202, headers=headers)


def _changeable(estate: Estate, call: Call) -> Resource:
    cluster = estate.require(call.address.id.parent)
    clusters.require_idle(estate, cluster, "updating")
    return cluster


def _keep(
    estate: Estate, call: Call, cluster: Resource, wanted: list[dict[str, Any]]
) -> tuple[Resource, tuple[tuple[str, str], ...]]:
    pools.check_all(wanted)
    with estate.store.transaction():
        changes = clusters.pool_changes(cluster.properties["agentPoolProfiles"], wanted)
        changed = replace(
            cluster,
            properties={**cluster.properties, "agentPoolProfiles": wanted},
            hidden={**cluster.hidden, "pools": changes},
            busy="Updating",
        )
        seconds = hosted.seconds_to_write(estate, changed)
        ends = None if seconds is None else estate.clock.now() + seconds
        changed = node_group.settle(estate, replace(changed, busy_until=ends), cluster)
        estate.keep(changed)
        hosted.want(estate, changed)
        headers = long_running.begin(estate, changed, call)
    return changed, headers


def _pools(estate: Estate, cluster: Resource) -> list[dict[str, Any]]:
    return clusters.shown_pools(cluster, busy=cluster.is_busy(estate.clock.now()))


def _require(estate: Estate, call: Call, cluster: Resource) -> dict[str, Any]:
    wanted = call.address.id
    for pool in _pools(estate, cluster):
        if pool["name"] == wanted.name.lower():
            return pool
    raise errors.resource_not_found(POOLS, f"{cluster.name}/{wanted.name}", wanted.group)


def _shown(cluster: Resource, pool: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"{cluster.id}/agentPools/{pool['name']}",
        "name": pool["name"],
        "type": POOLS,
        "properties": {name: value for name, value in pool.items() if name != "name"},
    }


OPERATIONS = (
    Operation(method="GET", path=POOLS, action=f"{POOLS}/read", list_action=f"{TYPE}/agentPools/read", run=_read),
    Operation(method="PUT", path=POOLS, action=f"{POOLS}/write", run=_put),
    Operation(method="DELETE", path=POOLS, action=f"{POOLS}/delete", run=_delete),
)
