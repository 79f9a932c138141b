"""What pods, the metadata service, the API server and the clock may do to the node agent, and what holds all the same.

Everything goes over real sockets; a pod is the loopback address that its requests come from.
"""

import asyncio
import contextlib
import dataclasses
import random
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from nmi_node import CUT_AT, NODE, TOKEN, VAULT, Metadata, NmiNode, nmi_node

from podpass.kube.client import Client
from podpass.kube.config import load
from podpass.kube.resources import NAMESPACES, NODES, PODS
from podpass.nmi.client import Upstream
from podpass.nmi.requests import Asked
from podpass.nmi.settings import Mode, Settings
from podpass.nmi.tokens import Unavailable
from podpass.podidentity.resources import ASSIGNED_IDENTITIES, BINDINGS, IDENTITIES
from podpass.serving.asgi import Response
from podpass.serving.connection import Limits
from podpass.serving.server import serving
from podpass.settings.values import Address

WEB, API, OTHER = "127.0.1.7", "127.0.1.8", "127.0.1.9"
LABEL = {"aadpodidbinding": "web"}
INSTANCE = "/metadata/instance?api-version=2021-02-01"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NmiNode]:
    """Managed mode, with the pods `web-0`, which is bound to the identity `one`, and `api-0`, which has no binding."""
    async with nmi_node(tmp_path) as running:
        await bound(running)
        yield running


async def bound(running: NmiNode) -> None:
    # Pods of a node that is not there are collected before long.
    await running.kube.create(NODES, {"metadata": {"name": NODE}})
    await running.cluster.identity("one")
    await running.cluster.binding("b", "one", "web")
    await running.pod("web-0", WEB, labels=LABEL)
    await running.pod("api-0", API)


async def until(reached: Callable[[], bool], metadata: Metadata) -> None:
    """Wait for requests to the metadata service until *reached*."""
    async with asyncio.timeout(20):
        while not reached():
            metadata.came.clear()
            await metadata.came.wait()


async def eventually(ask: Callable[[], Awaitable[Any]], wanted: object) -> None:
    """Ask until the answer is *wanted*, which a change that is on its way brings about."""
    async with asyncio.timeout(20):
        while await ask() != wanted:
            pass


# What the metadata service does


async def test_a_metadata_service_that_hangs_is_given_up(node: NmiNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podpass.nmi.client.WAITS_SECONDS", ())
    monkeypatch.setattr("podpass.nmi.client.ANSWER_SECONDS", 0.2)
    kept = await node.token(source=WEB)
    node.metadata.hold = asyncio.Event()
    reply = await node.token(source=WEB, resource="another")
    assert (reply.status, "gave no answer: TimeoutError" in reply.text) == (503, True)
    # Meanwhile what is kept is given, and afterwards everything is.
    assert (await node.token(source=WEB)).json == kept.json
    node.metadata.hold = None
    assert (await node.token(source=WEB, resource="another")).status == 200


async def test_a_metadata_service_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podpass.nmi.client.WAITS_SECONDS", ())
    monkeypatch.setattr("podpass.nmi.client.ANSWER_SECONDS", 0.2)

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)  # the pace of the answer, not a wait for something

    async with await asyncio.start_server(trickle, "127.0.0.1", 0) as server:
        address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
        async with Upstream(address) as upstream:
            found = await upstream.metadata_token(Asked("r"))
    assert isinstance(found, Unavailable)


async def test_a_metadata_service_that_is_away_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podpass.nmi.client.WAITS_SECONDS", ())
    with socket.socket() as listener:
        # Without `listen` the kernel refuses whoever comes.
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        address = Address(*listener.getsockname())
        async with nmi_node(tmp_path, change=lambda settings: dataclasses.replace(settings, metadata=address)) as node:
            await bound(node)
            assert (await node.token(source=WEB)).status == 503
            assert (await node.get(INSTANCE, source=WEB)).status == 500
            listener.listen()
            async with serving(node.metadata.app, [listener]):
                assert (await node.token(source=WEB)).status == 200
                assert (await node.get(INSTANCE, source=WEB)).status == 200


async def test_an_answer_that_breaks_off_is_handed_on_as_broken(node: NmiNode) -> None:
    node.metadata.answers = [Response(200, b"0123456789", ((CUT_AT, "4"),))]
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port, local_addr=(WEB, 0))
    writer.write(f"GET {INSTANCE} HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n\r\n".encode())
    raw = await reader.read()
    writer.close()
    assert raw.startswith(b"HTTP/1.1 200 ")
    assert b"0123" in raw
    assert not raw.endswith(b"\r\n0\r\n\r\n")
    assert "gave a part of its answer only" in node.log.getvalue()
    assert (await node.get(INSTANCE, source=WEB)).status == 200


# What one pod does to the others


