"""What a request makes of a managed cluster: checked, filled in with the service's defaults, and how it is shown.

Contract: Azure HTTP surface, section 4.2.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from podpass.azure.resourceids import resource_group
from podpass.lab.arm import errors, resource_identity
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.managed_clusters import gaps, identities, names, pod_identity, pools, refusals, versions
from podpass.lab.arm.managed_clusters.bodies import (
    ClusterBody,
    PodIdentityProfile,
    Pool,
    Properties,
    read,
    without_nulls,
)
from podpass.lab.arm.managed_clusters.names import TYPE
from podpass.lab.arm.model import Draft, Resource, Shaped, location_name
from podpass.lab.arm.preconditions import tag
from podpass.lab.node.addresses import DNS_ADDRESS, PODS_RANGE, SERVICES_RANGE

READ_ONLY = frozenset(
    {
        "provisioningState",
        "powerState",
        "maxAgentPools",
        "currentKubernetesVersion",
        "fqdn",
        "privateFQDN",
        "azurePortalFQDN",
        "resourceUID",
        "privateLinkResources",
        "status",
        "eTag",
    }
)
_MAX_PODS = {"azure": 30, "kubenet": 110, "none": 250, "overlay": 250}


def shape(estate: Estate, draft: Draft) -> Shaped:
    """The cluster to keep. Raises ArmError."""
    body: ClusterBody = draft.body
    existing = draft.existing
    before: Mapping[str, Any] = existing.properties if existing else {}
    properties = without_nulls(body.properties)
    given = read(properties)
    if existing is not None and draft.principal_id:
        require_idle(estate, existing, "updating")
    # Whoever asks for pod identities on nodes that can't have them is told so, whatever else the lab has not.
    identity = resource_identity.shape(estate, draft, body.identity, TYPE)
    kinds = identities.check(estate, draft, given, identity)
    guid = existing.hidden["guid"] if existing else str(uuid.UUID(draft.stated.get("guid") or uuid.uuid4().hex))
    location = existing.location if existing else location_name(body.location or "")
    network = _network(properties.get("networkProfile") or {}, before.get("networkProfile") or {}, new=not before)
    podded = _pod_identities(estate, draft, given, network, identity if kinds else None)
    gaps.check(properties)
    if (body.sku.name if body.sku else "Base") == "Automatic":
        raise errors.not_emulated("AKS Automatic")
    dns_prefix = _dns_prefix(given, before)
    version = versions.chosen(given.kubernetes_version, before.get("kubernetesVersion"))
    if version is None:
        raise refusals.version_not_supported(draft.id.name, given.kubernetes_version or "")
    has_issuer, has_workload_identity = _token_profiles(given, before)
    profiles = _pools(properties.get("agentPoolProfiles"), before, network)
    wanted: dict[str, Any] = {
        "enableRBAC": True,
        "supportPlan": "KubernetesOfficial",
        "disableLocalAccounts": False,
        "addonProfiles": {},
        "storageProfile": _STORAGE,
        "maxAgentPools": pools.MAX_POOLS,
        "resourceUID": uuid.UUID(guid).hex[:24],
        **before,
        **{name: value for name, value in properties.items() if name not in READ_ONLY},
        "provisioningState": "Succeeded",
        "powerState": before.get("powerState", {"code": "Running"}),
        "kubernetesVersion": version,
        "currentKubernetesVersion": versions.CURRENT,
        "dnsPrefix": dns_prefix,
        "fqdn": names.host(dns_prefix, guid, location),
        "azurePortalFQDN": names.portal_host(dns_prefix, guid, location),
        "agentPoolProfiles": profiles,
        "networkProfile": network,
        "nodeResourceGroup": _node_group(estate, draft, given, location),
        "servicePrincipalProfile": {"clientId": identities.client_of_nodes(given, before, kinds)},
        "oidcIssuerProfile": {"enabled": has_issuer},
        "securityProfile": {
            **(before.get("securityProfile") or {}),
            **(properties.get("securityProfile") or {}),
            "workloadIdentity": {"enabled": has_workload_identity},
        },
        # The kubelet's is known once the nodes' resource group is there.
        "identityProfile": before.get("identityProfile") or identities.given_kubelet(estate, draft, given, identity),
    }
    if has_issuer:
        wanted["oidcIssuerProfile"]["issuerURL"] = names.issuer(location, draft.subscription.tenant_id, guid)
    if not has_workload_identity:
        del wanted["securityProfile"]["workloadIdentity"]
    if podded is not None:
        wanted["podIdentityProfile"] = podded.profile
    if "windowsProfile" in wanted:
        # The password is for those who set it.
        wanted["windowsProfile"] = {k: v for k, v in wanted["windowsProfile"].items() if k != "adminPassword"}
    extra: dict[str, Any] = {"sku": _sku(body, existing), "kind": "Base"}
    if identity is not None:
        extra["identity"] = identity
    return Shaped(
        properties=wanted,
        extra=extra,
        hidden={
            "guid": guid,
            "key_generation": existing.hidden["key_generation"] if existing else 0,
            "pools": pool_changes(before.get("agentPoolProfiles") or (), profiles),
        },
        failure=podded.failure if podded else None,
    )


def require_idle(estate: Estate, cluster: Resource, doing: str = "") -> None:
    """Raises ArmError while something goes on with the cluster; and while it rests, where *doing* needs it to run."""
    now = estate.clock.now()
    if cluster.is_busy(now):
        raise refusals.in_progress(cluster.busy)
    power = cluster.properties["powerState"]["code"]
    if doing and power != "Running":
        raise refusals.wrong_state(cluster.provisioning_state(now), power, doing)


def pool_changes(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """In which state each pool that changes shows while it does; one that goes, with all that it was."""
    earlier, later = {one["name"]: one for one in before}, {one["name"]: one for one in after}
    changes: dict[str, Any] = {}
    for name, pool in later.items():
        if name not in earlier:
            changes[name] = {"state": "Creating"}
        elif earlier[name] != pool:
            changes[name] = {"state": "Updating"}
    for name in earlier.keys() - later.keys():
        changes[name] = {"state": "Deleting", "pool": earlier[name]}
    return changes


def shown(resource: Resource, *, busy: bool) -> Mapping[str, Any]:
    """The properties as the service answers them, while a change goes on and after it."""
    found = {**resource.properties, "agentPoolProfiles": shown_pools(resource, busy=busy)}
    if resource.failure is not None and not busy:
        found["status"] = {"provisioningError": resource.failure}
    return found


def shown_pools(resource: Resource, *, busy: bool) -> list[dict[str, Any]]:
    changes: Mapping[str, Any] = resource.hidden["pools"] if busy else {}
    present = [
        {**pool, "eTag": tag(pool), "provisioningState": changes.get(pool["name"], {}).get("state", "Succeeded")}
        for pool in resource.properties["agentPoolProfiles"]
    ]
    leaving = [{**change["pool"], "provisioningState": "Deleting"} for change in changes.values() if change.get("pool")]
    return present + leaving


def _dns_prefix(given: Properties, before: Mapping[str, Any]) -> str:
    kept = before.get("dnsPrefix")
    if kept is not None:
        if given.dns_prefix not in (None, kept):
            raise refusals.fixed("dnsPrefix")
        return str(kept)
    wanted = given.dns_prefix or ""
    if not 1 <= len(wanted) <= 54:
        raise refusals.parameter(
            "dnsPrefix", f"DNS prefix '{wanted[:80]}' is invalid. DNS prefix must contain between 1 and 54 characters."
        )
    if names.DNS_PREFIX.fullmatch(wanted) is None:
        raise refusals.parameter(
            "dnsPrefix",
            f"DNS prefix '{wanted}' is invalid. DNS prefix must start and end with alphanumeric, and can contain "
            "alphanumeric and hyphens only.",
        )
    return wanted


def _token_profiles(given: Properties, before: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether the cluster has its issuer open to others, and the webhook of workload identity."""
    had_issuer = (before.get("oidcIssuerProfile") or {}).get("enabled")
    asked = given.oidc_issuer_profile.enabled if given.oidc_issuer_profile else None
    if had_issuer and asked is False:
        raise refusals.issuer_stays()
    # New clusters of Kubernetes 1.34 and later have it without being asked.
    has_issuer = bool(had_issuer if asked is None and had_issuer is not None else True if asked is None else asked)
    had = ((before.get("securityProfile") or {}).get("workloadIdentity") or {}).get("enabled", False)
    security = given.security_profile
    wanted = security.workload_identity.enabled if security and security.workload_identity else None
    has_workload_identity = bool(had if wanted is None else wanted)
    if has_workload_identity and not has_issuer:
        raise refusals.issuer_needed("Workload identity")
    return has_issuer, has_workload_identity


