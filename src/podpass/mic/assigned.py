"""AzureAssignedIdentity objects: written, and read as they are after our own writes.

Contract: pod identity, sections 1.3 and 2.6.
"""

import time
from collections.abc import Collection, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from podpass.kube import objects
from podpass.kube.client import JSON_PATCH, ApiError, Client
from podpass.kube.objects import Obj
from podpass.mic.copies import Copies
from podpass.mic.desired import PodKey, Wanted
from podpass.mic.metrics import MicMetrics, Step
from podpass.podidentity.objects import AssignedIdentity, Status, Unusable, read_assigned_identity
from podpass.podidentity.resources import ASSIGNED_IDENTITIES, BINDINGS, FORMER_ANNOTATION, IDENTITIES

FINALIZER = "azureassignedidentity.finalizers.aadpodidentity.k8s.io"
Key = tuple[str, str]


class AssignedIdentities:
    """The objects of all pods. A copy lags behind what was just written, so that is remembered until it caught up."""

    def __init__(self, client: Client, copies: Copies, metrics: MicMetrics) -> None:
        self._client, self._copies, self._metrics = client, copies, metrics
        self._written: dict[PodKey, dict[Key, _Left]] = {}

    def of(self, pod: PodKey) -> list[AssignedIdentity]:
        """The pod's objects; without those that hold no identity, as nobody can act on them."""
        found = {objects.key(obj): obj for obj in self._copies.assigned_to(pod)}
        written = self._written.pop(pod, {})
        seen = _number(self._copies.assigned_version)
        later = {key: left for key, left in written.items() if left.version > seen}
        for key, left in later.items():
            found.pop(key, None)
            if left.obj is not None:
                found[key] = left.obj
        if later:
            self._written[pod] = later
        read = (self._copies.read_assigned(obj) for obj in found.values())
        return [each for each in read if not isinstance(each, Unusable)]

    def others(self, wanted: Iterable[Wanted]) -> dict[Key, AssignedIdentity]:
        """Objects of other pods or identities under names that *wanted* would have."""
        found = {}
        for each in wanted:
            obj = self._copies.assigned_object(each.key)
            present = self._copies.read_assigned(obj) if obj is not None else None
            if isinstance(present, AssignedIdentity) and (
                present.pod != each.pod.key or present.identity.key != each.identity.key
            ):
                found[each.key] = present
        return found

    async def create(self, wanted: Wanted) -> AssignedIdentity | None:
        """As `Created`; None when the identity or the binding has gone meanwhile."""
        body = self._body(wanted, None, ())
        if body is None:
            return None
        return await self._write(
            "addition", wanted.pod.key, self._client.create(ASSIGNED_IDENTITIES, body, wanted.namespace)
        )

    async def update(
        self, wanted: Wanted, present: AssignedIdentity, former: Collection[str]
    ) -> AssignedIdentity | None:
        """In place of *present*, as `Created`. *former* are the ARM ids that the machine is to lose for it."""
        stored = await self._client.get(ASSIGNED_IDENTITIES, present.name, present.namespace)
        body = self._body(wanted, stored, former)
        if body is None:
            return None
        return await self._write(
            "update", wanted.pod.key, self._client.replace(ASSIGNED_IDENTITIES, body, present.namespace)
        )

    async def set_status(self, present: AssignedIdentity, status: Status, *, former_are_off: bool = False) -> None:
        patch: list[dict[str, Any]] = [{"op": "replace", "path": "/status/status", "value": status}]
        if present.former and former_are_off:
            patch.append({"op": "remove", "path": "/metadata/annotations/" + FORMER_ANNOTATION.replace("/", "~1")})
        try:
            changed = await self._client.patch(
                ASSIGNED_IDENTITIES, present.name, patch, present.namespace, content_type=JSON_PATCH
            )
        except ApiError as error:
            if not error.not_found:
                raise
            return
        self._remember(present.pod, changed)

    async def delete(self, present: AssignedIdentity) -> None:
        """Mark it, delete it, and take its finalizer away. One that is gone already is what was wanted."""
        started = time.perf_counter()
        try:
            if present.status != "Unassigned":
                await self.set_status(present, "Unassigned")
            left = await self._client.delete(ASSIGNED_IDENTITIES, present.name, present.namespace)
            if FINALIZER in objects.finalizers(left):
                rest = [each for each in objects.finalizers(left) if each != FINALIZER]
                left["metadata"]["finalizers"] = rest
                left = await self._client.replace(ASSIGNED_IDENTITIES, left, present.namespace)
            version = _number(objects.resource_version(left))
            self._written.setdefault(present.pod, {})[present.namespace, present.name] = _Left(None, version)
        except ApiError as error:
            if not error.not_found:
                raise
        self._metrics.written("deletion", time.perf_counter() - started)

    def _body(self, wanted: Wanted, stored: Obj | None, former: Collection[str]) -> Obj | None:
        identity, binding = (
            self._copies.identity_object(wanted.identity),
            self._copies.binding_object(*wanted.binding.key),
        )
        if identity is None or binding is None:
            return None
        if stored is None:
            metadata: Obj = {"name": wanted.name, "namespace": wanted.namespace, "finalizers": [FINALIZER]}
        else:
            others = {key: text for key, text in objects.annotations(stored).items() if key != FORMER_ANNOTATION}
            if former:
                others[FORMER_ANNOTATION] = ",".join(sorted(former))
            metadata = {**stored["metadata"], "annotations": others}
        return {
            "apiVersion": ASSIGNED_IDENTITIES.api_version,
            "kind": ASSIGNED_IDENTITIES.kind,
            "metadata": {**metadata, "labels": {"nodename": wanted.pod.node}},
            "spec": {
                "azureIdentityRef": {**identity, "apiVersion": IDENTITIES.api_version, "kind": IDENTITIES.kind},
                "azureBindingRef": {**binding, "apiVersion": BINDINGS.api_version, "kind": BINDINGS.kind},
                "pod": wanted.pod.name,
                "podNamespace": wanted.pod.namespace,
                "nodename": wanted.pod.node,
            },
            "status": {"availableReplicas": 1, "status": "Created"},
        }

    async def _write(self, step: Step, pod: PodKey, writing: Coroutine[Any, Any, Obj]) -> AssignedIdentity | None:
        started = time.perf_counter()
        obj = await writing
        self._metrics.written(step, time.perf_counter() - started)
        self._remember(pod, obj)
        found = read_assigned_identity(obj)
        return None if isinstance(found, Unusable) else found

    def _remember(self, pod: PodKey, obj: Obj) -> None:
        left = _Left(obj, _number(objects.resource_version(obj)))
        self._written.setdefault(pod, {})[objects.key(obj)] = left


@dataclass(frozen=True, slots=True)
class _Left:
    """What an own write left, None where it deleted, and the version of that."""

    obj: Obj | None
    version: int


def _number(version: str) -> int:
    """Versions of one collection grow; -1 for a server that gives no numbers, so that its copies are believed."""
    return int(version) if version.isascii() and version.isdigit() else -1