async def test_heads_that_never_end_hold_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podpass.nmi.loop.LIMITS", Limits(head_seconds=0.5, peer_connections=20))
    async with nmi_node(tmp_path) as node:
        await bound(node)
        slow = [await asyncio.open_connection("127.0.0.1", node.port, local_addr=(API, 0)) for _ in range(20)]
        for _, writer in slow:
            writer.write(f"GET {TOKEN}?resource=r HTTP/1.1\r\nHost: x\r\nMetadata: tr".encode())
        assert (await node.token(source=WEB)).status == 200
        for reader, writer in slow:
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
            writer.close()


async def test_one_pod_s_connections_leave_room_for_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podpass.nmi.loop.LIMITS", Limits(peer_connections=5))
    async with nmi_node(tmp_path) as node:
        await bound(node)
        held = [await asyncio.open_connection("127.0.0.1", node.port, local_addr=(API, 0)) for _ in range(5)]
        assert (await node.get(INSTANCE, source=API)).status == 503
        assert (await node.token(source=WEB)).status == 200
        assert f"more than 5 connections from {API}" in node.log.getvalue()
        for _, writer in held:
            writer.close()
        await eventually(lambda: status_of(node.get(INSTANCE, source=API)), 200)


async def test_answers_that_nobody_reads_hold_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podpass.nmi.loop.LIMITS", Limits(unread_seconds=0.3))
    monkeypatch.setattr("podpass.nmi.app.PASSED_FOR_ONE_POD", 1)
    async with nmi_node(tmp_path) as node:
        await bound(node)
        node.metadata.answers = [Response(200, bytes(30_000_000))]
        _, writer = await asyncio.open_connection("127.0.0.1", node.port, local_addr=(API, 0))
        writer.write(f"GET {INSTANCE} HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n\r\n".encode())
        await until(lambda: len(node.metadata.requests) == 1, node.metadata)
        # The same pod's next request waits until the first one's place is free.
        assert (await node.get(INSTANCE, source=WEB)).status == 200
        assert (await node.get(INSTANCE, source=API)).status == 200
        writer.close()


async def test_one_pod_s_fetches_leave_room_for_the_others(node: NmiNode) -> None:
    node.metadata.hold = asyncio.Event()
    await node.pod("more", OTHER, labels=LABEL)
    many = [asyncio.create_task(node.token(source=WEB, resource=f"r{number}")) for number in range(20)]
    await until(lambda: len(node.metadata.requests) == 3, node.metadata)
    other = asyncio.create_task(node.token(source=OTHER))
    await until(lambda: len(node.metadata.requests) == 4, node.metadata)
    assert [each.query["resource"] for each in node.metadata.requests][3] == VAULT
    node.metadata.hold.set()
    assert {reply.status for reply in await asyncio.gather(other, *many)} == {200}


async def test_one_pod_s_other_requests_leave_room_for_the_others(node: NmiNode) -> None:
    node.metadata.hold = asyncio.Event()
    many = [asyncio.create_task(node.get(INSTANCE, source=API)) for _ in range(70)]
    await until(lambda: len(node.metadata.requests) == 8, node.metadata)
    other = asyncio.create_task(node.get(INSTANCE, source=WEB))
    await until(lambda: len(node.metadata.requests) == 9, node.metadata)
    node.metadata.hold.set()
    assert {reply.status for reply in await asyncio.gather(other, *many)} == {200}


async def test_a_head_that_is_too_large_is_refused(node: NmiNode) -> None:
    reply = await node.get(f"{TOKEN}?resource=r", source=WEB, X_Large="x" * 70_000)
    assert reply.status == 431
    assert (await node.token(source=WEB)).status == 200


async def test_metadata_true_in_another_letter_case_is_taken_where_that_is_allowed(tmp_path: Path) -> None:
    async with nmi_node(tmp_path, change=allowing_any_case) as node:
        await bound(node)
        target = f"{TOKEN}?resource=r"
        assert (await node.get(target, source=WEB, metadata="True")).status == 200
        assert (await node.get(target, source=WEB, metadata="yes")).status == 400
        assert (await node.get(target, source=WEB, metadata=None)).status == 400


def allowing_any_case(settings: Settings) -> Settings:
    return dataclasses.replace(settings, metadata_header_any_case=True)


# What changes while a pod waits


async def test_a_pod_that_lost_its_binding_while_it_waited_gets_nothing(node: NmiNode) -> None:
    node.metadata.hold = asyncio.Event()
    asking = asyncio.create_task(node.token(source=WEB))
    await node.metadata.came.wait()
    await node.kube.delete(BINDINGS, "b", "shop")
    # Another pod's answer tells that the agent knows.
    await node.pod("later", OTHER, labels=LABEL)
    await eventually(lambda: status_of(node.token(source=OTHER)), 404)
    node.metadata.hold.set()
    reply = await asking
    assert (reply.status, "access_token" in reply.text) == (404, False)