def _network(given: Mapping[str, Any], before: Mapping[str, Any], *, new: bool) -> dict[str, Any]:
    plugin, kept = given.get("networkPlugin"), before.get("networkPlugin")
    if kept is not None and plugin not in (None, kept) and (kept, plugin) != ("kubenet", "azure"):
        raise refusals.fixed("networkProfile.networkPlugin")
    network: dict[str, Any] = {
        "networkPlugin": "azure",
        "loadBalancerSku": "standard",
        "outboundType": "loadBalancer",
        "ipFamilies": ["IPv4"],
        "serviceCidr": SERVICES_RANGE,
        "serviceCidrs": [SERVICES_RANGE],
        "dnsServiceIP": DNS_ADDRESS,
        **before,
        **given,
    }
    if new and plugin is None:
        network["networkPluginMode"] = "overlay"
    if new and (network["networkPlugin"] == "kubenet" or network.get("networkPluginMode") == "overlay"):
        network = {"podCidr": PODS_RANGE, "podCidrs": [PODS_RANGE], **network}
    return network


def _pools(
    given: Sequence[Mapping[str, Any]] | None, before: Mapping[str, Any], network: Mapping[str, Any]
) -> list[dict[str, Any]]:
    most = _MAX_PODS[network.get("networkPluginMode") or network["networkPlugin"]]
    present: dict[str, Any] = {one["name"]: one for one in before.get("agentPoolProfiles") or ()}
    new = not before
    if new and not given:
        raise refusals.missing("agentPoolProfiles")
    made = dict(present)
    for one in given or ():
        name = str(one.get("name") or "")
        if not new and name not in present:
            raise refusals.pool_introduced()
        if new and name in made:
            raise refusals.parameter("agentPoolProfiles", "The names of agent pools must be unique.")
        made[name] = pools.filled(one, present.get(name), default_max_pods=most)
    found = list(made.values())
    pools.check_all(found)
    return found


