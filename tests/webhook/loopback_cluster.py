"""Just enough of an API server, on a loopback socket, for the webhook's own reads and writes."""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from podpass.kube.client import Client
from podpass.kube.config import Access
from podpass.serving.asgi import Request, read_body, request_of
from podpass.serving.server import bind_tcp, serving


class LoopbackCluster:
    """Objects by path. A watch gets every later change below its collection; nothing is validated or defaulted."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 100
        self.requests: list[Request] = []
        self.conflicts = 0
        self.hidden: set[str] = set()
        """Paths left out of lists and watches, as if the copy were late."""
        self._watchers: list[tuple[str, str, asyncio.Queue[dict[str, Any] | None]]] = []
        self.url = ""

    def put(self, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        """Store *obj* at its full path, such as /api/v1/namespaces/shop/serviceaccounts/orders."""
        self.version += 1
        kind = "MODIFIED" if path in self.objects else "ADDED"
        parts = path.split("/")
        stored = copy.deepcopy(obj)
        stored.setdefault("metadata", {}).update(name=parts[-1], resourceVersion=str(self.version))
        if "namespaces" in parts:
            stored["metadata"]["namespace"] = parts[parts.index("namespaces") + 1]
        self.objects[path] = stored
        self._tell(path, {"type": kind, "object": stored})
        return stored

    def remove(self, path: str) -> None:
        self.version += 1
        gone = self.objects.pop(path)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._tell(path, {"type": "DELETED", "object": gone})

    def _tell(self, path: str, event: dict[str, Any]) -> None:
        for collection, name, queue in self._watchers:
            if _belongs(path, collection, name) and path not in self.hidden:
                queue.put_nowait(event)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        request = request_of(scope, await read_body(scope, receive, limit=1 << 20))
        self.requests.append(request)
        path = request.path
        name = request.query.get("fieldSelector", "").partition("metadata.name=")[2]
        if request.query.get("watch"):
            await self._watch(path, name, send)
        elif request.method == "GET" and (path.rpartition("/")[2] in COLLECTIONS):
            items = [o for p, o in self.objects.items() if _belongs(p, path, name) and p not in self.hidden]
            await _answer(send, 200, {"metadata": {"resourceVersion": str(self.version)}, "items": items})
        elif path not in self.objects:
            resource, _, which = path.rpartition("/")
            message = f'{resource.rpartition("/")[2]} "{which}" not found'
            await _answer(send, 404, {"kind": "Status", "reason": "NotFound", "message": message, "code": 404})
        elif request.method == "GET":
            await _answer(send, 200, self.objects[path])
        elif request.method == "PUT":
            obj = msgspec.json.decode(request.body)
            stored = self.objects[path]
            if self.conflicts or obj["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
                self.conflicts = max(self.conflicts - 1, 0)
                await _answer(send, 409, {"kind": "Status", "reason": "Conflict", "message": "modified", "code": 409})
                return
            await _answer(send, 200, self.put(path, obj))

    async def _watch(self, collection: str, name: str, send: Any) -> None:
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        entry = (collection, name, queue)
        self._watchers.append(entry)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        while (event := await queue.get()) is not None:
            line = msgspec.json.encode(event) + b"\n"
            await send({"type": "http.response.body", "body": line, "more_body": True})
        self._watchers.remove(entry)
        await send({"type": "http.response.body", "body": b""})

    def close_watches(self) -> None:
        for _, _, queue in self._watchers:
            queue.put_nowait(None)


COLLECTIONS = ("serviceaccounts", "secrets", "mutatingwebhookconfigurations")


def _belongs(path: str, collection: str, name: str) -> bool:
    resource = collection.rpartition("/")[2]
    if name and path.rpartition("/")[2] != name:
        return False
    return path.startswith(collection + "/") or (f"/{resource}/" in path and "/namespaces/" not in collection)


async def _answer(send: Any, status: int, body: object) -> None:
    headers = [(b"Content-Type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode(body)})


@asynccontextmanager
async def loopback_cluster() -> AsyncIterator[tuple[LoopbackCluster, Client]]:
    cluster = LoopbackCluster()
    listener = bind_tcp()
    cluster.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with serving(cluster.app, [listener], grace_seconds=0.2), Client(Access(cluster.url)) as client:
        try:
            yield cluster, client
        finally:
            cluster.close_watches()
