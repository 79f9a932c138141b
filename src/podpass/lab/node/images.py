"""The image catalogue: which program of this machine stands for which image.

The lab pulls nothing. An entry maps an image name to a root file system (by default this machine's, read-only), an
entry point, a default command and environment. A user's own entries stand in a file and come before these:

    - pattern: ghcr.io/acme/shop       # any tag; "shop:1.*" would mean only those
      command: [python, -m, shop]
      interpreter: true                # with the Python that runs the lab
      paths: [/srv/shop]               # shown read-only at their own place
"""

import fnmatch
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MOST_BYTES = 1024 * 1024
_SEEN_IN_PREFIX = ("bin", "lib", "lib64", "libexec", "share", "include", "pyvenv.cfg")


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
    interpreter: bool = False
    """Show the Python that runs the lab, with its packages."""


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

    @property
    def image_id(self) -> str:
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


BUILTIN: tuple[Image, ...] = (
    Image("podpass/demo", command=("python3",), interpreter=True),
    Image("*/podpass/demo", command=("python3",), interpreter=True),
    Image("python", command=("python3",), interpreter=True),
    Image("node", command=("node",), needs="node", remedy="install Node.js on this machine"),
    Image("busybox", command=("sh",)),
    Image("debian", command=("bash",)),
    Image("ubuntu", command=("bash",)),
    Image("alpine", command=("/bin/sh",)),
    Image("curlimages/curl", entrypoint=("curl",), needs="curl", remedy="install curl on this machine"),
    Image(
        "mcr.microsoft.com/azure-cli",
        command=("bash",),
        needs="az",
        remedy="install the Azure CLI on this machine (pip install azure-cli) and start the lab with it on the PATH",
    ),
)


class UnusableCatalogue(Exception):
    """The user's file of images can't be used; the text says where and why."""


class Catalogue:
    """Entries in the order in which they are tried: those of *file* first, which is read again for each image."""

    def __init__(
        self,
        images: Sequence[Image] = BUILTIN,
        *,
        file: Path | None = None,
        which: Callable[[str], str | None] = shutil.which,
    ) -> None:
        self.images = tuple(images)
        self._file = file
        self._which = which

    def resolve(self, reference: str) -> ResolvedImage | NoImage:
        """What runs for *reference*, or why nothing can."""
        try:
            images = (*read_images(self._file), *self.images) if self._file is not None else self.images
        except UnusableCatalogue as error:
            return NoImage(reference, str(error))
        for image in images:
            if matches(image.pattern, reference):
                return self._resolved(image, reference)
        known = ", ".join(sorted({image.pattern for image in images}))
        where = f" to {self._file}" if self._file is not None else ""
        return NoImage(
            reference,
            f'image "{reference}" is not in the lab\'s image catalogue, and the lab pulls nothing: add an entry'
            f"{where} (- pattern: {split(reference)[0]}, command: [...]), or use one of {known}",
        )

    def _resolved(self, image: Image, reference: str) -> ResolvedImage | NoImage:
        paths = list(image.paths)
        search: list[str] = []
        description = f"the file system {image.root}" if image.root else "this machine's programs"
        if image.interpreter:
            shown, directory = interpreter_paths()
            paths += shown
            search.append(directory)
            version = ".".join(map(str, sys.version_info[:3]))
            description = f"the lab's own Python {version}"
        if image.needs:
            program = self._which(image.needs)
            if program is None:
                return NoImage(
                    reference, f'image "{reference}" needs {image.needs}, which this machine lacks: {image.remedy}'
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


def matches(pattern: str, reference: str) -> bool:
    """Whether *pattern* means the image *reference*, as pod specs write it.

    Docker Hub's prefixes may be left out; a digest is ignored.
    """
    wanted, wanted_tag = split(pattern)
    name, tag = split(reference)
    return fnmatch.fnmatchcase(name, wanted) and (not wanted_tag or fnmatch.fnmatchcase(tag or "latest", wanted_tag))


def split(reference: str) -> tuple[str, str]:
    """Repository and tag: `docker.io/library/python:3.12@sha256:…` is `("python", "3.12")`."""
    repository = reference.partition("@")[0]
    tag = ""
    # A colon before the last slash belongs to a registry's port.
    if ":" in repository.rpartition("/")[2]:
        repository, _, tag = repository.rpartition(":")
    for prefix in ("docker.io/library/", "docker.io/", "index.docker.io/", "library/"):
        if repository.startswith(prefix):
            repository = repository.removeprefix(prefix)
            break
    return repository, tag


def interpreter_paths() -> tuple[list[Path], str]:
    """What the Python that runs the lab consists of, and the directory of its programs.

    Only the parts of a prefix that an interpreter reads: a prefix may be somebody's project or home directory.
    """
    paths: list[Path] = []
    for prefix in dict.fromkeys((sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)):
        paths += prefix_paths(Path(prefix))
    source = Path(__file__).resolve().parents[3]
    paths.append(source)
    return paths, str(Path(sys.executable).parent)


def program_paths(program: Path) -> list[Path]:
    """The directories that an installed program reads, where they are not the system's: its prefix, its venv's base."""
    paths: list[Path] = []
    for place in dict.fromkeys((program, Path(os.path.realpath(program)))):
        paths += prefix_paths(place.parent.parent)
        configuration = place.parent.parent / "pyvenv.cfg"
        if configuration.is_file():
            for line in configuration.read_text().splitlines():
                name, _, value = line.partition("=")
                if name.strip() == "home" and value.strip():
                    paths += prefix_paths(Path(os.path.realpath(value.strip())).parent)
    if program.name == "az" and Path("/opt/az").is_dir():
        paths.append(Path("/opt/az"))
    return paths


def prefix_paths(prefix: Path) -> list[Path]:
    if prefix in (Path("/"), Path("/usr")):
        return []
    return [prefix / part for part in _SEEN_IN_PREFIX if (prefix / part).exists()]
