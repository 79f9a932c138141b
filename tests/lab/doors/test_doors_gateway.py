import json
from typing import Any

import aiohttp
import pytest

from podpass.lab.certificates import CertificateAuthority
from podpass.lab.doors.http import Gateway
from podpass.lab.doors.names import Names
from podpass.lab.doors.network import NotEmulated, NotLoopback, lab_session
from podpass.lab.doors.traces import TraceSeal
from podpass.lab.journal import TRACE_HEADER, Journal, tracing
from podpass.serving.asgi import Message

Doors = Any


def session_of(doors: Doors, *, seal: bool = True) -> aiohttp.ClientSession:
    return lab_session(doors.ca, doors.gateway, doors.names, seal=doors.seal if seal else None)


# --- the gateway


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("login.microsoftonline.com", "entra"),
        ("management.azure.com", "arm"),
        ("shop.vault.azure.net", "keyvault"),
        ("kubernetes.default.svc", "cluster"),
    ],
)
async def test_request_arrives_at_the_service_of_its_host(doors: Doors, host: str, service: str) -> None:
    async with session_of(doors) as session, session.get(f"https://{host}/a/b?c=d") as answer:
        seen = await answer.json()
    assert (seen["service"], seen["host"], seen["path"], seen["query"]) == (service, host, "/a/b", "c=d")


async def test_host_without_a_service_is_answered_in_graphs_shape(doors: Doors) -> None:
    async with (
        session_of(doors) as session,
        session.get("https://graph.microsoft.com/v1.0/me", headers={"client-request-id": "abc"}) as answer,
    ):
        assert answer.status == 501
        error = (await answer.json())["error"]
        assert error["code"] == "NotImplemented"
        assert error["innerError"]["client-request-id"] == "abc"
        assert error["innerError"]["request-id"] == answer.headers["request-id"]
    (hop,) = doors.hops()
    assert (hop.whom, hop.what, hop.outcome, hop.wire) == (
        "door",
        "GET graph.microsoft.com/v1.0/me",
        "refused",
        "501",
    )


async def test_service_that_is_not_there_is_answered_501(doors: Doors) -> None:
    async with session_of(doors) as session, session.get("https://westeurope.oic.prod-aks.azure.com/x/y/") as answer:
        assert answer.status == 501
        assert (await answer.json())["error"]["code"] == "NotImplemented"


async def call(gateway: Gateway, headers: list[tuple[bytes, bytes]], kind: str = "http") -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": kind, "method": "GET", "path": "/", "query_string": b"", "headers": headers}
    if kind == "websocket":
        del scope["method"]
    await gateway(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param([(b"host", b"example.com")], 421, id="unknown"),
        pytest.param([(b"host", b"127.0.0.1")], 421, id="address"),
        pytest.param([(b"host", b"\xff\xfe")], 421, id="not-ascii"),
        pytest.param([], 400, id="no-host"),
        pytest.param([(b"host", b"management.azure.com")] * 2, 400, id="two-hosts"),
    ],
)
async def test_unknown_host_is_refused_as_json_and_recorded(
    journal: Journal, headers: list[tuple[bytes, bytes]], status: int
) -> None:
    start, body = await call(Gateway(Names(), {}, journal, seal=TraceSeal()), headers)
    assert start["status"] == status
    assert set(json.loads(body["body"])["error"]) == {"code", "message"}
    (event,) = journal.events()
    assert (event.hop.outcome, event.hop.wire) == ("refused", str(status))


async def test_websocket_to_an_unknown_host_is_closed(journal: Journal) -> None:
    sent = await call(Gateway(Names(), {}, journal, seal=TraceSeal()), [(b"host", b"example.com")], "websocket")
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_vault_that_does_not_exist_is_its_services_business(doors: Doors) -> None:
    # DNS would not have led here; a client that kept its connection hears from Key Vault itself.
    doors.vaults.clear()
    connector = aiohttp.TCPConnector(ssl=doors.ca.client_context())
    async with aiohttp.ClientSession(connector=connector) as session:
        url = f"https://127.0.0.1:{doors.gateway[1]}/secrets"
        async with session.get(url, headers={"Host": "shop.vault.azure.net"}) as answer:
            assert (await answer.json())["service"] == "keyvault"


