"""The health check of gRPC, as bytes: one call of `grpc.health.v1.Health/Check` over HTTP/2, and what its answer says.

Only what a call without interceptors needs: what the server says in its headers is left compressed, because the
answer's message alone tells whether it serves. Contract: Kubernetes API surface, section 7.1; RFC 9113 and RFC 7541.
"""

import struct
from dataclasses import dataclass, field

from podpass.lab.node.handlers.checks import USER_AGENT

MOST_BYTES = 64 * 1024
"""Of an answer in all."""
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 1, 1, 4, 8
_STREAM = 1


class NoHealth(Exception):
    """The other side said nothing of its health; the text says what it did instead."""


def call(host: str, port: int, service: str) -> bytes:
    """Everything that the client has to say, at once."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    headers = (
        b"\x83\x86"  # :method POST, :scheme http
        + _literal(4, b"/grpc.health.v1.Health/Check")
        + _literal(1, f"{host}:{port}".encode())
        + _literal(31, b"application/grpc")
        + _literal(58, USER_AGENT.encode())
        + b"\x00\x02te\x08trailers"
    )
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, _STREAM, headers)
        + _frame(_DATA, _END_STREAM, _STREAM, struct.pack(">BI", 0, len(message)) + message)
    )


@dataclass(slots=True)
class Answer:
    """What the server has said so far; `feed` says what is to be sent back."""

    ended: bool = False
    _size: int = 0
    _rest: bytes = b""
    _message: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> bytes:
        """Raises NoHealth."""
        self._size += len(data)
        if self._size > MOST_BYTES:
            raise NoHealth("the answer is too long")
        self._rest += data
        replies = b""
        while not self.ended and len(self._rest) >= 9:
            length = int.from_bytes(self._rest[:3], "big")
            kind, flags = self._rest[3], self._rest[4]
            stream = int.from_bytes(self._rest[5:9], "big") & 0x7FFFFFFF
            if length > MOST_BYTES:
                raise NoHealth("the answer is no HTTP/2")
            if len(self._rest) < 9 + length:
                break
            payload, self._rest = self._rest[9 : 9 + length], self._rest[9 + length :]
            replies += self._frame(kind, flags, stream, payload)
        return replies

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        if kind == _SETTINGS and not flags & _ACK:
            return _frame(_SETTINGS, _ACK, 0, b"")
        if kind == _PING and not flags & _ACK:
            return _frame(_PING, _ACK, 0, payload)
        if kind == _GO_AWAY:
            raise NoHealth("the server closed the connection")
        if stream == _STREAM:
            if kind == _RESET:
                raise NoHealth("the server refused the call")
            if kind == _DATA:
                padding = payload[0] if flags & _PADDED and payload else 0
                self._message += payload[1 : len(payload) - padding] if flags & _PADDED else payload
            if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                self.ended = True
        return b""

    @property
    def status(self) -> str:
        """The status that was told, once the answer has ended. Raises NoHealth."""
        if len(self._message) < 5:
            raise NoHealth("this server does not implement the grpc health protocol (grpc.health.v1.Health)")
        compressed, length = struct.unpack(">BI", self._message[:5])
        message = bytes(self._message[5 : 5 + length])
        if compressed or len(message) != length:
            raise NoHealth("the answer can't be read")
        if not message:
            return _STATUSES[0]
        if len(message) < 2 or message[0] != 0x08 or message[1] >= len(_STATUSES):
            raise NoHealth("the answer can't be read")
        return _STATUSES[message[1]]


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(index: int, value: bytes) -> bytes:
    """A header with the name at *index* of the static table, not to be remembered."""
    name = bytes([index]) if index < 15 else bytes([15, index - 15])
    return name + _prefixed(len(value), 7) + value


def _prefixed(number: int, bits: int) -> bytes:
    """HPACK's integers."""
    most = (1 << bits) - 1
    if number < most:
        return bytes([number])
    return bytes([most]) + _varint(number - most)


def _varint(number: int) -> bytes:
    found = b""
    while number >= 0x80:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])
