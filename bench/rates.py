"""Requests per second of a server process, counted against the CPU time that it used.

The machine's other load and the cost of the client fall out: a rate is answers per second of the server's own CPU.
"""

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from podpass.serving.server import bind_tcp

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Rate:
    answers: int
    seconds: float
    server_cpu_seconds: float
    p99_seconds: float

    @property
    def per_core(self) -> float:
        """Answers per second of server CPU."""
        return self.answers / self.server_cpu_seconds


def calls_per_core(run: Callable[[], object], *, rounds: int = 4, seconds: float = 0.5) -> float:
    """Calls of *run* per second of this process's CPU, in the best of the rounds."""
    run()
    rates: list[float] = []
    for _ in range(rounds):
        count, began = 0, time.process_time()
        while (used := time.process_time() - began) < seconds:
            for _ in range(20):
                run()
            count += 20
        rates.append(count / used)
    return max(rates)


def cpu_seconds(pid: int) -> float:
    """User and system time of the process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"process {pid} has no resident memory")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listened on a moment ago, for a process that can't be handed a listener."""
    with contextlib.ExitStack() as stack:
        return [int(stack.enter_context(bind_tcp()).getsockname()[1]) for _ in range(count)]


async def measure(
    pid: int,
    port: int,
    request: bytes | Callable[[], bytes],
    *,
    tls: ssl.SSLContext | None,
    server_name: str | None,
    count: int,
    connections: int = 16,
) -> Rate:
    """Send *request* *count* times over keep-alive connections, and time the process *pid* that answers.

    A function gives each request anew.
    """
    waits: list[float] = []
    left = count

    async def client() -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=server_name)
        try:
            while left > 0:
                left -= 1
                asked = request if isinstance(request, bytes) else request()
                sent = time.perf_counter()
                writer.write(asked)
                await answer(reader)
                waits.append(time.perf_counter() - sent)
        finally:
            writer.close()

    before, began = cpu_seconds(pid), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(client())
    seconds, used = time.perf_counter() - began, cpu_seconds(pid) - before
    waits.sort()
    return Rate(len(waits), seconds, max(used, 1 / _TICKS), waits[int(len(waits) * 0.99)])


async def answer(reader: asyncio.StreamReader) -> None:
    """Read one whole answer. Raises RuntimeError unless it is 200 or 201."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
        raise RuntimeError(head.partition(b"\r\n")[0].decode())
    lower = head.lower()
    length = int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)


def post(host: str, path: str, body: bytes, media_type: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def get(host: str, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
