"""What `podpass lab image add` keeps: names, entries, and unpacked roots, in one directory of the lab.

    index.json          names and what they mean; replaced as a whole
    lock                held by whoever changes something
    HEX/                the image with that configuration digest: root/ and what image.json says of it
    .new-…              one that is being unpacked, or was when its process ended

A root is complete before its directory gets its name, and named before the index speaks of it. So a process that ends
at any moment leaves at most something that nothing refers to, which the next change removes.
"""

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from podpass.lab.node.images.references import digest_of, matches, split, tagged
from podpass.lab.private_files import replace_file

MOST_BYTES = 16 * 1024 * 1024
_STAGING = ".new-"


class IndexUnreadable(Exception):
    """The index is not what this program wrote; the text says where and why."""


class KeptImage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An image that was unpacked."""

    digest: str
    """Of its configuration: what the image is."""
    reference_digest: str = ""
    """By which a registry knows it; empty where the archive did not tell."""
    origin: str
    """The archive it came from, in words."""
    platform: str
    size: int
    """Bytes of all its files."""
    files: int
    added: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    working_directory: str = "/"
    user: str = ""
    stop_signal: str = ""
    notes: tuple[str, ...] = ()
    """What the root lacks that the image has."""

    @property
    def directory(self) -> str:
        return self.digest.removeprefix("sha256:")


class KeptEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An entry without an archive: a command of this machine, or a directory as the root."""

    pattern: str
    added: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    working_directory: str = "/"
    root: str = ""
    paths: tuple[str, ...] = ()
    needs: str = ""
    interpreter: bool = False


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was added. A name is the image's or an entry's, never both."""

    images: tuple[KeptImage, ...] = ()
    names: dict[str, str] = {}
    """From a name with its tag to the digest of an image."""
    entries: tuple[KeptEntry, ...] = ()

    def find(self, reference: str) -> tuple[str, KeptImage] | KeptEntry | None:
        """What *reference* means: the name and the image, an entry, or nothing."""
        by_digest = {image.digest: image for image in self.images}
        if pinned := digest_of(reference):
            for name, digest in self.names.items():
                image = by_digest[digest]
                if split(name)[0] == split(reference)[0] and pinned in (image.digest, image.reference_digest):
                    return name, image
        elif (name := tagged(reference)) in self.names:
            return name, by_digest[self.names[name]]
        for entry in self.entries:
            if matches(entry.pattern, reference):
                return entry
        return None

    def with_image(self, image: KeptImage, names: Iterable[str]) -> "Index":
        kept = {**self.names, **dict.fromkeys(names, image.digest)}
        entries = tuple(entry for entry in self.entries if entry.pattern not in kept)
        images = (*(other for other in self.images if other.digest != image.digest), image)
        return _tidy(Index(images=images, names=kept, entries=entries))

    def with_entry(self, entry: KeptEntry) -> "Index":
        names = {name: digest for name, digest in self.names.items() if name != entry.pattern}
        others = tuple(other for other in self.entries if other.pattern != entry.pattern)
        return _tidy(Index(images=self.images, names=names, entries=(entry, *others)))

    def without(self, names: Iterable[str]) -> "Index":
        """Without *names*, which are names of images or patterns of entries."""
        gone = set(names)
        return _tidy(
            Index(
                images=self.images,
                names={name: digest for name, digest in self.names.items() if name not in gone},
                entries=tuple(entry for entry in self.entries if entry.pattern not in gone),
            )
        )


def _tidy(index: Index) -> Index:
    named = set(index.names.values())
    return msgspec.structs.replace(index, images=tuple(image for image in index.images if image.digest in named))


class Kept:
    """The directory. Reading needs no lock; `changing` is for one process at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._read: tuple[tuple[int, int, int], Index] | None = None

    @property
    def _file(self) -> Path:
        return self.directory / "index.json"

    def index(self) -> Index:
        """Raises IndexUnreadable."""
        try:
            found = self._file.stat()
            version = (found.st_ino, found.st_mtime_ns, found.st_size)
            if self._read is None or self._read[0] != version:
                if found.st_size > MOST_BYTES:
                    raise IndexUnreadable(f"{self._file}: larger than {MOST_BYTES} bytes")
                self._read = (version, _checked(msgspec.json.decode(self._file.read_bytes(), type=Index)))
            return self._read[1]
        except FileNotFoundError:
            return Index()
        except (OSError, ValueError) as error:
            raise IndexUnreadable(f"{self._file}: {error}") from error

    def root(self, image: KeptImage) -> Path:
        return self.directory / image.directory / "root"

    @contextlib.contextmanager
    def changing(self, *, wait: bool = True) -> Iterator["Changing"]:
        """One process at a time; another one waits, or without *wait* gets BlockingIOError.

        Raises OSError, IndexUnreadable.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            for left in self.directory.glob(f"{_STAGING}*"):
                _remove(left)
            yield Changing(self)
        finally:
            os.close(descriptor)

    def sweep(self) -> None:
        """Remove the images that no name refers to, where nothing runs: at the start of a lab.

        What can't be removed now, because another process is at work or the disk refuses, is left for the next time.
        """
        if self.directory.is_dir():
            with contextlib.suppress(OSError, IndexUnreadable), self.changing(wait=False) as change:
                change.remove_unnamed()


class Changing:
    """What may be done while the lock is held."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    @property
    def index(self) -> Index:
        return self._kept.index()

    @property
    def scratch(self) -> Path:
        """For files that are gone when the process ends."""
        return self._kept.directory

    def published(self, digest: str) -> KeptImage | None:
        """The image with *digest*, when it is here, whether a name refers to it or not. Raises IndexUnreadable."""
        place = self._kept.directory / digest.removeprefix("sha256:") / "image.json"
        try:
            return msgspec.json.decode(place.read_bytes(), type=KeptImage)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise IndexUnreadable(f"{place}: {error}") from error

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty directory to unpack into; what was not published is removed."""
        place = Path(tempfile.mkdtemp(dir=self._kept.directory, prefix=_STAGING))
        try:
            yield place
        finally:
            if place.exists():
                _remove(place)

    def publish(self, staged: Path, image: KeptImage) -> None:
        """Give *staged*, which holds root/, the image's name, once the disk has all of it."""
        (staged / "image.json").write_bytes(msgspec.json.encode(image))
        _written(staged)
        os.rename(staged, self._kept.directory / image.directory)

    def write(self, index: Index) -> None:
        replace_file(self._kept.directory / "index.json", msgspec.json.format(msgspec.json.encode(index), indent=2))
        _sync(self._kept.directory)

    def remove_unnamed(self, in_use: frozenset[Path] = frozenset()) -> None:
        named = {image.directory for image in self.index.images}
        for place in self._kept.directory.iterdir():
            if place.is_dir() and place.name not in named and place / "root" not in in_use:
                _remove(place)


def _checked(index: Index) -> Index:
    known = {image.digest for image in index.images}
    if unknown := set(index.names.values()) - known:
        raise ValueError(f"a name means {sorted(unknown)[0]}, which is no image")
    return index


def _remove(place: Path) -> None:
    """Remove a directory; by another name first, so that a half-removed root is never taken for a whole one."""
    if not place.name.startswith(_STAGING):
        gone = Path(tempfile.mkdtemp(dir=place.parent, prefix=_STAGING))
        os.rename(place, gone / "root")
        place = gone
    shutil.rmtree(place, ignore_errors=True)


def _written(place: Path) -> None:
    """Wait until the disk has every file below *place*: file by file would take a hundred times as long."""
    if sys.platform == "linux":
        # Heavy for the lab itself, which never gets here.
        import ctypes

        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.syncfs(descriptor) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), os.fspath(place))
        finally:
            os.close(descriptor)
    else:
        os.sync()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
