"""Images on disk: an OCI image layout as a directory or tar, or what `docker save` wrote. Only reads."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from podpass.lab.node.images import documents
from podpass.lab.node.images.compression import is_compressed, uncompressed
from podpass.lab.node.images.documents import Config, Descriptor, Platform, UnusableImage, sha256
from podpass.lab.node.images.tar import BadTar, TarReader

MOST_MEMBERS = 20_000
MOST_BYTES = 64 * 1024**3
_MOST_NESTED = 4
_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Layer:
    """Where a layer's bytes are in the archive, and what they must be."""

    path: str
    digest: str
    """Of the bytes as they are; empty where the archive does not tell."""
    diff_id: str
    """Of the bytes uncompressed."""


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image that the archive holds."""

    names: tuple[str, ...]
    """Whole names. A bare tag that the index gives is not one, and is left out."""
    digest: str
    """The digest of the configuration, which tells what the image is."""
    reference_digest: str
    """The digest by which a registry knows it: the manifest's or index's; empty in an old `docker save` archive."""
    config: Config
    layers: tuple[Layer, ...]


class Archive(Protocol):
    """Files by their path inside."""

    def names(self) -> set[str]: ...

    def open(self, path: str) -> BinaryIO:
        """Raises UnusableImage when there is no such file."""
        ...


@contextlib.contextmanager
def opened(path: Path, *, scratch: Path) -> Iterator[Archive]:
    """The archive at *path*. *scratch* is where a compressed one is unpacked to. Raises UnusableImage, OSError."""
    if path.is_dir():
        yield _Directory(path)
        return
    with path.open("rb") as file:
        if not is_compressed(file.read(6)):
            yield _Tar(file)
            return
        file.seek(0)
        with tempfile.TemporaryFile(dir=scratch) as plain, uncompressed(file) as stream:
            size = 0
            while data := stream.read(_CHUNK):
                size += len(data)
                if size > MOST_BYTES:
                    raise UnusableImage(f"it is larger than {MOST_BYTES} bytes when uncompressed")
                plain.write(data)
            yield _Tar(plain)


class _Directory:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def names(self) -> set[str]:
        return {entry.name for entry in self._directory.iterdir()}

    def open(self, path: str) -> BinaryIO:
        place = os.path.normpath(path)
        if os.path.isabs(place) or place.startswith(".."):
            raise UnusableImage(f"{path!r} is no file of the archive")
        try:
            return (self._directory / place).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise UnusableImage(f"the archive lacks {path}") from None


class _Tar:
    """A tar archive that can be read anywhere; where its files lie is found out once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}
        links: dict[str, str] = {}
        file.seek(0)
        reader = TarReader(file.read, skip=lambda size: file.seek(size, os.SEEK_CUR))
        try:
            for number, entry in enumerate(reader):
                if number >= MOST_MEMBERS:
                    raise UnusableImage(f"it has more than {MOST_MEMBERS} members")
                name = os.path.normpath(entry.name.lstrip("/"))
                if entry.kind == "file":
                    self._places[name] = (file.tell(), entry.size)
                elif entry.kind == "symlink":
                    links[name] = os.path.normpath(os.path.join(os.path.dirname(name), entry.target))
                elif entry.kind == "hardlink":
                    links[name] = os.path.normpath(entry.target.lstrip("/"))
        except BadTar as error:
            raise UnusableImage(f"it is no usable tar archive: {error}") from error
        # `docker save` once wrote a layer that occurs twice as a link.
        for name, target in links.items():
            if target in self._places:
                self._places.setdefault(name, self._places[target])

    def names(self) -> set[str]:
        return {name.partition("/")[0] for name in self._places}

    def open(self, path: str) -> BinaryIO:
        place = self._places.get(os.path.normpath(path))
        if place is None:
            raise UnusableImage(f"the archive lacks {path}")
        return _Part(self._file, *place)  # type: ignore[return-value]


