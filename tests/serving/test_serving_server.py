import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import trustme

from podpass.serving.asgi import App, Receive, Request, Response, Scope, Send, answering, text_response
from podpass.serving.connection import Limits, Refused
from podpass.serving.server import PortInUse, bind_tcp, bind_unix, serving
from podpass.serving.upgrade import ByteStream, upgrade_of

SECONDS = 10
SECRET = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln"


async def echo(request: Request) -> Response:
    return text_response(200, f"{request.method} {request.raw_path}?{request.query_string} {len(request.body)}")


ECHO = answering(echo, max_body=1_000_000, too_large=lambda request: text_response(413, "too large"))


class Client:
    """Raw bytes over one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, str]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status = int(head.split()[1])
        lengths = [line.split(":")[1] for line in head.lower().splitlines() if line.startswith("content-length:")]
        return status, (await self.reader.readexactly(int(lengths[0]))).decode() if lengths else ""

    async def closed(self) -> bool:
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def client_of(
    listener: socket.socket, tls: ssl.SSLContext | None = None, *, source: str | None = None
) -> AsyncIterator[Client]:
    host, port = listener.getsockname()
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(
            host,
            port,
            ssl=tls,
            server_hostname="localhost" if tls else None,
            local_addr=(source, 0) if source else None,
        )
        try:
            yield Client(reader, writer)
        finally:
            writer.transport.abort()


@pytest.fixture
def listener() -> socket.socket:
    return bind_tcp()


# --- start and stop


async def test_app_answers_on_tcp_and_on_a_unix_socket(tmp_path: Path, listener: socket.socket) -> None:
    path = tmp_path / "api.sock"
    async with serving(ECHO, [listener, bind_unix(path)]):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/a?b=c"
        async with aiohttp.ClientSession() as session, session.post(url, data=b"123") as answer:
            assert await answer.text() == "POST /a?b=c 3"
            assert "Date" in answer.headers
            assert "Server" not in answer.headers
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
            session.get("http://lab/a?b=c") as answer,
        ):
            assert await answer.text() == "GET /a?b=c 0"


async def test_head_and_body_do_not_wait_for_each_other(listener: socket.socket) -> None:
    async with serving(ECHO, [listener]) as engine, client_of(listener) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await client.answer()
        (transport,) = engine.transports
        assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_client_that_waits_for_its_head_to_arrive_need_not_wait_long(listener: socket.socket) -> None:
    def round_trips() -> list[float]:
        seconds = []
        # A plain socket has Nagle's algorithm on, as urllib3's have behind a proxy. Linux delays no
        # acknowledgement during a connection's first few segments.
        with socket.create_connection(listener.getsockname(), timeout=SECONDS) as client:
            for _ in range(30):
                began = time.perf_counter()
                client.sendall(b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n")
                client.sendall(b"abc")
                client.recv(4096)
                seconds.append(time.perf_counter() - began)
        return seconds

    async with serving(ECHO, [listener]):
        assert min((await asyncio.to_thread(round_trips))[20:]) < 0.03


@dataclass(frozen=True)
class Tls:
    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def tls() -> Tls:
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.issue_cert("localhost", key_type=trustme.KeyType.ECDSA).configure_cert(server)
    ca.configure_trust(client)
    return Tls(server, client)


async def test_app_answers_over_tls(listener: socket.socket, tls: Tls) -> None:
    async with serving(ECHO, [listener], tls=tls.server), client_of(listener, tls.client) as client:
        for size in (0, 100_000, 10):
            client.writer.write(
                b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
            )
            assert await client.answer() == (200, f"POST /? {size}")


async def test_app_answers_over_tls_on_a_unix_socket(tmp_path: Path, tls: Tls) -> None:
    path = tmp_path / "api.sock"
    async with serving(ECHO, [bind_unix(path)], tls=tls.server), asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_unix_connection(str(path), ssl=tls.client, server_hostname="localhost")
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await Client(reader, writer).answer() == (200, "GET /? 0")
        writer.transport.abort()


def test_unix_socket_is_for_this_user_only(tmp_path: Path) -> None:
    with bind_unix(tmp_path / "api.sock"):
        assert (tmp_path / "api.sock").stat().st_mode & 0o777 == 0o600


def test_port_of_another_program_is_named(listener: socket.socket) -> None:
    with listener, pytest.raises(PortInUse, match=str(listener.getsockname()[1])):
        bind_tcp(port=listener.getsockname()[1])


class Feed:
    """An app that streams until its source is closed, or for ever."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.source_closed = asyncio.Event()
        self.ended: BaseException | None = None

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
            self.started.set()
            await self.source_closed.wait()
            await send({"type": "http.response.body", "body": b"last\n"})
        except BaseException as ended:
            self.ended = ended
            raise


