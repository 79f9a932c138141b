"""Containers' logs: written as a container runtime writes them, read as `kubectl logs` asks for them.

A line of the file is `2026-01-31T08:15:00.123456789Z stdout F text`; P instead of F marks a part of a longer line.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from podpass.lab.clock import Clock

MOST_BYTES = 5 * 1024 * 1024
"""Of one file; one older file is kept besides."""
LONGEST_PART = 16 * 1024
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The query of a log request."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since: float | None = None
    """Seconds since the epoch, on the lab's clock."""
    limit_bytes: int | None = None


class ContainerLog:
    """The log of one run of a container, written here and followed by any number of readers."""

    def __init__(self, path: Path, clock: Clock, *, most_bytes: int = MOST_BYTES) -> None:
        self._path = path
        self._clock = clock
        self._most_bytes = most_bytes
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file: BinaryIO | None = _create(path)
        self._size = 0
        self._changed = asyncio.Event()
        self.generation = 0
        """Counts the rotations."""

    @property
    def ended(self) -> bool:
        return self._file is None

    def write(self, stream: str, tag: str, text: bytes) -> None:
        if self._file is None:
            return
        line = b"%s %s %s %s\n" % (_nanoseconds(self._clock.now()).encode(), stream.encode(), tag.encode(), text)
        if self._size and self._size + len(line) > self._most_bytes:
            self._file.close()
            os.replace(self._path, _older(self._path))
            self._file = _create(self._path)
            self._size = 0
            self.generation += 1
        self._file.write(line)
        self._size += len(line)
        self._notify()

    def close(self) -> None:
        """End the log: followers end when they have read the rest."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._notify()

    def changed(self) -> asyncio.Event:
        """Set at the next change; take it before reading, so that no change is missed."""
        return self._changed

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class LineWriter(asyncio.Protocol):
    """Cuts what arrives on a pipe into lines of a log. *closed* is set at the pipe's end."""

    def __init__(self, log: ContainerLog, stream: str) -> None:
        self._log = log
        self._stream = stream
        self._pending = b""
        self.closed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        *lines, rest = (self._pending + data).split(b"\n")
        for line in lines:
            self._log.write(self._stream, "F", self._parts(line))
        self._pending = self._parts(rest)

    def connection_lost(self, error: Exception | None) -> None:
        if self._pending:
            self._log.write(self._stream, "P", self._pending)
            self._pending = b""
        self.closed.set()

    def _parts(self, line: bytes) -> bytes:
        """Write all but the last part of an overlong line."""
        while len(line) > LONGEST_PART:
            self._log.write(self._stream, "P", line[:LONGEST_PART])
            line = line[LONGEST_PART:]
        return line


async def read(path: Path, log: ContainerLog | None, options: LogOptions) -> AsyncIterator[bytes]:
    """The log in *path*, as kubectl gets it. With *log*, which is still written, it can be followed to its end."""
    left = options.limit_bytes
    formatted = _Formatter(options)
    file = _open(path)
    generation = log.generation if log is not None else 0
    try:
        tail: Iterable[bytes] = _lines(_older(path), file)
        if options.tail_lines is not None:
            tail = _last_lines((line for line in tail if formatted.wanted(line)), options.tail_lines)
        buffered = bytearray()
        for line in tail:
            buffered += formatted.text(line)
            if left is not None and len(buffered) >= left:
                break
            if len(buffered) > _CHUNK:
                yield bytes(buffered)
                left = None if left is None else left - len(buffered)
                buffered.clear()
        if buffered:
            chunk = bytes(buffered if left is None else buffered[:left])
            yield chunk
            left = None if left is None else left - len(chunk)
        if not options.follow or log is None:
            return
        while left is None or left > 0:
            changed, ended, rotated = log.changed(), log.ended, log.generation != generation
            text = b"".join(formatted.text(line) for line in file) if file is not None else b""
            if text:
                chunk = text if left is None else text[:left]
                yield chunk
                left = None if left is None else left - len(chunk)
            if rotated or file is None:
                if file is not None:
                    file.close()
                generation, file = log.generation, _open(path)
                if file is not None:
                    continue
            if ended:
                return
            await changed.wait()
    finally:
        if file is not None:
            file.close()


class _Formatter:
    """From the file's lines to what the client sees."""

    def __init__(self, options: LogOptions) -> None:
        self._timestamps = options.timestamps
        self._since = "" if options.since is None else _nanoseconds(options.since)
        self._inside = False

    def wanted(self, line: bytes) -> bool:
        return not self._since or line[: len(self._since)].decode("ascii", "replace") >= self._since

    def text(self, line: bytes) -> bytes:
        if not self.wanted(line):
            return b""
        time, _, rest = line.partition(b" ")
        _, _, rest = rest.partition(b" ")
        tag, _, text = rest.rstrip(b"\n").partition(b" ")
        # The parts of a long line are put together again.
        begun, self._inside = self._inside, tag == b"P"
        prefix = time + b" " if self._timestamps and not begun else b""
        return prefix + text + (b"" if self._inside else b"\n")


def _last_lines(lines: Iterable[bytes], count: int) -> Iterable[bytes]:
    kept: deque[bytes] = deque()
    whole = 0
    for line in lines:
        kept.append(line)
        whole += b" F " in line[:45]
        while whole > count:
            dropped = kept.popleft()
            whole -= b" F " in dropped[:45]
    return kept if count else ()


def _lines(older: Path, file: BinaryIO | None) -> Iterable[bytes]:
    previous = _open(older)
    if previous is not None:
        with previous:
            yield from previous
    if file is not None:
        yield from file


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _create(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    return os.fdopen(descriptor, "wb", buffering=0)


def _nanoseconds(seconds: float) -> str:
    whole = int(seconds)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{int((seconds - whole) * 1e9):09d}Z"
