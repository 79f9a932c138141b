"""A node's NMI over real sockets: a cluster with the definitions, a metadata service as the test wants it, pods.

Pods are known by the loopback address that their requests come from: every address of 127.0.0.0/8 is this machine's.
"""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from podpass.kube.client import Client
from podpass.kube.objects import Obj
from podpass.nmi.loop import run
from podpass.nmi.settings import Mode, Settings
from podpass.podidentity.resources import ASSIGNED_IDENTITIES, BINDINGS, EXCEPTIONS, GROUP
from podpass.serving.asgi import Request, Response, json_response, read_body, request_of, send_response
from podpass.serving.server import bind_tcp, serving
from podpass.settings.values import Address
from podpass.telemetry.logging import make_logger
from tests.podidentity.identity_cluster import IdentityCluster, ended, identity, identity_cluster, named

NODE = "node-a"
VAULT = "https://vault.azure.net"
TOKEN = "/metadata/identity/oauth2/token"
NOW = 1_800_000_000
CUT_AT = "X-Cut-At"
"""A header of a prepared answer, after so many bytes of whose body the connection ends."""


@dataclass
class Metadata:
    """The metadata service behind NMI: answers tokens named after their client id, or what the test puts first."""

    requests: list[Request] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)
    hold: asyncio.Event | None = None
    """Keeps answers back until it is set."""
    came: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client hung up while its answer was kept back."""
    url: str = ""
    port: int = 0
    token_of: Callable[[Mapping[str, str]], str | Response] = field(init=False)
    """The token for a query, or another answer to it."""

    def __post_init__(self) -> None:
        self.token_of = self._plain

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        request = request_of(scope, await read_body(scope, receive, limit=4096))
        self.requests.append(request)
        self.came.set()
        if self.hold is not None and not await self._held(self.hold, receive):
            self.left.set()
            return
        answer = self.answer(request)
        cut_at = dict(answer.headers).get(CUT_AT)
        if cut_at is None:
            await send_response(send, answer)
            return
        length = [(b"Content-Length", str(len(answer.body)).encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": length})
        await send({"type": "http.response.body", "body": answer.body[: int(cut_at)], "more_body": True})

    async def _held(self, hold: asyncio.Event, receive: Any) -> bool:
        waiting = asyncio.create_task(hold.wait())
        gone = asyncio.ensure_future(receive())
        await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        gone.cancel()
        return hold.is_set()

    def answer(self, request: Request) -> Response:
        if self.answers:
            return self.answers.pop(0)
        if request.path != TOKEN:
            body = {"path": request.raw_path, "query": request.query_string, "headers": dict(request.headers)}
            return json_response(200, body, (("Server", "IMDS/1"),))
        found = self.token_of(request.query)
        return found if isinstance(found, Response) else token_answer(found, request.query["resource"])

    def _plain(self, query: Mapping[str, str]) -> str:
        return f"token of {query.get('client_id', '(chosen)')} {len(self.requests)}"

    @property
    def token_requests(self) -> list[Request]:
        return [each for each in self.requests if each.path == TOKEN]


def token_answer(token: str, resource: str = VAULT, expires_on: int = NOW + 86_400) -> Response:
    body = {
        "access_token": token,
        "client_id": "c",
        "expires_in": "86400",
        "expires_on": str(expires_on),
        "ext_expires_in": "86400",
        "not_before": str(NOW - 300),
        "resource": resource,
        "token_type": "Bearer",
    }
    return json_response(200, body)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.text)


class NmiNode:
    """The running agent, the cluster's administrator, and requests in the name of pods."""

    def __init__(self, port: int, cluster: IdentityCluster, metadata: Metadata, log: io.StringIO) -> None:
        self.port, self.cluster, self.kube, self.metadata, self.log = port, cluster, cluster.kube, metadata, log

    async def pod(self, name: str, address: str, **options: Any) -> Obj:
        """A running pod whose requests come from *address*."""
        return await self.cluster.pod(name, address, node=NODE, **options)

    async def exception(self, name: str, labels: dict[str, str], *, namespace: str = "shop") -> Obj:
        return await self.kube.create(EXCEPTIONS, named(EXCEPTIONS, name, {"spec": {"podLabels": labels}}), namespace)

    async def assigned(self, pod: str, of: str, status: str, *, namespace: str = "shop", selector: str = "web") -> Obj:
        body = {
            "metadata": {"labels": {"nodename": NODE}},
            "spec": {
                "azureIdentityRef": {"apiVersion": f"{GROUP}/v1", "kind": "AzureIdentity", **identity(of, namespace)},
                "azureBindingRef": named(
                    BINDINGS, "b", {"metadata": {"namespace": namespace}, "spec": {"selector": selector}}
                ),
                "pod": pod,
                "podNamespace": namespace,
                "nodename": NODE,
            },
            "status": {"availableReplicas": 1, "status": status},
        }
        return await self.kube.create(
            ASSIGNED_IDENTITIES, named(ASSIGNED_IDENTITIES, f"{pod}-{namespace}-{of}", body), "default"
        )

    async def get(
        self,
        target: str,
        *,
        source: str = "127.0.0.1",
        method: str = "GET",
        metadata: str | None = "true",
        **headers: str,
    ) -> Reply:
        """One request from *source*, its path and query sent as they are written."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if metadata is not None:
            sent["Metadata"] = metadata
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        lines = [f"{method} {target} HTTP/1.1", "Host: 169.254.169.254", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in sent.items()]
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
            return read_reply(await reader.read())
        finally:
            writer.close()

    async def token(self, *, source: str, resource: str = VAULT, **query: str) -> Reply:
        extra = "".join(f"&{name}={value}" for name, value in query.items())
        return await self.get(f"{TOKEN}?api-version=2018-02-01&resource={resource}{extra}", source=source)


def read_reply(raw: bytes) -> Reply:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        plain = b""
        while body:
            size, _, rest = body.partition(b"\r\n")
            length = int(size, 16)
            plain, body = plain + rest[:length], rest[length + 2 :]
        body = plain
    return Reply(int(first.split()[1]), headers, body.decode())


@contextlib.asynccontextmanager
async def metadata_service() -> AsyncIterator[Metadata]:
    metadata = Metadata()
    listener = bind_tcp()
    metadata.port = listener.getsockname()[1]
    metadata.url = f"http://127.0.0.1:{metadata.port}"
    async with serving(metadata.app, [listener], grace_seconds=0.1):
        yield metadata


@contextlib.asynccontextmanager
async def nmi_node(
    directory: Path,
    *,
    change: Callable[[Settings], Settings] = lambda settings: settings,
    host: str = "127.0.0.1",
    client: Callable[[], contextlib.AbstractAsyncContextManager[Client]] | None = None,
) -> AsyncIterator[NmiNode]:
    """A node in managed mode unless *change* says otherwise; the agent's *client* is the administrator's if not given.

    *client* is called when the cluster's kubeconfig is there.
    """
    listener, health = bind_tcp(host), bind_tcp()
    log = io.StringIO()
    async with contextlib.AsyncExitStack() as stack:
        metadata = await stack.enter_async_context(metadata_service())
        cluster = await stack.enter_async_context(identity_cluster(directory))
        settings = change(
            Settings(
                node=NODE,
                mode=Mode.MANAGED,
                forced_namespaced=True,
                metadata=Address("127.0.0.1", metadata.port),
                install_rules=False,
            )
        )
        ready = asyncio.Event()
        running = asyncio.create_task(
            run(
                settings,
                cluster.kube if client is None else await stack.enter_async_context(client()),
                listener=listener,
                health_listener=health,
                metrics_listener=bind_tcp(),
                ready=ready,
                log=make_logger("nmi", stream=log),
                now=lambda: float(NOW),
            )
        )
        stack.push_async_callback(ended, running)
        async with asyncio.timeout(20):
            await ready.wait()
        yield NmiNode(listener.getsockname()[1], cluster, metadata, log)
