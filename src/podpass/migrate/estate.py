"""The objects that the search needs, however they were read. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.podidentity.objects import (
    Binding,
    PodException,
    PodIdentity,
    Unusable,
    read_binding,
    read_exception,
    read_identity,
)
from podpass.podidentity.resources import BINDING_LABEL

TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "Pod": (),
    "ReplicationController": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
"""The kinds that make pods, and where each keeps what its pods are like."""

Key = tuple[str, str, str]
"""Kind, namespace and name."""


@dataclass(slots=True)
class Estate:
    """Objects by what they are. What can't be used is kept with the reason."""

    workloads: dict[Key, Obj] = field(default_factory=dict)
    accounts: dict[tuple[str, str], Obj] = field(default_factory=dict)
    identities: dict[tuple[str, str], PodIdentity] = field(default_factory=dict)
    unusable: dict[tuple[str, str], str] = field(default_factory=dict)
    bindings: list[Binding] = field(default_factory=list)
    exceptions: list[PodException] = field(default_factory=list)

    @classmethod
    def of(cls, found: Iterable[Obj]) -> "Estate":
        """*found* with lists taken apart; kinds that don't matter are left out."""
        estate = cls()
        for obj in found:
            if str(obj.get("kind", "")).endswith("List") and isinstance(obj.get("items"), list):
                for item in obj["items"]:
                    estate.add(item)
            else:
                estate.add(obj)
        estate.bindings.sort(key=lambda binding: (binding.namespace, binding.name))
        return estate

    def add(self, obj: Obj) -> None:
        kind, key = obj.get("kind"), objects.key(obj)
        if kind in TEMPLATES:
            self.workloads[(str(kind), *key)] = obj
        elif kind == "ServiceAccount":
            self.accounts[key] = obj
        elif kind == "AzureIdentity":
            identity = read_identity(obj)
            if isinstance(identity, Unusable):
                self.unusable[key] = identity.why
            else:
                self.identities[key] = identity
        elif kind == "AzureIdentityBinding":
            self.bindings.append(read_binding(obj))
        elif kind == "AzurePodIdentityException":
            self.exceptions.append(read_exception(obj))


def template_of(workload: Obj) -> Obj:
    """What the pods of *workload* are like, as metadata and spec; a pod is its own."""
    found: Any = workload
    for member in TEMPLATES[workload["kind"]]:
        found = found.get(member) or {}
    return found if isinstance(found, dict) else {}


def selector_of(workload: Obj) -> str:
    """The value of the label by which its pods ask for an identity; empty when they don't."""
    return objects.labels(template_of(workload)).get(BINDING_LABEL, "")
