"""Which objects a profile of pod identities stands for. Pure, but for the manifests that are read.

Contract: pod identity, section 6.3.
"""

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any

from podpass.kube.objects import Obj
from podpass.podidentity import manifests
from podpass.podidentity.resources import BEHAVIOR_ANNOTATION, BINDINGS, EXCEPTIONS, IDENTITIES, NAMESPACED

MANAGED_LABEL, MANAGED_BY = "kubernetes.azure.com/managedby", "aks"
"""What tells the add-on's objects from those that people made."""
NMI = ("kube-system", "nmi")
_KUBENET_FLAG = "--allow-network-plugin-kubenet"


@cache
def definitions() -> tuple[Obj, ...]:
    """The custom resources."""
    return tuple(_managed(found) for found in manifests.read(manifests.DEFINITIONS))


def agent(profile: Mapping[str, Any]) -> list[Obj]:
    """NMI with its account and rights, and the exception for AKS's own pods."""
    found = [_managed(each) for name in (manifests.NMI_RIGHTS, manifests.NMI_MANAGED) for each in manifests.read(name)]
    if profile.get("allowNetworkPluginKubenet"):
        for each in found:
            if each["kind"] == "DaemonSet":
                each["spec"]["template"]["spec"]["containers"][0]["args"].append(_KUBENET_FLAG)
    return found


def entries(profile: Mapping[str, Any]) -> list[Obj]:
    """The objects of identities that are assigned, and of exceptions."""
    found: list[Obj] = []
    for entry in profile.get("userAssignedIdentities") or ():
        if entry["provisioningState"] != "Assigned":
            continue
        namespace, name, identity = entry["namespace"], entry["name"], entry["identity"]
        spec = {"type": 0, "resourceID": identity["resourceId"], "clientID": identity["clientId"]}
        made = _object(IDENTITIES.kind, namespace, name, spec)
        made["metadata"]["annotations"] = {BEHAVIOR_ANNOTATION: NAMESPACED}
        binding = {"azureIdentity": name, "selector": entry.get("bindingSelector") or name}
        found += [made, _object(BINDINGS.kind, namespace, f"{name}-binding", binding)]
    for entry in profile.get("userAssignedIdentityExceptions") or ():
        spec = {"podLabels": dict(entry["podLabels"])}
        found.append(_object(EXCEPTIONS.kind, entry["namespace"], entry["name"], spec))
    return found


def _object(kind: str, namespace: str, name: str, spec: Mapping[str, Any]) -> Obj:
    metadata = {"name": name, "namespace": namespace, "labels": {MANAGED_LABEL: MANAGED_BY}}
    return {"apiVersion": IDENTITIES.api_version, "kind": kind, "metadata": metadata, "spec": dict(spec)}


def _managed(manifest: Obj) -> Obj:
    found = copy.deepcopy(manifest)
    found["metadata"].setdefault("labels", {})[MANAGED_LABEL] = MANAGED_BY
    return found
