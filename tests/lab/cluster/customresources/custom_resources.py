"""Definitions of custom resources, and a cluster whose controllers run so that they are established."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.lab.cluster.core_api import Api, opened

T = TypeVar("T")

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CRON_TABS = "/apis/stable.example.com/v1/namespaces/default/crontabs"
CRON_SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["cronSpec"],
    "properties": {
        "cronSpec": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"},
        "image": {"type": "string", "default": "busybox", "description": "What runs."},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
    },
}


def definition(
    name: str = "crontabs.stable.example.com", kind: str = "CronTab", *, scope: str = "Namespaced", **version: Any
) -> dict[str, Any]:
    """A definition with one version v1, whose members are *version*."""
    plural, _, group = name.partition(".")
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": True, "storage": True, **version}],
        },
    }


def schema(**properties: Any) -> dict[str, Any]:
    return {"openAPIV3Schema": {"type": "object", "properties": properties}}


def cron_tabs() -> dict[str, Any]:
    """The definition of CronTab with all that a definition can have beside its schema."""
    found = definition(
        schema=schema(
            spec=CRON_SPEC,
            status={
                "type": "object",
                "properties": {"replicas": {"type": "integer"}, "labelSelector": {"type": "string"}},
            },
        ),
        subresources={
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.labelSelector",
            },
        },
        additionalPrinterColumns=[
            {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
            {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
            {"name": "Image", "type": "string", "jsonPath": ".spec.image", "priority": 1},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        selectableFields=[{"jsonPath": ".spec.image"}, {"jsonPath": ".spec.replicas"}],
    )
    found["spec"]["names"] |= {"shortNames": ["ct"], "categories": ["all", "tabs"]}
    return found


def cron_tab(name: str = "a", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "stable.example.com/v1",
        "kind": "CronTab",
        "metadata": {"name": name},
        "spec": {"cronSpec": "* * * * */5", **spec},
    }


@contextlib.asynccontextmanager
async def established(keys: Path, *definitions: dict[str, Any], database: Path | None = None) -> AsyncIterator[Api]:
    """A cluster with its controllers at work, and these definitions established in it."""
    async with opened(keys, database=database) as api:
        running = asyncio.create_task(api.cluster.run())
        try:
            for each in definitions:
                await api.made(DEFINITIONS, each)
                await condition(api, each["metadata"]["name"], "Established")
            yield api
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def until(api: Api, check: Callable[[], Awaitable[T | None]]) -> T:
    """What *check* gives, asked again after every write until it gives something."""
    written = asyncio.Event()
    api.cluster.storage.listen(lambda _: written.set())
    async with asyncio.timeout(20):
        while (found := await check()) is None:
            await written.wait()
            written.clear()
    return found


async def condition(api: Api, name: str, kind: str, status: str = "True") -> dict[str, Any]:
    """The definition once its condition has that status."""

    async def check() -> dict[str, Any] | None:
        found: dict[str, Any] = (await api("GET", f"{DEFINITIONS}/{name}")).body
        conditions = [(each["type"], each["status"]) for each in found["status"]["conditions"] or ()]
        return found if (kind, status) in conditions else None

    return await until(api, check)


async def gone(api: Api, path: str) -> None:
    async def check() -> bool | None:
        return True if (await api("GET", path)).status == 404 else None

    await until(api, check)
