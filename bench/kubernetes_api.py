"""The embedded Kubernetes API, served by a process of its own and asked by this one.

Creates, gets, a list of 10,000 pods, changes told to 1,000 watchers, and a start with all of that in the store. The
pods are made straight in the server, where their number costs seconds instead of minutes.
"""

import asyncio
import contextlib
import json
import re
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from bench.rates import Rate, answer, cpu_seconds, get, measure, post
from podpass.importing import for_good, without_system_roots

with for_good(), without_system_roots():
    # As the lab's own process imports them.
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
WATCHERS = 1_000
WRITES_PER_SECOND = 200
WRITING_SECONDS = 3.0
_CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
_SENT = re.compile(rb'"sent":"([0-9.]+)"')


@dataclass(frozen=True, slots=True)
class Measured:
    creates: Rate
    gets: Rate
    list_seconds: float
    """Server CPU for one list of all pods."""
    told_p99_seconds: float
    """From the beginning of a write to its line at a watcher, all of them watching everything."""
    told_cpu: float
    """The share of a core that the server needs meanwhile."""
    restart_seconds: float
    """From the start of the process to the first answer, with everything in the store."""
    restart_cpu_seconds: float


async def measured() -> Measured:
    """Start the server, measure it, and end it."""
    with tempfile.TemporaryDirectory(prefix="podpass-bench-api-") as directory:
        async with _server(directory) as (pid, port, token):
            creates, gets, list_seconds = await _ask(pid, port, token)
            told, told_cpu = await _tell(pid, port, token)
        restarts = [await _restarted(directory) for _ in range(3)]
    seconds, used = min(restarts)
    return Measured(creates, gets, list_seconds, told, told_cpu, seconds, used)


@contextlib.asynccontextmanager
async def _server(directory: str) -> AsyncIterator[tuple[int, int, str]]:
    """A server over the store in *directory*: its pid, its port, and the administrator's token."""
    ours, theirs = socket.socketpair()
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.kubernetes_api", directory, str(theirs.fileno()), pass_fds=(theirs.fileno(),)
    )
    theirs.close()
    try:
        reader, writer = await asyncio.open_connection(sock=ours)
        port, token = json.loads(await reader.readline())
        yield server.pid, port, token
        writer.close()
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.send_signal(signal.SIGTERM)
        await server.wait()


async def _restarted(directory: str) -> tuple[float, float]:
    """Seconds from the start of a process to its first answer, and the CPU time of that."""
    began = time.perf_counter()
    async with _server(directory) as (pid, port, token):
        request = get("127.0.0.1", "/api/v1/namespaces/default/pods/orders-09999")
        await measure(pid, port, _authorized(request, token), tls=None, server_name=None, count=1, connections=1)
        return time.perf_counter() - began, cpu_seconds(pid)


def _authorized(request: bytes, token: str) -> bytes:
    return request.replace(b"\r\n", f"\r\nAuthorization: Bearer {token}\r\n".encode(), 1)


class _Watcher(asyncio.Protocol):
    """Takes the lines of one watch, and how long ago each was sent."""

    def __init__(self, request: bytes, waits: list[float], ready: Callable[[], None]) -> None:
        self._request, self._waits, self._ready = request, waits, ready
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._ready is not None:
            self._ready()
            self._ready = None  # type: ignore[assignment]
        now, data = time.perf_counter(), self._rest + data
        end = 0
        for found in _SENT.finditer(data):
            self._waits.append(now - float(found[1]))
            end = found.end()
        self._rest = data[max(end, len(data) - 40) :]


async def _tell(pid: int, port: int, token: str) -> tuple[float, float]:
    """The 99th percentile of how late a change is at a watcher, and the share of a core that telling takes."""
    loop, waits, opened = asyncio.get_running_loop(), list[float](), asyncio.Semaphore(0)
    request = _authorized(
        get(
            "127.0.0.1",
            f"{_CONFIGMAPS}?watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=0",
        ),
        token,
    )
    transports = []
    for _ in range(WATCHERS):
        transport, _protocol = await loop.create_connection(
            lambda: _Watcher(request, waits, opened.release), "127.0.0.1", port
        )
        transports.append(transport)
    for _ in range(WATCHERS):
        await opened.acquire()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    before, began = cpu_seconds(pid), loop.time()
    for number in range(int(WRITES_PER_SECOND * WRITING_SECONDS)):
        await asyncio.sleep(max(began + number / WRITES_PER_SECOND - loop.time(), 0))
        body = {"metadata": {"generateName": "told-"}, "data": {"sent": f"{time.perf_counter():.6f}"}}
        create = post("127.0.0.1", _CONFIGMAPS, json.dumps(body).encode(), "application/json")
        writer.write(_authorized(create, token))
        await answer(reader)
    wanted = int(WRITES_PER_SECOND * WRITING_SECONDS) * WATCHERS
    for _ in range(400):
        if len(waits) >= wanted:
            break
        await asyncio.sleep(0.05)
    used = (cpu_seconds(pid) - before) / (loop.time() - began)
    for transport in transports:
        transport.abort()
    writer.close()
    if len(waits) < wanted:
        raise RuntimeError(f"{len(waits)} of {wanted} lines arrived")
    waits.sort()
    return waits[int(len(waits) * 0.99)], used


async def _ask(pid: int, port: int, token: str) -> tuple[Rate, Rate, float]:
    def authorized(request: bytes) -> bytes:
        return _authorized(request, token)

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
    return creates, gets, lists.server_cpu_seconds / lists.answers


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
        if cluster.verbs.find(PODS, "orders", "default") is None:
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
