"""Whatever bytes arrive, in whatever pieces: answers stay whole, in order, and nothing is raised."""

import asyncio
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podpass.serving.asgi import Request, Response, answering, text_response
from podpass.serving.connection import Limits
from podpass.serving.server import HttpEngine

WHOLE_REQUESTS = (
    b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD / HTTP/1.0\r\n\r\n",
)
ANSWER = re.compile(
    rb"HTTP/1\.1 (\d{3}) [^\r]*\r\n(?:[^\r]+\r\n)*\r\n(?:whole|[a-z0-9' ]+ (?:malformed|bytes|headers|large)\n)?"
)


class RecordingTransport(asyncio.Transport):
    """Keeps what is written; refuses what a real transport refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = self.closed = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        assert not self.ended, "written after the end"
        if not self.closed:
            self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


async def whole(request: Request) -> Response:
    return text_response(200, "whole")


APP = answering(whole, max_body=1_000, too_large=lambda request: text_response(413, "too large"))


async def converse(pieces: list[bytes]) -> bytes:
    engine = HttpEngine(APP, limits=Limits(head_bytes=300, headers=5))
    connection, transport = engine.protocol(), RecordingTransport()
    connection.connection_made(transport)
    for piece in pieces:
        if transport.closed:
            break
        connection.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(4):
        await asyncio.sleep(0)
    connection.connection_lost(None)
    await engine.close(grace_seconds=1)
    return transport.written


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    sent = bytearray(b"".join(draw(st.lists(st.sampled_from(WHOLE_REQUESTS), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(sent) - 1))
        sent[at : at + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3) | st.sampled_from([b"\r\n", b": ", b"a" * 400])
        )
        if not sent:
            sent = bytearray(b"\r\n")
    cuts = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=4)))
    return [bytes(sent[start:end]) for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True) if start < end]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=conversations())
def test_damaged_requests_leave_answers_whole(pieces: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    written = asyncio.run(converse(pieces))
    rest = ANSWER.sub(b"", written)
    assert rest == b""
    assert caplog.records == []
