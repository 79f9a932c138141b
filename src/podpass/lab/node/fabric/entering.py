"""Start a program inside a container that runs already: its namespaces, its rights, a terminal of its own.

The helper process loads this when it is first asked to. What the program may is read from the container's first
process, and so is the same however that one was started.
"""

import ctypes
import fcntl
import os
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_CLONE_NEWNS, _CLONE_NEWCGROUP, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 23, 24, 38, 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63
_TIOCGPTPEER, _TIOCSPTLCK = 0x5441, 0x40045431


class CannotEnter(Exception):
    """The program was not started. *program*: it is at fault itself, not the way to it."""

    def __init__(self, message: str, *, program: bool = False) -> None:
        super().__init__(message)
        self.program = program


@dataclass(frozen=True, slots=True)
class Rights:
    """What the container's first process was started with."""

    bounding: int
    capabilities: int
    no_new_privileges: bool

    @classmethod
    def of(cls, pid: int) -> "Rights":
        with open(f"/proc/{pid}/status") as file:
            members = dict(line.rstrip("\n").split(":", 1) for line in file if ":" in line)
        # The inheritable set: a program that became another user has lost the others since.
        return cls(
            int(members["CapBnd"], 16), int(members["CapInh"], 16), members.get("NoNewPrivs", "1").strip() == "1"
        )


def open_terminal(pid: int | None) -> tuple[int, int]:
    """Both ends of a new terminal, of the container's own devices where *pid* is given and it has some."""
    if pid is not None:
        try:
            ours = os.open(f"/proc/{pid}/root/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            return os.openpty()
        try:
            fcntl.ioctl(ours, _TIOCSPTLCK, struct.pack("i", 0))
            theirs: int = fcntl.ioctl(ours, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except BaseException:
            os.close(ours)
            raise
        return ours, theirs
    return os.openpty()


def start(
    argv: Sequence[str],
    descriptors: tuple[int, int, int],
    environment: Mapping[str, str],
    directory: str,
    *,
    controlling: bool,
    container: tuple[int, int] | None,
    first: Callable[[], None] = lambda: None,
) -> "subprocess.Popen[bytes]":
    """Start *argv* with *descriptors* as its stdin, stdout and stderr, in a session of its own.

    *container* is pid and pidfd of the process whose namespaces are entered, None for no namespaces. *controlling*
    makes stdin the session's terminal. *first* is called in the new process. Raises CannotEnter.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    reading, writing = os.pipe()
    enter = None if container is None else _entrance(libc, *container)

    def prepare() -> None:
        try:
            first()
            if enter is not None:
                enter()
            try:
                os.chdir(directory)
            except OSError as error:
                raise OSError(error.errno, f"chdir to cwd ({directory!r}) failed: {error.strerror}") from error
            if controlling:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        except BaseException as error:
            os.write(writing, (getattr(error, "strerror", None) or str(error)).encode()[:512])
            raise

    back = -1
    try:
        if container is not None:
            # Decides where children start; this process itself stays where it is.
            back = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            _set(libc, container[1], _CLONE_NEWPID)
        return subprocess.Popen(
            list(argv),
            stdin=descriptors[0],
            stdout=descriptors[1],
            stderr=descriptors[2],
            env=dict(environment),
            start_new_session=True,
            # This process has one thread, so running Python between fork and exec is safe here.
            preexec_fn=prepare,  # noqa: PLW1509
        )
    except subprocess.SubprocessError as error:
        raise CannotEnter(os.read(reading, 512).decode("utf-8", "replace") or str(error)) from error
    except FileNotFoundError as error:
        if "/" in argv[0]:
            raise CannotEnter(f'exec: "{argv[0]}": stat {argv[0]}: no such file or directory', program=True) from error
        raise CannotEnter(f'exec: "{argv[0]}": executable file not found in $PATH', program=True) from error
    except PermissionError as error:
        raise CannotEnter(f'exec: "{argv[0]}": permission denied', program=True) from error
    except OSError as error:
        if error.filename is None:
            raise CannotEnter(f"the container's processes can't be joined: {error.strerror or error}") from error
        raise CannotEnter(f'exec: "{argv[0]}": {(error.strerror or str(error)).lower()}', program=True) from error
    finally:
        if back >= 0:
            _set(libc, back, _CLONE_NEWPID)
            os.close(back)
        os.close(reading)
        os.close(writing)


def set_size(terminal: int, width: int, height: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def _entrance(libc: Any, pid: int, pidfd: int) -> Callable[[], None]:
    """Does in the new process what makes it a process of the container. Raises CannotEnter when that one is gone."""
    try:
        rights = Rights.of(pid)
        other_user = os.stat(f"/proc/{pid}/ns/user").st_ino != os.stat("/proc/self/ns/user").st_ino
    except (OSError, KeyError, ValueError) as error:
        raise CannotEnter("the container's first process has ended") from error
    # All at once: the mounts may belong to a user namespace between ours and the container's.
    flags = _CLONE_NEWNS | _CLONE_NEWCGROUP | _CLONE_NEWUTS | _CLONE_NEWIPC | _CLONE_NEWNET
    flags |= _CLONE_NEWUSER if other_user else 0

    def enter() -> None:
        _set(libc, pidfd, flags)
        _assume(libc, rights)

    return enter


def _assume(libc: Any, rights: Rights) -> None:
    for capability in range(_LAST_CAPABILITY + 1):
        if not rights.bounding >> capability & 1 and libc.prctl(_PR_CAPBSET_READ, capability, 0, 0, 0) == 1:
            _checked(libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0))
    low, high = rights.capabilities & 0xFFFFFFFF, rights.capabilities >> 32
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    _checked(libc.capset(header, struct.pack("6I", low, low, low, high, high, high)))
    for capability in range(_LAST_CAPABILITY + 1):
        if rights.capabilities >> capability & 1:
            _checked(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0))
    if rights.no_new_privileges:
        _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _set(libc: Any, descriptor: int, flags: int) -> None:
    _checked(libc.setns(descriptor, flags))


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
