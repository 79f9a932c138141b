"""One HTTP connection with bounds: on the size of a request's head, on its pace, and on what is told when it fails.

uvicorn's protocol over httptools does the parsing and the flow control; httptools itself bounds nothing.
"""

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn, cast

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from podpass.serving.upgrade import UPGRADE, ByteStream, CanNotUpgrade
from podpass.serving.writes import JoinedWrites
from podpass.telemetry.redaction import redact_text

LINGER_SECONDS = 1.0
_RECHECK_SECONDS = 1.0
QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Linux's; None elsewhere."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask of a listener before it is turned away."""

    head_bytes: int = 64 * 1024
    """Request line and headers. Large enough for several bearer tokens."""
    headers: int = 100
    head_seconds: float = 10.0
    """From a head's first byte (for the first request: from the connection's start) to its last."""
    body_seconds: float = 60.0
    """Between two parts of a body that the service is ready to read."""
    idle_seconds: float = 75.0
    """Without a request, on a connection that is kept alive."""
    connections: int = 4_000
    peer_connections: int | None = None
    """Of them, how many may come from one address; None for no such bound."""
    unread_seconds: float | None = None
    """How long a client may leave an answer unread that it has been sent; None for as long as it likes."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A connection that ended before its request reached a service."""

    peer: str
    """The client's address, or an empty string on a unix socket."""
    status: int
    """What was answered; 0 when no answer could be given, because TLS failed."""
    why: str
    what: str = ""
    """What was asked, as far as it is known and may be shown."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What all connections of one engine share."""

    config: uvicorn.Config
    state: ServerState
    limits: Limits
    refused: Callable[[Refused], None]
    lost: Callable[[], None]
    """Told after each connection that has ended."""
    closing: Callable[[], bool]
    """Whether the engine takes no new connection."""
    peers: Counter[str] = field(default_factory=Counter)
    """How many connections each address has."""


class _RedactedLog(logging.LoggerAdapter[logging.Logger]):
    """A traceback's text may hold what the request held."""

    @property
    def level(self) -> int:
        return self.logger.getEffectiveLevel()

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        error = kwargs.pop("exc_info", None)
        if isinstance(error, BaseException):
            msg = f"{str(msg).rstrip()}\n{redact_text(''.join(traceback.format_exception(error)))}"
        return msg, kwargs


LOG = _RedactedLog(logging.getLogger("podpass.serving"), {})


@lru_cache(maxsize=1)
def _date_header(second: int) -> list[tuple[bytes, bytes]]:
    # uvicorn's Server keeps this up to date from a timer of its own; there is no Server here.
    return [(b"date", formatdate(second, usegmt=True).encode())]


def _client_certificate(transport: asyncio.BaseTransport) -> dict[str, Any]:
    """ASGI's TLS extension, as far as it tells who the client is. Empty for a client that showed no certificate."""
    connection = transport.get_extra_info("ssl_object")
    certificate = connection.getpeercert(binary_form=True) if connection is not None else None
    return {"tls": {"client_cert_chain": [ssl.DER_cert_to_PEM_cert(certificate)]}} if certificate else {}


