"""The add-on at work in one cluster: its objects made, looked at whenever one of their kind changes, taken away."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, TypeVar

from podpass.kube import objects
from podpass.kube.client import ApiError, Client
from podpass.kube.objects import Obj
from podpass.kube.reflector import Change as Changed
from podpass.kube.reflector import Reflector
from podpass.kube.resources import (
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    CUSTOMRESOURCEDEFINITIONS,
    DAEMONSETS,
    NAMESPACES,
    SERVICEACCOUNTS,
    Resource,
)
from podpass.lab.pod_identity import wanted
from podpass.lab.pod_identity.changes import Change, Create, Delete, Restore, changes
from podpass.lab.pod_identity.wanted import MANAGED_BY, MANAGED_LABEL, NMI
from podpass.lab.supervision import Supervision
from podpass.podidentity.resources import ASSIGNED_IDENTITIES, BINDINGS, EXCEPTIONS, IDENTITIES

T = TypeVar("T")

LOOP = "pod identity"
LOOK_SECONDS = 60.0
"""How often the objects are looked at though nothing is known to have changed."""
ESTABLISHED_SECONDS = 20.0
_POLL_SECONDS = 0.05
_ENTRIES = (IDENTITIES, BINDINGS, EXCEPTIONS)
_RESOURCES: dict[str, Resource] = {
    each.kind: each
    for each in (
        *_ENTRIES,
        CLUSTERROLEBINDINGS,
        CLUSTERROLES,
        CUSTOMRESOURCEDEFINITIONS,
        DAEMONSETS,
        NAMESPACES,
        SERVICEACCOUNTS,
    )
}


class PodIdentity:
    """The add-on of the cluster of *kube*, an administrator's client. It works as long as *supervision* does.

    *has_agent*: an agent runs on the nodes; else the lab does its work.
    """

    def __init__(self, kube: Client, supervision: Supervision, *, has_agent: bool = True) -> None:
        self._kube, self._supervision, self._has_agent = kube, supervision, has_agent
        self._profile: Mapping[str, Any] | None = None
        self._runs = False
        self._look = asyncio.Event()
        self._working = asyncio.Lock()

    @property
    def is_wanted(self) -> bool:
        return self._profile is not None

    def keep(self, profile: Mapping[str, Any]) -> None:
        """Have the objects of *profile* be there, soon and from now on."""
        self._profile = profile
        self._look.set()
        if not self._runs:
            self._runs = True
            self._supervision.start(LOOP, self._run)

    async def use(self, profile: Mapping[str, Any] | None) -> None:
        """Make the objects those of *profile*; None takes all away. Returns when it is so.

        Raises ApiError, Unreachable, TimeoutError.
        """
        self._profile = profile
        if profile is not None:
            await self._make(profile)
            self.keep(profile)
            return
        if self._runs:
            self._runs = False
            await self._supervision.stop(LOOP)
        await self._remove()

    async def _run(self) -> None:
        def changed(_: Changed[Obj]) -> None:
            self._look.set()

        watched = [Reflector[Obj](self._kube, resource, on_change=changed) for resource in _ENTRIES]
        watched.append(Reflector[Obj](self._kube, DAEMONSETS, namespace=NMI[0], on_change=changed))
        async with asyncio.TaskGroup() as tasks:
            for reflector in watched:
                tasks.create_task(reflector.run())
            while True:
                self._look.clear()
                if self._profile is not None:
                    await self._make(self._profile)
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._look.wait()
                except TimeoutError:
                    continue

    async def _make(self, profile: Mapping[str, Any]) -> None:
        async with self._working:
            definitions = wanted.definitions()
            await self._apply(changes(definitions, await self._found(definitions), owned=()))
            await self._established(definitions)
            agent, entries = wanted.agent(profile), wanted.entries(profile)
            if not self._has_agent:
                agent = [each for each in agent if each["kind"] != DAEMONSETS.kind]
            spaces = {objects.namespace(each) for each in (*agent, *entries)} - {""}
            namespaces: list[Obj] = [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(spaces)
            ]
            await self._apply(changes(namespaces, await self._found(namespaces), owned=()))
            listed = await self._entries()
            others = [each for each in agent if each["kind"] not in {resource.kind for resource in _ENTRIES}]
            present = [*await self._found(others), *listed]
            await self._apply(changes([*agent, *entries], present, owned=filter(_is_ours, listed)))

    async def _remove(self) -> None:
        async with self._working:
            listed = await self._entries()
            agent = [each for each in wanted.agent({}) if each["kind"] != EXCEPTIONS.kind]
            owned = [*filter(_is_ours, listed), *filter(_is_ours, await self._found(agent))]
            await self._apply(changes((), (), owned=owned))
            left = {each["kind"] for each in await self._entries()}
            if left or await self._listed(ASSIGNED_IDENTITIES):
                return
            definitions = await self._found(wanted.definitions())
            await self._apply(changes((), (), owned=filter(_is_ours, definitions)))

    async def _entries(self) -> list[Obj]:
        return [each for resource in _ENTRIES for each in await self._listed(resource)]

    async def _listed(self, resource: Resource) -> list[Obj]:
        found = await _if_there(self._kube.list(resource))
        # A list's items do not say what they are.
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        return [] if found is None else [{**head, **each} for each in found.items]

    async def _found(self, wished: Iterable[Obj]) -> list[Obj]:
        found = []
        for each in wished:
            resource, name, namespace = _place(each)
            found.append(await _if_there(self._kube.get(resource, name, namespace)))
        return [each for each in found if each is not None]

    async def _established(self, definitions: Iterable[Obj]) -> None:
        async with asyncio.timeout(ESTABLISHED_SECONDS):
            left = [objects.name(each) for each in definitions]
            while True:
                found = [await self._kube.get(CUSTOMRESOURCEDEFINITIONS, name) for name in left]
                left = [objects.name(each) for each in found if not _is_established(each)]
                if not left:
                    return
                await asyncio.sleep(_POLL_SECONDS)

    async def _apply(self, found: Iterable[Change]) -> None:
        """Do all of them; one that is refused keeps no other one waiting. Raises what the first one met."""
        failure: ApiError | None = None
        for change in found:
            try:
                await self._do(change)
            except ApiError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    async def _do(self, change: Change) -> None:
        resource, name, namespace = _place(change.obj)
        match change:
            case Create(obj):
                await self._kube.create(resource, obj, namespace)
            case Restore(obj):
                await self._kube.replace(resource, obj, namespace)
            case Delete(obj):
                try:
                    await self._kube.delete(resource, name, namespace, uid=objects.uid(obj))
                except ApiError as error:
                    if not error.not_found and not error.conflict:
                        raise


async def _if_there(call: Awaitable[T]) -> T | None:
    try:
        return await call
    except ApiError as error:
        if error.not_found:
            return None
        raise


def _place(obj: Obj) -> tuple[Resource, str, str | None]:
    return _RESOURCES[obj["kind"]], objects.name(obj), objects.namespace(obj) or None


def _is_ours(obj: Obj) -> bool:
    return objects.labels(obj).get(MANAGED_LABEL) == MANAGED_BY


def _is_established(definition: Obj) -> bool:
    conditions = objects.status(definition).get("conditions") or ()
    return any(each.get("type") == "Established" and each.get("status") == "True" for each in conditions)
