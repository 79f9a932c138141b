"""What NMI reads of the cluster: live copies, by the address a request comes from and by the pod it belongs to."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from podpass.kube.client import Client
from podpass.kube.objects import Obj
from podpass.kube.reflector import Change, Failures, Metadata, Reflector
from podpass.kube.resources import PODS
from podpass.nmi.selection import Pod
from podpass.nmi.settings import Mode, Settings
from podpass.podidentity.objects import (
    AssignedIdentity,
    Binding,
    PodException,
    PodIdentity,
    Unusable,
    read_assigned_identity,
    read_binding,
    read_exception,
    read_identity,
)
from podpass.podidentity.reading import ReadOnce
from podpass.podidentity.resources import ASSIGNED_IDENTITIES, BINDING_LABEL, BINDINGS, EXCEPTIONS, IDENTITIES

_ADDRESS, _NAMESPACE, _POD = "address", "namespace", "pod"
_LIVING = ("Pending", "Running", "")


class _LabelledMetadata(Metadata):
    labels: dict[str, str] | None = None


class _Spec(msgspec.Struct, rename="camel"):
    host_network: bool = False


class _PodIp(msgspec.Struct):
    ip: str = ""


class _Status(msgspec.Struct, rename={"pod_ip": "podIP", "pod_ips": "podIPs"}):
    phase: str = ""
    pod_ip: str = ""
    pod_ips: list[_PodIp] | None = None


class SeenPod(msgspec.Struct):
    """A pod of this node, as far as it counts."""

    metadata: _LabelledMetadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)

    @property
    def labels(self) -> dict[str, str]:
        return self.metadata.labels or {}

    @property
    def pod(self) -> Pod:
        return Pod(self.metadata.namespace, self.metadata.name, self.labels.get(BINDING_LABEL, ""))

    @property
    def addresses(self) -> list[str]:
        """Where its requests come from; none for a pod that has ended, or shares the node's network."""
        if self.status.phase not in _LIVING or self.spec.host_network:
            return []
        return list(dict.fromkeys([self.status.pod_ip, *(each.ip for each in self.status.pod_ips or ())]))


class Objects:
    """Copies of the pods of this node and of what gives them identities; `run` is the caller's to own."""

    def __init__(self, client: Client, settings: Settings, *, on_failure: Failures | None = None) -> None:
        self._changed = asyncio.Event()
        self._pods: Reflector[SeenPod] = Reflector(
            client,
            PODS,
            field_selector=f"spec.nodeName={settings.node}",
            project=SeenPod,
            indexers={_ADDRESS: lambda pod: pod.addresses},
            on_change=self._ring,
            on_failure=on_failure,
        )

        def copy(resource: Any, by: str = _NAMESPACE, label_selector: str = "") -> Reflector[Obj]:
            indexers = {_NAMESPACE: _namespace_of, _POD: _pod_of}
            return Reflector(
                client,
                resource,
                label_selector=label_selector,
                indexers={by: indexers[by]},
                on_change=self._ring,
                on_failure=on_failure,
            )

        self._binding, self._identity = ReadOnce(read_binding), ReadOnce(read_identity)
        self._exception, self._assignment = ReadOnce(read_exception), ReadOnce(read_assigned_identity)
        self._exceptions = copy(EXCEPTIONS)
        self._exceptions.on_change(self._exception.forget)
        self._bindings = self._identities = self._assigned = None
        if settings.mode is Mode.MANAGED:
            self._bindings, self._identities = copy(BINDINGS), copy(IDENTITIES)
            self._bindings.on_change(self._binding.forget)
            self._identities.on_change(self._identity.forget)
        else:
            own = f"nodename={settings.node}" if settings.only_own_node else ""
            self._assigned = copy(ASSIGNED_IDENTITIES, _POD, own)
            self._assigned.on_change(self._assignment.forget)

    @property
    def _copies(self) -> list[Reflector[Any]]:
        copies = (self._pods, self._exceptions, self._bindings, self._identities, self._assigned)
        return [each for each in copies if each is not None]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for copy in self._copies:
                group.create_task(copy.run())

    def missing(self) -> list[str]:
        """The resources that are not all read yet."""
        return [copy.resource.plural for copy in self._copies if not copy.synced.is_set()]

    async def synced(self) -> None:
        for copy in self._copies:
            await copy.synced.wait()

    async def changed(self, seconds: float) -> bool:
        """Wait for the next change, at most that long; whether there was one."""
        event = self._changed
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return False
        return True

    def pods_at(self, address: str) -> list[SeenPod]:
        return self._pods.indexed(_ADDRESS, address) if address else []

    def pod(self, namespace: str, name: str) -> SeenPod | None:
        return self._pods.get(namespace, name)

    def exceptions(self, namespace: str) -> list[PodException]:
        return [self._exception(each) for each in self._exceptions.indexed(_NAMESPACE, namespace)]

    def bindings(self, namespace: str) -> list[Binding]:
        return [self._binding(each) for each in _indexed(self._bindings, _NAMESPACE, namespace)]

    def identity(self, namespace: str, name: str) -> PodIdentity | None:
        found = self._identities.get(namespace, name) if self._identities is not None else None
        identity = self._identity(found) if found is not None else None
        return None if isinstance(identity, Unusable) else identity

    def assigned(self, pod: Pod) -> list[AssignedIdentity]:
        found = (self._assignment(each) for each in _indexed(self._assigned, _POD, f"{pod.namespace}/{pod.name}"))
        return [each for each in found if not isinstance(each, Unusable)]

    def _ring(self, change: Change[Any]) -> None:
        del change
        self._changed.set()
        self._changed = asyncio.Event()


def _indexed(copy: Reflector[Obj] | None, index: str, value: str) -> list[Obj]:
    return copy.indexed(index, value) if copy is not None else []


def _namespace_of(obj: Obj) -> Iterable[str]:
    return (str((obj.get("metadata") or {}).get("namespace") or ""),)


def _pod_of(obj: Obj) -> Iterable[str]:
    found = read_assigned_identity(obj)
    return () if isinstance(found, Unusable) else ("/".join(found.pod),)
