"""Endpoints and EndpointSlices follow Services and pods; slices mirror Endpoints that somebody made by hand.

What they should say is decided in `endpoints_state`. Contract: Kubernetes API surface, section 7.5.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.kube.resources import ENDPOINTS, ENDPOINTSLICES, PODS, SERVICES, Resource
from podpass.kube.status import StatusError
from podpass.lab.cluster.collection import Change, Key, Stored
from podpass.lab.cluster.controllers import endpoints_state as state
from podpass.lab.cluster.controllers.endpoints_state import Backend
from podpass.lab.cluster.controllers.loop import Task
from podpass.lab.cluster.controllers.writes import Gone, controller_user, delete, update
from podpass.lab.cluster.deletion import DeleteOptions
from podpass.lab.cluster.kinds.service_validation import is_headless, kind_of
from podpass.lab.cluster.registry import Kind
from podpass.lab.cluster.verbs import Verbs

_PODS, _SERVICES = (PODS.group, PODS.plural), (SERVICES.group, SERVICES.plural)
_ENDPOINTS, _SLICES = (ENDPOINTS.group, ENDPOINTS.plural), (ENDPOINTSLICES.group, ENDPOINTSLICES.plural)
_LOOKED_AT_ONCE = 100
_REST_SHARE, _MOST_REST_SECONDS = 4.0, 0.5


@dataclass(slots=True)
class _Behind:
    """The pods behind one Service."""

    version: str
    """The resourceVersion of the Service that they are looked at for."""
    changed: set[str]
    """The names of those that are still to be looked at."""
    backends: dict[str, Backend] = field(default_factory=dict)


class EndpointsController:
    """For each Service: its Endpoints and its EndpointSlices, from its pods or from hand-made Endpoints."""

    name = "endpoints"

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._user = controller_user("endpoint-controller")
        self._slices_user = controller_user("endpointslice-controller")
        self._mirror_user = controller_user("endpointslicemirroring-controller")
        self._selectors: dict[str, dict[str, Mapping[str, str]]] = {}
        """The Services that choose pods, by namespace: most pods belong to none, and that should cost nothing."""
        self._behind: dict[Key, _Behind] = {}
        self._held: dict[Key, tuple[int, Obj]] = {}
        """The slices that were made from pods, decoded, by resourceVersion."""

    def concerns(self, change: Change) -> Iterator[Task]:
        place, (namespace, name) = (change.resource.group, change.resource.plural), change.stored.key
        if place == _PODS:
            if known := self._selectors.get(namespace):
                states = [each.labels for each in (change.stored, change.previous) if each is not None]
                for service, selector in known.items():
                    if any(_matches(selector, labels) for labels in states):
                        if (behind := self._behind.get((namespace, service))) is not None:
                            behind.changed.add(name)
                        yield (namespace, service)
        elif place == _SERVICES:
            self._remember(change.stored, gone=change.type == "DELETED")
            yield (namespace, name)
        elif place == _ENDPOINTS:
            yield (namespace, name)
        elif place == _SLICES and change.type != "ADDED" and (owner := change.stored.labels.get(state.SERVICE_NAME)):
            if change.type == "DELETED":
                self._held.pop(change.stored.key, None)
            yield (namespace, owner)

    def everything(self) -> Iterator[Task]:
        for resource in (SERVICES, ENDPOINTS):
            for key, stored in self._verbs.storage.collection(resource).objects.items():
                if resource is SERVICES:
                    self._remember(stored, gone=False)
                yield key

    def _remember(self, stored: Stored, *, gone: bool) -> None:
        namespace, name = stored.key
        selector = None if gone else objects.spec(stored.object()).get("selector")
        known = self._selectors.setdefault(namespace, {})
        if selector:
            known[name] = selector
        else:
            self._behind.pop(stored.key, None)
            known.pop(name, None)
            if not known:
                del self._selectors[namespace]

    async def reconcile(self, task: Task) -> None:
        namespace, name = task
        began = time.monotonic()
        service = self._verbs.find(SERVICES, name, namespace)
        try:
            if service is None or objects.being_deleted(service):
                await self._service_gone(namespace, name)
            elif kind_of(service) == "ExternalName":
                return
            elif objects.spec(service).get("selector"):
                await self._from_pods(service)
            else:
                await self._mirror(service)
        except StatusError as error:
            # The namespace goes, or somebody was quicker: the change that did it comes by again.
            if error.reason not in ("AlreadyExists", "NotFound") and "being terminated" not in error.message:
                raise
        # Thousands of pods behind one Service: its next turn waits, and takes their changes together.
        if (took := time.monotonic() - began) > 0.02:
            await asyncio.sleep(min(took * _REST_SHARE, _MOST_REST_SECONDS))

    async def _service_gone(self, namespace: str, name: str) -> None:
        # Hand-made Endpoints without a Service stay, as long as there never was one.
        stored = self._verbs.storage.get(ENDPOINTS, namespace, name)
        if stored is not None and stored.labels.get(state.ENDPOINTS_MANAGED_BY):
            await self._delete(ENDPOINTS, stored)
        for each in self._slices(namespace, name, state.SLICES_BY) + self._slices(namespace, name, state.MIRRORED_BY):
            await self._delete(ENDPOINTSLICES, each)

    async def _from_pods(self, service: Obj) -> None:
        namespace, name = objects.key(service)
        found = state.groups(await self._backends(service))
        await self._write_slices(service, state.slices(found), state.SLICES_BY, self._slices_user)
        await self._write_endpoints(service, state.subsets(found))
        for each in self._slices(namespace, name, state.MIRRORED_BY):
            await self._delete(ENDPOINTSLICES, each)

    async def _backends(self, service: Obj) -> Iterable[Backend]:
        """What is behind *service*: of all pods once, then of those that changed."""
        key, version = objects.key(service), service["metadata"]["resourceVersion"]
        collection, selector = self._verbs.storage.collection(PODS), objects.spec(service)["selector"]
        behind = self._behind.get(key)
        if behind is None or behind.version != version:
            behind = self._behind[key] = _Behind(version, {name for _, name in collection.keys_in(key[0])})
        looked = 0
        while behind.changed:
            name = behind.changed.pop()
            stored = collection.objects.get((key[0], name))
            found = None
            if stored is not None and _matches(selector, stored.labels):
                found = state.backend(service, stored.object())
            if found is None:
                behind.backends.pop(name, None)
            elif found != behind.backends.get(name):
                behind.backends[name] = found
            looked += 1
            if looked % _LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return behind.backends.values()

    async def _write_endpoints(self, service: Obj, subsets: list[Obj]) -> None:
        namespace, name = objects.key(service)
        labels = {**objects.labels(service), state.ENDPOINTS_MANAGED_BY: "endpoint-controller"}
        labels.pop(state.HEADLESS, None)
        if is_headless(service):
            labels[state.HEADLESS] = ""
        present = self._verbs.find(ENDPOINTS, name, namespace)
        if present is None:
            body: Obj = {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "subsets": subsets}
            await self._verbs.create(ENDPOINTS, body, namespace, user=self._user)
        elif (present.get("subsets") or []) != subsets or objects.labels(present) != labels:
            meta = {**present["metadata"], "labels": labels}
            await self._update(ENDPOINTS, {**present, "metadata": meta, "subsets": subsets}, self._user)

    async def _mirror(self, service: Obj) -> None:
        namespace, name = objects.key(service)
        endpoints = self._verbs.find(ENDPOINTS, name, namespace)
        labels = objects.labels(endpoints or {})
        skipped = labels.get(state.SKIP_MIRROR) == "true" or state.LEADER in objects.annotations(endpoints or {})
        if endpoints is None or skipped or labels.get(state.ENDPOINTS_MANAGED_BY):
            for each in self._slices(namespace, name, state.MIRRORED_BY):
                await self._delete(ENDPOINTSLICES, each)
            return
        await self._write_slices(endpoints, state.mirrored(endpoints), state.MIRRORED_BY, self._mirror_user)

    async def _write_slices(self, owner: Obj, wanted: Sequence[state.Slice], manager: str, user: Any) -> None:
        """Make the slices of *owner*, a Service or hand-made Endpoints, what they should be."""
        namespace, name = objects.key(owner)
        kind = self._verbs.registry.of(ENDPOINTSLICES)
        stored = {each.key: each for each in self._slices(namespace, name, manager)}
        present = [self._decoded(kind, each) for each in stored.values()]
        labels = state.inherited_labels(owner, manager)
        changes = state.differences(wanted, present, labels)
        for each in changes.create:
            reference = {
                "apiVersion": "v1",
                "kind": owner["kind"],
                "name": name,
                "uid": objects.uid(owner),
                "controller": True,
                "blockOwnerDeletion": True,
            }
            body: Obj = {
                "metadata": {
                    "generateName": f"{name}-",
                    "namespace": namespace,
                    "labels": labels,
                    "ownerReferences": [reference],
                },
                "addressType": "IPv4",
                "endpoints": list(each.endpoints),
                "ports": each.ports_body(),
            }
            made = await self._verbs.create(ENDPOINTSLICES, body, namespace, user=user)
            self._hold(kind, objects.name(made), namespace, each)
        for change in changes.update:
            meta = {**change.old["metadata"], "labels": labels}
            body = {
                **change.old,
                "metadata": meta,
                "endpoints": list(change.new.endpoints),
                "ports": change.new.ports_body(),
            }
            await self._update(ENDPOINTSLICES, body, user)
            self._hold(kind, objects.name(change.old), namespace, change.new)
        for gone in changes.delete:
            await self._delete(ENDPOINTSLICES, stored[objects.key(gone)])

    def _decoded(self, kind: Kind, stored: Stored) -> Obj:
        known = self._held.get(stored.key)
        if known is None or known[0] != stored.rv:
            known = self._held[stored.key] = (stored.rv, self._verbs.present(kind, stored))
        return known[1]

    def _hold(self, kind: Kind, name: str, namespace: str, written: state.Slice) -> None:
        """Keep a slice that was written with the very endpoints it was made of: those are equal at first sight."""
        if (stored := self._verbs.storage.get(ENDPOINTSLICES, namespace, name)) is not None:
            obj = self._decoded(kind, stored)
            if obj.get("endpoints") == list(written.endpoints):
                obj["endpoints"] = list(written.endpoints)

    def _slices(self, namespace: str, service: str, manager: str) -> list[Stored]:
        collection = self._verbs.storage.collection(ENDPOINTSLICES)
        return [
            stored
            for key in collection.keys_in(namespace)
            if (stored := collection.objects[key]).labels.get(state.SERVICE_NAME) == service
            and stored.labels.get(state.MANAGED_BY) == manager
        ]

    async def _update(self, resource: Resource, obj: Obj, user: Any) -> None:
        with contextlib.suppress(Gone):
            await update(self._verbs, self._verbs.registry.of(resource), obj, user)

    async def _delete(self, resource: Resource, stored: Stored) -> None:
        with contextlib.suppress(Gone):
            options = DeleteOptions(uid=stored.uid)
            await delete(self._verbs, self._verbs.registry.of(resource), stored, options, self._user)


def _matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())
