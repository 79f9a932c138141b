"""Writes a volume's files so that a reader sees all of the old ones or all of the new ones.

Each file is a symbolic link into `..data`, itself a link to a directory named after the time; replacing that one
link changes everything at once.
Contract: Kubernetes API surface, section 4.5.
"""

import os
import secrets
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from podpass.lab.node.volumes import File

DATA = "..data"
_NEW_DATA = "..data_tmp"


def write(volume: Path, files: Mapping[str, File], *, now: float, directory_mode: int = 0o755) -> bool:
    """Make *volume* hold exactly *files*; False when it does already. *now* is seconds since the epoch."""
    volume.mkdir(mode=directory_mode, parents=True, exist_ok=True)
    old = _current(volume)
    if old is not None and _holds(volume / old, files):
        return False
    moment = datetime.fromtimestamp(now, UTC)
    name = f"..{moment:%Y_%m_%d_%H_%M_%S}.{secrets.randbelow(10**10)}"
    fresh = volume / name
    fresh.mkdir(mode=0o755)
    fresh.chmod(directory_mode)
    for path, file in files.items():
        place = fresh / path
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as writing:
            writing.write(file.data)
        place.chmod(file.mode)
    link = volume / _NEW_DATA
    link.unlink(missing_ok=True)
    link.symlink_to(name)
    os.replace(link, volume / DATA)
    _show(volume, files)
    if old is not None:
        shutil.rmtree(volume / old, ignore_errors=True)
    return True


def _current(volume: Path) -> str | None:
    try:
        return os.readlink(volume / DATA)
    except FileNotFoundError:
        return None


def _holds(directory: Path, files: Mapping[str, File]) -> bool:
    found: set[str] = set()
    for parent, _, names in os.walk(directory):
        for name in names:
            place = Path(parent, name)
            path = str(place.relative_to(directory))
            file = files.get(path)
            if file is None or place.stat().st_mode & 0o7777 != file.mode or place.read_bytes() != file.data:
                return False
            found.add(path)
    return found == files.keys()


def _show(volume: Path, files: Mapping[str, File]) -> None:
    """One link a name at the top of the volume; links to names that are gone go too."""
    wanted = {path.partition("/")[0] for path in files}
    for name in wanted:
        link = volume / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")
    for entry in volume.iterdir():
        if not entry.name.startswith("..") and entry.name not in wanted and entry.is_symlink():
            entry.unlink()
