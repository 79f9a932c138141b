"""The API server that a pod's loop talks to, kept in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from podpass.kube.client import ApiError
from podpass.kube.resources import Resource
from podpass.lab.clock import LabClock, rfc3339


class InMemoryApi:
    """The calls of podpass.kube.client.Client that a pod's loop makes, answered from memory."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.statuses: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.token_requests: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.changed = asyncio.Condition()
        self.clock: LabClock | None = None

    def put(self, plural: str, name: str, obj: dict[str, Any]) -> None:
        self.objects[plural, name] = obj

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any]:
        if (resource.plural, name) not in self.objects:
            raise ApiError(404, "NotFound", f'{resource.plural} "{name}" not found')
        return self.objects[resource.plural, name]

    async def list(self, resource: Resource, namespace: str | None = None) -> Any:
        return SimpleNamespace(items=[obj for (plural, _), obj in self.objects.items() if plural == resource.plural])

    async def create(self, resource: Resource, obj: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        self.events.append(obj)
        await self._tell()
        return obj

    async def patch(self, resource, name, patch, namespace=None, *, subresource="", content_type="") -> dict[str, Any]:
        if subresource == "status":
            self.statuses.append(patch["status"])
        await self._tell()
        return patch

    async def delete(self, resource, name, namespace=None, *, grace_period_seconds=None, uid=None, propagation=None):
        assert grace_period_seconds == 0
        self.deleted.append(name)
        await self._tell()
        return {}

    async def create_subresource(self, resource, name, subresource, body, namespace=None) -> dict[str, Any]:
        assert (resource.plural, subresource) == ("serviceaccounts", "token")
        self.token_requests.append(body)
        expires_at = self.clock.now() + body["spec"]["expirationSeconds"]
        status = {"token": f"token-{len(self.token_requests)}", "expirationTimestamp": rfc3339(expires_at)}
        return {**body, "status": status}

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until *condition* gives something true, and give that."""
        async with asyncio.timeout(20), self.changed:
            return await self.changed.wait_for(condition)

    async def status(self, condition: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Wait until the newest status written fulfils *condition*."""
        await self.until(lambda: self.statuses and condition(self.statuses[-1]))
        return self.statuses[-1]

    def reasons(self) -> list[str]:
        return [event["reason"] for event in self.events]
