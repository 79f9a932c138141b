"""The profile of pod identities: what it may say, and whether the cluster may assign what it names.

The objects that it stands for in the cluster are made by whoever runs it.
Contract: pod identity, sections 6, 6.1 and 6.2; walkthroughs, W2.2, W3.1, W3.5 and W3.8.
"""

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from podpass.azure.resourceids import USER_ASSIGNED_IDENTITIES
from podpass.kube.names import label_fault, label_value_fault, subdomain_fault
from podpass.lab.arm import features
from podpass.lab.arm.authorization import Allowed
from podpass.lab.arm.errors import ArmError, invalid_request
from podpass.lab.arm.estate import Estate, parsed_id
from podpass.lab.arm.managed_clusters import refusals
from podpass.lab.arm.managed_clusters.bodies import (
    KubeletIdentity,
    PodIdentity,
    PodIdentityException,
    PodIdentityProfile,
    Pool,
)
from podpass.lab.arm.managed_clusters.names import NAMESPACE
from podpass.lab.arm.managed_clusters.pools import can_have_pod_identities
from podpass.lab.arm.model import Draft, Resource
from podpass.lab.arm.resource_identity import ASSIGN

FEATURE = "EnablePodIdentityPreview"
MAX_IDENTITIES = 200
MAX_EXCEPTIONS = 200
_NAMES = uuid.UUID("5cf0b0d8-6c1c-4c83-9c9d-0fd0f0b0a2f5")


@dataclass(frozen=True, slots=True)
class Profiled:
    """A profile to keep."""

    profile: Mapping[str, Any]
    failure: Mapping[str, str] | None = None
    """Of the first entry that could not be assigned."""


def shaped(
    estate: Estate,
    draft: Draft,
    given: PodIdentityProfile,
    *,
    network_plugin: str,
    pools: Sequence[Pool],
    principal_id: str,
) -> Profiled:
    """The profile that *given* asks for; *principal_id* is the cluster's own, empty when it has no managed identity.

    Raises ArmError.
    """
    before: Mapping[str, Any] = (draft.existing.properties.get("podIdentityProfile") or {}) if draft.existing else {}
    if not given.enabled:
        return Profiled({"enabled": False})
    consent = given.allow_network_plugin_kubenet
    if consent is None:
        consent = bool(before.get("allowNetworkPluginKubenet"))
    if not before.get("enabled"):
        _check_feature(estate, draft)
    if not principal_id:
        raise invalid_request("PodIdentity addon requires managed identity.")
    if network_plugin == "kubenet" and not consent:
        raise invalid_request("Network plugin kubenet is not supported to use with PodIdentity addon.")
    check_pools(pools)
    identities = given.user_assigned_identities
    if draft.existing is None and identities:
        raise invalid_request(
            "PodIdentity addon does not support assigning pod identities on creation.",
            "PodIdentityAddonUserAssignedIdentitiesNotAllowedInCreation",
        )
    exceptions = given.user_assigned_identity_exceptions
    entries, failure = _entries(estate, identities, before, principal_id)
    profile: dict[str, Any] = {"enabled": True, "allowNetworkPluginKubenet": consent}
    if entries:
        profile["userAssignedIdentities"] = entries
    kept = before.get("userAssignedIdentityExceptions") if exceptions is None else _exceptions(exceptions)
    if kept:
        profile["userAssignedIdentityExceptions"] = kept
    return Profiled(profile, failure)


def check_pools(pools: Iterable[Pool]) -> None:
    """Raises ArmError unless pods of all *pools* can have pod identities."""
    if not all(can_have_pod_identities(pool) for pool in pools):
        raise invalid_request(
            "PodIdentity addon is only supported with Linux node pools backed by virtual machine scale sets."
        )


def assigned(profile: Mapping[str, Any] | None) -> list[str]:
    """The resource ids of the identities that the profile's entries have been assigned."""
    entries = (profile or {}).get("userAssignedIdentities") or ()
    return [one["identity"]["resourceId"] for one in entries if one["provisioningState"] == "Assigned"]


def _check_feature(estate: Estate, draft: Draft) -> None:
    if not features.is_registered(estate, draft.subscription.id, NAMESPACE, FEATURE):
        raise invalid_request(
            f"PodIdentity addon is not allowed since feature '{NAMESPACE}/{FEATURE}' is not enabled. Please see "
            "https://aka.ms/aks/previews for how to enable features.",
            "PodIdentityAddonFeatureFlagNotEnabled",
        )