class HttpConnection(HttpToolsProtocol):
    """uvicorn's connection, which also refuses heads that are too large, too slow or too many."""

    if TYPE_CHECKING:
        transport: asyncio.Transport | None  # type: ignore[assignment]

    def __init__(self, terms: Terms) -> None:
        super().__init__(config=terms.config, server_state=terms.state, app_state={})
        self.logger = cast("logging.Logger", LOG)
        self.access_log = False
        self.terms = terms
        self.limits = terms.limits
        self._early: list[bytes] = []
        self._extensions: dict[str, Any] = {}
        self._in_head = True
        self._head_number = 0
        self._head_bytes = 0
        self._chunk_bytes = 0
        self._head_since = self.loop.time()
        self._body_since = 0.0
        self._fault: tuple[int, str] | None = None
        self.asked = ""
        self._finished = False
        self._stream: ByteStream | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._peer = ""

    # --- what the transport calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if self.terms.closing():
            # Accepted, or out of its TLS handshake, too late.
            transport.abort()
            return
        full = len(self.connections) >= self.limits.connections
        super().connection_made(transport)
        self._answers = JoinedWrites(transport, self.loop)
        self._extensions = _client_certificate(transport)
        self._peer = self.client[0] if self.client else ""
        self.terms.peers[self._peer] += 1
        if full:
            self.refuse(503, f"more than {self.limits.connections} connections")
            return
        of_peer = self.limits.peer_connections
        if of_peer is not None and self.terms.peers[self._peer] > of_peer:
            self.refuse(503, f"more than {of_peer} connections from {self._peer or 'one client'}")
            return
        self._head_since = self.loop.time()
        # After start_tls a request that came with the handshake's last message is delivered before this call.
        early, self._early = self._early, []
        for data in early:
            self.data_received(data)
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self.transport is None:
            self._early.append(data)
            return
        if self._stream is not None:
            self._stream.feed(data)
            return
        if self._finished or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._chunk_bytes = len(data)
        head = self._head_number
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.upgraded(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            status, why = self._fault or (400, "the request is malformed")
            self.refuse(status, why)
        if self._in_head:
            if self._head_number == head:
                self._head_bytes += len(data)
            if self._head_bytes > self.limits.head_bytes:
                self.refuse(431, self._large_head)
            elif self.headers is not None and len(self.headers) > self.limits.headers:
                self.refuse(431, self._many_headers)
        elif (cycle := self.cycle) is not None and not cycle.response_complete:
            if not cycle.more_body:
                return  # A whole request, not yet answered: nothing to wait for.
            self._acknowledge()
        self._watch()

    def _acknowledge(self) -> None:
        """Tell the client at once that its head has arrived.

        urllib3 behind a proxy leaves Nagle's algorithm on, and then holds a request's body back until the kernel
        acknowledges the head, which takes Linux 40 ms when nothing is answered.
        """
        if QUICK_ACK is not None and self.transport is not None:
            connection = self.transport.get_extra_info("socket")
            if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        self._unset_keepalive_if_required()
        if self.transport is None:
            # connection_made was never reached: the TLS handshake failed, or the engine was closing.
            return
        self._stop_waiting_for_reader()
        self._leave_peer()
        super().connection_lost(exc)
        if self._stream is not None:
            self._stream.end()
        self.terms.lost()

    def pause_writing(self) -> None:
        super().pause_writing()
        seconds = self.limits.unread_seconds
        if seconds is not None and self._stream is None and self.transport is not None:
            self._unread_timer = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_waiting_for_reader()
        super().resume_writing()

    def _stop_waiting_for_reader(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def eof_received(self) -> None:
        # The transport then closes: no protocol that is taken up here knows of half a connection.
        if self._stream is not None:
            self._stream.end()

    # --- what the parser calls

    def on_message_begin(self) -> None:
        if not self._in_head:
            self._in_head = True
            self._head_number += 1
            self._head_since = self.loop.time()
            self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.check_head()
        self.server_state.default_headers = _date_header(int(time.time()))
        super().on_headers_complete()
        if self._extensions:
            self.scope["extensions"] = cast("Any", self._extensions)
        if self.cycle is not None:
            self.cycle.transport = cast("asyncio.Transport", self._answers)
            if self.parser.should_upgrade():
                offer = {UPGRADE: functools.partial(self._hand_over, self.cycle)}
                self.scope["extensions"] = cast("Any", {**self._extensions, **offer})

    def on_response_complete(self) -> None:
        # An answer to HEAD has nothing that follows its head.
        self._answers.flush()
        super().on_response_complete()

    def check_head(self) -> None:
        """End the parsing when the head that has just ended is too large."""
        self._in_head = False
        # Here and not header by header: what one read can hold is bounded, and most heads arrive in one.
        if len(self.headers) > self.limits.headers:
            self.fail(431, self._many_headers)
        if self._head_bytes + self._chunk_bytes > self.limits.head_bytes:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self.limits.head_bytes:
                self.fail(431, self._large_head)

    def fail(self, status: int, why: str) -> NoReturn:
        """End the parsing from inside one of its callbacks; the request is then refused with *status*."""
        self._fault = status, why
        raise ValueError(why)

    # --- upgrades

    def upgraded(self, rest: bytes) -> None:
        """The request's head offered another protocol; *rest* is what came after it."""
        # An offer that no service takes up (curl and Java offer h2c) is ignored, as RFC 9110 section 7.8 allows.

    def _hand_over(self, cycle: RequestResponseCycle, headers: Iterable[tuple[str, str]]) -> ByteStream:
        """Answer 101 and give the connection to whoever answers *cycle*. Raises CanNotUpgrade."""
        transport = self.transport
        if self._finished or transport is None or transport.is_closing() or self.cycle is not cycle or self.pipeline:
            raise CanNotUpgrade(0, "the connection was lost, or more was asked on it")
        if cycle.response_started:
            raise CanNotUpgrade(0, "an answer has begun")
        # To uvicorn this request is over: what its app does from here on is not answered through it.
        cycle.response_started = cycle.disconnected = True
        self._finished = True
        self._stop_watching()
        self._unset_keepalive_if_required()
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        transport.write(STATUS_LINE[101] + head.encode("latin-1") + b"\r\n")
        self._stream = ByteStream(transport, self.flow)
        return self._stream

    def leave(self) -> None:
        """Another protocol has the transport from now on."""
        self._finished = True
        self._stop_watching()
        self._unset_keepalive_if_required()
        self._leave_peer()
        self.connections.discard(self)

    def _leave_peer(self) -> None:
        self.terms.peers[self._peer] -= 1
        if not self.terms.peers[self._peer]:
            del self.terms.peers[self._peer]

    # --- refusals

    def refuse(self, status: int, why: str) -> None:
        """Answer *status* with one line of text and close.

        Requests before this one are answered first, then the connection is closed without this answer. An answer
        that is already being sent is cut off.
        """
        transport = self.transport
        if self._finished or transport is None:
            return
        self._finished = True
        self._stop_watching()
        self.terms.refused(Refused(self._peer, status, why, self.asked))
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started or (cycle.more_body and self.pipeline):
                transport.abort()
                return
            if not cycle.more_body:
                cycle.keep_alive = False
                return
            # The fault is in this very request's body: its service hears that the client has gone.
            cycle.disconnected = True
            cycle.waiting_for_100_continue = False
            cycle.message_event.set()
        text = f"{why}\n".encode("ascii", "replace")
        transport.write(
            STATUS_LINE[status]
            + b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(text)
            + text
        )
        if transport.can_write_eof():
            # Closing at once, with input still unread, resets the connection and loses the answer.
            transport.write_eof()
            self._timer = self.loop.call_later(LINGER_SECONDS, transport.abort)
        else:
            transport.close()

    @property
    def _large_head(self) -> str:
        return f"the request's head is larger than {self.limits.head_bytes} bytes"

    @property
    def _many_headers(self) -> str:
        return f"the request has more than {self.limits.headers} headers"

    # --- pace: one timer, set only while a part of a request is outstanding

    def _deadline(self) -> float | None:
        if self._in_head:
            return self._head_since + self.limits.head_seconds
        if self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete:
            return self._body_since + self.limits.body_seconds
        return None

    def _watch(self) -> None:
        if self._finished or self.transport is None or self.transport.is_closing():
            return
        if not self._in_head:
            self._body_since = self.loop.time()
        deadline = self._deadline()
        if deadline is None:
            idle = self.cycle is None or self.cycle.response_complete
            if idle and self.timeout_keep_alive_task is None:
                # Empty lines between requests end uvicorn's own timer and start no request.
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
            return
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self.loop.call_at(deadline, self._too_slow)

    def _too_slow(self) -> None:
        self._timer = None
        deadline = self._deadline()
        if deadline is None or self._finished or self.transport is None:
            return
        now = self.loop.time()
        answering = self._in_head and self.cycle is not None and not self.cycle.response_complete
        if answering or (not self._in_head and self.flow.read_paused):
            # The wait is the service's, not the client's.
            self._timer = self.loop.call_later(_RECHECK_SECONDS, self._too_slow)
            self._body_since = now
        elif now < deadline:
            self._timer = self.loop.call_at(deadline, self._too_slow)
        elif self._in_head:
            self.refuse(408, f"the request's head took longer than {self.limits.head_seconds:g} seconds")
        else:
            self.refuse(408, f"the request's body stood still for {self.limits.body_seconds:g} seconds")

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