async def test_stream_whose_source_closes_ends_properly_at_stop(
    listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    feed = Feed()
    async with asyncio.timeout(SECONDS / 2):
        async with serving(feed.app, [listener], grace_seconds=SECONDS):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await feed.started.wait()
            feed.source_closed.set()
        assert (await reader.read()).endswith(b"5\r\nlast\n\r\n0\r\n\r\n")
    writer.transport.abort()
    assert feed.ended is None
    assert caplog.records == []


async def test_stream_that_does_not_end_is_cancelled_without_a_traceback(
    listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    feed = Feed()
    loop = asyncio.get_running_loop()
    async with serving(feed.app, [listener], grace_seconds=0.05):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await feed.started.wait()
        before = loop.time()
    assert loop.time() - before < SECONDS / 2
    assert isinstance(feed.ended, asyncio.CancelledError)
    assert caplog.records == []
    writer.transport.abort()


async def test_idle_connections_are_closed_at_stop(listener: socket.socket) -> None:
    async with asyncio.timeout(SECONDS):
        async with serving(ECHO, [listener], grace_seconds=SECONDS) as engine:
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            client = Client(reader, writer)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await client.answer()
            assert len(engine.transports) == 1
        assert await client.closed()
        assert engine.transports == []
        writer.transport.abort()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00"], ids=["silent", "half-a-hello"])
async def test_handshakes_under_way_end_at_stop(
    listener: socket.socket, tls: Tls, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(SECONDS / 2):
        async with serving(ECHO, [listener], tls=tls.server, grace_seconds=SECONDS):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(sent)
            async with client_of(listener, tls.client) as other:
                other.writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await other.answer()
        assert await Client(reader, writer).closed()
    writer.transport.abort()
    assert caplog.records == []


async def test_handshake_that_takes_too_long_is_ended(listener: socket.socket, tls: Tls) -> None:
    refusals: list[Refused] = []
    limits = Limits(head_seconds=0.1)
    async with (
        serving(ECHO, [listener], tls=tls.server, limits=limits, refused=refusals.append),
        client_of(listener) as client,
    ):
        assert await client.closed()
    assert refusals == []


async def test_handshakes_count_as_connections(listener: socket.socket, tls: Tls) -> None:
    async with (
        serving(ECHO, [listener], tls=tls.server, limits=Limits(connections=1)),
        client_of(listener),
        client_of(listener) as second,
    ):
        assert await second.closed()


async def test_client_that_does_not_trust_the_server_is_reported(listener: socket.socket, tls: Tls) -> None:
    refusals: list[Refused] = []
    host, port = listener.getsockname()

    def connect() -> None:
        # In a thread: asyncio's own client leaves without telling the server why.
        with socket.create_connection((host, port), timeout=SECONDS) as plain:
            ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")

    async with serving(ECHO, [listener], tls=tls.server, refused=refusals.append):
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(connect)
        async with client_of(listener, tls.client) as client:
            client.writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await client.answer()
    assert [(refusal.status, refusal.peer) for refusal in refusals] == [(0, "127.0.0.1")]
    assert "UNKNOWN_CA" in refusals[0].why


async def test_plain_request_to_a_tls_port_is_reported(listener: socket.socket, tls: Tls) -> None:
    refusals: list[Refused] = []
    async with serving(ECHO, [listener], tls=tls.server, refused=refusals.append), client_of(listener) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await client.closed() or refusals
    assert refusals[0].why == "the TLS handshake failed (HTTP_REQUEST)"


# --- failures inside an app


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError(f"cannot use Bearer {SECRET}")


async def half_broken(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ValueError(f"cannot use {SECRET}")


@pytest.mark.parametrize("app", [broken, half_broken])
async def test_failure_in_an_app_is_logged_once_and_redacted(
    app: App, listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(app, [listener]), client_of(listener) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.closed()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "ValueError: cannot use" in record.getMessage()
    assert "eyJ" not in caplog.text


async def test_failure_in_an_app_tells_the_client_nothing_but_500(listener: socket.socket) -> None:
    async with serving(broken, [listener]), client_of(listener) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await client.answer() == (500, "Internal Server Error")


async def test_app_that_answers_nothing_gives_500(listener: socket.socket) -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        return

    async with serving(silent, [listener]), client_of(listener) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer())[0] == 500


# --- what an app of ours is asked for besides HTTP


async def test_offer_of_another_protocol_is_ignored(listener: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(ECHO, [listener]), client_of(listener) as client:
        for _ in range(2):
            client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
            assert await client.answer() == (200, "GET /? 0")
    assert caplog.records == []


_OFFER = b"GET /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: loud\r\n\r\n"


async def loud(scope: Scope, receive: Receive, send: Send) -> None:
    """Takes an offer up and shouts what it is told."""
    upgrade = upgrade_of(scope)
    assert upgrade is not None
    stream = upgrade([("Connection", "Upgrade"), ("Upgrade", "loud")])
    while data := await stream.read():
        await stream.write(data.upper())
    stream.close()


async def test_an_app_takes_the_connection_over(listener: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(loud, [listener], limits=Limits(head_seconds=0.3)), client_of(listener) as client:
        client.writer.write(_OFFER)
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head == b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: loud\r\n\r\n"
        client.writer.write(b"ping")
        assert await client.reader.readexactly(4) == b"PING"
        client.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await client.reader.readexactly(18) == b"GET / HTTP/1.1\r\n\r\n"
        client.writer.write_eof()
        assert await client.reader.read() == b""
    assert caplog.records == []


async def test_a_request_without_an_offer_can_not_be_taken_over(listener: socket.socket) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert upgrade_of(scope) is None
        await ECHO(scope, receive, send)

    async with serving(app, [listener]), client_of(listener) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await client.answer() == (200, "GET /? 0")


async def test_a_connection_that_was_taken_over_ends_with_the_engine(listener: socket.socket) -> None:
    async with client_of(listener) as client:
        async with serving(loud, [listener], grace_seconds=0.05):
            client.writer.write(_OFFER)
            await client.reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert await client.reader.read() == b""


async def test_a_client_that_does_not_read_makes_the_app_wait(listener: socket.socket) -> None:
    written = 0
    begun = asyncio.Event()

    async def flood(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal written
        upgrade = upgrade_of(scope)
        assert upgrade is not None
        stream = upgrade([])
        with contextlib.suppress(ConnectionResetError):
            while True:
                await stream.write(bytes(65536))
                written += 1
                begun.set()

    async with serving(flood, [listener], grace_seconds=0), client_of(listener) as client:
        client.writer.write(_OFFER)
        await begun.wait()
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.05)
        # What the kernel and the client's own reader take is a few megabytes.
        assert written < 1_000


async def test_an_app_that_does_not_read_makes_the_client_wait(listener: socket.socket) -> None:
    taken: list[ByteStream] = []
    over = asyncio.Event()

    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        upgrade = upgrade_of(scope)
        assert upgrade is not None
        taken.append(upgrade([]))
        await over.wait()
        total = 0
        while total < 8_000_000:
            total += len(await taken[0].read())
        await taken[0].write(b"%d" % total)

    async with serving(deaf, [listener], grace_seconds=0), client_of(listener) as client:
        client.writer.write(_OFFER)
        await client.reader.readuntil(b"\r\n\r\n")
        client.writer.write(bytes(8_000_000))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.writer.drain()
        over.set()
        assert await client.reader.read(100) == b"8000000"


# --- limits


@asynccontextmanager
async def limited(**limits: float) -> AsyncIterator[tuple[Client, list[Refused]]]:
    refusals: list[Refused] = []
    listener = bind_tcp()
    async with (
        serving(ECHO, [listener], limits=Limits(**limits), refused=refusals.append),  # type: ignore[arg-type]
        client_of(listener) as client,
    ):
        yield client, refusals


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET /" + b"a" * 3_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", id="long-target"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 3_000 + b"\r\n\r\n", id="long-header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 300_000, id="header-without-end"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 500 + b"\r\n", id="many-headers"),
    ],
)
async def test_large_head_is_answered_431(head: bytes) -> None:
    async with limited(head_bytes=2_000, headers=1_000) as (client, refusals):
        client.writer.write(head)
        assert await client.answer() == (431, "the request's head is larger than 2000 bytes\n")
        assert await client.closed()
    assert [refusal.status for refusal in refusals] == [431]
    assert refusals[0].peer == "127.0.0.1"


async def test_more_headers_than_the_limit_are_answered_431() -> None:
    async with limited(headers=10) as (client, _):
        client.writer.write(b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 11 + b"\r\n")
        assert await client.answer() == (431, "the request has more than 10 headers\n")


async def test_limits_are_per_request() -> None:
    async with limited(headers=10, head_bytes=200) as (client, refusals):
        for _ in range(20):
            client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n" + b"x" * 500)
            assert await client.answer() == (200, "POST /? 500")
    assert refusals == []


async def test_limit_holds_for_the_second_request_too() -> None:
    async with limited(head_bytes=2_000) as (client, _):
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer())[0] == 200
        client.writer.write(b"GET / HTTP/1.1\r\nX: " + b"a" * 600_000)
        assert (await client.answer())[0] == 431


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="silent"),
        pytest.param(b"GET / HTTP/1.1\r\nHost:", id="half-a-head"),
        pytest.param(b"\r\n\r\n", id="empty-lines"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /", id="half-a-second-head"),
    ],
)
async def test_slow_head_is_answered_408(sent: bytes) -> None:
    async with limited(head_seconds=0.3) as (client, refusals):
        client.writer.write(sent)
        if b"\r\n\r\nGET" in sent:
            assert (await client.answer())[0] == 200
        assert (await client.answer())[0] == 408
        assert await client.closed()
    assert [refusal.status for refusal in refusals] == [408]


async def test_head_that_trickles_in_is_answered_408() -> None:
    async with limited(head_seconds=0.2) as (client, _):

        async def trickle() -> None:
            client.writer.write(b"GET / HTTP/1.1\r\n")
            while True:
                client.writer.write(b"X: y\r\n")
                await asyncio.sleep(0.02)  # the pace of the attack, not a wait for something

        trickling = asyncio.ensure_future(trickle())
        try:
            assert (await client.answer())[0] == 408
        finally:
            trickling.cancel()


async def test_body_that_stands_still_is_answered_408() -> None:
    async with limited(body_seconds=0.1) as (client, _):
        client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        assert await client.answer() == (408, "the request's body stood still for 0.1 seconds\n")


async def test_idle_connection_is_closed_without_an_answer() -> None:
    async with limited(idle_seconds=0.1) as (client, refusals):
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer())[0] == 200
        client.writer.write(b"\r\n")
        assert await client.closed()
    assert refusals == []


