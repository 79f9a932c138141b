"""Add to a lab's images, and take away."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from podpass.lab.node.images import archive
from podpass.lab.node.images.archive import Archive, ArchivedImage
from podpass.lab.node.images.documents import Platform, UnusableImage
from podpass.lab.node.images.kept import Changing, Index, Kept, KeptEntry, KeptImage
from podpass.lab.node.images.layers import Layers, Limits
from podpass.lab.node.images.references import digest_of, is_reference, tagged


@dataclass(frozen=True, slots=True)
class Added:
    """An image that is now in the catalogue."""

    image: KeptImage
    names: tuple[str, ...]
    unpacked: bool
    """False when its root was there already."""


def add_archive(
    kept: Kept,
    path: Path,
    *,
    names: Sequence[str] = (),
    platform: Platform,
    now: str,
    limits: Limits | None = None,
) -> list[Added]:
    """Unpack every image of the archive at *path*; all of them or none are in the catalogue afterwards.

    *names* are for an archive with one image, beside those that it has itself. Raises UnusableImage, OSError.
    """
    wanted = [_name(name) for name in names]
    with kept.changing() as change, archive.opened(path, scratch=change.scratch) as opened:
        found = archive.images(opened, platform)
        if wanted and len(found) > 1:
            raise UnusableImage(f"it holds {len(found)} images, so one name can't be for all of them")
        index, added = change.index, []
        for image in found:
            own = [tagged(name) for name in image.names if is_reference(name)]
            named = tuple(dict.fromkeys([*own, *wanted]))
            if not named:
                raise UnusableImage("it does not name its image: say the name with --as")
            before = change.published(image.digest)
            if before is not None:
                digest = image.reference_digest or before.reference_digest
                entry = structs.replace(before, reference_digest=digest)
            else:
                entry = _unpack(change, opened, image, path, now, limits or Limits())
            index = index.with_image(entry, named)
            added.append(Added(entry, named, unpacked=before is None))
        change.write(index)
        return added


def _unpack(change: Changing, opened: Archive, image: ArchivedImage, path: Path, now: str, limits: Limits) -> KeptImage:
    with change.staging() as staging:
        root = staging / "root"
        root.mkdir(mode=0o755)
        layers = Layers(root, limits)
        for layer in image.layers:
            with opened.open(layer.path) as blob:
                layers.apply(blob, digest=layer.digest, diff_id=layer.diff_id)
        config = image.config
        entry = KeptImage(
            digest=image.digest,
            reference_digest=image.reference_digest,
            origin=path.name or str(path),
            platform=str(config.platform),
            size=layers.unpacked.bytes,
            files=layers.unpacked.entries,
            added=now,
            entrypoint=config.entrypoint,
            command=config.command,
            environment=dict(config.environment),
            working_directory=config.working_directory,
            user=config.user,
            stop_signal=config.stop_signal,
            notes=layers.unpacked.notes(),
        )
        change.publish(staging, entry)
    return entry


def add_entry(kept: Kept, entry: KeptEntry) -> None:
    """Add an entry without an archive; one of the same name gives way. Raises UnusableImage, OSError."""
    if entry.root and not Path(entry.root).is_dir():
        raise UnusableImage(f"{entry.root} is not a directory")
    with kept.changing() as change:
        change.write(change.index.with_entry(entry))


def words(text: str) -> tuple[str, ...]:
    """A command as a shell would split it. Raises UnusableImage."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UnusableImage(f"{text!r} is no command: {error}") from None


def named(index: Index, name: str) -> list[str]:
    """What of *index* the user means by *name*: a name of it, a pattern, or the first digits of an image's digest."""
    if any(entry.pattern == name for entry in index.entries):
        return [name]
    if not digest_of(name) and tagged(name) in index.names:
        return [tagged(name)]
    digits = name.removeprefix("sha256:")
    if len(digits) < 6:
        return []
    return [known for known, digest in index.names.items() if digest.removeprefix("sha256:").startswith(digits)]


def remove(kept: Kept, names: Sequence[str], *, in_use: Callable[[], frozenset[Path]]) -> None:
    """Take *names* out of the catalogue, and the files that no name refers to any more, unless they are *in_use*."""
    with kept.changing() as change:
        change.write(change.index.without(names))
        # Asked now: what starts from here on no longer finds the names.
        change.remove_unnamed(in_use())


def _name(text: str) -> str:
    if not is_reference(text) or digest_of(text):
        raise UnusableImage(f"{text!r} is no name for an image, such as ghcr.io/acme/shop:1.0")
    return tagged(text)
