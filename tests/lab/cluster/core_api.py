"""A cluster and the shortest way to ask it: requests without a socket, or with one and a kubeconfig."""

import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from podpass.lab.clock import LabClock
from podpass.lab.cluster import Cluster
from podpass.lab.cluster.storage import HistoryLimits
from podpass.lab.journal import Journal
from podpass.lab.store import Store
from podpass.serving.server import bind_tcp, serving

ISSUER = "https://issuer.example.test/cluster/"
MERGE, STRATEGIC, JSON_PATCH, APPLY = (
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class Api:
    """Requests straight into the app, as the administrator unless *token* says otherwise."""

    def __init__(self, cluster: Cluster, clock: LabClock, journal: Journal) -> None:
        self.cluster, self.clock, self.journal = cluster, clock, journal

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "",
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        place, _, query = path.partition("?")
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        given = {"authorization": f"Bearer {self.cluster.admin_token if token is None else token}", **(headers or {})}
        if token == "":
            del given["authorization"]
        if raw and content_type:
            given["content-type"] = content_type
        if accept:
            given["accept"] = accept
        scope = {
            "type": "http",
            "method": method,
            "path": place,
            "raw_path": place.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": raw}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.cluster.app(scope, receive, send)
        found = {name.decode().lower(): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:]))

    async def made(self, path: str, body: Any) -> Any:
        answer = await self("POST", path, body)
        assert answer.status == 201, answer.raw
        return answer.body


@contextlib.asynccontextmanager
async def opened(
    keys: Path, *, database: Path | None = None, history: HistoryLimits | None = None
) -> AsyncIterator[Api]:
    store = Store.open(database)
    clock = LabClock()
    journal = Journal(store, clock)
    cluster = await Cluster.open(
        name="test",
        store=store,
        clock=clock,
        journal=journal,
        keys_directory=keys,
        issuer=ISSUER,
        ca_pem=b"-----BEGIN CERTIFICATE-----\n",
        history=history,
    )
    try:
        async with cluster:
            yield Api(cluster, clock, journal)
    finally:
        journal.close()
        store.close()


@contextlib.asynccontextmanager
async def on_a_socket(api: Api, kubeconfig: Path | None = None) -> AsyncIterator[str]:
    """Serve *api*: over TLS with a kubeconfig written where one is wanted, else in the clear. Gives the address."""
    listener = bind_tcp()
    place = f"127.0.0.1:{listener.getsockname()[1]}"
    tls = None if kubeconfig is None else _prepared(kubeconfig, f"https://{place}", api.cluster.admin_token)
    async with serving(api.cluster.app, [listener], tls=tls, grace_seconds=1):
        try:
            yield f"{'https' if tls else 'http'}://{place}"
        finally:
            await api.cluster.close_watches()


def _prepared(kubeconfig: Path, server: str, token: str) -> ssl.SSLContext:
    """A certificate for the server, and the kubeconfig that trusts it."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    bundle = kubeconfig.with_suffix(".pem")
    authority.cert_pem.write_to_path(bundle)
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority": str(bundle)}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    kubeconfig.write_text(json.dumps(content))
    kubeconfig.chmod(0o600)
    return tls
