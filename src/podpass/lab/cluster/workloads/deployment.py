"""How a Deployment gets from the ReplicaSets it has to the one it should have.

One call of `decide` gives one step; each step changes a ReplicaSet, which brings the next call.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.cluster.kinds.deployments import RECREATE, REVISION
from podpass.lab.cluster.kinds.templates import scaled
from podpass.lab.cluster.workloads.revisions import next_number, same_template

REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED, MOST = "deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_NOT_COPIED = (LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED, MOST)


@dataclass(frozen=True, slots=True)
class CreateReplicaSet:
    """For the Deployment's own template, which no ReplicaSet has yet."""

    replicas: int
    annotations: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"create a ReplicaSet of {self.replicas}, revision {self.annotations.get(REVISION)}"


@dataclass(frozen=True, slots=True)
class Scale:
    name: str
    before: int
    after: int
    annotations: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"scale {self.name} from {self.before} to {self.after}"


@dataclass(frozen=True, slots=True)
class Mark:
    """Write annotations and minReadySeconds of the newest ReplicaSet."""

    name: str
    annotations: dict[str, str] = field(default_factory=dict)
    min_ready_seconds: int = 0

    def __str__(self) -> str:
        return f"mark {self.name} as revision {self.annotations.get(REVISION)}"


@dataclass(frozen=True, slots=True)
class SetRevision:
    """Of the Deployment itself."""

    revision: str

    def __str__(self) -> str:
        return f"set revision {self.revision}"


@dataclass(frozen=True, slots=True)
class DeleteReplicaSet:
    """An old one beyond the limit of the history."""

    name: str

    def __str__(self) -> str:
        return f"delete {self.name}"


Action = CreateReplicaSet | Scale | Mark | SetRevision | DeleteReplicaSet


@dataclass(frozen=True, slots=True)
class Rollout:
    """A Deployment, and its ReplicaSets told apart."""

    deployment: Obj
    new: Obj | None
    """The one of the Deployment's own template."""
    old: tuple[Obj, ...]
    """All others, the oldest first."""

    @classmethod
    def of(cls, deployment: Obj, replicasets: Sequence[Obj]) -> "Rollout":
        template = objects.spec(deployment).get("template") or {}
        ordered = sorted(replicasets, key=lambda each: (_created(each), objects.name(each)))
        new = next(
            (each for each in ordered if same_template(objects.spec(each).get("template") or {}, template)), None
        )
        return cls(deployment, new, tuple(each for each in ordered if each is not new))

    @property
    def all(self) -> tuple[Obj, ...]:
        return self.old if self.new is None else (*self.old, self.new)

    @property
    def replicas(self) -> int:
        return int(objects.spec(self.deployment).get("replicas") or 0)

    @property
    def recreates(self) -> bool:
        return (objects.spec(self.deployment).get("strategy") or {}).get("type") == RECREATE

    @property
    def max_surge(self) -> int:
        return 0 if self.recreates else self._bounds()[0]

    @property
    def max_unavailable(self) -> int:
        return 0 if self.recreates or not self.replicas else min(self._bounds()[1], self.replicas)

    def _bounds(self) -> tuple[int, int]:
        rolling = (objects.spec(self.deployment).get("strategy") or {}).get("rollingUpdate") or {}
        surge = scaled(rolling.get("maxSurge"), self.replicas, up=True)
        unavailable = scaled(rolling.get("maxUnavailable"), self.replicas, up=False)
        # Rounding may leave neither, and then nothing could ever move.
        return surge, unavailable if surge or unavailable else 1

    @property
    def complete(self) -> bool:
        numbers = status_numbers(self)
        return all(numbers[member] == self.replicas for member in ("updatedReplicas", "replicas", "availableReplicas"))


def decide(rollout: Rollout, *, old_pods_running: bool) -> list[Action]:
    """The next step. *old_pods_running*: pods of old ReplicaSets have not ended, which Recreate waits for."""
    paused = bool(objects.spec(rollout.deployment).get("paused"))
    marks = _marks(rollout)
    if paused or _is_scaling(rollout):
        steps = _proportional(rollout)
        return [*marks, *steps, *(_history(rollout) if paused and not steps else ())]
    if rollout.recreates:
        if steps := [_scale(rollout, each, 0) for each in rollout.old if _size(each)]:
            return [*marks, *steps]
        if old_pods_running:
            return list(marks)
        if rollout.new is None:
            return [*marks, _creation(rollout, rollout.replicas)]
        if _size(rollout.new) != rollout.replicas:
            return [*marks, _scale(rollout, rollout.new, rollout.replicas)]
    else:
        if rollout.new is None:
            return [*marks, _creation(rollout, _new_size(rollout))]
        if _size(rollout.new) != (wanted := _new_size(rollout)):
            return [*marks, _scale(rollout, rollout.new, wanted)]
        if steps := _shrink_old(rollout):
            return [*marks, *steps]
    return [*marks, *(_history(rollout) if rollout.complete else ())]


