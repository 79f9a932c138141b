"""Runs Jobs to their end, and deletes them when their time to live is over.

The rules are those of `workloads/job.py`. Contract: Kubernetes API surface, section 7.5.
"""

import contextlib
from collections.abc import Iterator

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import JOBS, PODS
from podpass.lab.cluster.collection import Change
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.controllers.pod_control import PodControl
from podpass.lab.cluster.controllers.pod_index import PodIndex
from podpass.lab.cluster.controllers.recorder import Recorder
from podpass.lab.cluster.controllers.replicaset import owners_of
from podpass.lab.cluster.controllers.selector_index import SelectorIndex
from podpass.lab.cluster.controllers.writes import Gone, Writer
from podpass.lab.cluster.kinds.job_defaults import INDEXED
from podpass.lab.cluster.kinds.templates import selector_of
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.cluster.workloads import job
from podpass.lab.cluster.workloads.events import Say
from podpass.lab.cluster.workloads.job import Decision, NewPod
from podpass.lab.cluster.workloads.job_counting import FINALIZER, INDEX, INDEX_FAILURES
from podpass.lab.cluster.workloads.pods import Pod, from_template

_UNTRACKED = "untracked"
"""The third member of a task about a pod that no Job counts any more."""


class Jobs:
    name = "job-controller"

    def __init__(self, verbs: Verbs, pods: PodIndex) -> None:
        self._verbs = verbs
        self._pods = pods
        self._selectors = SelectorIndex(verbs.storage, JOBS)
        self._writer = Writer(verbs, self.name)
        self._cleaner = Writer(verbs, "ttl-after-finished-controller")
        self._recorder = Recorder(self._writer)
        self._control = PodControl(self._writer, pods, self._recorder, JOBS)

    def concerns(self, change: Change) -> Iterator[Task]:
        match change.resource.group, change.resource.plural:
            case "batch", "jobs":
                self._selectors.notice(change)
                yield change.stored.key
                if change.type == "DELETED":
                    for pod in self._pods.owned_by(change.stored.uid):
                        yield (pod.namespace, pod.name, _UNTRACKED)
            case "", "pods":
                yield from owners_of(self._pods, self._selectors, "Job")
                left = self._pods.current
                if left is not None and self._is_untracked(left):
                    yield (left.namespace, left.name, _UNTRACKED)

    def everything(self) -> Iterator[Task]:
        yield from self._verbs.storage.collection(JOBS).keys
        for key in self._verbs.storage.collection(PODS).keys:
            found = self._pods.get(*key)
            if found is not None and self._is_untracked(found):
                yield (*key, _UNTRACKED)

    def _is_untracked(self, pod: Pod) -> bool:
        """Whether the pod is held for a Job that is not there."""
        if FINALIZER not in pod.finalizers:
            return False
        controller = pod.controller
        if controller is None or controller.kind != "Job":
            return True
        found = self._verbs.storage.get(JOBS, pod.namespace, controller.name)
        return found is None or found.uid != controller.uid

    async def reconcile(self, task: Task) -> float | None:
        if task[2:] == (_UNTRACKED,):
            pod = self._pods.get(task[0], task[1])
            if pod is not None and self._is_untracked(pod):
                await self._release(pod)
            return None
        found = self._writer.read(JOBS, task[0], task[1])
        if found is None:
            return None
        left = job.seconds_to_live(found, self._verbs.clock.now())
        if left is not None and left <= 0 and not objects.being_deleted(found):
            with contextlib.suppress(Gone):
                await self._cleaner.delete(JOBS, task[0], task[1], objects.uid(found), "Foreground")
            return None
        if objects.spec(found).get("managedBy") not in (None, "kubernetes.io/job-controller"):
            return left
        pods = await self._control.claim(found, selector_of(objects.spec(found)))
        decision = job.decide(found, pods, self._verbs.clock.now())
        try:
            await self._writer.write_status(JOBS, found, decision.status)
        except Gone:
            return None
        await self._apply(found, pods, decision)
        return min((each for each in (left, decision.again_seconds) if each is not None), default=None)

    async def _apply(self, found: Obj, pods: list[Pod], decision: Decision) -> None:
        by_name = {pod.name: pod for pod in pods}
        new: list[Obj] = []
        for action in decision.actions:
            match action:
                case NewPod():
                    new.append(_pod(found, action))
                case job.DeletePod(name):
                    await self._control.delete(found, by_name[name])
                case job.Release(name):
                    await self._release(by_name[name])
                case Say(kind, reason, message):
                    await self._recorder.record(found, kind, reason, message)
        await self._control.create(found, new)

    async def _release(self, pod: Pod) -> None:
        def released(current: Obj) -> Obj:
            kept = [each for each in objects.finalizers(current) if each != FINALIZER]
            return {**current, "metadata": {**current["metadata"], "finalizers": kept or None}}

        target = {"metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid}}
        with contextlib.suppress(Gone):
            await self._writer.change(PODS, target, released)


def _pod(found: Obj, new: NewPod) -> Obj:
    spec = objects.spec(found)
    pod = from_template(spec.get("template") or {}, found, JOBS)
    meta = pod["metadata"]
    meta["finalizers"] = [*(meta.get("finalizers") or ()), FINALIZER]
    meta["generateName"] = f"{objects.name(found)}-"
    if spec.get("completionMode") != INDEXED or new.index is None:
        return pod
    number = str(new.index)
    meta["generateName"] = f"{objects.name(found)}-{number}-"
    meta["labels"] = {**(meta.get("labels") or {}), INDEX: number}
    meta["annotations"] = {**(meta.get("annotations") or {}), INDEX: number}
    if new.index_failures is not None:
        meta["annotations"][INDEX_FAILURES] = str(new.index_failures)
    variable = {
        "name": "JOB_COMPLETION_INDEX",
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}},
    }
    pod["spec"]["hostname"] = f"{objects.name(found)}-{number}"
    for member in ("initContainers", "containers"):
        if pod["spec"].get(member):
            pod["spec"][member] = [
                {**each, "env": [*(each.get("env") or ()), variable]}
                if all(one.get("name") != variable["name"] for one in each.get("env") or ())
                else each
                for each in pod["spec"][member]
            ]
    return pod