def _entries(
    estate: Estate, given: Sequence[PodIdentity] | None, before: Mapping[str, Any], principal_id: str
) -> tuple[list[dict[str, Any]], Mapping[str, str] | None]:
    known: Sequence[Mapping[str, Any]] = before.get("userAssignedIdentities") or ()
    if given is None:
        given = [
            PodIdentity(
                name=one["name"],
                namespace=one["namespace"],
                binding_selector=one.get("bindingSelector"),
                identity=KubeletIdentity(resource_id=one["identity"]["resourceId"]),
            )
            for one in known
        ]
    if len(given) > MAX_IDENTITIES:
        raise _too_many("pod identities", MAX_IDENTITIES)
    entries: list[dict[str, Any]] = []
    failure: Mapping[str, str] | None = None
    for one in given:
        entry, fault = _entry(estate, one, known, principal_id)
        failure = failure or fault
        entries.append(entry)
    _check_unique([(one["namespace"], one["name"]) for one in entries], "pod identity")
    return entries, failure


def _entry(
    estate: Estate, given: PodIdentity, known: Sequence[Mapping[str, Any]], principal_id: str
) -> tuple[dict[str, Any], Mapping[str, str] | None]:
    identity_id = parsed_id(given.identity.resource_id or "")
    name = given.name or _made_name(str(identity_id), given.namespace)
    _check_names(name, given.namespace, "podIdentityProfile.userAssignedIdentities")
    if given.binding_selector and (fault := label_value_fault(given.binding_selector)):
        raise refusals.parameter("podIdentityProfile.userAssignedIdentities.bindingSelector", fault)
    found = estate.get(identity_id)
    if found is None or found.type != USER_ASSIGNED_IDENTITIES:
        # One that was deleted since keeps its entry, which can't be assigned any longer.
        kept = next((one for one in known if (one["namespace"], one["name"]) == (given.namespace, name)), None)
        if kept is None:
            raise invalid_request(
                f"The user assigned identity '{identity_id}' of pod identity '{given.namespace}/{name}' was not found."
            )
        identity = dict(kept["identity"])
    else:
        identity = _identity(found)
    entry: dict[str, Any] = {"name": name, "namespace": given.namespace, "identity": identity}
    if given.binding_selector:
        entry["bindingSelector"] = given.binding_selector
    allowed = found is not None and _may_assign(estate, principal_id, found)
    if allowed:
        return {**entry, "provisioningState": "Assigned"}, None
    failure = _not_assignable(identity)
    return {**entry, "provisioningState": "Failed", "provisioningInfo": {"error": {"error": failure}}}, failure


def _may_assign(estate: Estate, principal_id: str, identity: Resource) -> bool:
    return isinstance(estate.decide(principal_id=principal_id, action=ASSIGN, scope=identity.id), Allowed)


def _not_assignable(identity: Mapping[str, str]) -> dict[str, str]:
    described = " - ".join(f"{name}: {identity[name]}" for name in ("resourceId", "clientId", "objectId"))
    return {
        "code": "PodIdentityAddonIdentitiesAssignmentError",
        "message": f"Cluster identity has no assignment permission over identity '{described}'. Please grant at least "
        "'Managed Identity Operator' permission before assigning pod identity.",
    }


def _exceptions(given: Sequence[PodIdentityException]) -> list[dict[str, Any]]:
    if len(given) > MAX_EXCEPTIONS:
        raise _too_many("pod identity exceptions", MAX_EXCEPTIONS)
    for one in given:
        _check_names(one.name, one.namespace, "podIdentityProfile.userAssignedIdentityExceptions")
    _check_unique([(one.namespace, one.name) for one in given], "pod identity exception")
    return [{"name": one.name, "namespace": one.namespace, "podLabels": one.pod_labels} for one in given]


def _check_names(name: str, namespace: str, where: str) -> None:
    if fault := subdomain_fault(name):
        raise refusals.parameter(f"{where}.name", f"'{name[:80]}': {fault}")
    if fault := label_fault(namespace):
        raise refusals.parameter(f"{where}.namespace", f"'{namespace[:80]}': {fault}")


def _check_unique(names: Sequence[tuple[str, str]], what: str) -> None:
    seen: set[tuple[str, str]] = set()
    for namespace, name in names:
        if (namespace, name) in seen:
            raise invalid_request(f"There is more than one {what} '{namespace}/{name}'.")
        seen.add((namespace, name))


def _too_many(what: str, limit: int) -> ArmError:
    return invalid_request(f"PodIdentity addon supports at most {limit} {what} in a cluster.")


def _identity(resource: Resource) -> dict[str, str]:
    return {
        "resourceId": resource.id,
        "clientId": resource.properties["clientId"],
        "objectId": resource.properties["principalId"],
    }


def _made_name(identity_id: str, namespace: str) -> str:
    """The name of an entry that was given none: the identity's, made legal, with something that tells it apart."""
    stem = re.sub(r"[^a-z0-9-]+", "-", identity_id.rpartition("/")[2].lower()).strip("-")[:40] or "identity"
    return f"{stem}-{uuid.uuid5(_NAMES, f'{identity_id} {namespace}'.lower()).hex[:8]}"
