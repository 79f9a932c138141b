"""Keeps the status of PodDisruptionBudgets, by which evictions are allowed or refused.

The rules are those of `workloads/disruption.py`. Contract: Kubernetes API surface, section 2.10.
"""

from collections.abc import Iterator

import msgspec

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import DEPLOYMENTS, PODDISRUPTIONBUDGETS, REPLICASETS, STATEFULSETS
from podpass.kube.selectors import LabelSelector
from podpass.lab.cluster.collection import Change
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.controllers.pod_index import PodIndex
from podpass.lab.cluster.controllers.recorder import Recorder
from podpass.lab.cluster.controllers.selector_index import SelectorIndex
from podpass.lab.cluster.controllers.writes import Gone, Writer
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.cluster.workloads import disruption
from podpass.lab.cluster.workloads.disruption import Expected
from podpass.lab.cluster.workloads.pods import Pod, Reference

_SCALED = {"ReplicaSet": REPLICASETS, "StatefulSet": STATEFULSETS}
_UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, the"
    " status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these"
    ' pods please set ".spec.minAvailable" field of the PDB to an integer value.'
)


class _Spec(msgspec.Struct, frozen=True):
    replicas: int | None = None


class _Sized(msgspec.Struct, frozen=True):
    spec: _Spec = _Spec()


_size = msgspec.json.Decoder(_Sized).decode


class Budgets:
    name = "disruption-controller"

    def __init__(self, verbs: Verbs, pods: PodIndex) -> None:
        self._verbs = verbs
        self._pods = pods
        self._selectors = SelectorIndex(verbs.storage, PODDISRUPTIONBUDGETS, empty_is_all=True)
        self._writer = Writer(verbs, self.name)
        self._recorder = Recorder(self._writer)

    def concerns(self, change: Change) -> Iterator[Task]:
        namespace = change.stored.key[0]
        match change.resource.group, change.resource.plural:
            case "policy", "poddisruptionbudgets":
                self._selectors.notice(change)
                yield change.stored.key
            case "", "pods":
                for pod in self._pods.changed():
                    for name in self._selectors.selecting(namespace, pod.labels):
                        yield (namespace, name)
            case "apps", "deployments" | "replicasets" | "statefulsets":
                before = change.previous
                if before is None or _size(before.body) != _size(change.stored.body):
                    for name in self._selectors.names(namespace):
                        yield (namespace, name)

    def everything(self) -> Iterator[Task]:
        yield from self._verbs.storage.collection(PODDISRUPTIONBUDGETS).keys

    def selecting(self, namespace: str, labels: dict[str, str]) -> list[Obj]:
        """The budgets that guard a pod with these labels."""
        found = [
            self._verbs.find(PODDISRUPTIONBUDGETS, name, namespace)
            for name in self._selectors.selecting(namespace, labels)
        ]
        return [each for each in found if each is not None]

    async def reconcile(self, task: Task) -> float | None:
        namespace, name = task
        found = self._writer.read(PODDISRUPTIONBUDGETS, namespace, name)
        if found is None:
            return None
        selector = self._selectors.get((namespace, name))
        pods = self._guarded(namespace, selector)
        if not pods:
            await self._recorder.record(found, "Normal", "NoPods", "No matching pods found")
        expected = Expected()
        if disruption.needs_scale(found):
            expected = await self._expected(found, pods)
        now = self._verbs.clock.now()
        status = disruption.status(found, pods, expected, now)
        try:
            await self._writer.write_status(PODDISRUPTIONBUDGETS, found, status)
        except Gone:
            return None
        return disruption.seconds_to_disbelief(status, now)

    def _guarded(self, namespace: str, selector: LabelSelector | None) -> list[Pod]:
        if selector is None:
            return []
        pods = self._pods.matching(namespace, selector) if selector else self._pods.in_namespace(namespace)
        return [pod for pod in pods if not pod.over]

    async def _expected(self, found: Obj, pods: list[Pod]) -> Expected:
        """The sizes of the workloads that the pods belong to, each counted once."""
        sizes: dict[str, int] = {}
        unmanaged = False
        for pod in pods:
            controller = pod.controller
            if controller is None:
                unmanaged = True
                continue
            size = self._size_of(pod.namespace, controller)
            if size is None:
                group = controller.apiVersion.partition("/")[0]
                text = f"{controller.kind.lower()}s.{group} does not implement the scale subresource"
                message = f"Failed to calculate the number of expected pods: {text}"
                await self._recorder.record(found, "Warning", "CalculateExpectedPodCountFailed", message)
                return Expected(failure=text)
            sizes[size[0]] = size[1]
        if unmanaged:
            selector = self._selectors.get((objects.namespace(found), objects.name(found)))
            await self._recorder.record(found, "Warning", "UnmanagedPods", _UNMANAGED.format(selector=selector))
        return Expected(sum(sizes.values()))

    def _size_of(self, namespace: str, controller: Reference) -> tuple[str, int] | None:
        """The uid and size of the workload that decides how many pods there should be; None without a scale."""
        resource = _SCALED.get(controller.kind)
        if resource is None:
            return None
        found = self._verbs.find(resource, controller.name, namespace)
        if found is None or objects.uid(found) != controller.uid:
            return controller.uid, 0
        for owner in objects.owner_references(found):
            if owner.get("controller") and owner.get("kind") == "Deployment":
                above = self._verbs.find(DEPLOYMENTS, owner.get("name", ""), namespace)
                if above is not None and objects.uid(above) == owner.get("uid"):
                    found = above
        return objects.uid(found), int(objects.spec(found).get("replicas") or 0)
