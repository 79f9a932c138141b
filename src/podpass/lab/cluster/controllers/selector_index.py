"""Which objects of a kind select a pod, without reading them all again for every pod."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from podpass.kube.resources import Resource
from podpass.kube.selectors import LabelSelector, SelectorSyntax, from_object
from podpass.lab.cluster.collection import Change, Key
from podpass.lab.cluster.storage import Storage


class _Spec(msgspec.Struct):
    selector: dict[str, Any] | None = None


class _Selecting(msgspec.Struct):
    spec: _Spec = msgspec.field(default_factory=_Spec)


_decode = msgspec.json.Decoder(_Selecting).decode


class SelectorIndex:
    """The label selectors in `spec.selector` of all objects of *resource*.

    One that is empty selects nothing, but where *empty_is_all*, as for disruption budgets.
    """

    def __init__(self, storage: Storage, resource: Resource, *, empty_is_all: bool = False) -> None:
        self._empty_is_all = empty_is_all
        self._place = (resource.group, resource.plural)
        self._selectors: dict[str, dict[str, LabelSelector]] = {}
        for stored in storage.collection(resource).objects.values():
            self._put(stored.key, stored.body)

    def notice(self, change: Change) -> None:
        if (change.resource.group, change.resource.plural) != self._place:
            return
        if change.type == "DELETED":
            self._selectors.get(change.stored.key[0], {}).pop(change.stored.key[1], None)
        else:
            self._put(change.stored.key, change.stored.body)

    def selecting(self, namespace: str, labels: Mapping[str, str]) -> Iterator[str]:
        """The names of those in *namespace* that want a pod with these labels."""
        for name, selector in self._selectors.get(namespace, {}).items():
            if selector.matches(labels):
                yield name

    def names(self, namespace: str) -> list[str]:
        return list(self._selectors.get(namespace, {}))

    def get(self, key: Key) -> LabelSelector | None:
        return self._selectors.get(key[0], {}).get(key[1])

    def _put(self, key: Key, body: bytes) -> None:
        try:
            selector = from_object(_decode(body).spec.selector)
        except SelectorSyntax:
            selector = None
        group = self._selectors.setdefault(key[0], {})
        if selector or (selector is not None and self._empty_is_all):
            group[key[1]] = selector
        else:
            group.pop(key[1], None)