async def test_connection_over_the_limit_is_answered_503() -> None:
    listener = bind_tcp()
    async with (
        serving(ECHO, [listener], limits=Limits(connections=1)),
        client_of(listener) as first,
    ):
        first.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await first.answer()
        async with client_of(listener) as second:
            assert (await second.answer())[0] == 503
        first.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await first.answer())[0] == 200


async def test_one_address_can_have_its_share_of_connections_only() -> None:
    listener = bind_tcp()
    refusals: list[Refused] = []
    get = b"GET / HTTP/1.1\r\nHost: a\r\n"
    async with (
        serving(ECHO, [listener], limits=Limits(peer_connections=2), refused=refusals.append),
        client_of(listener) as first,
        client_of(listener) as second,
    ):
        for client in (first, second):
            client.writer.write(get + b"\r\n")
            assert (await client.answer())[0] == 200
        async with client_of(listener) as third, client_of(listener, source="127.0.3.3") as neighbour:
            assert await third.answer() == (503, "more than 2 connections from 127.0.0.1\n")
            assert await third.closed()
            neighbour.writer.write(get + b"\r\n")
            assert (await neighbour.answer())[0] == 200
    assert [refusal.peer for refusal in refusals] == ["127.0.0.1"]


async def test_a_connection_that_ended_leaves_its_place_to_the_next() -> None:
    listener = bind_tcp()
    async with serving(ECHO, [listener], limits=Limits(peer_connections=1)):
        for _ in range(3):
            async with client_of(listener) as client:
                client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert (await client.answer())[0] == 200
                assert await client.closed()


