"""Which numbered pods a StatefulSet makes and deletes next, and in which order.

In order (OrderedReady) means one pod at a time: nothing happens while one that is there is not ready. All at once
(Parallel) makes and removes without waiting; updates still go one by one.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.cluster.kinds.statefulsets import ON_DELETE, PARALLEL
from podpass.lab.cluster.kinds.templates import scaled
from podpass.lab.cluster.workloads.pods import Pod, available

POD_NAME, POD_INDEX = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"
REVISION_LABEL = "controller-revision-hash"
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class CreatePod:
    ordinal: int
    revision: str

    def __str__(self) -> str:
        return f"create pod {self.ordinal} of {self.revision}"


@dataclass(frozen=True, slots=True)
class DeletePod:
    name: str
    why: Literal["failed", "condemned", "outdated"]

    def __str__(self) -> str:
        return f"delete {self.name}, {self.why}"


Action = CreatePod | DeletePod


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A StatefulSet, as far as its pods are concerned."""

    replicas: int
    start: int = 0
    parallel: bool = False
    on_delete: bool = False
    partition: int = 0
    has_partition: bool = True
    most_unavailable: int = 1
    min_ready_seconds: int = 0
    current: str
    """The revision that pods had before the update that is under way."""
    update: str
    current_replicas: int = 0
    """How many pods of the current revision there were at the last look."""

    @classmethod
    def of(cls, statefulset: Obj, *, current: str, update: str) -> "Wanted":
        spec = objects.spec(statefulset)
        strategy = spec.get("updateStrategy") or {}
        rolling = strategy.get("rollingUpdate")
        replicas = int(spec.get("replicas") or 0)
        most = (rolling or {}).get("maxUnavailable")
        return cls(
            replicas=replicas,
            start=int((spec.get("ordinals") or {}).get("start") or 0),
            parallel=spec.get("podManagementPolicy") == PARALLEL,
            on_delete=strategy.get("type") == ON_DELETE,
            partition=int((rolling or {}).get("partition") or 0),
            has_partition=rolling is not None,
            most_unavailable=1 if most is None else max(scaled(most, replicas, up=False), 1),
            min_ready_seconds=int(spec.get("minReadySeconds") or 0),
            current=current,
            update=update,
            current_replicas=int(objects.status(statefulset).get("currentReplicas") or 0),
        )

    @property
    def ordinals(self) -> range:
        return range(self.start, self.start + self.replicas)

    def revision_of(self, ordinal: int) -> str:
        """The revision of a pod that is made now."""
        if self.on_delete or self.current == self.update:
            return self.update
        boundary = self.partition if self.has_partition else self.current_replicas
        return self.current if ordinal < self.start + boundary else self.update


def ordinal(name: str, owner: str) -> int | None:
    """The number in a pod's name; None for a pod that is not called after *owner*."""
    called, _, number = name.rpartition("-")
    return int(number) if called == owner and _NUMBER.fullmatch(number) else None


def decide(wanted: Wanted, pods: Iterable[tuple[int, Pod]], now: float) -> list[Action]:
    """The next steps. *pods* come with their ordinals."""
    by_ordinal = dict(pods)
    actions: list[Action] = []

    def healthy(pod: Pod) -> bool:
        return pod.phase == "Running" and not pod.deleting and available(pod, wanted.min_ready_seconds, now)

    for number in wanted.ordinals:
        pod = by_ordinal.get(number)
        if pod is None:
            actions.append(CreatePod(number, wanted.revision_of(number)))
        elif pod.over and not pod.deleting:
            actions.append(DeletePod(pod.name, "failed"))
        elif healthy(pod):
            continue
        if not wanted.parallel:
            return actions
    condemned = [
        (number, by_ordinal[number]) for number in sorted(by_ordinal, reverse=True) if number not in wanted.ordinals
    ]
    if wanted.parallel:
        actions += [DeletePod(pod.name, "condemned") for _, pod in condemned if not pod.deleting]
        if actions:
            return actions
    elif condemned:
        return _next_condemned([pod for _, pod in condemned], [healthy(pod) for _, pod in condemned])
    if wanted.on_delete:
        return []
    return list(_updates(wanted, [by_ordinal.get(number) for number in wanted.ordinals], healthy))


