"""Layers onto a root directory: files, links, and the whiteouts that take away what lower layers brought.

Every path is resolved inside the root, its symbolic links included, so nothing that a layer names lies elsewhere.
Owners are not kept: a container has one user. So that the root of a container can read and write everything, as it
may in a cluster, its files are made readable and writable for their owner; set-user-ID bits are left out.
"""

import contextlib
import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from podpass.lab.node.images.compression import Readable, uncompressed
from podpass.lab.node.images.documents import UnusableImage
from podpass.lab.node.images.tar import BadTar, Entry, TarReader

_CHUNK = 256 * 1024
_WHITEOUT, _OPAQUE, _UNION_FILE_SYSTEM = ".wh.", ".wh..wh..opq", ".wh..wh."
_MOST_LINKS = 40


@dataclass(frozen=True, slots=True)
class Limits:
    """What an image may grow to. A smaller archive that promises more is taken for an attack, and refused."""

    unpacked_bytes: int = 16 * 1024**3
    entries: int = 1_000_000
    ratio: int = 200
    """How many bytes one compressed byte may become, above *ratio_free_bytes*."""
    ratio_free_bytes: int = 256 * 1024**2


@dataclass(slots=True)
class Unpacked:
    """What came out of the layers so far."""

    bytes: int = 0
    entries: int = 0
    devices: int = 0
    fifos: int = 0
    capabilities: int = 0

    def notes(self) -> tuple[str, ...]:
        """What the root lacks that the image has, in words."""
        skipped = (
            (self.devices, "device", "the lab gives containers a /dev of its own"),
            (self.fifos, "named pipe", "left out"),
            (self.capabilities, "file with capabilities", "they are not set"),
        )
        return tuple(f"{count} {what}{'s' * (count > 1)}: {why}" for count, what, why in skipped if count)


@dataclass(slots=True)
class Hashing:
    """A stream with the SHA-256 and the count of what was read from it."""

    stream: Readable
    count: int = 0
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def read(self, size: int, /) -> bytes:
        data = self.stream.read(size)
        self._hash.update(data)
        self.count += len(data)
        return data

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


