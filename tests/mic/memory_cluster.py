"""A cluster's API and Resource Manager in memory, with the faults that a test wants, and MIC between them.

The calls are those of `podpass.kube.client.Client` and `podpass.mic.client.Compute` that MIC makes.
"""

import asyncio
import contextlib
import copy
import io
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from instant_loop import InstantLoop
from prometheus_client import CollectorRegistry

from podpass.kube import objects
from podpass.kube.client import ApiError, Client, Listing, Unreachable, WatchEvent
from podpass.kube.events import EventRecorder
from podpass.kube.objects import Obj
from podpass.kube.patch import apply_json_patch
from podpass.kube.resources import PODS, Resource
from podpass.mic.assigned import AssignedIdentities
from podpass.mic.client import CloudFailed, Compute
from podpass.mic.controller import Controller
from podpass.mic.copies import Copies
from podpass.mic.ledger import Ledger
from podpass.mic.metrics import MicMetrics
from podpass.mic.settings import Settings
from podpass.mic.targets import Target
from podpass.mic.worker import Worker
from podpass.podidentity.resources import BEHAVIOR_ANNOTATION, BINDING_LABEL
from podpass.telemetry.logging import make_logger

Key = tuple[str, str, str]
"""Plural, namespace and name."""
SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
COMPUTE = f"azure:///subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Compute"
PROVIDER_IDS = {
    "n0": f"{COMPUTE}/virtualMachineScaleSets/pool/virtualMachines/0",
    "n1": f"{COMPUTE}/virtualMachineScaleSets/pool/virtualMachines/1",
    "n2": f"{COMPUTE}/virtualMachineScaleSets/other/virtualMachines/0",
    "n3": f"{COMPUTE}/virtualMachines/n3",
}
POOL, OTHER = (Target("vmss", SUBSCRIPTION, "rg", name) for name in ("pool", "other"))
TARGETS = {"n0": POOL, "n1": POOL, "n2": OTHER, "n3": Target("vm", SUBSCRIPTION, "rg", "n3")}


