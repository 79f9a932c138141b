"""Makes the Jobs of CronJobs when they are due.

The rules are those of `workloads/cronjob.py`. Contract: Kubernetes API surface, section 7.5.
"""

import contextlib
from collections.abc import Iterator

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import CRONJOBS, JOBS
from podpass.kube.status import StatusError
from podpass.lab.clock import rfc3339
from podpass.lab.cluster.collection import Change
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.controllers.owned import OwnedObjects
from podpass.lab.cluster.controllers.pod_index import PodIndex
from podpass.lab.cluster.controllers.recorder import Recorder
from podpass.lab.cluster.controllers.writes import Gone, Writer
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.cluster.workloads import cronjob
from podpass.lab.cluster.workloads.cronjob import SCHEDULED_AT, job_name
from podpass.lab.cluster.workloads.events import Say
from podpass.lab.cluster.workloads.pods import reference_to


class CronJobs:
    name = "cronjob-controller"

    def __init__(self, verbs: Verbs, _pods: PodIndex) -> None:
        self._verbs = verbs
        self._writer = Writer(verbs, self.name)
        self._recorder = Recorder(self._writer)
        self._jobs = OwnedObjects(self._writer, CRONJOBS, JOBS)

    def concerns(self, change: Change) -> Iterator[Task]:
        match change.resource.group, change.resource.plural:
            case "batch", "cronjobs":
                yield change.stored.key
            case "batch", "jobs":
                yield from self._jobs.owners_of(change)

    def everything(self) -> Iterator[Task]:
        yield from self._verbs.storage.collection(CRONJOBS).keys

    async def reconcile(self, task: Task) -> float | None:
        found = self._writer.read(CRONJOBS, *task[:2])
        if found is None:
            return None
        jobs = self._jobs.of(found)
        decision = cronjob.decide(found, jobs, self._verbs.clock.now())
        by_name = {objects.name(job): job for job in jobs}
        for action in decision.actions:
            match action:
                case cronjob.CreateJob(due):
                    await self._create(found, due)
                case cronjob.DeleteJob(name):
                    with contextlib.suppress(Gone):
                        await self._writer.delete(JOBS, task[0], name, objects.uid(by_name[name]), "Background")
                        await self._recorder.record(found, "Normal", "SuccessfulDelete", f"Deleted job {name}")
                case Say(kind, reason, message):
                    await self._recorder.record(found, kind, reason, message)
        with contextlib.suppress(Gone):
            await self._writer.write_status(CRONJOBS, found, decision.status)
        return decision.again_seconds

    async def _create(self, found: Obj, due: float) -> None:
        template = objects.spec(found).get("jobTemplate") or {}
        meta = objects.metadata(template)
        name = job_name(found, due)
        job: Obj = {
            "metadata": {
                "name": name,
                "namespace": objects.namespace(found),
                "labels": dict(meta.get("labels") or {}),
                "annotations": {**(meta.get("annotations") or {}), SCHEDULED_AT: rfc3339(due)},
                "ownerReferences": [reference_to(found, CRONJOBS)],
            },
            "spec": dict(objects.spec(template)),
        }
        try:
            await self._writer.create(JOBS, job)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                return
            await self._recorder.record(found, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        await self._recorder.record(found, "Normal", "SuccessfulCreate", f"Created job {name}")
