"""Keeps the numbered pods of StatefulSets, with their claims.

The rules are those of `workloads/statefulset.py`. Contract: Kubernetes API surface, section 7.5.
"""

import contextlib
from collections.abc import Iterator

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import PERSISTENTVOLUMECLAIMS, STATEFULSETS
from podpass.kube.status import StatusError
from podpass.lab.cluster.collection import Change
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.controllers.pod_control import PodControl, Wording
from podpass.lab.cluster.controllers.pod_index import PodIndex
from podpass.lab.cluster.controllers.recorder import Recorder
from podpass.lab.cluster.controllers.replicaset import owners_of
from podpass.lab.cluster.controllers.revisions import HASH_LABEL, Past, Revisions, template_in
from podpass.lab.cluster.controllers.selector_index import SelectorIndex
from podpass.lab.cluster.controllers.writes import Gone, Writer
from podpass.lab.cluster.kinds.templates import selector_of
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.cluster.workloads import statefulset
from podpass.lab.cluster.workloads.pods import Pod, from_template, seconds_to_available
from podpass.lab.cluster.workloads.statefulset import REVISION_LABEL, Wanted, claim_names, ordinal

_WORDING = Wording(
    created="Create Pod {pod} in StatefulSet {owner} successful",
    deleted="Delete Pod {pod} in StatefulSet {owner} successful",
    not_created="Create Pod {pod} in StatefulSet {owner} failed error: {error}",
    not_deleted="Delete Pod {pod} in StatefulSet {owner} failed error: {error}",
)


