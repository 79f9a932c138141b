import asyncio
import contextlib
import json
import logging
import shutil
import ssl
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import requests

from podpass.lab.certificates import CertificateAuthority
from podpass.lab.doors.http import ForwardProxy
from podpass.lab.doors.names import Names
from podpass.lab.doors.network import serve_forward_proxy
from podpass.lab.journal import Journal
from podpass.serving.asgi import Receive, Scope, Send
from podpass.serving.connection import Limits
from podpass.serving.server import bind_tcp

SECONDS = 10
CONNECT_REFUSED = 56
"""curl's exit code for a proxy that does not open the tunnel."""
CA_NOT_TRUSTED = 60

Doors = Any


async def curl(doors: Doors, *arguments: str, trust: bool = True) -> tuple[int, str, str]:
    """Exit code, output and complaints of curl behind the proxy."""
    command = ["curl", "--silent", "--show-error", "--max-time", str(SECONDS), "--proxy", doors.proxy]
    if trust:
        command += ["--cacert", str(doors.ca_file)]
    process = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"HOME": "/nonexistent"},
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


# --- stock clients


@needs_curl
async def test_curl_reaches_a_vault_by_its_real_name(doors: Doors) -> None:
    code, out, err = await curl(doors, "https://shop.vault.azure.net/secrets/a/?api-version=7.4")
    assert (code, err) == (0, "")
    seen = json.loads(out)
    assert (seen["service"], seen["host"], seen["scheme"]) == ("keyvault", "shop.vault.azure.net", "https")
    assert (seen["path"], seen["query"]) == ("/secrets/a/", "api-version=7.4")
    assert doors.hops() == []


@needs_curl
async def test_curl_sends_a_large_body(doors: Doors) -> None:
    code, out, _ = await curl(doors, "--data-binary", "x" * 100_000, "https://management.azure.com/")
    assert code == 0
    assert json.loads(out)["length"] == 100_000


@needs_curl
async def test_curl_reaches_an_emulated_host_over_plain_http(doors: Doors) -> None:
    code, out, _ = await curl(
        doors, "http://login.microsoftonline.com/a", "http://management.azure.com/b", "http://management.azure.com/c"
    )
    assert code == 0
    answers = [json.loads(part) for part in out.replace("}{", "}\n{").splitlines()]
    assert [(answer["service"], answer["path"]) for answer in answers] == [
        ("entra", "/a"),
        ("arm", "/b"),
        ("arm", "/c"),
    ]
    assert answers[0]["scheme"] == "http"
    assert "proxy-connection" not in answers[0]["headers"]


@needs_curl
async def test_curl_is_told_why_an_unknown_host_is_refused(doors: Doors) -> None:
    code, _, err = await curl(doors, "https://example.com/")
    assert code == CONNECT_REFUSED
    assert "502" in err
    (hop,) = doors.hops()
    assert (hop.whom, hop.what, hop.outcome, hop.wire) == ("door", "CONNECT example.com:443", "refused", "502")
    assert hop.why == "example.com: the lab does not emulate this host"


@needs_curl
async def test_vault_that_does_not_exist_is_refused_until_it_does(doors: Doors) -> None:
    assert (await curl(doors, "https://new.vault.azure.net/"))[0] == CONNECT_REFUSED
    assert doors.hops()[0].why == "new.vault.azure.net: keyvault has nothing named 'new'"
    doors.vaults.add("new")
    assert (await curl(doors, "https://new.vault.azure.net/"))[0] == 0


@needs_curl
async def test_program_that_does_not_trust_the_ca_is_recorded(doors: Doors) -> None:
    code, _, _ = await curl(doors, "https://shop.vault.azure.net/", trust=False)
    assert code == CA_NOT_TRUSTED
    (hop,) = doors.hops()
    assert (hop.outcome, hop.what) == ("failed", "CONNECT shop.vault.azure.net:443")
    assert "trust the lab's CA" in hop.why


