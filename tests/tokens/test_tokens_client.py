"""Fetching keys from issuers that answer well, badly, or not at all. Real servers on loopback."""

import asyncio
import contextlib
import gzip
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from podpass.serving.asgi import App, Receive, Request, Response, Scope, Send, answering, json_response
from podpass.serving.server import bind_tcp, serving
from podpass.tokens.client import MAX_DOCUMENT_BYTES, DiscoveryFailed, Fetch, KeyFetcher
from podpass.tokens.discovery import WELL_KNOWN
from podpass.tokens.keys import JwkSet, SigningKey


@dataclass
class Issuer:
    """An issuer whose documents a test can change. Paths that were asked for are kept."""

    url: str = ""
    keys: list[SigningKey] = field(default_factory=list)
    answers: dict[str, Callable[[], Awaitable[Response]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def handle(self, request: Request) -> Response:
        self.asked.append(request.path)
        if (answer := self.answers.get(request.path)) is not None:
            return await answer()
        if request.path == WELL_KNOWN:
            return json_response(200, {"issuer": self.url, "jwks_uri": f"{self.url}/keys"})
        if request.path == "/keys":
            return json_response(200, JwkSet(tuple(key.public for key in self.keys)).to_dict())
        return Response(404)

    def answer(self, path: str, response: Response) -> None:
        async def always() -> Response:
            return response

        self.answers[path] = always


@contextlib.asynccontextmanager
async def listening(app: App) -> AsyncIterator[str]:
    listener = bind_tcp()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with serving(app, [listener], grace_seconds=0):
        yield url


@pytest.fixture
async def issuer(rsa_key: SigningKey) -> AsyncIterator[Issuer]:
    issuer = Issuer(keys=[rsa_key])
    async with listening(answering(issuer.handle, max_body=1024, too_large=lambda _: Response(413))) as url:
        issuer.url = url
        yield issuer


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Moment:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def now(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Moment:
    return Moment()


@pytest.fixture
def fetcher(session: aiohttp.ClientSession, clock: Moment) -> KeyFetcher:
    return KeyFetcher(session, clock, allow_http_loopback=True)


async def test_keys_are_fetched_once_and_kept(
    fetcher: KeyFetcher, issuer: Issuer, rsa_key: SigningKey, clock: Moment
) -> None:
    for _ in range(3):
        assert (await fetcher.keys_for(issuer.url, rsa_key.kid)).get(rsa_key.kid) is not None
    assert issuer.asked == [WELL_KNOWN, "/keys"]
    clock.seconds += 3600
    await fetcher.keys_for(issuer.url, rsa_key.kid)
    assert len(issuer.asked) == 4


async def test_a_rotated_key_is_found_by_one_refetch(
    fetcher: KeyFetcher, issuer: Issuer, rsa_key: SigningKey, other_rsa_key: SigningKey
) -> None:
    await fetcher.keys_for(issuer.url, rsa_key.kid)
    issuer.keys = [rsa_key, other_rsa_key]
    assert (await fetcher.keys_for(issuer.url, other_rsa_key.kid)).get(other_rsa_key.kid) is not None
    assert len(issuer.asked) == 4


@pytest.mark.parametrize("kid", ["unknown", "../../../etc/passwd", "https://127.0.0.1/keys", ""])
async def test_unknown_kids_cause_one_refetch_and_no_other_request(
    fetcher: KeyFetcher, issuer: Issuer, rsa_key: SigningKey, clock: Moment, kid: str
) -> None:
    await fetcher.keys_for(issuer.url, rsa_key.kid)
    for _ in range(5):
        assert (await fetcher.keys_for(issuer.url, kid)).get(kid) is None
    assert issuer.asked == [WELL_KNOWN, "/keys"] * 2
    clock.seconds += 5
    await fetcher.keys_for(issuer.url, kid)
    assert len(issuer.asked) == 6


async def test_requests_at_once_share_one_fetch(fetcher: KeyFetcher, issuer: Issuer, rsa_key: SigningKey) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(fetcher.keys_for(issuer.url, rsa_key.kid))
    assert issuer.asked == [WELL_KNOWN, "/keys"]


async def test_requests_at_once_share_one_failure(fetcher: KeyFetcher, issuer: Issuer) -> None:
    issuer.answer(WELL_KNOWN, Response(500))
    results = await asyncio.gather(*(fetcher.keys_for(issuer.url, "k") for _ in range(20)), return_exceptions=True)
    assert all(isinstance(result, DiscoveryFailed) for result in results)
    assert issuer.asked == [WELL_KNOWN]


async def test_a_cancelled_request_does_not_spoil_the_next(
    fetcher: KeyFetcher, issuer: Issuer, rsa_key: SigningKey
) -> None:
    reached = asyncio.Event()

    async def never() -> Response:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    issuer.answers[WELL_KNOWN] = never
    first = asyncio.ensure_future(fetcher.keys_for(issuer.url, rsa_key.kid))
    await asyncio.wait_for(reached.wait(), 5)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    del issuer.answers[WELL_KNOWN]
    assert (await fetcher.keys_for(issuer.url, rsa_key.kid)).get(rsa_key.kid) is not None


async def test_a_failure_is_not_remembered_for_long(
    fetcher: KeyFetcher, issuer: Issuer, rsa_key: SigningKey, clock: Moment
) -> None:
    issuer.answer("/keys", Response(503))
    for _ in range(3):
        with pytest.raises(DiscoveryFailed) as caught:
            await fetcher.keys_for(issuer.url, rsa_key.kid)
    assert (caught.value.step, caught.value.reason) == ("keys", "status 503")
    assert len(issuer.asked) == 2
    issuer.answers.clear()
    clock.seconds += 1
    assert (await fetcher.keys_for(issuer.url, rsa_key.kid)).get(rsa_key.kid) is not None


async def test_fresh_keys_survive_a_failed_refetch(fetcher: KeyFetcher, issuer: Issuer, rsa_key: SigningKey) -> None:
    await fetcher.keys_for(issuer.url, rsa_key.kid)
    issuer.answer(WELL_KNOWN, Response(500))
    assert (await fetcher.keys_for(issuer.url, "unknown")).kids == (rsa_key.kid,)


@pytest.mark.parametrize(
    ("path", "response", "reason"),
    [
        (WELL_KNOWN, Response(302, headers=(("Location", "/elsewhere"),)), "redirects are not followed"),
        ("/keys", Response(307, headers=(("Location", "/elsewhere"),)), "redirects are not followed"),
        (WELL_KNOWN, Response(404), "status 404"),
        (WELL_KNOWN, Response(200, b"<html>"), "not JSON"),
        (WELL_KNOWN, Response(200, b"[" * 200_000), "not JSON"),
        (WELL_KNOWN, json_response(200, {"issuer": "https://other.example.test", "jwks_uri": "x"}), "is for issuer"),
        (WELL_KNOWN, json_response(200, {}), "lacks issuer"),
        ("/keys", json_response(200, {"keys": 7}), "no list of keys"),
        (WELL_KNOWN, Response(200, b" " * (MAX_DOCUMENT_BYTES + 1)), "larger than"),
        (WELL_KNOWN, Response(200, gzip.compress(b" " * 10**7), (("Content-Encoding", "gzip"),)), "not JSON"),
    ],
)
async def test_documents_that_are_refused(
    fetcher: KeyFetcher, issuer: Issuer, path: str, response: Response, reason: str
) -> None:
    issuer.answer(path, response)
    with pytest.raises(DiscoveryFailed, match=reason) as caught:
        await fetcher.keys_for(issuer.url, "k")
    assert caught.value.step == ("keys" if path == "/keys" else "discovery")
    assert "/elsewhere" not in issuer.asked


async def test_keys_on_another_host_are_never_asked_for(fetcher: KeyFetcher, issuer: Issuer) -> None:
    other = Issuer()
    async with listening(answering(other.handle, max_body=1024, too_large=lambda _: Response(413))) as url:
        issuer.answer(WELL_KNOWN, json_response(200, {"issuer": issuer.url, "jwks_uri": f"{url}/keys"}))
        with pytest.raises(DiscoveryFailed, match="not on the issuer's host"):
            await fetcher.keys_for(issuer.url, "k")
    assert other.asked == []


async def test_a_huge_document_is_cut_off(fetcher: KeyFetcher) -> None:
    sent = 0
    hung_up = asyncio.Event()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while sent < 50_000_000:
                writer.write(b" " * 65536)
                await writer.drain()
                sent += 65536
        writer.close()
        hung_up.set()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(DiscoveryFailed, match="larger than"):
            await fetcher.keys_for(url, "k")
        await asyncio.wait_for(hung_up.wait(), 10)
    # What the sockets' buffers hold, and not the 50 MB.
    assert sent < 20_000_000


async def test_an_issuer_that_never_answers_is_given_up(session: aiohttp.ClientSession, clock: Moment) -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    fetcher = KeyFetcher(session, clock, allow_http_loopback=True, timeout_seconds=0.05)
    async with listening(silent) as url:
        with pytest.raises(DiscoveryFailed, match=r"no answer within 0\.05 seconds"):
            await fetcher.keys_for(url, "k")


async def test_an_issuer_that_drips_is_given_up(session: aiohttp.ClientSession, clock: Moment) -> None:
    async def drip(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        await asyncio.Event().wait()

    fetcher = KeyFetcher(session, clock, allow_http_loopback=True, timeout_seconds=0.05)
    async with listening(drip) as url:
        with pytest.raises(DiscoveryFailed, match="no answer"):
            await fetcher.keys_for(url, "k")


async def test_nobody_listening_is_said_plainly(fetcher: KeyFetcher) -> None:
    listener = bind_tcp()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    with pytest.raises(DiscoveryFailed) as caught:
        await fetcher.keys_for(url, "k")
    assert caught.value.reason == "nothing answers there"


async def test_http_is_not_spoken_unless_allowed(session: aiohttp.ClientSession, clock: Moment, issuer: Issuer) -> None:
    with pytest.raises(DiscoveryFailed, match="it is not https"):
        await KeyFetcher(session, clock).keys_for(issuer.url, "k")
    assert issuer.asked == []


async def test_every_request_is_told(fetcher: KeyFetcher, issuer: Issuer, rsa_key: SigningKey) -> None:
    told: list[Fetch] = []
    fetcher.on_fetch = told.append
    await fetcher.keys_for(issuer.url, rsa_key.kid)
    assert [(fetch.step, fetch.failure, fetch.kids) for fetch in told] == [
        ("discovery", "", ()),
        ("keys", "", (rsa_key.kid,)),
    ]
    fetcher.forget(issuer.url)
    issuer.answer(WELL_KNOWN, Response(404))
    with pytest.raises(DiscoveryFailed):
        await fetcher.keys_for(issuer.url, rsa_key.kid)
    assert told[-1].failure == "status 404"


class Nowhere(AbstractResolver):
    """Knows no name, so that nothing leaves this machine."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        raise OSError(f"unknown host {host}")

    async def close(self) -> None:
        pass


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=40)
    | st.text(max_size=20).map("https://{}".format)
    | st.text(max_size=9).map("https://h/{}".format)
)
def test_any_text_as_an_issuer_fails_plainly(issuer: str) -> None:
    async def fetch() -> None:
        connector = aiohttp.TCPConnector(resolver=Nowhere())
        async with aiohttp.ClientSession(connector=connector, connector_owner=True) as session:
            with pytest.raises(DiscoveryFailed):
                await KeyFetcher(session, Moment()).keys_for(issuer, "k")

    # Addresses are connected to without asking a resolver.
    assume(not re.search(r"\d", issuer))
    asyncio.run(fetch())
