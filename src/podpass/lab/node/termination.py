"""What a container leaves as its last words: the file at its terminationMessagePath, or the end of its log.

Contract: Kubernetes API surface, section 7.1.
"""

import os
import secrets
from pathlib import Path

from podpass.kube.objects import Obj
from podpass.lab.node.logs import LogOptions, read
from podpass.lab.node.runtime import Mount

DEFAULT_PATH = "/dev/termination-log"
MOST_BYTES = 4096
MOST_LOG_BYTES = 2048
MOST_LOG_LINES = 80


def make_message_file(container: Obj, pod_directory: Path) -> Mount:
    """An empty file for one run of *container*, and where it is shown."""
    directory = pod_directory / "messages"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / f"{container['name']}.{secrets.token_hex(4)}"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    # Whatever user the container runs as, it may write here.
    path.chmod(0o666)
    return Mount(container.get("terminationMessagePath") or DEFAULT_PATH, path, False, optional=True)


async def last_words(container: Obj, message_file: Path, log: Path, exit_code: int) -> str:
    """The message for the status of a run that ended with *exit_code*."""
    text = _read(message_file)
    if not text and exit_code != 0 and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        tail = b"".join([chunk async for chunk in read(log, None, LogOptions(tail_lines=MOST_LOG_LINES))])
        text = tail[-MOST_LOG_BYTES:]
    return text.decode("utf-8", "replace").replace("\0", "")


def _read(path: Path) -> bytes:
    try:
        # Where nothing separates the container from this machine it may have put anything there.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        try:
            return file.read(MOST_BYTES) or b""
        except OSError:
            return b""
