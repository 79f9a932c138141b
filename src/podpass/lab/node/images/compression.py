"""Compressed streams, told by their first bytes: gzip, Zstandard, or none."""

import contextlib
import shutil
import subprocess
import threading
import zlib
from collections.abc import Iterator
from typing import IO, Protocol

from podpass.lab.node.images.documents import UnusableImage

_CHUNK = 256 * 1024
_GZIP, _ZSTD, _OTHERS = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", {b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


class Readable(Protocol):
    """Gives up to so many bytes, and an empty string at the end."""

    def read(self, size: int, /) -> bytes: ...


@contextlib.contextmanager
def uncompressed(stream: Readable) -> Iterator[Readable]:
    """*stream* without its compression. Raises UnusableImage, also while the result is read."""
    start = b""
    while len(start) < 6 and (more := stream.read(6 - len(start))):
        start += more
    whole = _Peeked(start, stream)
    if start.startswith(_GZIP):
        yield _Gunzip(whole)
    elif start.startswith(_ZSTD):
        with _zstd(whole) as plain:
            yield plain
    else:
        for magic, name in _OTHERS.items():
            if start.startswith(magic):
                raise UnusableImage(f"it is compressed with {name}; gzip and zstd are read")
        yield whole


def is_compressed(start: bytes) -> bool:
    return start.startswith((_GZIP, _ZSTD, *_OTHERS))


class _Peeked:
    def __init__(self, start: bytes, stream: Readable) -> None:
        self._start, self._stream = start, stream

    def read(self, size: int, /) -> bytes:
        if self._start:
            data, self._start = self._start[:size], self._start[size:]
            return data
        return self._stream.read(size)


class _Gunzip:
    """gzip's members, one after the other, holding no more than was asked for."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._inflate = zlib.decompressobj(wbits=31)
        self._waiting = b""

    def read(self, size: int, /) -> bytes:
        try:
            while True:
                if self._inflate.eof and not self._next_member():
                    return b""
                data = self._waiting or self._stream.read(_CHUNK)
                if not data:
                    raise UnusableImage("compressed data is cut off")
                plain = self._inflate.decompress(data, size)
                self._waiting = self._inflate.unconsumed_tail
                if plain:
                    return plain
        except zlib.error as error:
            raise UnusableImage(f"compressed data is damaged: {error}") from error

    def _next_member(self) -> bool:
        """Whether another member follows. Zeros are padding."""
        rest = self._inflate.unused_data.lstrip(b"\0")
        while not rest:
            data = self._stream.read(_CHUNK)
            if not data:
                return False
            rest = data.lstrip(b"\0")
        self._inflate, self._waiting = zlib.decompressobj(wbits=31), rest
        return True


@contextlib.contextmanager
def _zstd(stream: Readable) -> Iterator[Readable]:
    """Through the program of that name: the standard library reads Zstandard from Python 3.14 on only."""
    program = shutil.which("zstd")
    if program is None:
        raise UnusableImage("it is compressed with Zstandard: install the program zstd (package zstd)")
    failures: list[BaseException] = []
    with subprocess.Popen(
        [program, "-dcq"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        feeder = threading.Thread(target=_feed, args=(stream, process.stdin, failures), daemon=True)
        feeder.start()
        plain = _Checked(process, failures, feeder)
        try:
            yield plain
        finally:
            process.kill()
            process.stdout.close()
            feeder.join()


def _feed(stream: Readable, pipe: IO[bytes], failures: list[BaseException]) -> None:
    try:
        with pipe:
            while data := stream.read(_CHUNK):
                pipe.write(data)
    except BrokenPipeError:
        # The program has its own reason, and its exit code tells.
        return
    except BaseException as error:  # noqa: BLE001 - it is raised again where the result is read
        failures.append(error)


class _Checked:
    """A program's output; its end counts only when the program says that all was well."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", failures: list[BaseException], feeder: threading.Thread
    ) -> None:
        self._process, self._failures, self._feeder = process, failures, feeder

    def read(self, size: int, /) -> bytes:
        assert self._process.stdout is not None
        data = self._process.stdout.read(size)
        if not data and size:
            self._feeder.join()
            if self._failures:
                raise self._failures[0]
            if self._process.wait() != 0:
                raise UnusableImage("compressed data is damaged")
        return data
