"""What MIC reads of the cluster: live copies, and which pods a change of one of them concerns."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from podpass.kube import objects
from podpass.kube.client import Client
from podpass.kube.objects import Obj
from podpass.kube.reflector import Change, Failures, Metadata, Reflector
from podpass.kube.resources import NODES, PODS
from podpass.mic.desired import Pod, PodKey, label_of
from podpass.mic.targets import Target, target_of
from podpass.podidentity.objects import (
    AssignedIdentity,
    Binding,
    PodIdentity,
    Unusable,
    read_assigned_identity,
    read_binding,
    read_identity,
)
from podpass.podidentity.reading import ReadOnce
from podpass.podidentity.resources import ASSIGNED_IDENTITIES, BINDING_LABEL, BINDINGS, IDENTITIES

_LABEL, _NODE, _SELECTOR, _IDENTITY, _POD = "label", "node", "selector", "identity", "pod"


class _LabelledMetadata(Metadata):
    labels: dict[str, str] | None = None


class _PodSpec(msgspec.Struct, rename="camel"):
    node_name: str = ""


class _PodStatus(msgspec.Struct):
    phase: str = ""


class _SeenPod(msgspec.Struct):
    metadata: _LabelledMetadata
    spec: _PodSpec = msgspec.field(default_factory=_PodSpec)
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)

    @property
    def pod(self) -> Pod:
        return Pod(
            namespace=self.metadata.namespace,
            name=self.metadata.name,
            uid=self.metadata.uid,
            node=self.spec.node_name,
            phase=self.status.phase,
            binding_label=label_of(self.metadata.labels or {}),
        )


class _NodeSpec(msgspec.Struct, rename={"provider_id": "providerID"}):
    provider_id: str = ""


class _SeenNode(msgspec.Struct):
    metadata: Metadata
    spec: _NodeSpec = msgspec.field(default_factory=_NodeSpec)


class Copies:
    """Pods that ask for identities, nodes, and the custom resources; `run` is the caller's to own."""

    def __init__(self, client: Client, *, on_failure: Failures | None = None) -> None:
        self._concerned: Callable[[PodKey], None] | None = None
        self._binding, self._identity = ReadOnce(read_binding), ReadOnce(read_identity)
        self.read_assigned = ReadOnce(read_assigned_identity)
        self._targets: dict[str, Target] = {}
        """Of nodes that are gone too: what their pods had is still to be taken away."""
        self._pods: Reflector[_SeenPod] = Reflector(
            client,
            PODS,
            label_selector=BINDING_LABEL,
            project=_SeenPod,
            indexers={
                _LABEL: lambda seen: [seen.pod.binding_label],
                _NODE: lambda seen: [seen.spec.node_name] if seen.spec.node_name else [],
            },
            on_change=self._pod_changed,
            on_failure=on_failure,
        )
        self._nodes: Reflector[_SeenNode] = Reflector(
            client, NODES, project=_SeenNode, on_change=self._node_changed, on_failure=on_failure
        )
        self._identities: Reflector[Obj] = Reflector(
            client, IDENTITIES, on_change=self._identity_changed, on_failure=on_failure
        )
        self._bindings: Reflector[Obj] = Reflector(
            client,
            BINDINGS,
            indexers={
                _SELECTOR: lambda obj: [self._binding(obj).selector],
                _IDENTITY: lambda obj: ["/".join((objects.namespace(obj), self._binding(obj).identity))],
            },
            on_change=self._binding_changed,
            on_failure=on_failure,
        )
        self._assigned: Reflector[Obj] = Reflector(
            client,
            ASSIGNED_IDENTITIES,
            indexers={_POD: _pod_of, _NODE: _node_of},
            on_change=self._assigned_changed,
            on_failure=on_failure,
        )

    @property
    def _all(self) -> list[Reflector[Any]]:
        return [self._pods, self._nodes, self._identities, self._bindings, self._assigned]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for copy in self._all:
                group.create_task(copy.run())

    def missing(self) -> list[str]:
        """The resources that are not all read yet."""
        return [copy.resource.plural for copy in self._all if not copy.synced.is_set()]

    async def complete(self) -> None:
        """Wait until everything was read once."""
        for copy in self._all:
            await copy.synced.wait()

    def follow(self, concerned: Callable[[PodKey], None]) -> None:
        """From now on tell *concerned* the key of each pod that a change may matter to."""
        self._concerned = concerned

    # Reading

    def pod(self, key: PodKey) -> Pod | None:
        seen = self._pods.get(*key)
        return seen.pod if seen is not None else None

    def every_pod(self) -> Iterator[PodKey]:
        """Each pod that asks for an identity, or still has one."""
        told = set()
        for seen in self._pods.items():
            told.add(seen.pod.key)
        for obj in self._assigned.items():
            told.update(_pod_key(obj))
        yield from told

    def bindings(self, selector: str) -> list[Binding]:
        return [self._binding(obj) for obj in self._bindings.indexed(_SELECTOR, selector)] if selector else []

    def binding_object(self, namespace: str, name: str) -> Obj | None:
        return self._bindings.get(namespace, name)

    def identity(self, namespace: str, name: str) -> PodIdentity | Unusable | None:
        found = self._identities.get(namespace, name)
        return self._identity(found) if found is not None else None

    def identity_object(self, identity: PodIdentity) -> Obj | None:
        return self._identities.get(*identity.key)

    def assigned_object(self, key: tuple[str, str]) -> Obj | None:
        return self._assigned.get(*key)

    @property
    def assigned_version(self) -> str:
        """Up to which version the copy of the assigned identities is complete."""
        return self._assigned.resource_version

    def assigned_to(self, pod: PodKey) -> list[Obj]:
        return self._assigned.indexed(_POD, "/".join(pod))

    def every_assigned(self) -> list[AssignedIdentity]:
        found = (self.read_assigned(obj) for obj in self._assigned.items())
        return [each for each in found if not isinstance(each, Unusable)]

    def assigned_on(self, target: Target) -> list[AssignedIdentity]:
        """What pods on the nodes of *target* are said to have."""
        nodes = [node for node, found in self._targets.items() if found == target]
        read = (self.read_assigned(obj) for node in nodes for obj in self._assigned.indexed(_NODE, node))
        return [each for each in read if not isinstance(each, Unusable)]

    def target(self, node: str) -> Target | None:
        """Where the identities of the node's pods belong, also after it went; None for one that was never seen."""
        return self._targets.get(node)

    def node_is_there(self, node: str) -> bool:
        return self._nodes.get("", node) is not None

    # Changes

    def _tell(self, keys: Iterable[PodKey]) -> None:
        if self._concerned is not None:
            for key in keys:
                self._concerned(key)

    def _pod_changed(self, change: Change[_SeenPod]) -> None:
        before = change.before.pod if change.before is not None else None
        after = change.after.pod if change.after is not None else None
        if before != after:
            self._tell([change.key])

    def _node_changed(self, change: Change[_SeenNode]) -> None:
        name = change.key[1]
        if change.after is not None:
            target = target_of(name, change.after.spec.provider_id)
            if change.before is not None and self._targets.get(name) == target:
                return
            self._targets[name] = target
        self._tell([seen.pod.key for seen in self._pods.indexed(_NODE, name)])

    def _identity_changed(self, change: Change[Obj]) -> None:
        for binding in self._bindings.indexed(_IDENTITY, "/".join(change.key)):
            self._tell_of_selector(self._binding(binding).selector)
        self._identity.forget(change)

    def _binding_changed(self, change: Change[Obj]) -> None:
        self._binding.forget(change)
        for selector in {read_binding(obj).selector for obj in (change.before, change.after) if obj is not None}:
            self._tell_of_selector(selector)

    def _assigned_changed(self, change: Change[Obj]) -> None:
        self.read_assigned.forget(change)
        self._tell({key for obj in (change.before, change.after) if obj is not None for key in _pod_key(obj)})

    def _tell_of_selector(self, selector: str) -> None:
        if selector:
            self._tell([seen.pod.key for seen in self._pods.indexed(_LABEL, selector)])


def _pod_key(obj: Obj) -> list[PodKey]:
    pod, namespace = _member(obj, "pod"), _member(obj, "podnamespace")
    return [(namespace, pod)] if pod is not None and namespace is not None else []


def _pod_of(obj: Obj) -> list[str]:
    return ["/".join(key) for key in _pod_key(obj)]


def _node_of(obj: Obj) -> list[str]:
    node = _member(obj, "nodename")
    return [node] if node is not None else []


def _member(obj: Obj, name: str) -> str | None:
    found = next((value for key, value in objects.spec(obj).items() if key.lower() == name), None)
    return found if isinstance(found, str) else None