def _creation(rollout: Rollout, replicas: int) -> CreateReplicaSet:
    annotations = {
        **_copied(rollout),
        REVISION: str(next_number(map(revision, rollout.old))),
        **_replica_annotations(rollout),
    }
    return CreateReplicaSet(replicas, annotations)


def _marks(rollout: Rollout) -> list[Action]:
    """The newest ReplicaSet has the Deployment's annotations, and the highest revision, which the Deployment shows."""
    if rollout.new is None:
        return []
    new, found = rollout.new, objects.annotations(rollout.new)
    annotations = {**found, **_copied(rollout)}
    before, after = revision(new), next_number(map(revision, rollout.old))
    if before < after:
        annotations[REVISION] = str(after)
        if REVISION in found:
            history = [each for each in found.get(REVISION_HISTORY, "").split(",") if each]
            annotations[REVISION_HISTORY] = ",".join([*history, str(before)])
    ready = int(objects.spec(rollout.deployment).get("minReadySeconds") or 0)
    actions: list[Action] = []
    if annotations != found or int(objects.spec(new).get("minReadySeconds") or 0) != ready:
        actions.append(Mark(objects.name(new), annotations, ready))
    if objects.annotations(rollout.deployment).get(REVISION) != annotations.get(REVISION):
        actions.append(SetRevision(annotations[REVISION]))
    return actions


def _copied(rollout: Rollout) -> dict[str, str]:
    found = objects.annotations(rollout.deployment)
    return {key: value for key, value in found.items() if key not in _NOT_COPIED}


def _replica_annotations(rollout: Rollout) -> dict[str, str]:
    return {DESIRED: str(rollout.replicas), MOST: str(rollout.replicas + rollout.max_surge)}


def _scale(rollout: Rollout, replicaset: Obj, after: int) -> Scale:
    return Scale(objects.name(replicaset), _size(replicaset), after, _replica_annotations(rollout))


def _new_size(rollout: Rollout) -> int:
    """How many pods the newest ReplicaSet of a rolling update may have now."""
    current = 0 if rollout.new is None else _size(rollout.new)
    if current >= rollout.replicas:
        return rollout.replicas
    room = rollout.replicas + rollout.max_surge - sum(map(_size, rollout.all))
    return current + max(min(room, rollout.replicas - current), 0)


def _shrink_old(rollout: Rollout) -> list[Action]:
    """Take pods from old ReplicaSets, as many as may be unavailable: those first that do not serve anyway."""
    assert rollout.new is not None
    if not any(map(_size, rollout.old)):
        return []
    least = rollout.replicas - rollout.max_unavailable
    new_unavailable = _size(rollout.new) - _status(rollout.new, "availableReplicas")
    may_go = sum(map(_size, rollout.all)) - least - new_unavailable
    if may_go <= 0:
        return []
    sizes = {objects.name(each): _size(each) for each in rollout.old}
    cleaned = 0
    for each in rollout.old:
        unhealthy = _size(each) - _status(each, "availableReplicas")
        gone = min(may_go - cleaned, unhealthy)
        if gone > 0:
            sizes[objects.name(each)] -= gone
            cleaned += gone
    spare = sum(_status(each, "availableReplicas") for each in rollout.all) - least
    for each in rollout.old:
        gone = min(spare, sizes[objects.name(each)])
        if gone > 0:
            sizes[objects.name(each)] -= gone
            spare -= gone
    return [_scale(rollout, each, size) for each in rollout.old if (size := sizes[objects.name(each)]) != _size(each)]


def _is_scaling(rollout: Rollout) -> bool:
    """Whether somebody changed the number of replicas since the ReplicaSets were last told of it."""
    for each in rollout.all:
        desired = objects.annotations(each).get(DESIRED, "")
        if _size(each) and desired.isdecimal() and int(desired) != rollout.replicas:
            return True
    return False


