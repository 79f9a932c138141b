"""A pod as the workload controllers see it: the few facts that they decide by.

Decoding only these is what lets thousands of pods be looked at after every change.
Contract: Kubernetes API surface, section 7.1.
"""

from typing import Any

import msgspec

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import Resource
from podpass.lab.clock import seconds_of

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


class Reference(msgspec.Struct, frozen=True):
    """An owner."""

    apiVersion: str = ""  # noqa: N815
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class Condition(msgspec.Struct, frozen=True):
    type: str = ""
    status: str = ""
    lastTransitionTime: str | None = None  # noqa: N815


class Ended(msgspec.Struct, frozen=True):
    """How a container ended."""

    exitCode: int = 0  # noqa: N815
    finishedAt: str | None = None  # noqa: N815


class _State(msgspec.Struct, frozen=True):
    terminated: Ended | None = None


class Container(msgspec.Struct, frozen=True):
    name: str = ""
    restartCount: int = 0  # noqa: N815
    state: _State | None = None

    @property
    def ended(self) -> Ended | None:
        return None if self.state is None else self.state.terminated


class _Metadata(msgspec.Struct, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    ownerReferences: tuple[Reference, ...] | None = None  # noqa: N815
    finalizers: tuple[str, ...] | None = None
    creationTimestamp: str | None = None  # noqa: N815
    deletionTimestamp: str | None = None  # noqa: N815


class _Spec(msgspec.Struct, frozen=True):
    nodeName: str | None = None  # noqa: N815


class _Status(msgspec.Struct, frozen=True):
    phase: str | None = None
    conditions: tuple[Condition, ...] | None = None
    containerStatuses: tuple[Container, ...] | None = None  # noqa: N815
    initContainerStatuses: tuple[Container, ...] | None = None  # noqa: N815


class Pod(msgspec.Struct, frozen=True):
    """A pod's facts; equal when nothing that a controller decides by has changed."""

    metadata: _Metadata
    spec: _Spec = _Spec()
    status: _Status = _Status()

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def labels(self) -> dict[str, str]:
        return self.metadata.labels or {}

    @property
    def annotations(self) -> dict[str, str]:
        return self.metadata.annotations or {}

    @property
    def node(self) -> str:
        return self.spec.nodeName or ""

    @property
    def phase(self) -> str:
        return self.status.phase or "Pending"

    @property
    def deleting(self) -> bool:
        return self.metadata.deletionTimestamp is not None

    @property
    def over(self) -> bool:
        """Its containers have ended for good."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def active(self) -> bool:
        return not self.deleting and not self.over

    @property
    def ready(self) -> bool:
        return self._ready_condition is not None

    @property
    def ready_since(self) -> float | None:
        """Seconds since the epoch; None for a pod that is not ready."""
        found = self._ready_condition
        return None if found is None else seconds_of(found.lastTransitionTime) or 0.0

    @property
    def _ready_condition(self) -> Condition | None:
        for condition in self.status.conditions or ():
            if condition.type == "Ready":
                return condition if condition.status == "True" else None
        return None

    @property
    def created(self) -> float:
        return seconds_of(self.metadata.creationTimestamp) or 0.0

    @property
    def containers(self) -> tuple[Container, ...]:
        return (*(self.status.containerStatuses or ()), *(self.status.initContainerStatuses or ()))

    @property
    def restarts(self) -> int:
        return max((container.restartCount for container in self.containers), default=0)

    @property
    def finished(self) -> float:
        """When the last container ended, in seconds since the epoch; where no node said so, when the pod was made."""
        times = [seconds_of(each.ended.finishedAt) for each in self.containers if each.ended is not None]
        return max((time for time in times if time is not None), default=self.created)

    @property
    def controller(self) -> Reference | None:
        for reference in self.metadata.ownerReferences or ():
            if reference.controller:
                return reference
        return None


decode = msgspec.json.Decoder(Pod).decode


def available(pod: Pod, min_ready_seconds: int, now: float) -> bool:
    """Ready, and for at least so many seconds."""
    since = pod.ready_since
    return since is not None and (not min_ready_seconds or since + min_ready_seconds <= now)


def seconds_to_available(pods: list[Pod], min_ready_seconds: int, now: float) -> float | None:
    """When the next ready pod will count as available; None when none is waited for."""
    waiting = [
        since + min_ready_seconds - now
        for pod in pods
        if (since := pod.ready_since) is not None and since + min_ready_seconds > now
    ]
    return min(waiting) if min_ready_seconds and waiting else None


def reference_to(owner: Obj, resource: Resource) -> Obj:
    """The owner reference of a controller's own objects."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": objects.name(owner),
        "uid": objects.uid(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def from_template(template: Obj, owner: Obj, resource: Resource) -> Obj:
    """A pod as *template* has it, owned by *owner*; without a name."""
    meta = objects.metadata(template)
    found: dict[str, Any] = {"ownerReferences": [reference_to(owner, resource)], "namespace": objects.namespace(owner)}
    for member in ("labels", "annotations", "finalizers"):
        if meta.get(member):
            found[member] = type(meta[member])(meta[member])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": found, "spec": dict(objects.spec(template))}