class Layers:
    """Unpacks an image's layers onto *root*, an empty directory that nobody else writes to, lowest first."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root = os.fspath(root)
        self._limits = limits
        self.unpacked = Unpacked()

    def apply(self, blob: Readable, *, digest: str = "", diff_id: str = "") -> None:
        """Unpack one layer. Raises UnusableImage, also when the bytes are not those of *digest* and *diff_id*."""
        compressed = Hashing(blob)
        with uncompressed(compressed) as plain:
            content = Hashing(_Bounded(plain, compressed, self._limits))
            # Headers are short, and each read through the decompression costs.
            buffered = io.BufferedReader(_Raw(content), _CHUNK)
            try:
                _Layer(self._root, self.unpacked, self._limits).apply(TarReader(buffered.read))
            except BadTar as error:
                raise UnusableImage(f"a layer is no usable tar archive: {error}") from error
            # What follows the end of the archive counts for the digests.
            while buffered.read(_CHUNK):
                pass
        while compressed.read(_CHUNK):
            pass
        if digest and compressed.digest != digest:
            raise UnusableImage(f"the layer {digest} is damaged: its content is {compressed.digest}")
        if diff_id and content.digest != diff_id:
            raise UnusableImage(f"a layer is not the one of the configuration: it is {content.digest}, not {diff_id}")


class _Raw(io.RawIOBase):
    def __init__(self, stream: Readable) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Bounded:
    """Uncompressed bytes, refused when they are far more than what they were made of."""

    def __init__(self, stream: Readable, compressed: Hashing, limits: Limits) -> None:
        self._stream, self._compressed, self._limits = stream, compressed, limits
        self._count = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._count += len(data)
        most = max(self._limits.ratio_free_bytes, self._limits.ratio * self._compressed.count)
        if self._count > most:
            raise UnusableImage(
                f"a layer of {self._compressed.count} bytes has grown to {self._count} while it was unpacked:"
                f" more than {self._limits.ratio} times as much is refused"
            )
        return data


class _Layer:
    """One layer's way onto the root. *_made* are the paths that this layer brought: no whiteout of it touches them."""

    def __init__(self, root: str, unpacked: Unpacked, limits: Limits) -> None:
        self._root = root
        self._unpacked = unpacked
        self._limits = limits
        self._made: set[str] = set()
        self._parents: dict[tuple[str, ...], str] = {}
        """Where directories that were named before are, until something changes what a name means."""

    def apply(self, archive: TarReader) -> None:
        for entry in archive:
            self._unpacked.entries += 1
            self._unpacked.bytes += entry.size
            if self._unpacked.entries > self._limits.entries:
                raise UnusableImage(f"the image has more than {self._limits.entries} files")
            if self._unpacked.bytes > self._limits.unpacked_bytes:
                raise UnusableImage(f"the image's files are larger than {self._limits.unpacked_bytes} bytes")
            self._take(entry, archive.chunks)

    def _take(self, entry: Entry, chunks: Callable[[], Iterator[bytes]]) -> None:
        parts = _parts(entry.name)
        if not parts:
            return
        *above, name = parts
        parent = self._directory(tuple(above))
        if name == _OPAQUE:
            self._take_away_below(parent)
            return
        if name.startswith(_UNION_FILE_SYSTEM):
            # Notes of an old union file system to itself.
            return
        if name.startswith(_WHITEOUT):
            hidden = name.removeprefix(_WHITEOUT)
            if hidden in ("", ".", ".."):
                raise UnusableImage(f"a layer takes away {entry.name!r}, which names no file")
            self._take_away(os.path.join(parent, hidden))
            return
        path = os.path.join(parent, name)
        if entry.kind == "device":
            self._unpacked.devices += 1
            return
        if entry.kind == "fifo":
            self._unpacked.fifos += 1
            return
        if "security.capability" in entry.attributes:
            self._unpacked.capabilities += 1
        self._make(path, entry, chunks)
        self._made.add(path)

    def _make(self, path: str, entry: Entry, chunks: Callable[[], Iterator[bytes]]) -> None:
        match entry.kind:
            case "directory":
                if not _is_directory(path):
                    self._clear(path)
                    os.mkdir(path)
                os.chmod(path, entry.mode & 0o1777 | 0o700)
            case "symlink":
                self._clear(path)
                os.symlink(entry.target, path)
            case "hardlink":
                target = self._linked(entry)
                if target != path:
                    self._clear(path)
                    os.link(target, path, follow_symlinks=False)
            case _:
                self._clear(path)
                _write(path, entry, chunks)

    def _linked(self, entry: Entry) -> str:
        *above, name = _parts(entry.target) or [""]
        target = os.path.join(self._directory(tuple(above), make=False), name)
        if not name or not os.path.lexists(target) or _is_directory(target):
            raise UnusableImage(f"{entry.name!r} is a hard link to {entry.target!r}, which is no file of the image")
        return target

    def _clear(self, path: str) -> None:
        """Make room at *path*, whatever a lower layer, or this one, has there."""
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return
        # Names that led through here may lead elsewhere afterwards.
        self._parents.clear()
        if (found.st_mode & 0o170000) == 0o040000:
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def _take_away(self, path: str) -> None:
        if path in self._made:
            if _is_directory(path):
                self._take_away_below(path)
            return
        if _is_directory(path) and any(made.startswith(path + "/") for made in self._made):
            # A directory that this layer did not name, but put something into.
            self._take_away_below(path)
            return
        self._clear(path)

    def _take_away_below(self, directory: str) -> None:
        for name in os.listdir(directory):
            self._take_away(os.path.join(directory, name))

    def _directory(self, parts: tuple[str, ...], *, make: bool = True) -> str:
        """The directory that *parts* name, its links followed inside the root; made where it is missing."""
        known = self._parents.get(parts)
        if known is None:
            known = self._parents[parts] = _resolved(self._root, parts, make=make)
        return known


def _resolved(root: str, parts: tuple[str, ...], *, make: bool) -> str:
    place = root
    todo = list(reversed(parts))
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            # Only a link's target has these. Above the root is the root.
            place = os.path.dirname(place) if place != root else root
            continue
        inner = os.path.join(place, part)
        try:
            target = os.readlink(inner)
        except FileNotFoundError:
            if not make:
                raise UnusableImage(f"{'/'.join(parts)!r} is no directory of the image") from None
            os.mkdir(inner, 0o755)
            place = inner
            continue
        except OSError:
            # Not a link.
            if not _is_directory(inner):
                if not make:
                    raise UnusableImage(f"{'/'.join(parts)!r} is no directory of the image") from None
                # A lower layer's file gives way to the directory that this layer needs.
                os.unlink(inner)
                os.mkdir(inner, 0o755)
            place = inner
            continue
        links += 1
        if links > _MOST_LINKS:
            raise UnusableImage(f"{'/'.join(parts)!r} leads through too many symbolic links")
        if target.startswith("/"):
            place = root
        todo += reversed(target.split("/"))
    return place


def _parts(name: str) -> list[str]:
    """A member's path below the root; a leading slash means nothing. Raises UnusableImage for one that climbs."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise UnusableImage(f"a layer names {name!r}, which leads out of the image")
    return parts


def _write(path: str, entry: Entry, chunks: Callable[[], Iterator[bytes]]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for chunk in chunks():
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, entry.mode & 0o777 | 0o600)
        # Interpreters compare the times of sources with those they noted in compiled files.
        with contextlib.suppress(OverflowError):
            os.utime(descriptor, (entry.mtime, entry.mtime))
    finally:
        os.close(descriptor)


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)
