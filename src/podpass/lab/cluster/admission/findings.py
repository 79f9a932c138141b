"""What can be told about a write that came through admission: what was added to a pod, and what it still lacks."""

from collections.abc import Mapping
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.cluster.extension import AdmissionAttributes


def lacks_client_id(pod: Obj) -> bool:
    """Whether the pod was given a token for Azure, and no client id to use it with."""
    variables = [
        {variable.get("name"): variable for variable in container.get("env") or ()}
        for container in objects.spec(pod).get("containers") or ()
    ]
    return any(
        "AZURE_FEDERATED_TOKEN_FILE" in found
        and not (found.get("AZURE_CLIENT_ID") or {}).get("value")
        and not (found.get("AZURE_CLIENT_ID") or {}).get("valueFrom")
        for found in variables
    )


def sentence(added: Mapping[str, list[str]], operations: int) -> str:
    """What a review changed, for a person; each name once, however many containers got it."""
    if not operations:
        return "nothing to change"
    groups = {kind: list(dict.fromkeys(name.rpartition(": ")[2] for name in names)) for kind, names in added.items()}
    return "added " + "; ".join(f"{kind} {', '.join(names)}" for kind, names in groups.items()) if groups else "changed"


def additions(before: Obj, after: Obj) -> dict[str, list[str]]:
    """What a webhook added to a pod. Environment variables are written `container: NAME`."""
    old, new = objects.spec(before), objects.spec(after)
    found = {
        "env": _added(_variables(old), _variables(new)),
        "volumes": _added(_names(old, "volumes"), _names(new, "volumes")),
        "containers": _added(_names(old, "containers"), _names(new, "containers")),
        "init_containers": _added(_names(old, "initContainers"), _names(new, "initContainers")),
        "labels": _added(objects.labels(before), objects.labels(after)),
        "annotations": _added(objects.annotations(before), objects.annotations(after)),
    }
    return {member: names for member, names in found.items() if names}


def _added(before: Any, after: Any) -> list[str]:
    present = set(before)
    return [name for name in after if name not in present]


def _names(spec: Obj, member: str) -> list[str]:
    return [entry.get("name") or "" for entry in spec.get(member) or ()]


def _variables(spec: Obj) -> list[str]:
    return [
        f"{container.get('name')}: {variable.get('name')}"
        for member in ("initContainers", "containers")
        for container in spec.get(member) or ()
        for variable in container.get("env") or ()
    ]


def in_words(attributes: AdmissionAttributes) -> str:
    """The write: `create pods shop/web-1`."""
    plural = attributes.kind.resource.plural
    if attributes.subresource:
        plural = f"{plural}/{attributes.subresource}"
    place = f"{attributes.namespace}/{attributes.name}" if attributes.namespace else attributes.name
    return f"{attributes.operation.lower()} {plural} {place}".rstrip()
