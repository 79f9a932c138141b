"""Which program or root stands for which image.

A user's own entries may also stand in a file:

    - pattern: ghcr.io/acme/shop       # any tag; "shop:1.*" would mean only those
      command: [python, -m, shop]
      interpreter: true                # with the Python that runs the lab
      paths: [/srv/shop]               # shown read-only at their own place
"""

import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from podpass.lab.node.images.builtin import BUILTIN
from podpass.lab.node.images.documents import SYSTEM_PATH
from podpass.lab.node.images.entries import Image, UnusableCatalogue, read_images
from podpass.lab.node.images.kept import IndexUnreadable, Kept, KeptEntry, KeptImage
from podpass.lab.node.images.programs import interpreter_paths, program_paths
from podpass.lab.node.images.references import matches, split


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """An image name with the catalogue's entry for it."""

    reference: str
    pattern: str
    description: str
    """What really runs, in words."""
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    working_directory: str
    root: Path | None
    paths: tuple[Path, ...]
    digest: str = ""
    """What the image is known by; empty for an entry that stands for a program or a directory."""
    user: str = ""
    """As the image's configuration names it: a name or number, a group after a colon; empty for root."""
    stop_signal: str = ""

    @property
    def image_id(self) -> str:
        if self.digest:
            return self.digest
        digest = hashlib.sha256(f"{self.pattern}\0{self.description}".encode()).hexdigest()
        return f"lab://{self.pattern.partition(':')[0]}@sha256:{digest}"

    def argv(self, command: Sequence[str], args: Sequence[str]) -> tuple[str, ...]:
        """What is executed: a pod's `command` replaces the entry point and drops the default command."""
        if command:
            return (*command, *args)
        return (*self.entrypoint, *(args or self.command))


@dataclass(frozen=True, slots=True)
class NoImage:
    """The image has no entry, or its program is missing here."""

    reference: str
    message: str
    lacks: str = ""
    """The program that this machine would need."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of `podpass lab image ls`."""

    name: str
    origin: str
    """`added`, `images.yaml` or `built in`."""
    runs: str
    """What stands for the image; empty when nothing can."""
    problem: str = ""
    """Why nothing can, in a few words."""
    remedy: str = ""
    kept: KeptImage | None = None


