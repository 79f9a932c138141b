"""The JSON documents of an image: index, manifest, configuration, and what `docker save` writes. Pure."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

MOST_BYTES = 4 * 1024 * 1024
MOST_LAYERS = 128
MOST_MANIFESTS = 1_000
INDEX_TYPES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")
_NAME, _CONTAINERD_NAME = "org.opencontainers.image.ref.name", "io.containerd.image.name"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class UnusableImage(Exception):
    """The archive, or an image in it, can't be used; the text says why."""


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """An operating system and a processor architecture, as images name them: `linux/arm64`."""

    os: str
    architecture: str

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}"

    @classmethod
    def of_machine(cls, machine: str) -> "Platform":
        """The platform of pods on a machine that `uname` calls *machine*."""
        return cls("linux", _ARCHITECTURES.get(machine, machine))

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """Raises UnusableImage."""
        system, slash, architecture = text.partition("/")
        if not slash or not architecture or not system:
            raise UnusableImage(f"{text!r} is no platform; write it as linux/arm64")
        return cls(system, architecture.partition("/")[0])


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A document or layer by its digest."""

    digest: str
    size: int
    media_type: str = ""
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEX_TYPES

    @property
    def is_attestation(self) -> bool:
        """What build tools add about an image; it is not one."""
        unknown = self.platform is not None and self.platform.os == "unknown"
        return unknown or self.annotations.get("vnd.docker.reference.type") == "attestation-manifest"

    @property
    def name(self) -> str:
        """The image's name as the archive's index gives it: whole, or only a tag, or nothing."""
        return self.annotations.get(_CONTAINERD_NAME) or self.annotations.get(_NAME) or ""


@dataclass(frozen=True, slots=True)
class Manifest:
    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Config:
    """What an image's configuration says of running it."""

    platform: Platform
    diff_ids: tuple[str, ...]
    """Digests of the layers as they are uncompressed, lowest first."""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = "/"
    user: str = ""
    stop_signal: str = ""


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image in the manifest.json of `docker save`: paths inside the archive."""

    config: str
    layers: tuple[str, ...]
    names: tuple[str, ...]


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def descriptors(document: bytes) -> tuple[Descriptor, ...]:
    """The manifests that an index lists. Raises UnusableImage."""
    listed = _members(_object(document, "index"), "manifests", list)
    if len(listed) > MOST_MANIFESTS:
        raise UnusableImage(f"an index lists {len(listed)} manifests; at most {MOST_MANIFESTS} are read")
    return tuple(_descriptor(entry) for entry in listed)


def manifest(document: bytes) -> Manifest:
    """Raises UnusableImage."""
    found = _object(document, "manifest")
    if "layers" not in found or "config" not in found:
        raise UnusableImage("a manifest names no configuration and layers; the old format 1 is not read")
    layers = _members(found, "layers", list)
    if len(layers) > MOST_LAYERS:
        raise UnusableImage(f"an image has {len(layers)} layers; at most {MOST_LAYERS} are read")
    return Manifest(_descriptor(found["config"]), tuple(_descriptor(layer) for layer in layers))


def config(document: bytes) -> Config:
    """Raises UnusableImage."""
    found = _object(document, "configuration")
    rootfs = _members(found, "rootfs", dict)
    inner = _members(found, "config", dict)
    environment = {"PATH": SYSTEM_PATH}
    for variable in _texts(inner, "Env"):
        name, equals, value = variable.partition("=")
        if name and equals:
            environment[name] = value
    return Config(
        platform=Platform(str(found.get("os") or "linux"), str(found.get("architecture") or "")),
        diff_ids=tuple(_digest(each) for each in _texts(rootfs, "diff_ids")),
        entrypoint=_texts(inner, "Entrypoint"),
        command=_texts(inner, "Cmd"),
        environment=environment,
        working_directory=_text(inner, "WorkingDir") or "/",
        user=_text(inner, "User"),
        stop_signal=_text(inner, "StopSignal"),
    )


def saved_images(document: bytes) -> tuple[SavedImage, ...]:
    """What the manifest.json of `docker save` lists. Raises UnusableImage."""
    listed = _decoded(document, "manifest.json")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise UnusableImage("manifest.json is not a list of images")
    found = []
    for entry in listed:
        layers = _texts(entry, "Layers")
        if len(layers) > MOST_LAYERS:
            raise UnusableImage(f"an image has {len(layers)} layers; at most {MOST_LAYERS} are read")
        found.append(SavedImage(_text(entry, "Config"), layers, _texts(entry, "RepoTags")))
    return tuple(found)


def for_platform(candidates: Sequence[Descriptor], wanted: Platform) -> Descriptor:
    """The manifest of *candidates* that runs on *wanted*; one that names no platform is taken for any.

    Raises UnusableImage, which says what there is.
    """
    images = [each for each in candidates if not each.is_attestation]
    for each in images:
        if each.platform is None or each.platform == wanted:
            return each
    there = ", ".join(sorted({str(each.platform) for each in images})) or "nothing"
    raise UnusableImage(f"there is no image for {wanted}; the archive has {there}")


def _descriptor(entry: Any) -> Descriptor:
    if not isinstance(entry, dict):
        raise UnusableImage("a descriptor is no object")
    size = entry.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise UnusableImage("a descriptor has no size")
    platform = entry.get("platform")
    annotations = entry.get("annotations")
    return Descriptor(
        digest=_digest(entry.get("digest")),
        size=size,
        media_type=str(entry.get("mediaType") or ""),
        platform=Platform(str(platform.get("os") or ""), str(platform.get("architecture") or ""))
        if isinstance(platform, dict)
        else None,
        annotations={str(key): str(value) for key, value in annotations.items()}
        if isinstance(annotations, dict)
        else {},
    )


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise UnusableImage(f"{str(value)[:80]!r} is no SHA-256 digest")
    return value


def _object(document: bytes, what: str) -> dict[str, Any]:
    found = _decoded(document, what)
    if not isinstance(found, dict):
        raise UnusableImage(f"the {what} is no JSON object")
    return found


def _decoded(document: bytes, what: str) -> Any:
    try:
        return msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnusableImage(f"the {what} is no JSON: {error}") from None


def _members(found: dict[str, Any], name: str, kind: type) -> Any:
    value = found.get(name)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise UnusableImage(f"{name} is not what it should be")
    return value


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise UnusableImage(f"{name} is no text")
    return value


def _texts(found: dict[str, Any], name: str) -> tuple[str, ...]:
    value = found.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) and "\0" not in each for each in value):
        raise UnusableImage(f"{name} is no list of texts")
    return tuple(value)
