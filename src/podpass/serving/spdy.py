"""SPDY/3.1 frames, as far as Kubernetes clients use them: many streams of bytes on one connection, the server's side.

Frames only, no input and output. Data is handed on as it arrives; a control frame and its headers are bounded. Windows
are not kept, as in every client and server of Kubernetes: who does not read the connection makes the other side wait.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

MOST_CONTROL_BYTES = 16 * 1024
MOST_HEADERS_BYTES = 64 * 1024
MOST_HEADERS = 100
MOST_DATA_BYTES = (1 << 24) - 1
_VERSION = 3
_CONTROL = 0x80000000
FIN = 1

_NAMES = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow"
    " authorization cache-control connection content-base content-encoding content-language content-length"
    " content-location content-md5 content-range content-type date etag expect expires from host if-match"
    " if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma"
    " proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade"
    " user-agent vary via warning www-authenticate method get status"
)
_WORDS = (*_NAMES.split(), "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(word)) + word.encode() for word in _WORDS) + _REST.encode()
"""What both sides' compression starts from (SPDY/3, section 2.6.10.1)."""


class FrameType(IntEnum):
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class ProtocolError(Exception):
    """The peer sends what is no SPDY, or more of it than is read."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer opened a stream. *ended*: it will send nothing on it."""

    stream: int
    headers: Mapping[str, str]
    ended: bool


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes on a stream; *ended* with the last of them."""

    stream: int
    data: bytes = field(repr=False)
    ended: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """The peer gave a stream up."""

    stream: int


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered with the same number."""

    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The peer will open no more streams."""


Event = Opened | Data | Reset | Ping | GoAway


class Decoder:
    """From the peer's bytes to events."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._headers = zlib.decompressobj(zdict=DICTIONARY)
        self._stream, self._left, self._ends = 0, 0, False

    def feed(self, data: bytes) -> list[Event]:
        """The events that *data* completes. Raises ProtocolError, after which nothing more can be read."""
        self._buffer += data
        events: list[Event] = []
        at = 0
        while True:
            if self._left:
                taken = bytes(self._buffer[at : at + self._left])
                if not taken:
                    break
                at += len(taken)
                self._left -= len(taken)
                events.append(Data(self._stream, taken, self._ends and not self._left))
                continue
            if len(self._buffer) - at < 8:
                break
            first, second = struct.unpack_from(">II", self._buffer, at)
            flags, length = second >> 24, second & 0xFFFFFF
            if not first & _CONTROL:
                at += 8
                self._stream, self._left, self._ends = first, length, bool(flags & FIN)
                if not length:
                    events.append(Data(first, b"", self._ends))
                continue
            if length > MOST_CONTROL_BYTES:
                raise ProtocolError(f"a control frame of {length} bytes")
            if len(self._buffer) - at < 8 + length:
                break
            body = bytes(self._buffer[at + 8 : at + 8 + length])
            at += 8 + length
            if (event := self._control(first, flags, body)) is not None:
                events.append(event)
        del self._buffer[:at]
        return events

    def _control(self, first: int, flags: int, body: bytes) -> Event | None:
        if first >> 16 & 0x7FFF != _VERSION:
            raise ProtocolError("a frame of another version")
        try:
            match first & 0xFFFF:
                case FrameType.SYN_STREAM:
                    headers = self._read_headers(body[10:])
                    return Opened(_stream(body), headers, bool(flags & FIN))
                case FrameType.SYN_REPLY | FrameType.HEADERS:
                    # Read for the sake of the compression, which goes on from frame to frame.
                    self._read_headers(body[4:])
                case FrameType.RST_STREAM:
                    return Reset(_stream(body))
                case FrameType.PING:
                    return Ping(struct.unpack(">I", body)[0])
                case FrameType.GOAWAY:
                    return GoAway()
        except (struct.error, UnicodeDecodeError, zlib.error) as error:
            raise ProtocolError(f"a frame that is malformed: {error}") from error
        return None

    def _read_headers(self, packed: bytes) -> dict[str, str]:
        block = self._headers.decompress(packed, MOST_HEADERS_BYTES)
        if self._headers.unconsumed_tail:
            raise ProtocolError(f"headers of more than {MOST_HEADERS_BYTES} bytes")
        (count,) = struct.unpack_from(">I", block)
        if count > MOST_HEADERS:
            raise ProtocolError(f"{count} headers")
        headers: dict[str, str] = {}
        at = 4
        for _ in range(count):
            name, at = _text(block, at)
            value, at = _text(block, at)
            headers[name.lower()] = value
        return headers


class Encoder:
    """From what is to be said to bytes."""

    def __init__(self) -> None:
        self._headers = zlib.compressobj(zdict=DICTIONARY)

    def reply(self, stream: int, headers: Mapping[str, str] | None = None) -> bytes:
        """Accept a stream."""
        block = struct.pack(">I", len(headers or {}))
        for name, value in (headers or {}).items():
            block += b"".join(struct.pack(">I", len(text)) + text for text in (name.lower().encode(), value.encode()))
        packed = self._headers.compress(block) + self._headers.flush(zlib.Z_SYNC_FLUSH)
        return _control_frame(FrameType.SYN_REPLY, struct.pack(">I", stream) + packed)

    def data(self, stream: int, data: bytes, *, ended: bool = False) -> bytes:
        """One frame of at most MOST_DATA_BYTES."""
        return struct.pack(">II", stream, (FIN if ended else 0) << 24 | len(data)) + data

    def reset(self, stream: int, status: int) -> bytes:
        return _control_frame(FrameType.RST_STREAM, struct.pack(">II", stream, status))

    def ping(self, number: int) -> bytes:
        return _control_frame(FrameType.PING, struct.pack(">I", number))

    def go_away(self, last_stream: int) -> bytes:
        return _control_frame(FrameType.GOAWAY, struct.pack(">II", last_stream, 0))


def _control_frame(kind: FrameType, body: bytes) -> bytes:
    return struct.pack(">II", _CONTROL | _VERSION << 16 | kind, len(body)) + body


def _stream(body: bytes) -> int:
    number = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
    if not number:
        raise ProtocolError("a stream without a number")
    return int(number)


def _text(block: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">I", block, at)
    end = at + 4 + length
    if end > len(block):
        raise ProtocolError("a header that ends before its value")
    return block[at + 4 : end].decode(), end