async def test_an_answer_that_stays_unread_ends_its_connection() -> None:
    ended = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        gone = asyncio.ensure_future(receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not gone.done():
            await send({"type": "http.response.body", "body": bytes(200_000), "more_body": True})
        ended.set()

    listener = bind_tcp()
    async with serving(endless, [listener], limits=Limits(unread_seconds=0.2)), client_of(listener) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await ended.wait()
        assert not (await client.reader.read()).endswith(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01", id="tls-to-a-plain-port"),
        pytest.param(b"GET\r\n\r\n", id="no-target"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", id="two-lengths"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", id="smuggling"
        ),
        pytest.param(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", id="not-ascii"),
        pytest.param(b"CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n", id="connect"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="bad-chunk"),
    ],
)
async def test_malformed_request_is_answered_400_and_closed(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with limited() as (client, refusals):
        client.writer.write(sent)
        assert await client.answer() == (400, "the request is malformed\n")
        assert await client.closed()
    assert [refusal.status for refusal in refusals] == [400]
    assert caplog.records == []


async def test_refusal_never_lands_inside_another_answer(listener: socket.socket) -> None:
    feed = Feed()
    async with serving(feed.app, [listener], grace_seconds=0.01), client_of(listener) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await feed.started.wait()
        client.writer.write(b"nonsense\r\n\r\n")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await client.reader.readuntil(b"malformed")


async def test_requests_sent_ahead_are_answered_in_order(listener: socket.socket) -> None:
    async with serving(ECHO, [listener]), client_of(listener) as client:
        client.writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(5)))
        assert [(await client.answer())[1] for _ in range(5)] == [f"GET /{number}? 0" for number in range(5)]


async def test_request_before_a_malformed_one_is_answered(listener: socket.socket) -> None:
    async with serving(ECHO, [listener]), client_of(listener) as client:
        client.writer.write(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n")
        assert [(await client.answer())[1] for _ in range(2)] == ["GET /1? 0", "GET /2? 0"]
        assert await client.closed()


async def test_body_that_breaks_off_after_100_continue_is_answered_once(
    listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(ECHO, [listener]), client_of(listener) as client:
        client.writer.write(head + b"zz\r\n")
        assert (await client.answer())[0] == 400
        assert await client.closed()
    assert caplog.records == []
