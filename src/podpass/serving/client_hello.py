"""The server's name in a TLS ClientHello (RFC 8446, section 4.1.2; RFC 6066, section 3). Pure: bytes in, a name out."""

HANDSHAKE, CLIENT_HELLO, HOST_NAME = 22, 1, 0
LONGEST = 64 * 1024
"""Bytes that are looked at; no client's first message is longer."""


class _TooShort(Exception):
    """The message is not whole."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise _TooShort
        self._at += count
        return self._data[self._at - count : self._at]

    def take_all(self) -> bytes:
        return self.take(self.left)

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> "_Reader":
        """What is preceded by its length in *size* bytes."""
        return _Reader(self.take(self.number(size)))


def server_name(data: bytes) -> str | None:
    """The name that a connection beginning with *data* asks for, in lower case; empty when it asks for none.

    None while more has to be read. What is no ClientHello asks for none; TLS itself will refuse it.
    """
    records, message = _Reader(data), b""
    while True:
        try:
            if records.left and records.take(1)[0] != HANDSHAKE:
                return ""
            records.take(2)
            message += records.vector(2).take_all()
        except _TooShort:
            return None if len(data) < LONGEST else ""
        if message[:1] != bytes([CLIENT_HELLO]):
            return ""
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4]):
            return _name_in(message[4 : 4 + int.from_bytes(message[1:4])])


def _name_in(hello: bytes) -> str:
    try:
        reader = _Reader(hello)
        reader.take(2 + 32)
        for size in (1, 2, 1):
            # The session's id, the cipher suites, the compression methods.
            reader.vector(size)
        extensions = reader.vector(2)
        while extensions.left:
            kind, extension = extensions.number(2), extensions.vector(2)
            if kind == HOST_NAME:
                names = extension.vector(2)
                while names.left:
                    of, name = names.number(1), names.vector(2)
                    if of == HOST_NAME:
                        return name.take_all().decode("ascii", "replace").lower()
    except _TooShort:
        pass
    return ""