async def status_of(asking: Awaitable[Any]) -> int:
    return int((await asking).status)


@pytest.mark.parametrize("next_labels", [{}, {"aadpodidbinding": "other"}])
async def test_an_address_that_is_given_on_while_a_token_is_fetched_brings_it_to_nobody(
    node: NmiNode, next_labels: dict[str, str]
) -> None:
    await node.cluster.identity("two")
    await node.cluster.binding("c", "two", "other")
    node.metadata.hold = asyncio.Event()
    asking = asyncio.create_task(node.token(source=WEB))
    await node.metadata.came.wait()
    await node.kube.delete(PODS, "web-0", "shop", grace_period_seconds=0)
    await node.pod("next", WEB, labels=next_labels)
    node.metadata.hold.set()
    reply = await asking
    if next_labels:
        assert reply.json["access_token"].startswith("token of client-two")
    else:
        assert (reply.status, "token of" in reply.text) == (404, False)


async def test_an_edited_identity_counts_at_once(node: NmiNode) -> None:
    async def given() -> str:
        reply = await node.token(source=WEB)
        return str(reply.json["access_token"]).rpartition(" ")[0] if reply.status == 200 else str(reply.status)

    assert await given() == "token of client-one"
    await node.kube.patch(IDENTITIES, "one", {"spec": {"clientID": "another"}}, "shop")
    await eventually(given, "token of another")
    await node.kube.patch(IDENTITIES, "one", {"spec": {"resourceID": "nonsense"}}, "shop")
    await eventually(given, "404")
    await node.kube.delete(IDENTITIES, "one", "shop")
    assert await given() == "404"


async def test_hundreds_of_pods_that_start_in_one_second(node: NmiNode) -> None:
    addresses = [f"127.0.4.{1 + number}" for number in range(200)]
    asking = [asyncio.create_task(node.token(source=address)) for address in addresses]
    await asyncio.gather(
        *(node.pod(f"burst-{number}", address, labels=LABEL) for number, address in enumerate(addresses))
    )
    # The clients ask again when their pod was not known in time, as theirs do.
    late = [
        address for address, reply in zip(addresses, await asyncio.gather(*asking), strict=True) if reply.status != 200
    ]
    for address in late:
        await eventually(lambda address=address: status_of(node.token(source=address)), 200)  # type: ignore[misc]
    assert len(node.metadata.token_requests) == 1


async def test_the_same_name_in_two_namespaces_is_two_pods(node: NmiNode) -> None:
    await node.kube.create(NAMESPACES, {"metadata": {"name": "bank"}})
    await node.cluster.identity("theirs", namespace="bank")
    await node.cluster.binding("b", "theirs", "web", namespace="bank")
    await node.pod("web-0", OTHER, namespace="bank", labels=LABEL)
    assert (await node.token(source=OTHER)).json["access_token"].startswith("token of client-theirs")
    assert (await node.token(source=WEB)).json["access_token"].startswith("token of client-one")


# Standard mode


def standard_mode(settings: Settings) -> Settings:
    return dataclasses.replace(
        settings,
        mode=Mode.STANDARD,
        forced_namespaced=False,
        created_attempts=2,
        assigned_attempts=2,
        retry_interval_seconds=0.2,
    )


@pytest.mark.parametrize("labels", [{}, {"aadpodidbinding": "other"}])
async def test_a_pod_made_anew_under_its_name_has_nothing_of_its_former_self_s(
    tmp_path: Path, labels: dict[str, str]
) -> None:
    async with nmi_node(tmp_path, change=standard_mode) as node:
        await node.pod("web-0", WEB, labels=LABEL)
        await node.assigned("web-0", "one", "Assigned")
        assert (await node.token(source=WEB)).status == 200
        await node.kube.delete(PODS, "web-0", "shop", grace_period_seconds=0)
        await node.pod("web-0", API, labels=labels)
        assert (await node.token(source=API)).status == 404
        await node.assigned("web-0", "two", "Assigned", selector=labels.get("aadpodidbinding", ""))
        assert (await node.token(source=API)).status == (200 if labels else 404)


async def test_the_same_assigned_name_in_two_namespaces_is_two_pods(tmp_path: Path) -> None:
    async with nmi_node(tmp_path, change=standard_mode) as node:
        await node.kube.create(NAMESPACES, {"metadata": {"name": "bank"}})
        for namespace, address, of in (("shop", WEB, "one"), ("bank", API, "two")):
            await node.pod("web-0", address, namespace=namespace, labels=LABEL)
            await node.assigned("web-0", of, "Assigned", namespace=namespace)
        await node.kube.delete(ASSIGNED_IDENTITIES, "web-0-shop-one", "default")
        await eventually(lambda: status_of(node.token(source=WEB)), 404)
        assert (await node.token(source=API)).json["access_token"].startswith("token of client-two")


