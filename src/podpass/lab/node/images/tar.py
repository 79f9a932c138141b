"""Tar archives as image layers are written: ustar, pax and GNU long names, read once from front to back.

The standard library's reader holds whatever an extended header claims to be long, and follows sparse maps without
bound. This one bounds each header before it is read, and refuses what image builders do not write.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["file", "directory", "symlink", "hardlink", "device", "fifo"]

BLOCK = 512
MOST_HEADER_BYTES = 1024 * 1024
_CHUNK = 256 * 1024
_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "device",
    b"4": "device",
    b"5": "directory",
    b"6": "fifo",
}
_PAX, _GLOBAL_PAX, _LONG_NAME, _LONG_TARGET = b"x", b"g", b"L", b"K"


class BadTar(Exception):
    """The archive can't be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One member. *target* is where a link leads, *attributes* the names of its extended attributes."""

    name: str
    kind: Kind
    mode: int = 0o644
    size: int = 0
    mtime: int = 0
    """Seconds since the epoch."""
    target: str = ""
    attributes: tuple[str, ...] = ()


class TarReader:
    """Iterate over the entries; `chunks` is the body of the one that came last, skipped when it is not read.

    *read* gives up to so many bytes and an empty string at the end; *skip*, where there is one, passes over bodies
    that nobody read. Iterating raises BadTar.
    """

    def __init__(self, read: Callable[[int], bytes], *, skip: Callable[[int], object] | None = None) -> None:
        self._read = read
        self._skip = skip
        self._left = 0

    def __iter__(self) -> Iterator[Entry]:
        extended: dict[str, str] = {}
        while (header := self._header()) is not None:
            kind, size = header[156:157], _number(header[124:136], "size")
            if kind in (_PAX, _GLOBAL_PAX, _LONG_NAME, _LONG_TARGET):
                if size > MOST_HEADER_BYTES:
                    raise BadTar(f"an extended header of {size} bytes")
                body = self._exactly(size)
                self._exactly(-size % BLOCK)
                if kind == _PAX:
                    extended |= _records(body)
                elif kind != _GLOBAL_PAX:
                    extended["path" if kind == _LONG_NAME else "linkpath"] = _text(body)
                continue
            entry = _entry(header, size, extended)
            extended = {}
            self._left = entry.size
            yield entry
            if self._skip is not None and self._left:
                self._skip(self._left)
                self._left = 0
            for _ in self.chunks():
                pass
            self._exactly(-entry.size % BLOCK)

    def chunks(self) -> Iterator[bytes]:
        while self._left:
            data = self._read(min(_CHUNK, self._left))
            if not data:
                raise BadTar("it ends in the middle of a file")
            self._left -= len(data)
            yield data

    def _header(self) -> bytes | None:
        """The next header, or None at the end: a block of zeros, or nothing more."""
        first = self._read(BLOCK)
        if not first:
            return None
        header = first + self._exactly(BLOCK - len(first))
        if not header.strip(b"\0"):
            return None
        told = _number(header[148:156], "checksum")
        blank = header[:148] + b" " * 8 + header[156:]
        if told != sum(blank):
            raise BadTar("a header's checksum is wrong")
        return header

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            data = self._read(size)
            if not data:
                raise BadTar("it ends in the middle of a header")
            size -= len(data)
            parts.append(data)
        return b"".join(parts)


def _entry(header: bytes, size: int, extended: dict[str, str]) -> Entry:
    name = _text(header[:100])
    if header[257:263] == b"ustar\0" and (prefix := _text(header[345:500])):
        name = f"{prefix}/{name}"
    name = extended.get("path", name)
    if any(key.startswith("GNU.sparse.") for key in extended) or header[156:157] == b"S":
        raise BadTar(f"{name!r} is a sparse file, which image layers do not hold")
    kind = _KINDS.get(header[156:157])
    if kind is None:
        raise BadTar(f"{name!r} is of the unknown type {header[156:157]!r}")
    if kind != "file":
        # Some writers give links the size of what they lead to; no body follows.
        size = 0
    elif "size" in extended:
        size = _decimal(extended["size"], "size")
    if kind == "file" and name.endswith("/"):
        # As the oldest archives write directories; where a body is said to follow, one does.
        kind = "directory"
    return Entry(
        name=name,
        kind=kind,
        mode=_number(header[100:108], "mode") & 0o7777,
        size=size,
        mtime=_time(extended["mtime"]) if "mtime" in extended else _number(header[136:148], "mtime", negative=True),
        target=extended.get("linkpath", _text(header[157:257])),
        attributes=tuple(key.removeprefix("SCHILY.xattr.") for key in extended if key.startswith("SCHILY.xattr.")),
    )


def _records(body: bytes) -> dict[str, str]:
    """A pax header's records, each `LENGTH KEY=VALUE` and a line feed."""
    found: dict[str, str] = {}
    position = 0
    while position < len(body):
        space = body.find(b" ", position, position + 20)
        digits = body[position:space] if space > 0 else b""
        if not digits.isdigit() or position + int(digits) > len(body) or int(digits) < space - position + 3:
            raise BadTar("an extended header's record is cut off")
        record = body[space + 1 : position + int(digits)]
        key, equals, value = record[:-1].partition(b"=")
        if not equals or record[-1:] != b"\n":
            raise BadTar("an extended header's record has no value")
        position += int(digits)
        # An attribute's value may be anything and is not kept.
        text = "" if key.startswith(b"SCHILY.xattr.") else value.decode("utf-8", "surrogateescape")
        if "\0" in text and key in (b"path", b"linkpath"):
            raise BadTar("a name holds a NUL byte")
        found[key.decode("utf-8", "surrogateescape")] = text
    return found


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes, what: str, *, negative: bool = False) -> int:
    """A header's number: octal digits, or GNU's binary form."""
    if field[0] & 0x80:
        value = (
            int.from_bytes(field, signed=True)
            if field[0] & 0x40
            else int.from_bytes(field) & ~(0x80 << 8 * (len(field) - 1))
        )
        if value < 0 and not negative:
            raise BadTar(f"a header's {what} is negative")
        return value
    digits = field.strip(b" \0")
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        raise BadTar(f"a header's {what} is no number") from None


def _decimal(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise BadTar(f"an extended header's {what} is no number")
    return int(text)


def _time(text: str) -> int:
    whole = text.partition(".")[0]
    return -_decimal(whole[1:], "mtime") if whole.startswith("-") else _decimal(whole, "mtime")
