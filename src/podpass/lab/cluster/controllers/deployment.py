"""Rolls Deployments out.

The rules are those of `workloads/deployment.py`. Contract: Kubernetes API surface, section 7.5.
"""

from collections.abc import Iterator

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import DEPLOYMENTS, REPLICASETS
from podpass.kube.status import StatusError
from podpass.lab.cluster.collection import Change, Stored
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.controllers.owned import OwnedObjects
from podpass.lab.cluster.controllers.pod_index import PodIndex
from podpass.lab.cluster.controllers.recorder import Recorder
from podpass.lab.cluster.controllers.writes import Gone, Writer
from podpass.lab.cluster.kinds.deployments import REVISION
from podpass.lab.cluster.kinds.templates import selector_of
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.cluster.workloads import conditions, deployment_status
from podpass.lab.cluster.workloads import deployment as rules
from podpass.lab.cluster.workloads.deployment import Rollout
from podpass.lab.cluster.workloads.deployment_status import Progress
from podpass.lab.cluster.workloads.pods import reference_to
from podpass.lab.cluster.workloads.revisions import POD_TEMPLATE_HASH, same_template, template_hash


class Deployments:
    name = "deployment-controller"

    def __init__(self, verbs: Verbs, pods: PodIndex) -> None:
        self._verbs = verbs
        self._pods = pods
        self._writer = Writer(verbs, self.name)
        self._recorder = Recorder(self._writer)
        self._replicasets = OwnedObjects(self._writer, DEPLOYMENTS, REPLICASETS)

    def concerns(self, change: Change) -> Iterator[Task]:
        match change.resource.group, change.resource.plural:
            case "apps", "deployments":
                self._replicasets.notice(change)
                yield change.stored.key
            case "apps", "replicasets":
                yield from self._replicasets.owners_of(change)
            case "", "pods" if change.type == "DELETED" or b'"deletionTimestamp"' in change.stored.body:
                # A Recreate waits for the pods of its old ReplicaSets.
                yield from self._of_pod(change.stored)

    def _of_pod(self, stored: Stored) -> Iterator[Task]:
        for reference in stored.head.ownerReferences or ():
            if reference.get("kind") == "ReplicaSet" and reference.get("controller"):
                found = self._verbs.storage.get(REPLICASETS, stored.key[0], reference.get("name", ""))
                for owner in (found.head.ownerReferences or ()) if found else ():
                    if owner.get("kind") == "Deployment" and owner.get("controller"):
                        yield (stored.key[0], owner.get("name", ""))

    def everything(self) -> Iterator[Task]:
        yield from self._verbs.storage.collection(DEPLOYMENTS).keys

    async def reconcile(self, task: Task) -> float | None:
        found = self._writer.read(DEPLOYMENTS, task[0], task[1])
        if found is None:
            return None
        selector = selector_of(objects.spec(found))
        rollout = Rollout.of(found, await self._replicasets.claim(found, selector))
        progress: Progress | None = None
        failure: StatusError | None = None
        try:
            if not objects.being_deleted(found):
                running = any(not pod.over for each in rollout.old for pod in self._pods.owned_by(objects.uid(each)))
                for action in rules.decide(rollout, old_pods_running=running):
                    progress = await self._apply(rollout, action) or progress
                if progress is None and rollout.new is not None:
                    progress = _found(found, rollout.new)
        except StatusError as error:
            failure = error
            if error.reason != "Conflict":
                progress = Progress("ReplicaSetCreateError", f"Failed to create new replica set: {error}")
        except Gone:
            # The change that it went by brings the next turn.
            return None
        current = self._writer.read(DEPLOYMENTS, task[0], task[1], objects.uid(found))
        if current is None:
            return None
        now = self._verbs.clock.now()
        status = deployment_status.status(Rollout.of(current, self._replicasets.of(current)), progress, now)
        try:
            await self._writer.write_status(DEPLOYMENTS, current, status)
        except Gone:
            return None
        if failure is not None:
            raise failure
        return deployment_status.seconds_to_deadline(current, status["conditions"], now)

    async def _apply(self, rollout: Rollout, action: rules.Action) -> Progress | None:
        """Raises Gone, StatusError."""
        found = rollout.deployment
        by_name = {objects.name(each): each for each in rollout.all}
        match action:
            case rules.CreateReplicaSet():
                return await self._create(found, action)
            case rules.Scale(name, before, after, annotations):

                def scaled(current: Obj) -> Obj:
                    return _annotated({**current, "spec": {**objects.spec(current), "replicas": after}}, annotations)

                await self._writer.change(REPLICASETS, by_name[name], scaled)
                if before != after:
                    await self._say_scaled(found, name, before, after)
            case rules.Mark(name, annotations, seconds):

                def marked(current: Obj) -> Obj:
                    spec = {**objects.spec(current)}
                    spec.pop("minReadySeconds", None)
                    if seconds:
                        spec["minReadySeconds"] = seconds
                    return _annotated({**current, "spec": spec}, annotations)

                await self._writer.change(REPLICASETS, by_name[name], marked)
            case rules.SetRevision(revision):
                await self._set_revision(found, revision)
            case rules.DeleteReplicaSet(name):
                await self._writer.delete(REPLICASETS, objects.namespace(found), name, objects.uid(by_name[name]))
        return None

    async def _create(self, found: Obj, action: rules.CreateReplicaSet) -> Progress | None:
        spec = objects.spec(found)
        template = spec.get("template") or {}
        hashed = template_hash(template, objects.status(found).get("collisionCount"))
        name = f"{objects.name(found)[: 253 - len(hashed) - 1]}-{hashed}"
        replicaset = _replicaset(found, name, hashed, action)
        try:
            await self._writer.create(REPLICASETS, replicaset)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                await self._recorder.record(
                    found, "Warning", "ReplicaSetCreateError", f'Failed to create new replica set "{name}": {error}'
                )
                raise
            await self._collided(found, name)
            return None
        await self._set_revision(found, action.annotations[REVISION])
        if action.replicas:
            await self._say_scaled(found, name, 0, action.replicas)
        return Progress("NewReplicaSetCreated", f'Created new replica set "{name}"')

    async def _collided(self, found: Obj, name: str) -> None:
        """The name is taken by another template: the next turn gets another hash."""
        other = self._writer.read(REPLICASETS, objects.namespace(found), name)
        template = objects.spec(found).get("template") or {}
        own = other is not None and any(
            each.get("controller") and each.get("uid") == objects.uid(found) for each in objects.owner_references(other)
        )
        if own and other is not None and same_template(objects.spec(other).get("template") or {}, template):
            return

        def counted(current: Obj) -> Obj:
            status = objects.status(current)
            return {**current, "status": {**status, "collisionCount": int(status.get("collisionCount") or 0) + 1}}

        await self._writer.change(DEPLOYMENTS, found, counted, "status")

    async def _set_revision(self, found: Obj, revision: str) -> None:
        await self._writer.change(DEPLOYMENTS, found, lambda current: _annotated(current, {REVISION: revision}))

    async def _say_scaled(self, found: Obj, name: str, before: int, after: int) -> None:
        direction = "up" if after > before else "down"
        text = f"Scaled {direction} replica set {name} from {before} to {after}"
        await self._recorder.record(found, "Normal", "ScalingReplicaSet", text)


