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


class Reference(msgspec.Struct, frozen=True, gc=False):
    """An owner."""

    apiVersion: str = ""  # noqa: N815
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class Condition(msgspec.Struct, frozen=True, gc=False):
    type: str = ""
    status: str = ""
    lastTransitionTime: str | None = None  # noqa: N815


class Ended(msgspec.Struct, frozen=True, gc=False):
    """How a container ended."""

    exitCode: int = 0  # noqa: N815
    finishedAt: str | None = None  # noqa: N815


class _State(msgspec.Struct, frozen=True, gc=False):
    terminated: Ended | None = None


class Container(msgspec.Struct, frozen=True, gc=False):
    name: str = ""
    restartCount: int = 0  # noqa: N815
    state: _State | None = None

    @property
    def ended(self) -> Ended | None:
        return None if self.state is None else self.state.terminated


class _Metadata(msgspec.Struct, gc=False):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    ownerReferences: tuple[Reference, ...] | None = None  # noqa: N815
    finalizers: tuple[str, ...] | None = None
    creationTimestamp: str | None = None  # noqa: N815
    deletionTimestamp: str | None = None  # noqa: N815
    deletionGracePeriodSeconds: int | None = None  # noqa: N815


class _Spec(msgspec.Struct, gc=False):
    nodeName: str | None = None  # noqa: N815


class _Status(msgspec.Struct, gc=False):
    phase: str | None = None
    conditions: tuple[Condition, ...] | None = None
    containerStatuses: tuple[Container, ...] | None = None  # noqa: N815
    initContainerStatuses: tuple[Container, ...] | None = None  # noqa: N815


class _Object(msgspec.Struct, gc=False):
    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class Pod(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A pod's facts; equal when nothing that a controller decides by has changed. Times are as the object has them."""

    name: str
    namespace: str
    uid: str
    labels: dict[str, str]
    annotations: dict[str, str]
    finalizers: tuple[str, ...]
    controller: Reference | None
    node: str
    phase: str
    deleting: bool
    let_go: bool
    """Its node has done with it; only finalizers keep the object."""
    over: bool
    """Its containers have ended for good."""
    active: bool
    """It is neither over nor on its way out."""
    ready: bool
    became_ready: str
    """Empty while it is not."""
    made: str
    conditions: tuple[Condition, ...]
    containers: tuple[Container, ...]
    """The statuses of containers and init containers."""

    @property
    def ready_since(self) -> float | None:
        """Seconds since the epoch; None for a pod that is not ready."""
        return (seconds_of(self.became_ready) or 0.0) if self.ready else None

    @property
    def created(self) -> float:
        return seconds_of(self.made) or 0.0

    @property
    def restarts(self) -> int:
        return max((container.restartCount for container in self.containers), default=0)

    @property
    def finished(self) -> float:
        """When the last container ended, in seconds since the epoch; where no node said so, when the pod was made."""
        times = [seconds_of(each.ended.finishedAt) for each in self.containers if each.ended is not None]
        return max((time for time in times if time is not None), default=self.created)


_decode = msgspec.json.Decoder(_Object).decode


def decode(body: bytes) -> Pod:
    """The facts in a stored pod."""
    found = _decode(body)
    meta, status = found.metadata, found.status
    phase, conditions = status.phase or "Pending", status.conditions or ()
    over, deleting = phase in ("Succeeded", "Failed"), meta.deletionTimestamp is not None
    ready = next((each for each in conditions if each.type == "Ready" and each.status == "True"), None)
    return Pod(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        labels=meta.labels or {},
        annotations=meta.annotations or {},
        finalizers=meta.finalizers or (),
        controller=next((each for each in meta.ownerReferences or () if each.controller), None),
        node=found.spec.nodeName or "",
        phase=phase,
        deleting=deleting,
        let_go=deleting and not meta.deletionGracePeriodSeconds,
        over=over,
        active=not over and not deleting,
        ready=ready is not None,
        became_ready=(ready.lastTransitionTime or "") if ready is not None else "",
        made=meta.creationTimestamp or "",
        conditions=conditions,
        containers=(*(status.containerStatuses or ()), *(status.initContainerStatuses or ())),
    )


def available(pod: Pod, min_ready_seconds: int, now: float) -> bool:
    """Ready, and for at least so many seconds."""
    if not pod.ready or not min_ready_seconds:
        return pod.ready
    return (pod.ready_since or 0.0) + min_ready_seconds <= now


def seconds_to_available(pods: list[Pod], min_ready_seconds: int, now: float) -> float | None:
    """When the next ready pod will count as available; None when none is waited for."""
    if not min_ready_seconds:
        return None
    waiting = [
        since + min_ready_seconds - now
        for pod in pods
        if (since := pod.ready_since) is not None and since + min_ready_seconds > now
    ]
    return min(waiting, default=None)


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