def _proportional(rollout: Rollout) -> list[Action]:
    """Share a change of the number of replicas among the ReplicaSets that have pods."""
    active = [each for each in rollout.all if _size(each)]
    if len(active) <= 1:
        only = active[0] if active else rollout.new or (rollout.old[-1] if rollout.old else None)
        if only is None or _size(only) == rollout.replicas:
            return [] if only is None else _annotated(rollout, [only])
        return [_scale(rollout, only, rollout.replicas)]
    if rollout.new is not None and _saturated(rollout, rollout.new):
        return [_scale(rollout, each, 0) for each in rollout.old if _size(each)]
    if rollout.recreates:
        return []
    allowed = rollout.replicas + rollout.max_surge if rollout.replicas else 0
    missing = allowed - sum(map(_size, active))
    # The largest share first; of equals, the newest grows first and the oldest shrinks first.
    newest = sorted(active, key=_created, reverse=missing > 0)
    ordered = sorted(newest, key=_size, reverse=True)
    shared = 0
    sizes: dict[str, int] = {}
    for each in ordered:
        part = _share(rollout, each, missing - shared) if missing else 0
        sizes[objects.name(each)] = _size(each) + part
        shared += part
    if ordered and missing != shared:
        first = objects.name(ordered[0])
        sizes[first] = max(sizes[first] + missing - shared, 0)
    wanted = _replica_annotations(rollout)
    return [
        _scale(rollout, each, size)
        for each in ordered
        if (size := sizes[objects.name(each)]) != _size(each) or not wanted.items() <= objects.annotations(each).items()
    ]


def _annotated(rollout: Rollout, listed: Sequence[Obj]) -> list[Action]:
    wanted = _replica_annotations(rollout)
    return [
        _scale(rollout, each, _size(each)) for each in listed if not wanted.items() <= objects.annotations(each).items()
    ]


def _share(rollout: Rollout, replicaset: Obj, left: int) -> int:
    size = _size(replicaset)
    if not rollout.replicas:
        fraction = -size
    else:
        text = objects.annotations(replicaset).get(MOST, "")
        before = int(text) if text.isdecimal() else int(objects.status(rollout.deployment).get("replicas") or 0)
        fraction = round(size * (rollout.replicas + rollout.max_surge) / before) - size if before else 0
    return max(min(fraction, left), 0) if left > 0 else min(max(fraction, left), 0)


def _saturated(rollout: Rollout, replicaset: Obj) -> bool:
    return (
        objects.annotations(replicaset).get(DESIRED) == str(rollout.replicas)
        and _size(replicaset) == rollout.replicas
        and _status(replicaset, "availableReplicas") == rollout.replicas
    )


def _history(rollout: Rollout) -> list[Action]:
    """Old ReplicaSets beyond the limit go, the lowest revisions first, once they have no pods."""
    limit = objects.spec(rollout.deployment).get("revisionHistoryLimit")
    kept = [each for each in rollout.old if not objects.being_deleted(each)]
    if limit is None or len(kept) <= limit:
        return []
    return [
        DeleteReplicaSet(objects.name(each))
        for each in sorted(kept, key=revision)[: len(kept) - limit]
        if not _size(each)
        and not _status(each, "replicas")
        and _status(each, "observedGeneration") >= int(objects.metadata(each).get("generation") or 0)
    ]


def revision(replicaset: Obj) -> int:
    text = objects.annotations(replicaset).get(REVISION, "0")
    return int(text) if text.isdecimal() and len(text) < 19 else 0


def _size(replicaset: Obj) -> int:
    return int(objects.spec(replicaset).get("replicas") or 0)


def _status(replicaset: Obj, member: str) -> int:
    return int(objects.status(replicaset).get(member) or 0)


def _created(replicaset: Obj) -> str:
    return objects.metadata(replicaset).get("creationTimestamp") or ""


def status_numbers(rollout: Rollout) -> dict[str, int]:
    def total(member: str) -> int:
        return sum(_status(each, member) for each in rollout.all)

    available = total("availableReplicas")
    return {
        "replicas": total("replicas"),
        "updatedReplicas": 0 if rollout.new is None else _status(rollout.new, "replicas"),
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(sum(map(_size, rollout.all)) - available, 0),
        "terminatingReplicas": total("terminatingReplicas"),
    }
