"""The text of a scenario file, bounded before it is parsed."""

import stat
from pathlib import Path

from podpass.problems import PodpassError

MAX_BYTES = 1024 * 1024


def text_of(path: Path) -> str:
    """What the file holds. Raises PodpassError PP502 when that is nothing to read, not text, or more than 1 MiB."""
    try:
        # Opening a named pipe would wait for a writer, and a device may never end.
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise _unreadable(path, "it is not a regular file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or str(error)) from error
    if len(content) > MAX_BYTES:
        raise _unreadable(path, f"it is larger than {MAX_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise _unreadable(path, "it is not UTF-8 text") from error


def _unreadable(path: Path, reason: str) -> PodpassError:
    return PodpassError("PP502", f"{path} can't be read", path=path, reason=reason)
