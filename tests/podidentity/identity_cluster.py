"""A cluster with the definitions of pod identity, and objects for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from podpass.kube import resources
from podpass.kube.client import Client
from podpass.kube.config import load
from podpass.kube.objects import Obj
from podpass.kube.patch import apply_merge_patch
from podpass.podidentity.resources import BINDINGS, IDENTITIES
from tests.lab.cluster.api_server import ApiServer, api_server

CRDS = Path(__file__).parents[2] / "deploy/pod-identity/00-crds.yaml"
GROUP_ID = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg"


@dataclass(frozen=True)
class IdentityCluster:
    """Its API, and the administrator's client."""

    api: ApiServer
    kube: Client

    async def identity(self, name: str, *, namespace: str = "shop", **spec: Any) -> Obj:
        return await self.kube.create(IDENTITIES, identity(name, namespace, **spec), namespace)

    async def binding(self, name: str, of: str, selector: str, *, namespace: str = "shop") -> Obj:
        body = {"spec": {"azureIdentity": of, "selector": selector}}
        return await self.kube.create(BINDINGS, named(BINDINGS, name, body), namespace)

    async def pod(
        self,
        name: str,
        address: str,
        *,
        node: str,
        namespace: str = "shop",
        labels: dict[str, str] | None = None,
        **spec: Any,
    ) -> Obj:
        """A running pod of *node*."""
        body = {
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {"nodeName": node, "containers": [{"name": "app", "image": "app"}], **spec},
        }
        await self.kube.create(resources.PODS, body, namespace)
        return await self.phase(name, "Running", address, namespace=namespace)

    async def phase(self, name: str, phase: str, address: str, *, namespace: str = "shop") -> Obj:
        status = {"phase": phase, "podIP": address, "podIPs": [{"ip": address}]}
        return await self.kube.patch(resources.PODS, name, {"status": status}, namespace, subresource="status")


@contextlib.asynccontextmanager
async def identity_cluster(directory: Path) -> AsyncIterator[IdentityCluster]:
    async with contextlib.AsyncExitStack() as stack:
        api = await stack.enter_async_context(api_server(directory))
        controllers = asyncio.create_task(api.cluster.run())
        stack.push_async_callback(ended, controllers)
        kube = await stack.enter_async_context(Client(load({}, path=directory / "kubeconfig")))
        for definition in yaml.safe_load_all(CRDS.read_text()):
            await kube.create(resources.CUSTOMRESOURCEDEFINITIONS, definition)
            await established(kube, definition["metadata"]["name"])
        yield IdentityCluster(api, kube)


def named(resource: resources.Resource, name: str, body: Obj) -> Obj:
    whole = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}}
    merged = apply_merge_patch(whole, body)
    assert isinstance(merged, dict)
    return merged


def identity(name: str, namespace: str = "shop", **spec: Any) -> Obj:
    usual = {
        "type": 0,
        "clientID": f"client-{name}",
        "resourceID": f"{GROUP_ID}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}",
    }
    return named(IDENTITIES, name, {"metadata": {"namespace": namespace}, "spec": {**usual, **spec}})


async def established(kube: Client, name: str) -> None:
    definition = await kube.get(resources.CUSTOMRESOURCEDEFINITIONS, name)
    if _is_established(definition):
        return
    version = definition["metadata"]["resourceVersion"]
    async with asyncio.timeout(20):
        events = kube.watch(
            resources.CUSTOMRESOURCEDEFINITIONS, resource_version=version, field_selector=f"metadata.name={name}"
        )
        async with contextlib.aclosing(events):
            async for event in events:
                if event.object is not None and _is_established(event.object):
                    return


def _is_established(definition: Obj) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return ("Established", "True") in [(each["type"], each["status"]) for each in conditions]


async def ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
