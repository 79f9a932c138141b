"""`podpass lab image`: what runs for which image, and images of your own from disk."""

import os
import platform as machine
import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from podpass.cli.output import DONE, USAGE, Format, note, print_error, print_table, print_value
from podpass.lab.clock import rfc3339
from podpass.lab.control.client import Control
from podpass.lab.environment import LabPaths, state_home
from podpass.lab.node.images.adding import add_archive, add_entry, named, remove, words
from podpass.lab.node.images.catalogue import Catalogue, Listed
from podpass.lab.node.images.documents import Platform, UnusableImage
from podpass.lab.node.images.entries import UnusableCatalogue
from podpass.lab.node.images.kept import IndexUnreadable, Kept, KeptEntry
from podpass.problems import PodpassError

app = App(name="image", help="What runs for which image. The lab pulls nothing; this adds images from disk.")

Name = Annotated[str, Parameter(name=["--name", "-n"], env_var="PODPASS_LAB", help="Which lab.")]
Output = Annotated[Format, Parameter(name=["--output", "-o"], help="table, json or yaml")]
Yes = Annotated[bool, Parameter(name="--yes", negative=(), help="Do it without asking.")]


@app.command
def ls(*, name: Name = "default", output: Output = "table") -> int:
    """List the images that pods can name, in the order in which they are tried.

    Example: podpass lab image ls --output json
    """
    paths = _paths(name)
    try:
        lines = list(Catalogue.of(paths.node).listed())
    except (UnusableCatalogue, IndexUnreadable) as error:
        raise PodpassError("PP120", str(error), source=paths.node, reason=error) from error
    if output == "table":
        rows = [[line.name, _id(line), line.origin, _size(line), _runs(line)] for line in lines]
        print_table(rows, heads=("IMAGE", "ID", "ORIGIN", "SIZE", "RUNS"))
    else:
        print_value([_members(line) for line in lines], output)
    return DONE


@app.command
def add(
    source: str,
    /,
    *,
    as_: Annotated[tuple[str, ...], Parameter(name="--as", negative=())] = (),
    platform: str = "",
    command: str = "",
    entrypoint: str = "",
    root: Path | None = None,
    env: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    workdir: str = "/",
    show: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    needs: str = "",
    interpreter: Annotated[bool, Parameter(negative=())] = False,
    name: Name = "default",
    output: Output = "table",
) -> int:
    """Add an image from disk, or a name with a command or directory that stands for it.

    A running lab sees it at the next start of a container.

    Example: podpass lab image add shop.tar --as ghcr.io/acme/shop:1.0

    Example: podpass lab image add ghcr.io/acme/shop --command 'python -m shop' --interpreter --show /srv/shop

    Parameters
    ----------
    source:
        An OCI image layout (a directory or a tar) or what `docker save` wrote; with one of the options from
        --command on, the image's name instead, in which * stands for any text.
    as_:
        A name for the image, beside those the archive gives it; may be said again.
    platform:
        Which image of an archive for several platforms, such as linux/arm64; this machine's by default.
    command:
        What runs, with its arguments; a pod's args replace it.
    entrypoint:
        What runs before the command or a pod's args.
    root:
        A directory that is the image's root file system.
    env:
        A variable, as NAME=value; may be said again.
    workdir:
        The directory in which it runs.
    show:
        A file or directory of this machine that the image shows, read-only, at its own place; may be said again.
    needs:
        A program of this machine that the image is made of.
    interpreter:
        Show the Python that runs the lab, with its packages.
    """
    paths = _paths(name)
    entry = bool(command or entrypoint or root or env or show or needs or interpreter or workdir != "/")
    if entry and (as_ or platform):
        print_error("--as and --platform are for archives", hint="podpass lab image add --help")
        return USAGE
    now = rfc3339(time.time())
    try:
        paths.make()
        kept = Kept(paths.node / "images")
        if entry:
            made = KeptEntry(
                pattern=source,
                added=now,
                entrypoint=words(entrypoint),
                command=words(command),
                environment=_variables(env),
                working_directory=workdir,
                root=str(root.absolute()) if root else "",
                paths=tuple(str(path.absolute()) for path in show),
                needs=needs,
                interpreter=interpreter,
            )
            add_entry(kept, made)
            lines = [line for line in Catalogue.of(paths.node).listed() if line.name == source][:1]
        else:
            wanted = Platform.parse(platform) if platform else Platform.of_machine(machine.machine())
            added = add_archive(kept, Path(source), names=as_, platform=wanted, now=now)
            new = {added_name for each in added for added_name in each.names}
            lines = [line for line in Catalogue.of(paths.node).listed() if line.origin == "added" and line.name in new]
    except (UnusableImage, IndexUnreadable, UnusableCatalogue) as error:
        raise PodpassError("PP120", f"{source} can't be added", source=source, reason=error) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise PodpassError(
            "PP120", f"{source} can't be added", source=error.filename or source, reason=reason
        ) from error
    if output != "table":
        print_value([_members(line) for line in lines], output)
        return DONE
    for line in lines:
        print(f"{line.name}   {_id(line)}   {_size(line)}".rstrip())
    for remark in dict.fromkeys(remark for line in lines if line.kept for remark in line.kept.notes):
        note(f"note: left out {remark}")
    return DONE


