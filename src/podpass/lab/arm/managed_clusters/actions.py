"""Start, stop, new signing keys, and the credentials of a cluster.

Contract: Azure HTTP surface, sections 4 and 4.2.
"""

import base64
from dataclasses import replace
from typing import Any

from podpass.lab.arm import errors, long_running
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.managed_clusters import hosted, refusals
from podpass.lab.arm.managed_clusters.cluster import require_idle
from podpass.lab.arm.managed_clusters.names import TYPE
from podpass.lab.arm.model import Answer, Call, Operation, Resource


def _start(estate: Estate, call: Call) -> Answer:
    return _power(estate, call, "Running", "Starting", "starting")


def _stop(estate: Estate, call: Call) -> Answer:
    return _power(estate, call, "Stopped", "Stopping", "stopping")


def _power(estate: Estate, call: Call, wanted: str, state: str, word: str) -> Answer:
    cluster = estate.require(call.address.id)
    require_idle(estate, cluster)
    present = cluster.properties["powerState"]["code"]
    if present == wanted:
        raise refusals.wrong_state(cluster.provisioning_state(estate.clock.now()), present, word)
    properties = {**cluster.properties, "powerState": {"code": wanted}}
    return _changed(estate, call, replace(cluster, properties=properties, busy=state))


def _rotate_signing_keys(estate: Estate, call: Call) -> Answer:
    cluster = estate.require(call.address.id)
    require_idle(estate, cluster, "rotating")
    if not cluster.properties["oidcIssuerProfile"]["enabled"]:
        raise refusals.issuer_needed("Rotating the service account signing keys")
    hidden = {**cluster.hidden, "key_generation": cluster.hidden["key_generation"] + 1}
    return _changed(estate, call, replace(cluster, hidden=hidden, busy="Updating"))


def _changed(estate: Estate, call: Call, cluster: Resource) -> Answer:
    """Keep the cluster as it is to become, and answer how that can be followed."""
    with estate.store.transaction():
        cluster = replace(cluster, busy_until=None, failure=None, hidden={**cluster.hidden, "pools": {}})
        estate.keep(cluster)
        headers = long_running.begin(estate, cluster, call)
        hosted.want(estate, cluster)
    return Answer(202, headers=headers)


def _user_credential(estate: Estate, call: Call) -> Answer:
    return _credential(estate, call, admin=False)


def _admin_credential(estate: Estate, call: Call) -> Answer:
    cluster = estate.require(call.address.id)
    if cluster.properties["disableLocalAccounts"]:
        raise errors.bad_request(
            "Getting static credential is not allowed because this cluster is set to disable local accounts."
        )
    return _credential(estate, call, admin=True)


def _credential(estate: Estate, call: Call, *, admin: bool) -> Answer:
    cluster = estate.require(call.address.id)
    guid = cluster.hidden["guid"]
    try:
        text = estate.cluster_host.kubeconfig(guid, admin=admin)
    except KeyError:
        raise ArmError(404, "ControlPlaneNotFound", f"Could not find control plane with id: {guid}") from None
    name = "clusterAdmin" if admin else "clusterUser"
    return Answer(200, {"kubeconfigs": [{"name": name, "value": base64.b64encode(text.encode()).decode()}]})


def _post(verb: str, run: Any) -> Operation:
    return Operation(method="POST", path=f"{TYPE}/{verb}", action=f"{TYPE}/{verb}/action", run=run)


OPERATIONS = (
    _post("start", _start),
    _post("stop", _stop),
    _post("rotateServiceAccountSigningKeys", _rotate_signing_keys),
    _post("listClusterUserCredential", _user_credential),
    _post("listClusterAdminCredential", _admin_credential),
)
