"""One process per lab. The kernel releases the lock of a killed process, so no stale lock can stand in the way."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from podpass.lab.environment import LabPaths
from podpass.problems import PodpassError


@contextlib.contextmanager
def only_process(paths: LabPaths) -> Iterator[None]:
    """Hold the lab's lock. Raises PodpassError PP102 when another process has it."""
    descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise PodpassError("PP102", f"lab {paths.name} is already running", name=paths.name, pid=pid) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
