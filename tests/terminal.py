"""A person at a terminal: a program on a pseudo-terminal of its own, what it shows, and what is typed."""

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


class Terminal:
    """The person's side."""

    def __init__(self, pid: int, descriptor: int, seconds: float) -> None:
        self._pid = pid
        self._descriptor = descriptor
        self._deadline = time.monotonic() + seconds
        self._shown = b""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def see(self, text: str) -> str:
        """Wait until *text* shows; what was shown up to its end."""
        wanted = text.encode()
        while wanted not in self._shown:
            if not self._read():
                raise EOFError(f"{text!r} was never shown, but {self._shown!r}")
        end = self._shown.index(wanted) + len(wanted)
        shown, self._shown = self._shown[:end], self._shown[end:]
        return shown.decode()

    def end(self) -> tuple[int, str]:
        """Wait for the program's end: its exit code, and what it showed since the last look."""
        while self._read():
            pass
        _, status = os.waitpid(self._pid, 0)
        return os.waitstatus_to_exitcode(status), self._shown.decode()

    def _read(self) -> bool:
        readable, _, _ = select.select([self._descriptor], [], [], max(0.0, self._deadline - time.monotonic()))
        if not readable:
            raise TimeoutError(f"the program shows nothing more than {self._shown!r}")
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:
            return False
        self._shown += data
        return bool(data)


@contextmanager
def terminal(
    command: Sequence[str], environment: Mapping[str, str], *, rows: int = 24, columns: int = 80, seconds: float = 30.0
) -> Iterator[Terminal]:
    """Run *command* on a terminal of that size."""
    pid, descriptor = pty.fork()
    if pid == 0:
        os.execve(command[0], list(command), dict(environment))
    try:
        person = Terminal(pid, descriptor, seconds)
        person.resize(rows, columns)
        yield person
    finally:
        os.close(descriptor)
