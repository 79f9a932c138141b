"""What a hostPath volume shows: the node's file system, which is a directory of the lab, and nothing of this machine.

Only directories that the lab's owner has listed are shown as they are. Contract: Kubernetes API surface, section
7.4; the types and their messages are the kubelet's.
"""

import os
import posixpath
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from podpass.lab.node.container_environment import NotYet

_MOST_LINKS = 40
_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def host_path(path: str, kind: str, *, node_root: Path, host_roots: Sequence[Path]) -> Path | NotYet:
    """The place that stands for *path* of the node, made where *kind* says so; NotYet where it is not of that kind."""
    wanted = posixpath.normpath(path)
    root = next((root for root in host_roots if Path(wanted).is_relative_to(root)), None)
    try:
        # Links of a listed directory may lead within it; those of the node's own file system lead within that.
        place = inside(node_root, path) if root is None else Path(wanted).resolve()
        if root is not None and not place.is_relative_to(root.resolve()):
            return NotYet(f"hostPath {path} leads out of {root}")
        _make(place, kind)
        mode = place.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = 0
    except OSError as error:
        return NotYet(f"hostPath {path}: {error.strerror}")
    check, words = _CHECKS.get(kind.removesuffix("OrCreate"), (lambda mode: mode != 0, "there"))
    if not check(mode):
        return NotYet(f"hostPath type check failed: {path} is not {words}")
    return place


def _make(place: Path, kind: str) -> None:
    if kind in ("", "DirectoryOrCreate"):
        if not os.path.lexists(place):
            place.mkdir(mode=0o755, parents=True, exist_ok=True)
    elif kind == "FileOrCreate" and not os.path.lexists(place):
        # Its directory has to be there already.
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))


def inside(root: Path, path: str) -> Path:
    """*path* below *root*, with each symbolic link followed as if *root* were the whole file system.

    Raises OSError for links without end.
    """
    left = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    place: list[str] = []
    links = 0
    while left:
        part = left.pop()
        if part == "..":
            place = place[:-1]
            continue
        here = root.joinpath(*place, part)
        if not here.is_symlink():
            place.append(part)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(40, "Too many levels of symbolic links")
        target = os.readlink(here)
        if target.startswith("/"):
            place = []
        left += [part for part in reversed(target.split("/")) if part not in ("", ".")]
    return root.joinpath(*place)