def _next_condemned(pods: Sequence[Pod], healthy: Sequence[bool]) -> list[Action]:
    """The highest number goes, once those above it are gone; not while a lower one is ill, but the ill one may go."""
    highest = pods[0]
    if highest.deleting:
        return []
    first_ill = next((pod for pod, fine in zip(reversed(pods), reversed(healthy), strict=True) if not fine), None)
    if not healthy[0] and highest is not first_ill:
        return []
    return [DeletePod(highest.name, "condemned")]


def _updates(wanted: Wanted, pods: Sequence[Pod | None], healthy: Callable[[Pod], bool]) -> Iterator[Action]:
    """Pods of another revision, from the highest number down to the partition, as many as may be unavailable."""
    ill = sum(pod is None or not healthy(pod) for pod in pods)
    left = wanted.most_unavailable - ill
    for pod in reversed(pods[min(wanted.partition, len(pods)) :]):
        if pod is None or pod.deleting:
            if wanted.most_unavailable == 1:
                return
            continue
        outdated = pod.labels.get(REVISION_LABEL) != wanted.update
        fine = healthy(pod)
        if outdated and (not fine or left > 0):
            yield DeletePod(pod.name, "outdated")
            left -= fine
        if wanted.most_unavailable == 1 and (outdated or not fine):
            # One after the other, and none above an ill one.
            return


def status(statefulset: Obj, wanted: Wanted, pods: Iterable[Pod], collisions: int, now: float) -> Obj:
    found = list(pods)
    running = [pod for pod in found if pod.phase == "Running" and pod.ready]
    alive = [pod for pod in found if not pod.deleting]

    def of(revision: str) -> int:
        return sum(pod.labels.get(REVISION_LABEL) == revision for pod in alive)

    numbers = {
        "replicas": len(found),
        "readyReplicas": len(running),
        "availableReplicas": sum(available(pod, wanted.min_ready_seconds, now) for pod in running),
        "currentReplicas": of(wanted.current),
        "updatedReplicas": of(wanted.update),
    }
    current = wanted.current
    if not wanted.on_delete and numbers["updatedReplicas"] == numbers["replicas"] == numbers["readyReplicas"]:
        numbers["currentReplicas"], current = numbers["updatedReplicas"], wanted.update
    return {
        "observedGeneration": objects.metadata(statefulset).get("generation", 0),
        **{name: value for name, value in numbers.items() if value or name in ("replicas", "availableReplicas")},
        "currentRevision": current,
        "updateRevision": wanted.update,
        "collisionCount": collisions,
        **({"conditions": found_} if (found_ := objects.status(statefulset).get("conditions")) else {}),
    }


def claim_names(statefulset: Obj, pod: str) -> dict[str, str]:
    """The claims of one pod: the name of each volume, and that of its claim."""
    return {
        objects.name(claim): f"{objects.name(claim)}-{pod}"
        for claim in objects.spec(statefulset).get("volumeClaimTemplates") or ()
    }


def identified(pod: Obj, statefulset: Obj, number: int, revision: str) -> Obj:
    """A pod from the template with the name, labels and volumes of its number."""
    name = f"{objects.name(statefulset)}-{number}"
    meta = pod["metadata"]
    labels = {**(meta.get("labels") or {}), POD_NAME: name, POD_INDEX: str(number), REVISION_LABEL: revision}
    claims = claim_names(statefulset, name)
    spec = {**pod["spec"], "hostname": name}
    if service := objects.spec(statefulset).get("serviceName"):
        spec["subdomain"] = service
    if claims:
        kept = [volume for volume in spec.get("volumes") or () if volume.get("name") not in claims]
        made = [{"name": volume, "persistentVolumeClaim": {"claimName": claim}} for volume, claim in claims.items()]
        spec["volumes"] = [*made, *kept]
    return {
        **pod,
        "metadata": {**meta, "name": name, "generateName": f"{objects.name(statefulset)}-", "labels": labels},
        "spec": spec,
    }
