"""All pods by owner, by namespace and by label, kept up to date by the writes themselves.

A controller finds its pods here without reading the others.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from podpass.kube.resources import PODS
from podpass.kube.selectors import LabelSelector
from podpass.lab.cluster.collection import Change, Key
from podpass.lab.cluster.storage import Storage
from podpass.lab.cluster.workloads.pods import Pod, decode

_Group = dict[Key, Pod]
_Label = tuple[str, str, str]
"""Namespace, key and value."""
_LOADED_AT_ONCE = 250


@dataclass(slots=True)
class Tally:
    """How the pods of one owner are, counted as they change: thousands of pods need not be looked at to know."""

    active: int = 0
    ready: int = 0
    """Of those that are active."""
    terminating: int = 0
    labels: dict[tuple[tuple[str, str], ...], int] = field(default_factory=dict)
    """How many active pods have which labels."""
    strange: dict[tuple[tuple[str, str], ...], int] = field(default_factory=dict)
    """The same for the others."""

    def count(self, pod: Pod, step: int) -> None:
        self.active += step * pod.active
        self.ready += step * (pod.active and pod.ready)
        self.terminating += step * (pod.deleting and not pod.over)
        groups, key = self.labels if pod.active else self.strange, tuple(sorted(pod.labels.items()))
        groups[key] = groups.get(key, 0) + step
        if not groups[key]:
            del groups[key]


class PodIndex:
    """Let it hear of changes in front of the controllers that use it, and load it before they begin."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._loaded = False
        self._tallies: dict[str, Tally] = {}
        self._pods: _Group = {}
        self._by_owner: dict[str, _Group] = {}
        self._orphans_by_label: dict[_Label, _Group] = {}
        self._by_label: dict[_Label, _Group] = {}
        self.previous: Pod | None = None
        """What the newest change found in the pod's place; None for a new pod."""
        self.current: Pod | None = None
        """What the newest change left; None when the pod is gone."""

    async def load(self) -> None:
        """Take in all pods there are, and follow the changes from now on.

        A cluster of thousands answers requests meanwhile.
        """
        if self._loaded:
            return
        self._loaded = True
        objects = self._storage.collection(PODS).objects
        for number, key in enumerate(list(objects), start=1):
            # What changed meanwhile is here already, or gone.
            if key in objects and key not in self._pods:
                self._put(key, decode(objects[key].body))
            if number % _LOADED_AT_ONCE == 0:
                await asyncio.sleep(0)

    def notice(self, change: Change) -> None:
        if not self._loaded or (change.resource.group, change.resource.plural) != ("", "pods"):
            return
        key = change.stored.key
        self.previous = self._remove(key)
        self.current = None
        if change.type != "DELETED":
            self.current = decode(change.stored.body)
            self._put(key, self.current)

    def changed(self) -> Iterator[Pod]:
        """The states on both sides of the newest change; none where nothing changed that matters."""
        if self.previous != self.current:
            if self.previous is not None:
                yield self.previous
            if self.current is not None:
                yield self.current

    def get(self, namespace: str, name: str) -> Pod | None:
        return self._pods.get((namespace, name))

    def owned_by(self, uid: str) -> list[Pod]:
        """The pods that the controller of that uid controls."""
        return list(self._by_owner.get(uid, {}).values())

    def tally(self, uid: str) -> Tally:
        """The numbers of the pods that the controller of that uid controls. Not to be changed."""
        return self._tallies.get(uid) or Tally()

    def matching(self, namespace: str, selector: LabelSelector) -> list[Pod]:
        """The pods whose labels *selector* wants; one that selects everything selects none here."""
        return self._matching(self._by_label, namespace, selector)

    def in_namespace(self, namespace: str) -> list[Pod]:
        return [pod for (home, _), pod in self._pods.items() if home == namespace]

    def orphans(self, namespace: str, selector: LabelSelector) -> list[Pod]:
        """Those of them that nobody controls."""
        return [pod for pod in self._matching(self._orphans_by_label, namespace, selector) if pod.controller is None]

    def _matching(self, index: Mapping[_Label, _Group], namespace: str, selector: LabelSelector) -> list[Pod]:
        candidates: Iterable[Pod] | None = None
        fewest = -1
        for requirement in selector.requirements:
            if requirement.operator not in ("in", "="):
                continue
            groups = [index.get((namespace, requirement.key, value), {}) for value in requirement.values]
            count = sum(map(len, groups))
            if fewest < 0 or count < fewest:
                fewest, candidates = count, [pod for group in groups for pod in group.values()]
        if candidates is None:
            candidates = self.in_namespace(namespace) if selector else []
        return [pod for pod in candidates if selector.matches(pod.labels)]

    def _put(self, key: Key, pod: Pod) -> None:
        self._pods[key] = pod
        for index, place in self._places(key, pod):
            index.setdefault(place, {})[key] = pod
        if pod.controller is not None:
            self._tallies.setdefault(pod.controller.uid, Tally()).count(pod, 1)

    def _remove(self, key: Key) -> Pod | None:
        pod = self._pods.pop(key, None)
        if pod is not None:
            for index, place in self._places(key, pod):
                group = index[place]
                del group[key]
                if not group:
                    del index[place]
            if pod.controller is not None:
                self._tallies[pod.controller.uid].count(pod, -1)
                if pod.controller.uid not in self._by_owner:
                    del self._tallies[pod.controller.uid]
        return pod

    def _places(self, key: Key, pod: Pod) -> Iterator[tuple[dict, object]]:  # type: ignore[type-arg]
        controller = pod.controller
        if controller is not None:
            yield self._by_owner, controller.uid
        for label, value in pod.labels.items():
            yield self._by_label, (key[0], label, value)
            if controller is None:
                yield self._orphans_by_label, (key[0], label, value)


def by_node(pods: Iterable[Pod]) -> Mapping[str, int]:
    """How many active pods each node has."""
    found: dict[str, int] = {}
    for pod in pods:
        if pod.active and pod.node:
            found[pod.node] = found.get(pod.node, 0) + 1
    return found