@app.command
def rm(*images: str, name: Name = "default", yes: Yes = False) -> int:
    """Take images out of the catalogue, and their files from the disk when no other name means them.

    Example: podpass lab image rm ghcr.io/acme/shop:1.0

    Parameters
    ----------
    images:
        Names, or the first digits of an ID.
    yes:
        Also when pods run from them; what runs goes on.
    """
    paths, control = _paths(name), Control(_paths(name))
    kept, catalogue = Kept(paths.node / "images"), Catalogue.of(paths.node)
    gone: list[str] = []
    try:
        index = kept.index()
        for image in images:
            found = named(index, image)
            if not found:
                raise PodpassError("PP122", name=image, lab=name, hint=_where_else(catalogue, image))
            gone += found
        running = control.images_in_use()
        for image in gone:
            users = [each for each in running if _means(catalogue, each["image"], image)]
            if users and not yes:
                pods = ", ".join(sorted({each["pod"] for each in users}))
                raise PodpassError("PP121", users=pods, verb="s" if len(users) == 1 else "", name=image)
        remove(kept, gone, in_use=lambda: frozenset(Path(each["root"]) for each in control.images_in_use()))
    except (IndexUnreadable, UnusableCatalogue, OSError) as error:
        raise PodpassError("PP120", "the images can't be changed", source=kept.directory, reason=error) from error
    for image in dict.fromkeys(gone):
        note(f"{image} removed")
    return DONE if images else USAGE


def _paths(name: str) -> LabPaths:
    return LabPaths.of(name, home=state_home(os.environ))


def _variables(given: tuple[str, ...]) -> dict[str, str]:
    variables = {}
    for text in given:
        variable, equals, value = text.partition("=")
        if not variable or not equals:
            raise UnusableImage(f"{text!r} is no variable; write it as NAME=value")
        variables[variable] = value
    return variables


def _means(catalogue: Catalogue, reference: str, name: str) -> bool:
    """Whether a container of the image *reference* runs from what is called *name*."""
    found = catalogue.resolve(reference)
    return getattr(found, "pattern", "") == name


def _where_else(catalogue: Catalogue, image: str) -> str:
    for line in catalogue.listed():
        if line.name == image and line.origin != "added":
            return f" (it is {line.origin}{': edit the file' if line.origin.endswith('.yaml') else ''})"
    return ""


def _id(line: Listed) -> str:
    return line.kept.directory[:12] if line.kept else ""


def _size(line: Listed) -> str:
    if line.kept is None:
        return ""
    size = float(line.kept.size)
    for unit in ("B", "kB", "MB"):
        if size < 1_000:
            return f"{size:.3g} {unit}"
        size /= 1_000
    return f"{size:.3g} GB"


def _runs(line: Listed) -> str:
    return line.runs or f"nothing: {line.problem}"


def _members(line: Listed) -> dict[str, Any]:
    """A line as JSON, which is documented and stable."""
    found: dict[str, Any] = {"name": line.name, "origin": line.origin, "runs": line.runs}
    if line.problem:
        found |= {"problem": line.problem, "remedy": line.remedy}
    if line.kept is not None:
        image = line.kept
        found |= {
            "id": image.digest,
            "digest": image.reference_digest,
            "archive": image.origin,
            "platform": image.platform,
            "size": image.size,
            "files": image.files,
            "added": image.added,
            "notes": list(image.notes),
        }
    return found