class Catalogue:
    """Entries in the order in which they are tried: what was *kept*, those of *file*, those that come with the lab.

    Both files are read again for each image, so that a change counts from the next start of a container on.
    """

    def __init__(
        self,
        images: Sequence[Image] = BUILTIN,
        *,
        file: Path | None = None,
        kept: Kept | None = None,
        which: Callable[[str], str | None] = shutil.which,
    ) -> None:
        self.images = tuple(images)
        self._file = file
        self._kept = kept
        self._which = which

    @classmethod
    def of(cls, directory: Path) -> "Catalogue":
        """The catalogue of the lab whose node keeps its state in *directory*."""
        return cls(file=directory / "images.yaml", kept=Kept(directory / "images"))

    def resolve(self, reference: str) -> ResolvedImage | NoImage:
        """What runs for *reference*, or why nothing can."""
        try:
            added = self._kept.index().find(reference) if self._kept is not None else None
            images = (*read_images(self._file), *self.images) if self._file is not None else self.images
        except (UnusableCatalogue, IndexUnreadable) as error:
            return NoImage(reference, str(error))
        match added:
            case (name, image):
                assert self._kept is not None
                return _unpacked(name, image, self._kept.root(image), reference)
            case KeptEntry():
                return self._resolved(_entry(added), reference)
        for entry in images:
            if matches(entry.pattern, reference):
                return self._resolved(entry, reference)
        known = ", ".join(sorted({entry.pattern for entry in images}))
        return NoImage(
            reference,
            f'image "{reference}" is not in the lab\'s image catalogue, and the lab pulls nothing: add its archive with'
            f" `podpass lab image add ARCHIVE --as {split(reference)[0]}`, or a command that stands for it with"
            f" `podpass lab image add {split(reference)[0]} --command '...'`, or use one of {known}",
        )

    def listed(self) -> Iterator[Listed]:
        """Everything there is, in the order in which it is tried. Raises UnusableCatalogue, IndexUnreadable."""
        if self._kept is not None:
            index = self._kept.index()
            by_digest = {image.digest: image for image in index.images}
            for name, digest in sorted(index.names.items()):
                image = by_digest[digest]
                yield Listed(name, "added", f"its own root, from {image.origin}", kept=image)
            for entry in index.entries:
                yield self._line(_entry(entry), "added")
        if self._file is not None:
            for own in read_images(self._file):
                yield self._line(own, self._file.name)
        for builtin in self.images:
            yield self._line(builtin, "built in")

    def _line(self, entry: Image, origin: str) -> Listed:
        found = self._resolved(entry, entry.pattern)
        if isinstance(found, NoImage):
            problem = f"this machine lacks {found.lacks}" if found.lacks else "its root is gone"
            return Listed(entry.pattern, origin, "", problem, found.message)
        return Listed(entry.pattern, origin, found.description)

    def _resolved(self, image: Image, reference: str) -> ResolvedImage | NoImage:
        paths = list(image.paths)
        search: list[str] = []
        description = f"the file system {image.root}" if image.root else "this machine's programs"
        if image.root is not None and not image.root.is_dir():
            return NoImage(reference, f'image "{reference}": the root {image.root} is not a directory')
        program = self._which(image.needs) if image.needs else None
        stands_in = program is None and image.stand_in is not None
        if image.interpreter or stands_in:
            shown, directory = interpreter_paths()
            paths += shown
            search.append(directory)
            version = ".".join(map(str, sys.version_info[:3]))
            description = f"the lab's own Python {version}"
        if stands_in:
            assert image.stand_in is not None
            paths.append(image.stand_in)
            search.append(str(image.stand_in.parent))
            description = f"podpass's own stand-in for {image.needs}"
        elif image.needs:
            if program is None:
                return NoImage(
                    reference,
                    f'image "{reference}" needs {image.needs}, which this machine lacks: {image.remedy}, or add the'
                    f" image's archive with `podpass lab image add ARCHIVE --as {split(reference)[0]}`",
                    lacks=image.needs,
                )
            paths += program_paths(Path(program))
            search.append(str(Path(program).parent))
            description = f"this machine's {program}"
        return ResolvedImage(
            reference=reference,
            pattern=image.pattern,
            description=description,
            entrypoint=image.entrypoint,
            command=image.command,
            environment={"PATH": ":".join([*search, SYSTEM_PATH]), "LANG": "C.UTF-8", **image.environment},
            working_directory=image.working_directory,
            root=image.root,
            paths=tuple(dict.fromkeys(paths)),
        )


def _unpacked(name: str, image: KeptImage, root: Path, reference: str) -> ResolvedImage | NoImage:
    if not root.is_dir():
        return NoImage(reference, f'image "{reference}": its root {root} is gone; add its archive again')
    repository = split(name)[0]
    return ResolvedImage(
        reference=reference,
        pattern=name,
        description=f"its own root file system, from {image.origin}",
        entrypoint=image.entrypoint,
        command=image.command,
        environment=image.environment,
        working_directory=image.working_directory,
        root=root,
        paths=(),
        digest=f"{repository}@{image.reference_digest}" if image.reference_digest else image.digest,
        user=image.user,
        stop_signal=image.stop_signal,
    )


def _entry(kept: KeptEntry) -> Image:
    return Image(
        pattern=kept.pattern,
        entrypoint=kept.entrypoint,
        command=kept.command,
        environment=kept.environment,
        working_directory=kept.working_directory,
        root=Path(kept.root) if kept.root else None,
        paths=tuple(Path(place) for place in kept.paths),
        needs=kept.needs,
        remedy=f"install {kept.needs} on this machine",
        interpreter=kept.interpreter,
    )
