"""Keeps every ReplicaSet at its number of pods.

The rules are those of `workloads/replicaset.py`. Contract: Kubernetes API surface, section 7.5.
"""

from collections.abc import Iterator

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import REPLICASETS
from podpass.kube.status import StatusError
from podpass.lab.cluster.collection import Change
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.controllers.pod_control import PodControl
from podpass.lab.cluster.controllers.pod_index import PodIndex, by_node
from podpass.lab.cluster.controllers.recorder import Recorder
from podpass.lab.cluster.controllers.selector_index import SelectorIndex
from podpass.lab.cluster.controllers.writes import Gone, Writer
from podpass.lab.cluster.kinds.templates import selector_of
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.cluster.workloads import replicaset
from podpass.lab.cluster.workloads.pods import Pod, from_template, seconds_to_available
from podpass.lab.cluster.workloads.replicaset import Numbers


class ReplicaSets:
    name = "replicaset-controller"

    def __init__(self, verbs: Verbs, pods: PodIndex) -> None:
        self._verbs = verbs
        self._pods = pods
        self._selectors = SelectorIndex(verbs.storage, REPLICASETS)
        self._writer = Writer(verbs, self.name)
        self._control = PodControl(self._writer, pods, Recorder(self._writer), REPLICASETS)

    def concerns(self, change: Change) -> Iterator[Task]:
        match change.resource.group, change.resource.plural:
            case "apps", "replicasets":
                self._selectors.notice(change)
                yield change.stored.key
            case "", "pods":
                yield from owners_of(self._pods, self._selectors, "ReplicaSet")

    def everything(self) -> Iterator[Task]:
        yield from self._verbs.storage.collection(REPLICASETS).keys

    async def reconcile(self, task: Task) -> float | None:
        namespace, name = task
        found = self._writer.read(REPLICASETS, namespace, name)
        if found is None:
            return None
        failure: StatusError | None = None
        if not self._is_settled(found):
            pods = await self._control.claim(found, selector_of(objects.spec(found)))
            if not objects.being_deleted(found):
                try:
                    await self._manage(found, pods)
                except StatusError as error:
                    failure = error
        now = self._verbs.clock.now()
        numbers = self._numbers(found, now)
        why = None if failure is None else (_reason(found, numbers.active), str(failure))
        try:
            await self._writer.write_status(REPLICASETS, found, replicaset.status(found, numbers, why, now))
        except Gone:
            return None
        if failure is not None:
            raise failure
        least = int(objects.spec(found).get("minReadySeconds") or 0)
        return seconds_to_available(self._pods.owned_by(objects.uid(found)), least, now) if least else None

    def _is_settled(self, found: Obj) -> bool:
        """Whether the numbers alone say that no pod is to be made, deleted, adopted or let go."""
        selector, tally = selector_of(objects.spec(found)), self._pods.tally(objects.uid(found))
        return (
            bool(selector)
            and selector is not None
            and tally.active == (objects.spec(found).get("replicas") or 0)
            and all(selector.matches(dict(labels)) for labels in (*tally.labels, *tally.strange))
            and not any(pod.active for pod in self._pods.orphans(objects.namespace(found), selector))
        )

    def _numbers(self, found: Obj, now: float) -> Numbers:
        spec, uid = objects.spec(found), objects.uid(found)
        if spec.get("minReadySeconds"):
            return Numbers.of(found, self._pods.owned_by(uid), now)
        tally, wanted = self._pods.tally(uid), objects.labels(spec.get("template") or {}).items()
        labelled = sum(count for labels, count in tally.labels.items() if wanted <= dict(labels).items())
        return Numbers(tally.active, labelled, tally.ready, tally.ready, tally.terminating)

    async def _manage(self, found: Obj, pods: list[Pod]) -> None:
        spec = objects.spec(found)
        match replicaset.decide(spec.get("replicas") or 0, pods, self._related(found), self._verbs.clock.now()):
            case replicaset.CreatePods(count):
                pod = from_template(spec.get("template") or {}, found, REPLICASETS)
                pod["metadata"]["generateName"] = f"{objects.name(found)}-"
                await self._control.create(found, ({**pod, "metadata": dict(pod["metadata"])} for _ in range(count)))
            case replicaset.DeletePods(names):
                by_name = {pod.name: pod for pod in pods}
                for name in names:
                    await self._control.delete(found, by_name[name])

    def _related(self, found: Obj) -> dict[str, int]:
        """Pods on each node that belong to the same Deployment, or else to this ReplicaSet."""
        owner = next((each for each in objects.owner_references(found) if each.get("controller")), None)
        uids = [objects.uid(found)]
        if owner is not None:
            uids = [
                stored.uid
                for collection, stored in self._verbs.storage.dependents(owner.get("uid", ""))
                if collection.resource.plural == "replicasets"
            ]
        return dict(by_node(pod for uid in uids for pod in self._pods.owned_by(uid)))


def owners_of(pods: PodIndex, selectors: SelectorIndex, kind: str) -> Iterator[Task]:
    """The workloads of *kind* that the newest change of a pod is about: its controller, or who may adopt it."""
    for pod in pods.changed():
        controller = pod.controller
        if controller is None:
            for name in selectors.selecting(pod.namespace, pod.labels):
                yield (pod.namespace, name)
        elif controller.kind == kind:
            yield (pod.namespace, controller.name)


def _reason(found: Obj, active: int) -> str:
    return "FailedCreate" if active < (objects.spec(found).get("replicas") or 0) else "FailedDelete"