@needs_curl
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://169.254.169.254/metadata/instance", "AZURE_POD_IDENTITY_AUTHORITY_HOST"),
        ("http://[fe80::1]/", "unreachable"),
        ("http://[::ffff:169.254.169.254]/", "unreachable"),
        ("http://127.0.0.1:1/", "NO_PROXY"),
        ("http://localhost:1/", "NO_PROXY"),
        ("http://192.0.2.1/", "an address"),
        ("http://example.com/", "does not emulate"),
        ("http://management.azure.com:8080/", "only port 80"),
    ],
)
async def test_plain_request_for_anything_else_is_refused_with_a_reason(doors: Doors, url: str, said: str) -> None:
    code, out, _ = await curl(doors, "--noproxy", "", "--write-out", "%{http_code}", url)
    text, status = out.rsplit("\n", 1)
    assert code == 0
    assert status == ("502" if "example" in url else "403")
    assert said in text
    assert "\n" not in text
    assert len(doors.hops()) == 1


async def test_requests_keeps_one_tunnel_for_many_requests(doors: Doors) -> None:
    def ask() -> list[str]:
        with requests.Session() as session:
            session.trust_env = False
            session.proxies = {"https": doors.proxy, "http": doors.proxy}
            session.verify = str(doors.ca_file)
            answers = [session.get(f"https://login.microsoftonline.com/{n}", timeout=SECONDS) for n in range(5)]
            return [answer.json()["path"] for answer in answers]

    assert await asyncio.to_thread(ask) == ["/0", "/1", "/2", "/3", "/4"]


async def test_requests_is_refused_an_unknown_host(doors: Doors) -> None:
    def ask() -> None:
        requests.get("https://example.com/", proxies={"https": doors.proxy}, timeout=SECONDS)

    with pytest.raises(requests.exceptions.ProxyError, match="502"):
        await asyncio.to_thread(ask)


async def test_aiohttp_reaches_services_through_the_proxy(doors: Doors) -> None:
    async with aiohttp.ClientSession() as session:
        url = "https://shop.vault.azure.net/secrets?api-version=7.4"
        async with session.get(url, proxy=doors.proxy, ssl=doors.ca.client_context()) as answer:
            assert (await answer.json())["service"] == "keyvault"
        with pytest.raises(aiohttp.ClientHttpProxyError) as raised:
            await session.get("https://example.com/", proxy=doors.proxy)
        assert raised.value.status == 502


async def test_many_programs_at_once(doors: Doors) -> None:
    async def ask(session: aiohttp.ClientSession, number: int) -> str:
        url = f"https://login.microsoftonline.com/{number}"
        async with session.post(url, proxy=doors.proxy, ssl=doors.ca.client_context(), data=b"x" * 20_000) as answer:
            return str((await answer.json())["path"])

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        answers = await asyncio.gather(*(ask(session, number) for number in range(30)))
    assert answers == [f"/{number}" for number in range(30)]


# --- raw connections


