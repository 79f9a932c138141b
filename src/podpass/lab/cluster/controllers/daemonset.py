"""Keeps a DaemonSet's pod on every node that it is for, as nodes come and go.

The rules are those of `workloads/daemonset.py`. Contract: Kubernetes API surface, section 7.5.
"""

from collections.abc import Iterator

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import DAEMONSETS, NODES, PODS
from podpass.kube.status import StatusError
from podpass.lab.cluster.collection import Change
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.controllers.pod_control import PodControl
from podpass.lab.cluster.controllers.pod_index import PodIndex
from podpass.lab.cluster.controllers.recorder import Recorder
from podpass.lab.cluster.controllers.replicaset import owners_of
from podpass.lab.cluster.controllers.revisions import Revisions
from podpass.lab.cluster.controllers.selector_index import SelectorIndex
from podpass.lab.cluster.controllers.writes import Gone, Writer
from podpass.lab.cluster.kinds.daemonsets import TEMPLATE_GENERATION
from podpass.lab.cluster.kinds.templates import selector_of
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.cluster.workloads import daemonset
from podpass.lab.cluster.workloads.daemonset import Wanted
from podpass.lab.cluster.workloads.daemonset_nodes import bound_to, node_of
from podpass.lab.cluster.workloads.pods import Pod, from_template, seconds_to_available
from podpass.lab.cluster.workloads.statefulset import REVISION_LABEL

FAILED_AGAIN_SECONDS = 1.0
"""A pod that failed is made anew after so long, twice as long each time."""
LONGEST_FAILED_SECONDS = 900.0


class DaemonSets:
    name = "daemonset-controller"

    def __init__(self, verbs: Verbs, pods: PodIndex) -> None:
        self._verbs = verbs
        self._pods = pods
        self._selectors = SelectorIndex(verbs.storage, DAEMONSETS)
        self._writer = Writer(verbs, self.name)
        self._recorder = Recorder(self._writer)
        self._control = PodControl(self._writer, pods, self._recorder, DAEMONSETS)
        self._revisions = Revisions(self._writer, DAEMONSETS, REVISION_LABEL)
        self._failures: dict[tuple[str, str], tuple[int, float]] = {}
        """By the DaemonSet's uid and the node: how often its pod failed, and until when the next one waits."""

    def concerns(self, change: Change) -> Iterator[Task]:
        match change.resource.group, change.resource.plural:
            case "apps", "daemonsets":
                self._selectors.notice(change)
                self._revisions.notice(change)
                if change.type == "DELETED":
                    self._failures = {key: kept for key, kept in self._failures.items() if key[0] != change.stored.uid}
                yield change.stored.key
            case "apps", "controllerrevisions":
                yield from self._revisions.owners_of(change)
            case "", "pods":
                yield from owners_of(self._pods, self._selectors, "DaemonSet")
            case "", "nodes" if _matters(change):
                yield from self.everything()

    def everything(self) -> Iterator[Task]:
        yield from self._verbs.storage.collection(DAEMONSETS).keys

    async def reconcile(self, task: Task) -> float | None:
        namespace, name = task
        found = self._writer.read(DAEMONSETS, namespace, name)
        if found is None:
            return None
        past = await self._revisions.sync(found)
        wanted = Wanted.of(found, self._verbs.list(NODES), hash=_hash(past.update))
        own = await self._control.claim(found, selector_of(objects.spec(found)))
        failure: StatusError | None = None
        pause: float | None = None
        if not objects.being_deleted(found):
            try:
                pause = await self._manage(found, wanted, own)
            except StatusError as error:
                failure = error
        now = self._verbs.clock.now()
        pods = self._placed(self._pods.owned_by(objects.uid(found)))
        try:
            await self._writer.write_status(
                DAEMONSETS, found, daemonset.status(found, wanted, pods, past.collisions, now)
            )
        except Gone:
            return None
        hashes = {pod.labels.get(REVISION_LABEL, "") for _, pod in pods}
        live = {objects.name(each) for each in past.all if _hash(each) in hashes}
        await self._revisions.trim(found, past, live)
        if failure is not None:
            raise failure
        ready = seconds_to_available([pod for _, pod in pods], wanted.min_ready_seconds, now)
        return min((each for each in (pause, ready) if each is not None), default=None)

    def _placed(self, pods: list[Pod]) -> list[tuple[str, Pod]]:
        return [(pod.node or self._meant_for(pod), pod) for pod in pods]

    def _meant_for(self, pod: Pod) -> str:
        found = self._verbs.storage.get(PODS, pod.namespace, pod.name)
        return "" if found is None else node_of(objects.spec(found.object()))

    async def _manage(self, found: Obj, wanted: Wanted, pods: list[Pod]) -> float | None:
        """In how many seconds a node gets another pod after one failed there. Raises StatusError."""
        placed = self._placed(pods)
        node_by_pod = {pod.name: node for node, pod in placed}
        by_name = {pod.name: pod for pod in pods}
        now = self._verbs.clock.now()
        new: list[Obj] = []
        pauses: list[float] = []
        for action in daemonset.decide(wanted, placed, now):
            match action:
                case daemonset.CreateOn(node):
                    if (left := self._failures.get((objects.uid(found), node), (0, 0.0))[1] - now) > 0:
                        pauses.append(left)
                    else:
                        new.append(self._pod(found, node, wanted.hash))
                case daemonset.DeletePod(name, why):
                    if why == "failed":
                        await self._note_failure(found, node_by_pod[name], name, now)
                    await self._control.delete(found, by_name[name])
        await self._control.create(found, new)
        return min(pauses, default=None)

    async def _note_failure(self, found: Obj, node: str, pod: str, now: float) -> None:
        key = (objects.uid(found), node)
        count, until = self._failures.get(key, (0, 0.0))
        if now - until > 2 * LONGEST_FAILED_SECONDS:
            count = 0
        pause = min(FAILED_AGAIN_SECONDS * 2.0 ** min(count, 20), LONGEST_FAILED_SECONDS)
        self._failures[key] = (count + 1, now + pause)
        text = f"Found failed daemon pod {objects.namespace(found)}/{pod} on node {node}, will try to kill it"
        await self._recorder.record(found, "Warning", "FailedDaemonPod", text)

    def _pod(self, found: Obj, node: str, hashed: str) -> Obj:
        pod = from_template(objects.spec(found).get("template") or {}, found, DAEMONSETS)
        labels = {**(pod["metadata"].get("labels") or {}), REVISION_LABEL: hashed}
        if number := objects.annotations(found).get(TEMPLATE_GENERATION):
            labels["pod-template-generation"] = number
        pod["metadata"] |= {"generateName": f"{objects.name(found)}-", "labels": labels}
        pod["spec"] = bound_to(pod["spec"], node)
        return pod


def _hash(revision: Obj) -> str:
    return objects.labels(revision).get(REVISION_LABEL, "")


def _matters(change: Change) -> bool:
    """Whether a node came or went, or changed in what decides where pods belong; its heartbeats do not."""
    if change.type != "MODIFIED" or change.previous is None:
        return True
    after, before = change.stored, change.previous
    return after.labels != before.labels or objects.spec(after.object()) != objects.spec(before.object())
