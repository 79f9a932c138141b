"""What is wrong with a reference to a member of the pod, or to a resource of one of its containers.

Contract: Kubernetes API surface, sections 2.3 and 7.3.
"""

from collections.abc import Iterator, Sequence

from podpass.kube import names
from podpass.kube.objects import Obj
from podpass.kube.status import Cause, invalid, not_supported, required
from podpass.lab.cluster.kinds import rules

ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_SIZES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_HUGE_PAGES = ("limits.hugepages-", "requests.hugepages-")


def field_reference(reference: Obj, path: str, supported: Sequence[str]) -> Iterator[Cause]:
    """What is wrong with a fieldRef where *supported* members can be had, and any one label or annotation."""
    field = reference.get("fieldPath") or ""
    if not field:
        yield required(f"{path}.fieldPath")
        return
    base, bracket, subscript = field.partition("[")
    if bracket:
        key = subscript.removeprefix("'").removesuffix("']")
        if base not in ("metadata.labels", "metadata.annotations"):
            yield invalid(f"{path}.fieldPath", field, "does not support subscript")
        elif not (subscript.startswith("'") and subscript.endswith("']")):
            yield invalid(f"{path}.fieldPath", field, "invalid field path")
        elif fault := names.qualified_name_fault(key.lower() if base == "metadata.annotations" else key):
            yield invalid(path, key, fault)
    elif field not in supported:
        yield not_supported(f"{path}.fieldPath", field, supported)


def resource_reference(reference: Obj, path: str, *, in_volume: bool) -> Iterator[Cause]:
    """What is wrong with a resourceFieldRef; one *in_volume* has to name its container."""
    resource = reference.get("resource") or ""
    if in_volume and not reference.get("containerName"):
        yield required(f"{path}.containerName")
    elif not resource:
        yield required(f"{path}.resource")
    elif resource not in _RESOURCES and not resource.startswith(_HUGE_PAGES):
        yield not_supported(f"{path}.resource", resource, _RESOURCES)
    else:
        yield from _divisor(f"{path}.divisor", resource.partition(".")[2], reference.get("divisor"))


def _divisor(path: str, resource: str, divisor: object) -> Iterator[Cause]:
    amount = rules.quantity(divisor) if divisor not in (None, "") else None
    if not amount:
        return
    word = {"ephemeral-storage": "local ephemeral storage"}.get(resource, resource.partition("-")[0])
    allowed = ("1m", "1") if resource == "cpu" else _SIZES
    if amount not in {rules.quantity(each) for each in allowed}:
        listed = "1m and 1" if resource == "cpu" else ", ".join(_SIZES)
        yield invalid(path, divisor, f"only divisor's values {listed} are supported with the {word} resource")
