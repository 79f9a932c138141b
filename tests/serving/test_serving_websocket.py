"""Websockets against an independent client, and against bytes that no client should send."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from podpass.serving.asgi import Receive, Response, Scope, Send, request_of, send_response
from podpass.serving.server import bind_tcp, serving
from podpass.serving.upgrade import CanNotUpgrade, upgrade_of
from podpass.serving.websocket import open_websocket

_SECONDS = 20.0
_HEAD = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends every whole message back, in front of it the number of pieces it came in; a message "bye" closes."""
    upgrade = upgrade_of(scope)
    assert upgrade is not None
    try:
        websocket = open_websocket(request_of(scope), upgrade, ("", "echo", "other"))
    except CanNotUpgrade as refusal:
        await send_response(send, Response(refusal.status))
        return
    message = b""
    while (piece := await websocket.receive()) is not None:
        message = piece.data if piece.first else message + piece.data
        if piece.last:
            if message == b"bye":
                break
            if message == b"ping":
                await websocket.ping()
            await websocket.send(message)
    await websocket.close(1000)


@asynccontextmanager
async def echoing() -> AsyncIterator[socket.socket]:
    listener = bind_tcp()
    async with asyncio.timeout(_SECONDS), serving(echo, [listener], grace_seconds=0.1):
        yield listener


@asynccontextmanager
async def client(**options: object) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with echoing() as listener, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with session.ws_connect(url, max_msg_size=0, **options) as websocket:  # type: ignore[call-overload]
            yield websocket


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 5_000_000])
async def test_messages_of_any_size_come_back(size: int) -> None:
    data = os.urandom(size)
    async with client() as websocket:
        for _ in range(2):
            await websocket.send_bytes(data)
            assert await websocket.receive_bytes() == data


async def test_text_is_its_bytes() -> None:
    async with client() as websocket:
        await websocket.send_str("größer")
        assert await websocket.receive_bytes() == "größer".encode()


async def test_a_ping_is_answered() -> None:
    async with client(autoping=False) as websocket:
        await websocket.ping(b"there?")
        answer = await websocket.receive()
        assert (answer.type, answer.data) == (aiohttp.WSMsgType.PONG, b"there?")


async def test_a_ping_of_the_server_is_answered_and_disturbs_nothing() -> None:
    async with client(autoping=False) as websocket:
        await websocket.send_bytes(b"ping")
        assert (await websocket.receive()).type is aiohttp.WSMsgType.PING
        assert await websocket.receive_bytes() == b"ping"
        await websocket.pong()
        await websocket.send_bytes(b"on")
        assert await websocket.receive_bytes() == b"on"


async def test_the_clients_best_liked_subprotocol_is_chosen() -> None:
    async with client(protocols=("new", "other", "echo")) as websocket:
        assert websocket.protocol == "other"


async def test_the_server_says_goodbye() -> None:
    async with client() as websocket:
        await websocket.send_bytes(b"bye")
        assert (await websocket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert websocket.close_code == 1000


async def test_a_goodbye_is_answered() -> None:
    async with client() as websocket:
        assert await websocket.close(code=1001)
        assert websocket.close_code == 1001


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(_HEAD + b"Sec-WebSocket-Protocol: unknown\r\n", b"403", id="subprotocol"),
        pytest.param(_HEAD.replace(b"Version: 13", b"Version: 8"), b"400", id="version"),
        pytest.param(_HEAD.replace(b"dGhl", b"!!!!"), b"400", id="key"),
        pytest.param(_HEAD.replace(b"dGhl", b""), b"400", id="short-key"),
        pytest.param(_HEAD.replace(b"GET", b"POST"), b"400", id="method"),
    ],
)
async def test_a_handshake_that_is_none_is_refused(head: bytes, status: bytes) -> None:
    async with echoing() as listener:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(head + b"\r\n")
        assert (await reader.readline()).split()[1] == status
        writer.close()


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"\x82\x01x", id="not-masked"),
        pytest.param(b"\xf2\x81\0\0\0\0x", id="reserved-bits"),
        pytest.param(b"\x80\x81\0\0\0\0x", id="continuation-of-nothing"),
        pytest.param(b"\x81\x81\0\0\0\0\xff", id="text-that-is-none"),
        pytest.param(b"\x89\xfe\x00\x80\0\0\0\0" + bytes(128), id="large-ping"),
    ],
)
async def test_a_client_that_breaks_the_protocol_is_let_go(frame: bytes) -> None:
    async with echoing() as listener:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(_HEAD + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame)
        assert b"\x88" in await reader.read()
        writer.close()


async def test_a_client_that_vanishes_ends_the_conversation() -> None:
    async with echoing() as listener:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(_HEAD + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x82\xff\0\0\0\0\x7f\xff\xff\xff\0\0\0\0 the start of very much")
        writer.transport.abort()
