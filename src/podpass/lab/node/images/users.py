"""Who an image's program runs as: a name or number of its configuration, looked up in its own /etc/passwd."""

import os
from dataclasses import dataclass
from pathlib import Path

MOST_BYTES = 1024 * 1024
_MOST_LINKS = 40


class NoUser(Exception):
    """The image names a user or group that it does not have."""


@dataclass(frozen=True, slots=True)
class User:
    number: int
    group: int
    home: str


def find_user(root: Path, text: str) -> User:
    """The user that *text* means in the image at *root*: `app`, `1000`, `app:staff`, `1000:50`; empty for root.

    Raises NoUser.
    """
    name, _, group_name = text.partition(":")
    name = name or "0"
    number, group, home = (int(name), 0, "/") if name.isdecimal() else (-1, 0, "/")
    for fields in _lines(root, "/etc/passwd", 7):
        if (fields[0] == name or fields[2] == name) and fields[2].isdecimal() and fields[3].isdecimal():
            number, group, home = int(fields[2]), int(fields[3]), fields[5] or "/"
            break
    if number < 0:
        raise NoUser(f"unable to find user {name}: no matching entries in passwd file")
    if group_name.isdecimal():
        group = int(group_name)
    elif group_name:
        found = [fields[2] for fields in _lines(root, "/etc/group", 4) if fields[0] == group_name]
        if not found or not found[0].isdecimal():
            raise NoUser(f"unable to find group {group_name}: no matching entries in group file")
        group = int(found[0])
    return User(number, group, home)


def _lines(root: Path, path: str, count: int) -> list[list[str]]:
    place = inside(root, path)
    try:
        with place.open("rb") as file:
            text = file.read(MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    found = [line.split(":") for line in text.splitlines()]
    return [fields for fields in found if len(fields) >= count]


def inside(root: Path, path: str) -> Path:
    """Where *path* of the image lies on this machine, its links followed inside *root*."""
    todo = list(reversed(path.split("/")))
    place: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del place[-1:]
            continue
        here = root.joinpath(*place, part)
        if links < _MOST_LINKS and here.is_symlink():
            links += 1
            target = os.readlink(here)
            if target.startswith("/"):
                place = []
            todo += reversed(target.split("/"))
        else:
            place.append(part)
    return root.joinpath(*place)