# --- traces


async def test_trace_crosses_the_labs_own_connections(doors: Doors) -> None:
    async with session_of(doors) as session:
        with tracing() as trace:
            async with session.get("https://management.azure.com/") as answer:
                seen = await answer.json()
    assert seen["trace"] == trace
    assert TRACE_HEADER not in seen["headers"]


async def test_each_request_from_elsewhere_begins_a_trace(doors: Doors) -> None:
    async with session_of(doors, seal=False) as session:
        traces = []
        for _ in range(2):
            async with session.get("https://management.azure.com/") as answer:
                traces.append((await answer.json())["trace"])
    assert all(traces)
    assert traces[0] != traces[1]


@pytest.mark.parametrize("value", ["abc123", "secret.abc123", ".abc123", "", "\xff.abc"])
async def test_trace_that_the_lab_did_not_seal_is_dropped(doors: Doors, value: str) -> None:
    async with (
        session_of(doors, seal=False) as session,
        session.get("https://management.azure.com/", headers={TRACE_HEADER: value}) as answer,
    ):
        seen = await answer.json()
    assert seen["trace"] != "abc123"
    assert TRACE_HEADER not in seen["headers"]


def test_seal_opens_only_what_it_closed() -> None:
    ours, theirs = TraceSeal(), TraceSeal()
    assert ours.trace(ours.value("abc123")) == "abc123"
    assert ours.trace(theirs.value("abc123")) == ""
    assert ours.trace(ours.value("not a trace")) == ""
    assert ours.trace(ours.value("a" * 65)) == ""
    assert ours.value("").removesuffix(".") not in repr(ours)


# --- the lab's own session


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://example.com/", "does not emulate"),
        ("https://gone.vault.azure.net/", "nothing named 'gone'"),
        ("https://192.0.2.1/", "not a host name"),
        ("https://127.0.0.1/", "not a host name"),
        ("https://[::1]/", "not a host name"),
        ("https://localhost/", "does not emulate"),
        ("http://169.254.169.254/", "not a host name"),
        ("http://management.azure.com/", "speaks https"),
        ("https://management.azure.com:8443/", "port 443"),
    ],
)
async def test_session_refuses_any_other_host_before_a_packet(ca: CertificateAuthority, url: str, why: str) -> None:
    refused: list[object] = []
    # Nothing listens on port 1: a request that was sent would fail in another way.
    async with lab_session(ca, ("127.0.0.1", 1), _names(), refused=refused.append) as session:
        with pytest.raises(NotEmulated, match=why):
            await session.get(url)
    assert len(refused) == 1


async def test_session_does_not_follow_a_redirect_out(doors: Doors) -> None:
    async def redirecting(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"location", b"https://example.com/")]
        await send({"type": "http.response.start", "status": 302, "headers": headers})
        await send({"type": "http.response.body"})

    doors.services["arm"] = redirecting
    async with session_of(doors) as session:
        with pytest.raises(NotEmulated, match=r"example\.com"):
            await session.get("https://management.azure.com/")


async def test_session_ignores_the_environments_proxy(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    async with session_of(doors) as session, session.get("https://management.azure.com/") as answer:
        assert answer.status == 200


async def test_session_trusts_only_the_labs_ca(doors: Doors, tmp_path: Any) -> None:
    other = CertificateAuthority.open(tmp_path / "other")
    async with lab_session(other, doors.gateway, doors.names) as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get("https://management.azure.com/")


async def test_session_needs_a_gateway_on_this_machine(ca: CertificateAuthority) -> None:
    with pytest.raises(NotLoopback):
        lab_session(ca, ("192.0.2.1", 443), Names())


def _names() -> Names:
    names = Names()
    names.only_existing("keyvault", {"shop"}.__contains__)
    return names
