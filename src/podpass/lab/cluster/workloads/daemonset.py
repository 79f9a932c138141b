"""On which nodes a DaemonSet makes its pod, which pods it deletes, and what it replaces when its template changes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.cluster.kinds.daemonsets import ON_DELETE
from podpass.lab.cluster.kinds.templates import scaled
from podpass.lab.cluster.workloads.daemonset_nodes import Place, place
from podpass.lab.cluster.workloads.pods import Pod, available
from podpass.lab.cluster.workloads.statefulset import REVISION_LABEL


@dataclass(frozen=True, slots=True)
class CreateOn:
    node: str

    def __str__(self) -> str:
        return f"create a pod on {self.node}"


@dataclass(frozen=True, slots=True)
class DeletePod:
    name: str
    why: Literal["failed", "misplaced", "surplus", "outdated"]

    def __str__(self) -> str:
        return f"delete {self.name}, {self.why}"


Action = CreateOn | DeletePod


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A DaemonSet with the hash of its present template."""

    hash: str
    min_ready_seconds: int = 0
    on_delete: bool = False
    max_unavailable: int = 1
    max_surge: int = 0
    places: Mapping[str, Place] = field(default_factory=dict)
    """By the node's name, for every node there is."""

    @classmethod
    def of(cls, daemonset: Obj, nodes: Iterable[Obj], *, hash: str) -> "Wanted":
        spec = objects.spec(daemonset)
        template = objects.spec(spec.get("template") or {})
        places = {objects.name(node): place(template, node) for node in nodes}
        desired = sum(each == "run" for each in places.values())
        strategy = spec.get("updateStrategy") or {}
        rolling = strategy.get("rollingUpdate") or {}
        surge = scaled(rolling.get("maxSurge"), desired, up=True)
        unavailable = scaled(rolling.get("maxUnavailable"), desired, up=True)
        return cls(
            hash=hash,
            min_ready_seconds=int(spec.get("minReadySeconds") or 0),
            on_delete=strategy.get("type") == ON_DELETE,
            max_unavailable=unavailable if unavailable or surge else 1,
            max_surge=surge,
            places=places,
        )

    def updated(self, pod: Pod) -> bool:
        return pod.labels.get(REVISION_LABEL) == self.hash


def decide(wanted: Wanted, pods: Iterable[tuple[str, Pod]], now: float) -> list[Action]:
    """The next steps. *pods* come with the node that each is on, or is meant for."""
    by_node: dict[str, list[Pod]] = {}
    for node, pod in pods:
        by_node.setdefault(node, []).append(pod)
    actions: list[Action] = []
    for node in [*wanted.places, *(each for each in by_node if each not in wanted.places)]:
        actions += _manage(wanted, node, by_node.get(node, []), now)
    if actions or wanted.on_delete:
        return actions
    return _surge(wanted, by_node, now) if wanted.max_surge else _replace(wanted, by_node, now)


def _manage(wanted: Wanted, node: str, pods: Sequence[Pod], now: float) -> list[Action]:
    """One pod where one belongs; where none does, none."""
    where = wanted.places.get(node, "no")
    if where == "run" and not pods:
        return [CreateOn(node)]
    if where == "no":
        return [DeletePod(pod.name, "misplaced") for pod in pods if not pod.deleting]
    alive = [pod for pod in pods if not pod.deleting]
    actions: list[Action] = [DeletePod(pod.name, "failed") for pod in alive if pod.over]
    running = sorted((pod for pod in alive if not pod.over), key=lambda pod: (pod.created, pod.name))
    if not wanted.max_surge:
        return actions + [DeletePod(pod.name, "surplus") for pod in running[1:]]
    old = [pod for pod in running if not wanted.updated(pod)]
    new = [pod for pod in running if wanted.updated(pod)]
    surplus = [*old[1:], *new[1:]]
    if old and new and available(new[0], wanted.min_ready_seconds, now):
        # The new pod serves: its predecessor is done.
        surplus.append(old[0])
    return actions + [DeletePod(pod.name, "surplus") for pod in surplus]


def _replace(wanted: Wanted, by_node: Mapping[str, list[Pod]], now: float) -> list[Action]:
    """Pods of an old template go, as many as may be unavailable: those first that do not serve anyway."""
    ill: list[Pod] = []
    serving: list[Pod] = []
    unavailable = 0
    for node, where in wanted.places.items():
        if where != "run":
            continue
        pods = by_node.get(node, [])
        alive = [pod for pod in pods if not pod.deleting]
        if not alive:
            unavailable += 1
            continue
        pod = alive[0]
        fine = available(pod, wanted.min_ready_seconds, now)
        unavailable += not fine
        if not wanted.updated(pod):
            (serving if fine else ill).append(pod)
    room = max(wanted.max_unavailable - unavailable, 0)
    return [DeletePod(pod.name, "outdated") for pod in (*ill, *serving[:room])]


def _surge(wanted: Wanted, by_node: Mapping[str, list[Pod]], now: float) -> list[Action]:
    """A second pod on some nodes, beside the old one, which goes when the new one serves."""
    surging = 0
    actions: list[Action] = []
    waiting: list[str] = []
    for node, where in wanted.places.items():
        if where != "run":
            continue
        alive = [pod for pod in by_node.get(node, []) if not pod.deleting]
        old = [pod for pod in alive if not wanted.updated(pod)]
        if not old:
            continue
        if any(wanted.updated(pod) for pod in alive):
            surging += 1
        elif not available(old[0], wanted.min_ready_seconds, now):
            actions.append(DeletePod(old[0].name, "outdated"))
        else:
            waiting.append(node)
    return actions + [CreateOn(node) for node in waiting[: max(wanted.max_surge - surging, 0)]]


def status(daemonset: Obj, wanted: Wanted, pods: Iterable[tuple[str, Pod]], collisions: int, now: float) -> Obj:
    by_node: dict[str, list[Pod]] = {}
    for node, pod in pods:
        by_node.setdefault(node, []).append(pod)
    numbers = dict.fromkeys(
        (
            "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
            "updatedNumberScheduled", "numberAvailable",
        ),
        0,
    )  # fmt: skip
    for node, where in wanted.places.items():
        found = by_node.get(node, [])
        if where != "run":
            numbers["numberMisscheduled"] += bool(found) and where == "no"
            continue
        numbers["desiredNumberScheduled"] += 1
        if not found:
            continue
        numbers["currentNumberScheduled"] += 1
        # The oldest stands for the node.
        pod = min(found, key=lambda each: (each.created, each.name))
        best = next((each for each in found if each.ready and not each.deleting), pod)
        if best.ready:
            numbers["numberReady"] += 1
            numbers["numberAvailable"] += available(best, wanted.min_ready_seconds, now)
        numbers["updatedNumberScheduled"] += any(wanted.updated(each) for each in found)
    unavailable = numbers["desiredNumberScheduled"] - numbers["numberAvailable"]
    always = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
    return {
        "observedGeneration": objects.metadata(daemonset).get("generation", 0),
        **{name: value for name, value in numbers.items() if value or name in always},
        **({"numberUnavailable": unavailable} if unavailable else {}),
        **({"collisionCount": collisions} if collisions else {}),
        **({"conditions": kept} if (kept := objects.status(daemonset).get("conditions")) else {}),
    }
