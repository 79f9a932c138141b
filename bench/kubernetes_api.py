"""The embedded Kubernetes API, served by a process of its own and asked by this one: creates, gets, a list of 10,000.

The pods are made straight in the server, where their number costs seconds instead of minutes.
"""

import asyncio
import contextlib
import json
import signal
import socket
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from bench.rates import Rate, get, measure, post
from podpass.kube.resources import PODS
from podpass.lab.clock import SystemClock
from podpass.lab.cluster import Cluster
from podpass.lab.journal import Journal
from podpass.lab.store import Store
from podpass.serving.server import bind_tcp, serving

PODS_LISTED = 10_000
CREATES = 4_000
GETS = 8_000
LISTS = 5
_CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


@dataclass(frozen=True, slots=True)
class Measured:
    creates: Rate
    gets: Rate
    list_seconds: float
    """Server CPU for one list of all pods."""


async def measured() -> Measured:
    """Start the server, measure it, and end it."""
    with tempfile.TemporaryDirectory(prefix="podpass-bench-api-") as directory:
        ours, theirs = socket.socketpair()
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.kubernetes_api", directory, str(theirs.fileno()), pass_fds=(theirs.fileno(),)
        )
        theirs.close()
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
            port, token = json.loads(await reader.readline())
            found = await _ask(server.pid, port, token)
            writer.close()
            return found
        finally:
            with contextlib.suppress(ProcessLookupError):
                server.send_signal(signal.SIGTERM)
            await server.wait()


async def _ask(pid: int, port: int, token: str) -> Measured:
    def authorized(request: bytes) -> bytes:
        return request.replace(b"\r\n", f"\r\nAuthorization: Bearer {token}\r\n".encode(), 1)

    async def rate(request: bytes, count: int, connections: int = 16) -> Rate:
        return await measure(
            pid, port, authorized(request), tls=None, server_name=None, count=count, connections=connections
        )

    # A name that the server makes lets one request be sent again and again.
    body = {"metadata": {"generateName": "made-"}, "data": {"key": "value " * 40}}
    create = post("127.0.0.1", _CONFIGMAPS, json.dumps(body).encode(), "application/json")
    await rate(create, CREATES // 10)
    creates = await rate(create, CREATES)
    one = get("127.0.0.1", f"{_CONFIGMAPS}/kube-root-ca.crt")
    await rate(one, GETS // 10)
    gets = await rate(one, GETS)
    lists = await rate(get("127.0.0.1", "/api/v1/pods"), LISTS, 1)
    return Measured(creates, gets, lists.server_cpu_seconds / lists.answers)


async def _make_pods(cluster: Cluster) -> None:
    """One as a client makes it, and the others like it."""
    container = {"name": "app", "image": "registry.example.test/shop/orders:1.4", "command": ["serve", "--port=8080"]}
    pod = {"metadata": {"name": "orders", "labels": {"app": "orders"}}, "spec": {"containers": [container]}}
    made = await cluster.verbs.create(PODS, pod, "default")
    for number in range(1, PODS_LISTED):
        name = f"orders-{number:05}"
        metadata = {**made["metadata"], "name": name, "uid": str(uuid.uuid4())}
        cluster.storage.create(PODS, ("default", name), {**made, "metadata": metadata})


async def _serve(directory: Path, connection: socket.socket) -> None:
    store, clock = Store.open(directory / "lab.sqlite"), SystemClock()
    journal = Journal(store, clock)
    cluster = await Cluster.open(
        name="bench",
        store=store,
        clock=clock,
        journal=journal,
        keys_directory=directory,
        issuer="https://issuer.example.test/bench/",
        ca_pem=b"-----BEGIN CERTIFICATE-----\n",
    )
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with cluster, asyncio.TaskGroup() as tasks:
        controllers = tasks.create_task(cluster.run())
        with store.transaction():
            await _make_pods(cluster)
        listener = bind_tcp()
        async with serving(cluster.app, [listener], grace_seconds=1.0):
            connection.sendall(json.dumps([listener.getsockname()[1], cluster.admin_token]).encode() + b"\n")
            await stopped.wait()
            await cluster.close_watches()
        controllers.cancel()
    store.close()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))))