def _found(deployment: Obj, new: Obj) -> Progress | None:
    if conditions.find(objects.status(deployment).get("conditions"), "Progressing") is not None:
        return None
    return Progress("FoundNewReplicaSet", f'Found new replica set "{objects.name(new)}"')


def _annotated(obj: Obj, annotations: dict[str, str]) -> Obj:
    meta = obj["metadata"]
    return {**obj, "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), **annotations}}}


def _replicaset(found: Obj, name: str, hashed: str, action: rules.CreateReplicaSet) -> Obj:
    spec = objects.spec(found)
    template = spec.get("template") or {}
    labels = {**objects.labels(template), POD_TEMPLATE_HASH: hashed}
    selector = spec.get("selector") or {}
    selector = {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), POD_TEMPLATE_HASH: hashed}}
    made: Obj = {
        "replicas": action.replicas,
        "selector": selector,
        "template": {**template, "metadata": {**objects.metadata(template), "labels": labels}},
    }
    if spec.get("minReadySeconds"):
        made["minReadySeconds"] = spec["minReadySeconds"]
    return {
        "metadata": {
            "name": name,
            "namespace": objects.namespace(found),
            "labels": labels,
            "annotations": action.annotations,
            "ownerReferences": [reference_to(found, DEPLOYMENTS)],
        },
        "spec": made,
    }
