"""Image archives made by code: layers from a table of entries, as an OCI layout or as `docker save` writes them."""

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podpass.lab.node.images.documents import Platform

HERE = Platform.of_machine(platform.machine())
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def packed(data: bytes) -> bytes:
    # Without the time of day, which would make every digest another.
    return gzip.compress(data, mtime=0)


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def tar(*members: tuple[str, Any] | tarfile.TarInfo, format: int = tarfile.PAX_FORMAT) -> bytes:
    """A layer. A member is a name with bytes or text (a file), None (a directory), or ("link" | "hard", target)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            name, content = member
            entry = tarfile.TarInfo(name)
            entry.mtime = 1_700_000_000
            if content is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            elif isinstance(content, tuple):
                entry.type = tarfile.SYMTYPE if content[0] == "link" else tarfile.LNKTYPE
                entry.linkname = content[1]
                archive.addfile(entry)
            else:
                data = content.encode() if isinstance(content, str) else content
                entry.size, entry.mode = len(data), 0o755 if data[:4] == b"\x7fELF" or data[:2] == b"#!" else 0o644
                archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


@dataclass(frozen=True)
class Made:
    """An image by its documents. *pack* compresses a layer."""

    layers: Sequence[bytes]
    config: Mapping[str, Any] = field(default_factory=dict)
    names: Sequence[str] = ()
    platform: Platform = HERE
    pack: Callable[[bytes], bytes] = packed

    @property
    def configuration(self) -> bytes:
        document = {
            "os": self.platform.os,
            "architecture": self.platform.architecture,
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in self.layers]},
            "config": dict(self.config),
        }
        return json.dumps(document).encode()

    @property
    def image_digest(self) -> str:
        return digest(self.configuration)

    def blobs(self) -> tuple[dict[str, bytes], dict[str, Any]]:
        """The image's blobs by digest, and the descriptor of its manifest."""
        layers = [self.pack(layer) for layer in self.layers]
        config = self.configuration
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"digest": digest(config), "size": len(config)},
                "layers": [{"digest": digest(layer), "size": len(layer)} for layer in layers],
            }
        ).encode()
        found = {digest(data): data for data in (config, manifest, *layers)}
        where = {"os": self.platform.os, "architecture": self.platform.architecture}
        return found, {
            "mediaType": MANIFEST,
            "digest": digest(manifest),
            "size": len(manifest),
            "platform": where,
        }


def layout(place: Path, *images: Made) -> Path:
    """An OCI image layout directory; an image's names become one entry of the index each."""
    (place / "blobs" / "sha256").mkdir(parents=True)
    (place / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entries = []
    for image in images:
        blobs, descriptor = image.blobs()
        write_blobs(place, blobs)
        for name in image.names or ("",):
            annotations = {"org.opencontainers.image.ref.name": name} if name else {}
            entries.append({**descriptor, "annotations": annotations})
    (place / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    return place


def write_blobs(place: Path, blobs: Mapping[str, bytes]) -> None:
    for name, data in blobs.items():
        (place / "blobs" / "sha256" / name.removeprefix("sha256:")).write_bytes(data)


def several_platforms(place: Path, name: str, *images: Made) -> Path:
    """A layout whose index leads to an index with an image for each platform, and what build tools add to it."""
    layout(place)
    inner = []
    for image in images:
        blobs, descriptor = image.blobs()
        write_blobs(place, blobs)
        inner.append(descriptor)
    unknown = {"os": "unknown", "architecture": "unknown"}
    inner.insert(0, {"mediaType": MANIFEST, "digest": digest(b"attestation"), "size": 1, "platform": unknown})
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": inner}).encode()
    write_blobs(place, {digest(index): index})
    entry = {"mediaType": INDEX, "digest": digest(index), "size": len(index)}
    entry["annotations"] = {"io.containerd.image.name": name}
    (place / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return place


def saved(place: Path, *images: Made) -> Path:
    """What `docker save` wrote before it knew OCI layouts."""
    members: list[tuple[str, Any]] = []
    listed = []
    for image in images:
        config = f"{image.image_digest.removeprefix('sha256:')}.json"
        members.append((config, image.configuration))
        layers = []
        for layer in image.layers:
            path = f"{hashlib.sha256(layer).hexdigest()}/layer.tar"
            layers.append(path)
            members.append((path, layer))
        listed.append({"Config": config, "RepoTags": list(image.names) or None, "Layers": layers})
    members.append(("manifest.json", json.dumps(listed)))
    place.write_bytes(tar(*members))
    return place


def tarred(directory: Path, place: Path) -> Path:
    with tarfile.open(place, "w") as archive:
        archive.add(directory, arcname=".")
    return place
