"""An entry of the catalogue, and the file in which users write theirs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Image:
    """One entry. A *pattern* without a tag means every tag; `*` stands for any text."""

    pattern: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = "/"
    root: Path | None = None
    """A directory that is the image's root; None for this machine's own file system."""
    paths: tuple[Path, ...] = ()
    """Further files and directories of this machine that the image shows, read-only, at their own place."""
    needs: str = ""
    """A program that must be on this machine's PATH; its own directories are shown too."""
    remedy: str = ""
    """What to do when that program is missing."""
    stand_in: Path | None = None
    """A program of our own in Python that does the part of *needs* which is wanted here, where that is missing."""
    interpreter: bool = False
    """Show the Python that runs the lab, with its packages."""


class UnusableCatalogue(Exception):
    """The user's file of images can't be used; the text says where and why."""


class _Entry(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """An entry as the user writes it; the members mean what Image's do."""

    pattern: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    working_directory: str = "/"
    root: str = ""
    paths: tuple[str, ...] = ()
    needs: str = ""
    interpreter: bool = False


def read_images(path: Path) -> tuple[Image, ...]:
    """The entries of a user's file; none when there is no file. Raises UnusableCatalogue."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise UnusableCatalogue(f"{path}: {error.strerror}") from error
    if len(text) > MOST_BYTES:
        raise UnusableCatalogue(f"{path}: larger than {MOST_BYTES} bytes")
    try:
        entries = msgspec.yaml.decode(text, type=list[_Entry]) if text.strip() else []
    except msgspec.MsgspecError as error:
        raise UnusableCatalogue(f"{path}: {error}") from error
    for entry in entries:
        missing = [place for place in (entry.root, *entry.paths) if place and not os.path.isabs(place)]
        if missing:
            raise UnusableCatalogue(f"{path}: {entry.pattern}: {missing[0]!r} must be an absolute path")
        if entry.root and not os.path.isdir(entry.root):
            raise UnusableCatalogue(f"{path}: {entry.pattern}: the root {entry.root} is not a directory")
    return tuple(
        Image(
            pattern=entry.pattern,
            entrypoint=entry.entrypoint,
            command=entry.command,
            environment=entry.environment,
            working_directory=entry.working_directory,
            root=Path(entry.root) if entry.root else None,
            paths=tuple(Path(place) for place in entry.paths),
            needs=entry.needs,
            remedy=f"install {entry.needs} on this machine",
            interpreter=entry.interpreter,
        )
        for entry in entries
    )
