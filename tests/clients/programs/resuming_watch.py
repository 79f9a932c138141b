"""Watch ConfigMaps with kubernetes_asyncio: page, watch, resume, and start anew where history is gone."""

import asyncio
import sys

from kubernetes_asyncio import client, config, watch
from kubernetes_asyncio.client import ApiException, V1ConfigMap, V1ObjectMeta


async def make(core: client.CoreV1Api, namespace: str, *names: str) -> None:
    for name in names:
        await core.create_namespaced_config_map(namespace, V1ConfigMap(metadata=V1ObjectMeta(name=name)))


async def seen(core: client.CoreV1Api, namespace: str, since: str, until: str) -> tuple[list[str], str]:
    """The names that change after *since*, up to *until*, and the version of the last one."""
    names: list[str] = []
    async with watch.Watch() as changes:
        stream = changes.stream(core.list_namespaced_config_map, namespace, resource_version=since, timeout_seconds=20)
        async for event in stream:
            names.append(f"{event['type']} {event['object'].metadata.name}")
            if names[-1].endswith(until):
                return names, event["object"].metadata.resource_version
    raise AssertionError(f"the watch ended after {names}")


async def main(namespace: str) -> None:
    await config.load_kube_config()
    async with client.ApiClient() as api:
        core = client.CoreV1Api(api)
        await make(core, namespace, "a", "b", "c")
        page = await core.list_namespaced_config_map(namespace, limit=2)
        rest = await core.list_namespaced_config_map(namespace, limit=2, _continue=page.metadata._continue)
        print("pages", len(page.items), len(rest.items))
        listed = rest.metadata.resource_version
        await make(core, namespace, "d")
        names, version = await seen(core, namespace, listed, "d")
        print("watched", *names)
        await make(core, namespace, "e")
        await core.delete_namespaced_config_map("e", namespace)
        names, _ = await seen(core, namespace, version, "DELETED e")
        print("resumed", *names)
        await make(core, namespace, *"fghijklmnop")
        try:
            await seen(core, namespace, listed, "never")
        except ApiException as refusal:
            print("too old", refusal.status, refusal.reason.partition(":")[0])


asyncio.run(main(sys.argv[1]))