class StatefulSets:
    name = "statefulset-controller"

    def __init__(self, verbs: Verbs, pods: PodIndex) -> None:
        self._verbs = verbs
        self._pods = pods
        self._selectors = SelectorIndex(verbs.storage, STATEFULSETS)
        self._writer = Writer(verbs, self.name)
        self._recorder = Recorder(self._writer)
        self._control = PodControl(self._writer, pods, self._recorder, STATEFULSETS, _WORDING)
        self._revisions = Revisions(self._writer, STATEFULSETS, HASH_LABEL)

    def concerns(self, change: Change) -> Iterator[Task]:
        match change.resource.group, change.resource.plural:
            case "apps", "statefulsets":
                self._selectors.notice(change)
                self._revisions.notice(change)
                yield change.stored.key
            case "apps", "controllerrevisions":
                yield from self._revisions.owners_of(change)
            case "", "pods":
                yield from owners_of(self._pods, self._selectors, "StatefulSet")

    def everything(self) -> Iterator[Task]:
        yield from self._verbs.storage.collection(STATEFULSETS).keys

    async def reconcile(self, task: Task) -> float | None:
        namespace, name = task
        found = self._writer.read(STATEFULSETS, namespace, name)
        if found is None:
            return None
        past = await self._revisions.sync(found)
        current = objects.status(found).get("currentRevision") or objects.name(past.update)
        if past.named(current) is None:
            current = objects.name(past.update)
        wanted = Wanted.of(found, current=current, update=objects.name(past.update))
        own = await self._control.claim(found, selector_of(objects.spec(found)))
        failure: StatusError | None = None
        if not objects.being_deleted(found):
            try:
                await self._manage(found, wanted, past, own)
            except StatusError as error:
                failure = error
        now = self._verbs.clock.now()
        pods = [pod for _, pod in self._numbered(found, self._pods.owned_by(objects.uid(found)))]
        try:
            await self._writer.write_status(
                STATEFULSETS, found, statefulset.status(found, wanted, pods, past.collisions, now)
            )
        except Gone:
            return None
        live = {wanted.current, wanted.update, *(pod.labels.get(REVISION_LABEL, "") for pod in pods)}
        await self._revisions.trim(found, past, live)
        if failure is not None:
            raise failure
        return seconds_to_available(pods, wanted.min_ready_seconds, now)

    def _numbered(self, found: Obj, pods: list[Pod]) -> list[tuple[int, Pod]]:
        owner = objects.name(found)
        numbered = ((ordinal(pod.name, owner), pod) for pod in pods)
        return [(number, pod) for number, pod in numbered if number is not None]

    async def _manage(self, found: Obj, wanted: Wanted, past: Past, pods: list[Pod]) -> None:
        by_name = {pod.name: pod for pod in pods}
        for action in statefulset.decide(wanted, self._numbered(found, pods), self._verbs.clock.now()):
            match action:
                case statefulset.CreatePod(number, revision):
                    await self._create(found, past, number, revision)
                case statefulset.DeletePod(name, why):
                    if why == "failed":
                        text = (
                            f"StatefulSet {objects.namespace(found)}/{objects.name(found)} is recreating failed"
                            f" Pod {name}"
                        )
                        await self._recorder.record(found, "Warning", "RecreatingFailedPod", text)
                    elif why == "condemned" and _retention(found, "whenScaled") == "Delete":
                        await self._hand_claims_to(found, by_name[name])
                    await self._control.delete(found, by_name[name])

    async def _create(self, found: Obj, past: Past, number: int, revision: str) -> None:
        source = past.named(revision) or past.update
        pod = statefulset.identified(
            from_template(template_in(source), found, STATEFULSETS), found, number, objects.name(source)
        )
        try:
            await self._create_claims(found, objects.name(pod))
        except StatusError as error:
            text = _WORDING.not_created.format(
                pod=objects.name(pod), owner=objects.name(found), error=f"failed to create PVC: {error}"
            )
            await self._recorder.record(found, "Warning", "FailedCreate", text)
            raise
        await self._control.create(found, [pod])

    async def _create_claims(self, found: Obj, pod: str) -> None:
        """Raises StatusError, also where the cluster has no claims."""
        names = claim_names(found, pod)
        for template in objects.spec(found).get("volumeClaimTemplates") or ():
            name = names[objects.name(template)]
            if self._verbs.registry.find("", "v1", "persistentvolumeclaims") is None:
                raise StatusError.no_such_path()
            if self._writer.read(PERSISTENTVOLUMECLAIMS, objects.namespace(found), name) is not None:
                continue
            selector = (objects.spec(found).get("selector") or {}).get("matchLabels") or {}
            meta = objects.metadata(template)
            claim: Obj = {
                "metadata": {
                    "name": name,
                    "namespace": objects.namespace(found),
                    "labels": {**(meta.get("labels") or {}), **selector},
                    "annotations": dict(meta.get("annotations") or {}),
                },
                "spec": dict(objects.spec(template)),
            }
            if _retention(found, "whenDeleted") == "Delete":
                claim["metadata"]["ownerReferences"] = [_reference("apps/v1", "StatefulSet", found)]
            await self._writer.create(PERSISTENTVOLUMECLAIMS, claim)
            text = f"Create Claim {name} Pod {pod} in StatefulSet {objects.name(found)} success"
            await self._recorder.record(found, "Normal", "SuccessfulCreate", text)

    async def _hand_claims_to(self, found: Obj, pod: Pod) -> None:
        """A pod that is scaled away takes its claims along: they become its own."""
        reference = _reference("v1", "Pod", {"metadata": {"name": pod.name, "uid": pod.uid}})
        if self._verbs.registry.find("", "v1", "persistentvolumeclaims") is None:
            return
        for name in claim_names(found, pod.name).values():
            target = {"metadata": {"name": name, "namespace": pod.namespace}}
            with contextlib.suppress(Gone):
                await self._writer.change(
                    PERSISTENTVOLUMECLAIMS,
                    target,
                    lambda claim: {**claim, "metadata": {**claim["metadata"], "ownerReferences": [reference]}},
                )


def _retention(found: Obj, when: str) -> str:
    return str((objects.spec(found).get("persistentVolumeClaimRetentionPolicy") or {}).get(when) or "Retain")


def _reference(api_version: str, kind: str, owner: Obj) -> Obj:
    return {"apiVersion": api_version, "kind": kind, "name": objects.name(owner), "uid": objects.uid(owner)}