class MemoryApi:
    """Objects with versions, finalizers and watches."""

    def __init__(self) -> None:
        self.stored: dict[Key, Obj] = {}
        self.reachable = True
        self.fault: Callable[[bool], Awaitable[None]] = _no_fault
        """Awaited before (False) and after (True) each of MIC's writes; what it raises is MIC's answer."""
        self._versions, self._uids = itertools.count(1), itertools.count(1)
        self._version = self._forgotten = 0
        self._history: list[tuple[int, str, Obj | None, Obj | None]] = []
        """Version, plural, the object before and after."""
        self._changed = asyncio.Event()

    # What users and other controllers do

    def of(self, resource: Resource) -> list[Obj]:
        return [obj for (plural, _, _), obj in self.stored.items() if plural == resource.plural]

    def find(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        return self.stored.get((resource.plural, namespace, name))

    def put(self, resource: Resource, obj: Obj) -> Obj:
        """Create *obj*, or put it in the place of what has its name."""
        key = (resource.plural, *objects.key(obj))
        before = self.stored.get(key)
        after = copy.deepcopy(obj)
        after["metadata"]["uid"] = before["metadata"]["uid"] if before is not None else f"uid-{next(self._uids)}"
        return self._keep(key, before, after)

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        key = (resource.plural, namespace, name)
        before = self.stored.pop(key, None)
        if before is not None:
            self._version = next(self._versions)
            self._history.append((self._version, key[0], before, None))
            self._wake()

    def forget_history(self) -> None:
        """Every watch ends, and can only begin anew."""
        self._forgotten = self._version
        self._wake()

    def set_reachable(self, reachable: bool) -> None:
        self.reachable = reachable
        self._wake()

    def _keep(self, key: Key, before: Obj | None, after: Obj) -> Obj:
        self._version = next(self._versions)
        after["metadata"]["resourceVersion"] = str(self._version)
        self.stored[key] = after
        self._history.append((self._version, key[0], before, after))
        self._wake()
        return copy.deepcopy(after)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # What MIC does

    async def pages(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str = "", item_type: Any, **_: Any
    ) -> AsyncGenerator[Listing[Any], None]:
        await self._reached()
        items = [_as(item_type, obj) for obj in self.of(resource) if _is_selected(obj, label_selector)]
        yield Listing(items, str(self._version))

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        item_type: Any,
        **_: Any,
    ) -> AsyncGenerator[WatchEvent[Any], None]:
        seen = int(resource_version)
        while True:
            await self._reached()
            if seen < self._forgotten:
                raise ApiError(410, "Expired", "too old resource version")
            changed = self._changed
            # Versions count the history's entries.
            for version, plural, before, after in self._history[seen:]:
                seen = version
                was = before is not None and _is_selected(before, label_selector)
                is_there = after is not None and _is_selected(after, label_selector)
                if plural != resource.plural or not (was or is_there):
                    continue
                kind = "DELETED" if not is_there else "MODIFIED" if was else "ADDED"
                yield WatchEvent(kind, _as(item_type, after if after is not None else before), str(version))
            await changed.wait()

    async def get(self, resource: Resource, name: str, namespace: str) -> Obj:
        await self._reached()
        return copy.deepcopy(self._stored(resource, namespace, name))

    async def create(self, resource: Resource, obj: Obj, namespace: str) -> Obj:
        key = (resource.plural, namespace, objects.name(obj))

        def write() -> Obj:
            if key in self.stored:
                raise ApiError(409, "AlreadyExists", f"{key} is there")
            return self.put(resource, obj)

        return await self._written(write)

    async def replace(self, resource: Resource, obj: Obj, namespace: str) -> Obj:
        def write() -> Obj:
            present = self._stored(resource, namespace, objects.name(obj))
            if objects.resource_version(obj) != objects.resource_version(present):
                raise ApiError(409, "Conflict", "it was modified")
            if objects.being_deleted(present) and not objects.finalizers(obj):
                self.remove(resource, namespace, objects.name(obj))
                return copy.deepcopy(obj)
            return self.put(resource, obj)

        return await self._written(write)

    async def patch(self, resource: Resource, name: str, patch: Any, namespace: str, *, content_type: str = "") -> Obj:
        def write() -> Obj:
            present = self._stored(resource, namespace, name)
            return self.put(resource, apply_json_patch(copy.deepcopy(present), patch))

        return await self._written(write)

    async def delete(self, resource: Resource, name: str, namespace: str) -> Obj:
        def write() -> Obj:
            present = copy.deepcopy(self._stored(resource, namespace, name))
            if objects.finalizers(present):
                present["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                return self.put(resource, present)
            self.remove(resource, namespace, name)
            return present

        return await self._written(write)

    async def _written(self, write: Callable[[], Obj]) -> Obj:
        await self._reached()
        await self.fault(False)
        written = write()
        await self.fault(True)
        return written

    async def _reached(self) -> None:
        await asyncio.sleep(0)
        if not self.reachable:
            raise Unreachable("https://memory", "connection refused")

    def _stored(self, resource: Resource, namespace: str, name: str) -> Obj:
        found = self.find(resource, namespace, name)
        if found is None:
            raise ApiError(404, "NotFound", f"{resource.plural} {namespace}/{name}")
        return found


async def _no_fault(happened: bool) -> None:
    del happened


def _as(item_type: Any, obj: Obj | None) -> Any:
    return msgspec.json.decode(msgspec.json.encode(obj), type=item_type)


def _is_selected(obj: Obj, label_selector: str) -> bool:
    return not label_selector or label_selector in (objects.metadata(obj).get("labels") or {})


@dataclass
class MemoryArm:
    """Machines and the identities they have. An identity that was deleted can't be assigned."""

    has: dict[Target, set[str]] = field(default_factory=dict)
    deleted_ids: set[str] = field(default_factory=set)
    faults: list[int] = field(default_factory=list)
    """What the next calls are answered: 0 is no answer, 1 none although it was done."""
    seconds: float = 0.0
    """How long each call takes."""
    reads: int = 0
    writes: list[tuple[Target, set[str], set[str]]] = field(default_factory=list)
    """What was added and removed."""
    before_write: Callable[[Target, set[str], set[str]], None] = lambda target, add, remove: None
    fault: Callable[[bool], Awaitable[None]] = _no_fault
    """As that of the API."""

    async def read(self, target: Target) -> dict[str, Any]:
        self.reads += 1
        await asyncio.sleep(self.seconds)
        self._fail()
        ids = self.has.setdefault(target, set())
        kind = "UserAssigned" if ids else "None"
        return {"identity": {"type": kind, "userAssignedIdentities": {each.upper(): {} for each in ids}}}

    async def write(self, target: Target, body: Mapping[str, Any]) -> None:
        await self.fault(False)
        ids = self.has.setdefault(target, set())
        identity = body["identity"]
        changed = identity.get("userAssignedIdentities")
        add = {each for each, value in (changed or {}).items() if value is not None}
        remove = {each for each, value in (changed or {}).items() if value is None} if changed is not None else set(ids)
        assert len(add | remove) <= 150
        self.before_write(target, add - ids, remove & ids)
        await asyncio.sleep(self.seconds)
        fault = self._fail(also_done=True)
        bad = sorted(add & self.deleted_ids)
        if bad:
            raise CloudFailed(f'StatusCode=400 Code="FailedIdentityOperation" Message="for \'{bad[0]}\'"', status=400)
        self.writes.append((target, add - ids, remove & ids))
        self.has[target] = (ids | add) - remove
        await self.fault(True)
        if fault:
            raise CloudFailed("got no answer: TimeoutError")

    def _fail(self, *, also_done: bool = False) -> bool:
        status = self.faults.pop(0) if self.faults else None
        if status == 1 and also_done:
            return True
        if status is not None:
            wait = 30.0 if status == 429 else 0.0
            raise CloudFailed(f"StatusCode={status}", status=max(status, 0), retry_seconds=wait)
        return False


class Running:
    """MIC's whole work as a leader, from what it finds."""

    def __init__(
        self,
        loop: InstantLoop,
        api: MemoryApi,
        arm: MemoryArm,
        *,
        immutable: frozenset[str] = frozenset(),
        settings: Settings = Settings(),  # noqa: B008 - a frozen value
    ) -> None:
        self.log = io.StringIO()
        log, metrics = make_logger("mic", stream=self.log), MicMetrics(CollectorRegistry())
        client = cast("Client", api)
        copies, ledger = Copies(client), Ledger()
        assigned = AssignedIdentities(client, copies, metrics)
        worker = Worker(
            copies,
            ledger,
            assigned,
            cast("Compute", arm),
            EventRecorder(client, "mic"),
            metrics,
            log,
            immutable=lambda: immutable,
            at_once=settings.at_once,
            max_retries=settings.max_retries,
            retry_seconds=settings.retry_seconds,
            clock=loop.time,
        )
        controller = Controller(settings, copies, ledger, assigned, worker, metrics, log)
        self._loop = loop
        self._tasks = [loop.create_task(copies.run()), loop.create_task(controller.run())]

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.wait(self._tasks))
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                task.result()


def pod(name: str, label: str, *, namespace: str = "x", node: str = "n0", phase: str = "Running") -> Obj:
    labels = {BINDING_LABEL: label} if label else {}
    return {
        "apiVersion": PODS.api_version,
        "kind": PODS.kind,
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": phase},
    }


def arm_id(name: str) -> str:
    return (
        f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.ManagedIdentity"
        f"/userAssignedIdentities/{name}"
    )


def node(name: str) -> Obj:
    spec = {"providerID": PROVIDER_IDS[name]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}


def identity(name: str, of: str, *, namespace: str = "x", kind: int = 0, namespaced: bool = False) -> Obj:
    annotations = {BEHAVIOR_ANNOTATION: "namespaced"} if namespaced else {}
    spec = {"type": kind, "clientID": f"client-{of}", "resourceID": arm_id(of) if of else "nonsense"}
    if kind:
        spec["clientPassword"] = {"name": "secret", "namespace": namespace}  # type: ignore[assignment]
    return {"metadata": {"name": name, "namespace": namespace, "annotations": annotations}, "spec": spec}


def binding(name: str, of: str, selector: str, *, namespace: str = "x") -> Obj:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"azureIdentity": of, "selector": selector}}