# The API server


class Line:
    """A TCP line to the API server that can be cut."""

    def __init__(self, port: int) -> None:
        self._to, self._writers = port, set[asyncio.StreamWriter]()
        self.port, self.whole = 0, True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.whole:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, far_writer}
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(_copied(reader, far_writer), _copied(far_reader, writer))

    def cut(self) -> None:
        self.whole = False
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def over(line_of: list[Line], directory: Path) -> AsyncIterator[Client]:
    """A client that reaches the API server over a line that is put into *line_of*."""
    config = yaml.safe_load((directory / "kubeconfig").read_text())
    whole = config["clusters"][0]["cluster"]
    host, _, port = whole["server"].rpartition(":")
    line = Line(int(port.strip("/")))
    line_of.append(line)
    async with await asyncio.start_server(line.serve, "127.0.0.1", 0) as server:
        whole["server"] = f"{host}:{server.sockets[0].getsockname()[1]}"
        cut = directory / "over-the-line"
        cut.write_text(yaml.safe_dump(config))
        async with Client(load({}, path=cut)) as client:
            yield client
        line.cut()


async def test_pods_are_answered_while_the_api_server_is_away(tmp_path: Path) -> None:
    lines: list[Line] = []
    async with nmi_node(tmp_path, client=lambda: over(lines, tmp_path)) as node:
        (line,) = lines
        await bound(node)
        assert (await node.token(source=WEB)).status == 200
        line.cut()
        assert (await node.token(source=WEB)).status == 200
        assert (await node.token(source=WEB, resource="another")).status == 200
        assert (await node.token(source=API)).status == 404
        # What happened meanwhile counts once it is back.
        await node.kube.delete(BINDINGS, "b", "shop")
        line.whole = True
        await eventually(lambda: status_of(node.token(source=WEB)), 404)


# Paths


PIECES = (
    *("metadata", "identity", "oauth2", "token", "instance", "info", "host", "METADATA", "Identity", "toKen"),
    *("%69dentity", "oauth2%2ftoken", "%2e%2e", "%252e", "..", ".", "", "x;y", "%00", "%5c", "%c0%af", "%ef%bc%8f"),
    *("%E2%84%AA", "metadata.", "identity%20", "token%3f", "to%6ben", "%2574oken", "?resource=r", "#", "a%0d%0ab"),
)
JOINTS = ("/", "//", "\\", "%2f", "%5C", "/./", "/x/../", ";", "%252f", "/.%2e/")


def odd_targets(count: int) -> list[str]:
    chance = random.Random(2_579)
    made = []
    for _ in range(count):
        parts = (f"{chance.choice(JOINTS)}{chance.choice(PIECES)}" for _ in range(chance.randint(1, 7)))
        lead = chance.choice(("", "", "", "http://169.254.169.254", "http://localhost:80"))
        path = "".join(parts)
        made.append(f"{lead}{path if path.startswith('/') else '/' + path}?resource=r&client_id=client-one")
    return made


async def test_no_target_brings_a_pod_without_a_binding_to_a_token(node: NmiNode) -> None:
    for target in odd_targets(300):
        reply = await node.get(target, source=API)
        assert "token of" not in reply.text, target
    assert len(node.metadata.requests) > 20, "too few of the targets are handed on for this to show anything"
    for handed_on in node.metadata.requests:
        path = handed_on.raw_path
        for _ in range(4):
            path = unquote(path).replace("\\", "/").lower()
        assert "token" not in path.partition("oauth2")[2], handed_on.raw_path
        assert path == "/metadata/identity/info" or not path.startswith("/metadata/identity"), handed_on.raw_path


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
async def test_the_method_makes_no_difference_to_who_gets_a_token(node: NmiNode, method: str) -> None:
    target = f"{TOKEN}?resource=r"
    assert (await node.get(target, source=API, method=method)).status == 404
    assert (await node.get(target, source=WEB, method=method)).status == 200
    assert len(node.metadata.requests) == 1


async def test_a_pod_s_requests_one_behind_the_other_are_each_its_own(node: NmiNode) -> None:
    """Several requests in one write, of which the first waits."""
    node.metadata.hold = asyncio.Event()
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port, local_addr=(WEB, 0))
    head = "HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n"
    last = f"GET {TOKEN} {head}Connection: close\r\n\r\n"
    writer.write(f"GET {TOKEN}?resource=r {head}\r\nGET {TOKEN}?resource=r {head}\r\n{last}".encode())
    await node.metadata.came.wait()
    node.metadata.hold.set()
    raw = await reader.read()
    writer.close()
    assert re.findall(rb"HTTP/1.1 (\d+)", raw) == [b"200", b"200", b"400"]