class _Part:
    """A stretch of a file, as a file of its own. Only one is read at a time."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._position, self._end = file, start, start + size

    def read(self, size: int = -1, /) -> bytes:
        left = self._end - self._position
        self._file.seek(self._position)
        data = self._file.read(left if size < 0 else min(size, left))
        self._position += len(data)
        return data

    def close(self) -> None:
        """The file is the archive's."""

    def __enter__(self) -> "_Part":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def images(archive: Archive, wanted: Platform) -> list[ArchivedImage]:
    """Every image that *archive* holds, for the platform *wanted*. Raises UnusableImage.

    An image that is for one platform only is taken for what its configuration says; another than *wanted* is refused.
    """
    names = archive.names()
    if "index.json" in names:
        found = _of_layout(archive, wanted)
    elif "manifest.json" in names:
        found = _of_saved(archive)
    else:
        raise UnusableImage("it is no image: it has neither an index.json (OCI) nor a manifest.json (docker save)")
    if not found:
        raise UnusableImage("it holds no image")
    for image in found:
        if image.config.platform != wanted:
            raise UnusableImage(f"there is no image for {wanted}; the archive has {image.config.platform}")
    return found


def _of_layout(archive: Archive, wanted: Platform) -> list[ArchivedImage]:
    groups: dict[str, list[Descriptor]] = {}
    for descriptor in documents.descriptors(_whole(archive, "index.json")):
        if not descriptor.is_attestation:
            groups.setdefault(descriptor.name, []).append(descriptor)
    found: dict[str, ArchivedImage] = {}
    for name, candidates in groups.items():
        top = documents.for_platform(candidates, wanted)
        image = _image(archive, top, wanted)
        names = (name,) if "/" in name or ":" in name else ()
        before = found.get(image.digest)
        if before is not None:
            image = ArchivedImage(
                (*before.names, *names), image.digest, before.reference_digest, image.config, image.layers
            )
        else:
            image = ArchivedImage(names, image.digest, image.reference_digest, image.config, image.layers)
        found[image.digest] = image
    return list(found.values())


def _image(archive: Archive, top: Descriptor, wanted: Platform) -> ArchivedImage:
    chosen = top
    for _ in range(_MOST_NESTED):
        content = _blob(archive, chosen)
        if not chosen.is_index and b'"manifests"' not in content:
            break
        chosen = documents.for_platform(documents.descriptors(content), wanted)
    else:
        raise UnusableImage("its indexes are nested too deeply")
    manifest = documents.manifest(content)
    config = documents.config(_blob(archive, manifest.config))
    if len(config.diff_ids) != len(manifest.layers):
        raise UnusableImage(
            f"the configuration names {len(config.diff_ids)} layers, the manifest {len(manifest.layers)}"
        )
    return ArchivedImage(
        names=(),
        digest=manifest.config.digest,
        reference_digest=top.digest,
        config=config,
        layers=tuple(
            Layer(_place(layer.digest), layer.digest, diff_id)
            for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True)
        ),
    )


def _of_saved(archive: Archive) -> list[ArchivedImage]:
    found = []
    for saved in documents.saved_images(_whole(archive, "manifest.json")):
        content = _whole(archive, saved.config)
        config = documents.config(content)
        if len(config.diff_ids) != len(saved.layers):
            raise UnusableImage(
                f"the configuration names {len(config.diff_ids)} layers, manifest.json {len(saved.layers)}"
            )
        digest = sha256(content)
        told = os.path.basename(saved.config).removesuffix(".json")
        if told != digest.removeprefix("sha256:"):
            raise UnusableImage(f"the configuration {saved.config} is damaged: its digest is {digest}")
        layers = tuple(Layer(path, "", diff_id) for path, diff_id in zip(saved.layers, config.diff_ids, strict=True))
        found.append(ArchivedImage(saved.names, digest, "", config, layers))
    return found


def _whole(archive: Archive, path: str) -> bytes:
    with archive.open(path) as file:
        content = file.read(documents.MOST_BYTES + 1)
    if len(content) > documents.MOST_BYTES:
        raise UnusableImage(f"{path} is larger than {documents.MOST_BYTES} bytes")
    return content


def _blob(archive: Archive, descriptor: Descriptor) -> bytes:
    """A document, checked against its digest."""
    content = _whole(archive, _place(descriptor.digest))
    if sha256(content) != descriptor.digest:
        raise UnusableImage(f"the document {descriptor.digest} is damaged: its content is {sha256(content)}")
    return content


def _place(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"
