"""The pod identity profile of a managed cluster, and each change that the commands make to it.

A cluster here is the document that Resource Manager answers; whatever else stands in it stays as it is. Each change
returns a new document. `NotPossible` says why there is none.
"""

import copy
from collections.abc import Mapping
from typing import Any

Document = dict[str, Any]

IDENTITIES, EXCEPTIONS = "userAssignedIdentities", "userAssignedIdentityExceptions"
"""The lists of a profile."""
MANAGED_IDENTITY_TYPES = ("systemassigned", "userassigned")


class NotPossible(Exception):
    """The change can't be made; the text is what the user reads."""


def is_enabled(cluster: Mapping[str, Any]) -> bool:
    return bool((_properties(cluster).get("podIdentityProfile") or {}).get("enabled"))


def require_enabled(cluster: Mapping[str, Any]) -> None:
    """Raises NotPossible."""
    if not is_enabled(cluster):
        raise NotPossible(
            "The pod identity addon is not enabled for this managed cluster yet.\n"
            'To enable, run "az aks update --enable-pod-identity"'
        )


def enabled(cluster: Mapping[str, Any], *, kubenet_consent: bool | None) -> Document:
    """*cluster* with the add-on; as it was where the add-on is on. Raises NotPossible.

    *kubenet_consent* None means: as consented to before.
    """
    if _identity_type(cluster) not in MANAGED_IDENTITY_TYPES:
        raise NotPossible("--enable-pod-identity can only be specified for cluster enabled managed identity")
    changed = _with_profile(cluster)
    profile = changed["properties"]["podIdentityProfile"]
    if is_enabled(cluster):
        return changed
    _consent(changed, kubenet_consent)
    profile.update(enabled=True, userAssignedIdentities=[], userAssignedIdentityExceptions=[])
    return changed


def enabled_from_the_start(cluster: Mapping[str, Any], *, kubenet_consent: bool | None) -> Document:
    """The document of a cluster that is being created, with the add-on. Raises NotPossible."""
    changed = copy.deepcopy(dict(cluster))
    changed.setdefault("properties", {})["podIdentityProfile"] = {"enabled": True}
    _consent(changed, kubenet_consent)
    return changed


def disabled(cluster: Mapping[str, Any]) -> Document:
    """*cluster* without the add-on, its identities and its exceptions."""
    changed = copy.deepcopy(dict(cluster))
    changed.setdefault("properties", {})["podIdentityProfile"] = {"enabled": False}
    return changed


def with_identity(
    cluster: Mapping[str, Any], identity: Mapping[str, Any], *, name: str | None, namespace: str, selector: str | None
) -> Document:
    """*cluster* with one more pod identity, of the user-assigned *identity* as Resource Manager describes it.

    Without a *name* the service makes one up. Raises NotPossible.
    """
    changed = _ready(cluster)
    found = identity.get("properties") or {}
    named = {"resourceId": identity["id"], "clientId": found.get("clientId"), "objectId": found.get("principalId")}
    entry = {"name": name, "namespace": namespace, "bindingSelector": selector, "identity": named}
    _entries(changed, IDENTITIES).append({key: value for key, value in entry.items() if value is not None})
    return changed


def without_identity(cluster: Mapping[str, Any], *, name: str, namespace: str) -> Document:
    """*cluster* without that pod identity; as it was where there is none. Raises NotPossible."""
    return _without(cluster, IDENTITIES, name, namespace)


def with_exception(
    cluster: Mapping[str, Any], *, name: str | None, namespace: str, labels: Mapping[str, str]
) -> Document:
    """*cluster* with one more exception; without a *name* the service makes one up. Raises NotPossible."""
    changed = _ready(cluster)
    entry = {"name": name, "namespace": namespace, "podLabels": dict(labels)}
    _entries(changed, EXCEPTIONS).append({key: value for key, value in entry.items() if value is not None})
    return changed


def with_changed_exception(
    cluster: Mapping[str, Any], *, name: str, namespace: str, labels: Mapping[str, str]
) -> Document:
    """*cluster* with other labels in that exception. Raises NotPossible, also where there is none."""
    changed = _ready(cluster)
    found = [entry for entry in _entries(changed, EXCEPTIONS) if _is(entry, name, namespace)]
    if not found:
        raise NotPossible(f"pod identity exception {namespace}/{name} not found")
    for entry in found:
        entry["podLabels"] = dict(labels)
    return changed


def without_exception(cluster: Mapping[str, Any], *, name: str, namespace: str) -> Document:
    """*cluster* without that exception; as it was where there is none. Raises NotPossible."""
    return _without(cluster, EXCEPTIONS, name, namespace)


def cluster_principal(cluster: Mapping[str, Any]) -> str:
    """The principal that puts identities on the cluster's scale sets. Raises NotPossible."""
    identity = cluster.get("identity") or {}
    match _identity_type(cluster):
        case "userassigned":
            assigned = list((identity.get("userAssignedIdentities") or {}).values())
            principal = assigned[0].get("principalId") if assigned else None
        case "systemassigned":
            principal = identity.get("principalId")
        case _:
            raise NotPossible(f"unsupported identity type: {identity.get('type')}")
    if not principal:
        raise NotPossible("unable to resolve cluster identity")
    return str(principal)


def _ready(cluster: Mapping[str, Any]) -> Document:
    require_enabled(cluster)
    changed = _with_profile(cluster)
    _consent(changed, None)
    return changed


def _with_profile(cluster: Mapping[str, Any]) -> Document:
    """A copy that has a profile with both lists, and labels in each exception: the service takes no null there."""
    changed = copy.deepcopy(dict(cluster))
    properties = changed.setdefault("properties", {})
    profile = properties["podIdentityProfile"] = properties.get("podIdentityProfile") or {}
    for member in (IDENTITIES, EXCEPTIONS):
        profile[member] = profile.get(member) or []
    for entry in profile[EXCEPTIONS]:
        entry["podLabels"] = entry.get("podLabels") or {}
    return changed


def _consent(cluster: Document, consent: bool | None) -> None:
    plugin = (_properties(cluster).get("networkProfile") or {}).get("networkPlugin") or ""
    if plugin.lower() != "kubenet":
        return
    profile = cluster["properties"]["podIdentityProfile"]
    if consent is None:
        consent = bool(profile.get("allowNetworkPluginKubenet"))
    if not consent:
        raise NotPossible(
            "--enable-pod-identity-with-kubenet is required for enabling pod identity addon when using"
            " Kubenet network plugin"
        )
    profile["allowNetworkPluginKubenet"] = True


def _properties(cluster: Mapping[str, Any]) -> Mapping[str, Any]:
    return cluster.get("properties") or {}


def _identity_type(cluster: Mapping[str, Any]) -> str:
    return str((cluster.get("identity") or {}).get("type") or "").lower()


def _entries(cluster: Document, member: str) -> list[Document]:
    found: list[Document] = cluster["properties"]["podIdentityProfile"][member]
    return found


def _without(cluster: Mapping[str, Any], member: str, name: str, namespace: str) -> Document:
    changed = _ready(cluster)
    entries = _entries(changed, member)
    entries[:] = [entry for entry in entries if not _is(entry, name, namespace)]
    return changed


def _is(entry: Mapping[str, Any], name: str, namespace: str) -> bool:
    return (entry.get("name"), entry.get("namespace")) == (name, namespace)
