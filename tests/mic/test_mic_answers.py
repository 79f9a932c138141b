"""What Resource Manager and the metadata service may answer, byte for byte, and what MIC makes of it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from prometheus_client import CollectorRegistry

from podpass.azure.clouds import PUBLIC
from podpass.mic.client import CloudFailed, Compute
from podpass.mic.cloud import CloudConfig, ManagedIdentity
from podpass.mic.metrics import MicMetrics
from podpass.mic.targets import Target

MACHINE = Target("vmss", "s", "g", "pool")


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(head).encode() + body


TOKEN = answer(json.dumps({"access_token": "t", "expires_in": "86400"}).encode())
FOUND = answer(json.dumps({"id": "/subscriptions/s/x", "identity": {"type": "SystemAssigned"}}).encode())
HANGS, RESETS = b"hangs", b"resets"
BROKEN = [
    pytest.param(HANGS, id="nothing"),
    pytest.param(RESETS, id="reset"),
    pytest.param(answer(b"<html>sign in</html>"), id="a page"),
    pytest.param(answer(b"{}"), id="an empty object"),
    pytest.param(answer(b"[1]"), id="a list"),
    pytest.param(answer(b""), id="no body"),
    pytest.param(answer(b"x" * 9_000_000), id="too much"),
    pytest.param(answer(b"{}")[:-2] + b"[" * 50_000, id="deep nesting"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", id="cut off"),
    pytest.param(b"\x16\x03\x01 no HTTP at all\r\n\r\n", id="another protocol"),
    pytest.param(answer(b"{}", "302 Found", "Location: http://127.0.0.1:1/"), id="elsewhere"),
]


def _tried(broken: bytes) -> list[bytes]:
    """As often as it takes: a connection that breaks is made once more by the HTTP client itself."""
    return [broken] * (2 if broken is RESETS else 1)


@dataclass
class Clouds:
    """Both services on one port; each answers what is put first, and then what is right."""

    tokens: list[bytes] = field(default_factory=list)
    machines: list[bytes] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            first = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode()
            self.requests.append(first)
            prepared, usual = (self.tokens, TOKEN) if "/metadata/" in first else (self.machines, FOUND)
            raw = prepared.pop(0) if prepared else usual
            if raw is HANGS:
                await reader.read()
            elif raw is RESETS:
                writer.transport.abort()
            else:
                writer.write(raw)
                await writer.drain()
        writer.close()


@pytest.fixture
async def clouds() -> AsyncIterator[Clouds]:
    made = Clouds()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()


@contextlib.asynccontextmanager
async def compute(clouds: Clouds) -> AsyncIterator[Compute]:
    config = CloudConfig(replace(PUBLIC, resource_manager=f"{clouds.url}/"), "s", "g", ManagedIdentity())
    metrics = MicMetrics(CollectorRegistry())
    async with Compute(
        lambda: config,
        metrics,
        metadata_host=clouds.url,
        retry_seconds=(),
        poll_seconds=0.0,
        answer_seconds=0.3,
    ) as made:
        yield made


@pytest.mark.parametrize("broken", BROKEN)
async def test_what_is_no_machine_is_never_taken_for_one(clouds: Clouds, broken: bytes) -> None:
    async with compute(clouds) as asked:
        clouds.machines = _tried(broken)
        with pytest.raises(CloudFailed):
            await asked.read(MACHINE)
        assert (await asked.read(MACHINE))["identity"] == {"type": "SystemAssigned"}


@pytest.mark.parametrize("broken", [*BROKEN, answer(b'{"access_token":"t","expires_in":"nan"}')])
async def test_what_is_no_token_is_asked_for_again(clouds: Clouds, broken: bytes) -> None:
    async with compute(clouds) as asked:
        clouds.tokens = _tried(broken)
        with pytest.raises(CloudFailed):
            await asked.read(MACHINE)
        assert await asked.read(MACHINE)
        assert await asked.read(MACHINE)
    assert len([each for each in clouds.requests if "/metadata/" in each]) == len(_tried(broken)) + 1


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "404 Not Found", "409 Conflict", "500 No"])
async def test_a_refused_change_says_why(clouds: Clouds, status: str) -> None:
    async with compute(clouds) as asked:
        clouds.machines = [answer(b'{"error":{"code":"C","message":"M"}}', status)]
        with pytest.raises(CloudFailed, match='Code="C" Message="M"') as caught:
            await asked.write(MACHINE, {"identity": {"type": "None"}})
        assert caught.value.status == int(status[:3])
        await asked.write(MACHINE, {"identity": {"type": "None"}})
    # Only a token that was refused is asked for anew.
    assert len([each for each in clouds.requests if "/metadata/" in each]) == (2 if status.startswith("401") else 1)


async def test_an_operation_whose_end_can_t_be_read_has_failed(clouds: Clouds) -> None:
    async with compute(clouds) as asked:
        running = answer(b"", "202 Accepted", f"Azure-AsyncOperation: {clouds.url}/operations/1")
        clouds.machines = [running, answer(b'{"status":"InProgress"}'), *_tried(RESETS)]
        with pytest.raises(CloudFailed, match="no answer"):
            await asked.write(MACHINE, {"identity": {"type": "None"}})
        clouds.machines = [running, answer(b'{"status":"Succeeded"}')]
        await asked.write(MACHINE, {"identity": {"type": "None"}})