@contextlib.asynccontextmanager
async def connection(doors: Doors) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    url = urlsplit(doors.proxy)
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def said(doors: Doors, sent: bytes) -> tuple[int, str]:
    """Status and text of the answer to *sent*, after which the proxy must close."""
    async with connection(doors) as (reader, writer):
        writer.write(sent)
        head, _, text = (await reader.read()).partition(b"\r\n\r\n")
        assert b"connection: close" in head.lower()
        return int(head.split()[1]), text.decode()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n", 403, id="link-local"),
        pytest.param(b"CONNECT 169.254.169.254:443 HTTP/1.1\r\n\r\n", 403, id="link-local-443"),
        pytest.param(b"CONNECT [::1]:443 HTTP/1.1\r\n\r\n", 403, id="loopback-v6"),
        pytest.param(b"CONNECT localhost:443 HTTP/1.1\r\n\r\n", 403, id="localhost"),
        pytest.param(b"CONNECT management.azure.com:22 HTTP/1.1\r\n\r\n", 403, id="port"),
        pytest.param(b"CONNECT management.azure.com:80 HTTP/1.1\r\n\r\n", 403, id="port-80"),
        pytest.param(b"CONNECT user:password@management.azure.com:443 HTTP/1.1\r\n\r\n", 400, id="credentials"),
        pytest.param(b"CONNECT management.azure.com HTTP/1.1\r\n\r\n", 400, id="no-port"),
        pytest.param(b"GET http://user:password@management.azure.com/ HTTP/1.1\r\n\r\n", 400, id="credentials-in-url"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: management.azure.com\r\n\r\n", 400, id="origin-form"),
        pytest.param(
            b"GET https://management.azure.com/ HTTP/1.1\r\nHost: management.azure.com\r\n\r\n", 400, id="tls"
        ),
        pytest.param(b"GET http://management.azure.com/ HTTP/1.1\r\nHost: graph.microsoft.com\r\n\r\n", 400, id="host"),
        pytest.param(b"GET http://management.azure.com/ HTTP/1.1\r\n\r\n", 400, id="no-host"),
        pytest.param(b"CONNECT example.com:443 HTTP/1.1\r\nX: " + b"a" * 9_000 + b"\r\n\r\n", 431, id="large-head"),
        pytest.param(b"CONNECT " + b"a" * 300_000, 431, id="head-without-end"),
        pytest.param(b"CONNECT example.com:443 HTTP/1.1\r\n" + b"X: a\r\n" * 101 + b"\r\n", 431, id="many-headers"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", 400, id="tls-to-the-proxy"),
        pytest.param(b"nonsense\r\n\r\n", 400, id="malformed"),
        pytest.param(b"CONNECT management.azure.com:443 HTTP/1.1\r\n\r\n\x16\x03\x01", 400, id="spoke-too-early"),
    ],
)
async def test_refusal_is_one_line_and_recorded(
    doors: Doors, sent: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    answered, text = await said(doors, sent)
    assert answered == status
    assert text.endswith("\n")
    assert text.count("\n") == 1
    (hop,) = doors.hops()
    assert (hop.outcome, hop.wire) == ("refused", str(status))
    assert "password" not in json.dumps([hop.what, hop.why, text])
    assert caplog.records == []


class TestSlowClients:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(head_seconds=0.4)

    async def test_slow_head_is_refused(self, doors: Doors) -> None:
        assert (await said(doors, b"CONNECT example.com:443 HTTP/1.1\r\n"))[0] == 408

    async def test_tunnel_in_which_nobody_speaks_is_closed(self, doors: Doors) -> None:
        async with connection(doors) as (reader, writer):
            writer.write(b"CONNECT management.azure.com:443 HTTP/1.1\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        assert doors.hops()[-1].outcome == "failed"


async def test_tunnel_that_is_left_at_once_is_no_error(doors: Doors, caplog: pytest.LogCaptureFixture) -> None:
    async with connection(doors) as (reader, writer):
        writer.write(b"CONNECT management.azure.com:443 HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
    async with connection(doors) as (_, writer):
        writer.write(b"CONNECT management.azure.com:443 HTTP/1.1\r\n\r\n")
    assert (await said(doors, b"CONNECT example.com:443 HTTP/1.1\r\n\r\n"))[0] == 502
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_name_in_the_tunnel_must_be_the_name_it_was_opened_for(doors: Doors) -> None:
    async with connection(doors) as (reader, writer):
        writer.write(b"CONNECT management.azure.com:443 HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await writer.start_tls(doors.ca.client_context(), server_hostname="graph.microsoft.com")


async def test_unknown_host_inside_a_tunnel_is_refused_by_the_gateway(doors: Doors) -> None:
    async with connection(doors) as (reader, writer):
        writer.write(b"CONNECT management.azure.com:443 HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await writer.start_tls(doors.ca.client_context(), server_hostname="management.azure.com")
        writer.write(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 421 ")
    assert doors.hops()[-1].wire == "421"


async def test_stop_ends_tunnels_whatever_their_state(
    ca: CertificateAuthority, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    names, streaming = Names(), asyncio.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        streaming.set()
        await asyncio.Event().wait()

    listener = bind_tcp()
    address = listener.getsockname()
    tunnel = b"CONNECT management.azure.com:443 HTTP/1.1\r\n\r\n"
    loop = asyncio.get_running_loop()
    writers = []
    async with asyncio.timeout(SECONDS):
        async with serve_forward_proxy(ForwardProxy(stream, names, ca, journal), listener, grace_seconds=0.1):
            for state in ("silent", "handshake", "idle", "streaming"):
                reader, writer = await asyncio.open_connection(*address)
                writers.append(writer)
                if state == "silent":
                    continue
                writer.write(tunnel)
                await reader.readuntil(b"\r\n\r\n")
                if state == "handshake":
                    continue
                await writer.start_tls(ca.client_context(), server_hostname="management.azure.com")
                if state == "streaming":
                    writer.write(b"GET / HTTP/1.1\r\nHost: management.azure.com\r\n\r\n")
                    await streaming.wait()
            before = loop.time()
        assert loop.time() - before < SECONDS / 2
    for writer in writers:
        writer.transport.abort()
    assert caplog.records == []