def _pod_identities(
    estate: Estate,
    draft: Draft,
    given: Properties,
    network: Mapping[str, Any],
    identity: Mapping[str, Any] | None,
) -> pod_identity.Profiled | None:
    before = (draft.existing.properties.get("podIdentityProfile") if draft.existing else None) or {}
    profile = given.pod_identity_profile
    if profile is None:
        if not before:
            return None
        profile = msgspec.convert(before, PodIdentityProfile)
    present = (draft.existing.properties["agentPoolProfiles"] if draft.existing else None) or ()
    named = {pool.name: pool for pool in msgspec.convert(list(present), list[Pool])}
    named |= {pool.name: pool for pool in given.agent_pool_profiles or ()}
    return pod_identity.shaped(
        estate,
        draft,
        profile,
        network_plugin=network["networkPlugin"],
        pools=list(named.values()),
        principal_id=identities.principal(identity),
    )


def _node_group(estate: Estate, draft: Draft, given: Properties, location: str) -> str:
    wanted = given.node_resource_group
    if draft.existing is not None:
        kept = str(draft.existing.properties["nodeResourceGroup"])
        if wanted is not None and wanted.lower() != kept.lower():
            raise refusals.fixed("nodeResourceGroup")
        return kept
    name = wanted or names.node_group(draft.id.group, draft.id.name, location)
    if name.lower() == draft.id.group.lower():
        raise refusals.node_group_is_own(name, draft.id.group)
    if estate.get(resource_group(draft.subscription.id, name)) is not None:
        raise refusals.node_group_exists(name, draft.subscription.id)
    return name


def _sku(body: ClusterBody, existing: Resource | None) -> dict[str, str]:
    if body.sku is None:
        return dict(existing.extra["sku"]) if existing else {"name": "Base", "tier": "Free"}
    # The names before 2023.
    name = "Base" if body.sku.name == "Basic" else body.sku.name
    return {"name": name, "tier": "Standard" if body.sku.tier == "Paid" else body.sku.tier}


_STORAGE = {
    "diskCSIDriver": {"enabled": True},
    "fileCSIDriver": {"enabled": True},
    "snapshotController": {"enabled": True},
}
