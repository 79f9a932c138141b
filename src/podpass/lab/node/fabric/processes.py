"""Containers as processes: started behind bubblewrap or plainly, signalled, and reported when they end."""

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from typing import Any

from .channel import Channel, Refused
from .networks import Networks
from .roots import Roots

_MAKING_SECONDS, _MAKING_TURNS = 0.002, 1000
_PR_SET_PDEATHSIG = 1


class Processes:
    """Running containers by id. Without *networks* they are started without a sandbox."""

    def __init__(self, channel: Channel, networks: Networks | None) -> None:
        self._channel = channel
        self._networks = networks
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._running: dict[int, Running] = {}
        self._by_container: dict[str, Running] = {}
        self._roots = Roots()

    async def start(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        """Start a container on its stdout, stderr and, where it has one, stdin.

        *started* is false when bubblewrap failed before the container's first process.
        """
        container = request["container"]
        if container in self._by_container:
            raise Refused(f"container {container} runs already")
        if self._networks is None:
            process = self._spawn(request, descriptors)
            self._record(container, process, group=True)
            return {"started": True}
        if root := request.get("root"):
            try:
                self._roots.mount(container, root["lower"], root["at"])
            except OSError as error:
                return {"started": False, "error": error.strerror or str(error)}
        try:
            processes = await self._processes_of(request["beside"])
            process, information = self._spawn_sandboxed(self._networks, request, descriptors, processes)
        except BaseException:
            self._roots.drop(container)
            raise
        running = self._record(container, process, group=False)
        inner = await _child_pid(information)
        if inner is None:
            return {"started": False}
        with contextlib.suppress(ProcessLookupError):
            running.pidfd = os.pidfd_open(inner)
            running.pid = inner
        return {"started": True}

    async def execute(self, request: dict[str, Any], descriptors: list[int]) -> tuple[dict[str, Any], list[int]]:
        """Start another program in a running container, on the descriptors given or on a terminal of its own.

        It counts as a container of its own name: it is signalled and its end is told in the same way.
        """
        # Its imports would delay the start of every lab.
        from . import entering

        name, argv = request["container"], request["argv"]
        running = self._by_container.get(request["inside"])
        if running is not None and self._networks is not None:
            await _made(running)
        if running is None or running.ended or (self._networks is not None and running.pidfd < 0):
            return {"started": False, "program": False, "error": "the container is not running"}, []
        if name in self._by_container:
            raise Refused(f"{name} runs already")
        ours = theirs = -1
        if request["tty"]:
            ours, theirs = entering.open_terminal(running.pid if self._networks is not None else None)
            if size := request["size"]:
                entering.set_size(ours, *size)
        try:
            process = entering.start(
                argv,
                (theirs, theirs, theirs) if request["tty"] else (descriptors[0], descriptors[1], descriptors[2]),
                request["env"],
                request["cwd"],
                controlling=request["tty"],
                container=(running.pid, running.pidfd) if self._networks is not None else None,
                first=_nothing if self._networks is not None else self._die_with_fabric,
            )
        except BaseException as error:
            if ours >= 0:
                os.close(ours)
            if isinstance(error, entering.CannotEnter):
                return {"started": False, "program": error.program, "error": str(error)}, []
            raise
        finally:
            if theirs >= 0:
                os.close(theirs)
        self._record(name, process, group=True).inside = request["inside"]
        return {"started": True}, [ours] if ours >= 0 else []

    def _spawn(self, request: dict[str, Any], descriptors: list[int]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            request["argv"],
            stdin=descriptors[2] if len(descriptors) > 2 else subprocess.DEVNULL,
            stdout=descriptors[0],
            stderr=descriptors[1],
            env=request["env"],
            cwd=request["cwd"],
            start_new_session=True,
            # This process has one thread, so running Python between fork and exec is safe here.
            preexec_fn=self._die_with_fabric_on_terminal if request["tty"] else self._die_with_fabric,  # noqa: PLW1509
        )

    def _spawn_sandboxed(
        self, networks: Networks, request: dict[str, Any], descriptors: list[int], processes: int
    ) -> tuple["subprocess.Popen[bytes]", int]:
        """bubblewrap in the pod's network, and the descriptor on which it tells the pid of the container.

        *processes* is the pid namespace to share, which is closed; -1 for one of its own.
        """
        arguments = _sealed(b"".join(os.fsencode(argument) + b"\0" for argument in request["bwrap"]))
        reading, writing = os.pipe()
        try:
            with networks.inside(request["pod"]):
                process = subprocess.Popen(
                    [
                        *("bwrap", "--args", str(arguments), "--info-fd", str(writing)),
                        *(("--pidns", str(processes)) if processes >= 0 else ()),
                        *("--", *request["argv"]),
                    ],
                    stdin=descriptors[2] if len(descriptors) > 2 else subprocess.DEVNULL,
                    stdout=descriptors[0],
                    stderr=descriptors[1],
                    env={"PATH": os.environ.get("PATH", os.defpath)},
                    pass_fds=(arguments, writing, *((processes,) if processes >= 0 else ())),
                    start_new_session=True,
                )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(arguments)
            os.close(writing)
            if processes >= 0:
                os.close(processes)
        return process, reading

    async def _processes_of(self, container: str) -> int:
        """The pid namespace of a running container; -1 for no container. Raises Refused."""
        if not container:
            return -1
        running = self._by_container.get(container)
        if running is not None:
            await _made(running)
        if running is None or running.ended:
            raise Refused("the container whose processes are to be seen is not running")
        return os.open(f"/proc/{running.pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def _record(self, container: str, process: "subprocess.Popen[bytes]", *, group: bool) -> "Running":
        running = Running(container, process, group)
        self._running[process.pid] = running
        self._by_container[container] = running
        return running

    def signal(self, container: str, number: int) -> bool:
        """Signal a container's first process; False when it has ended."""
        running = self._by_container.get(container)
        if running is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            if running.group:
                # As in Kubernetes, only the first process is asked to end; killing means all of them.
                if number == signal.SIGKILL:
                    _kill_groups(running)
                else:
                    os.kill(running.process.pid, number)
                return True
            if running.pidfd >= 0:
                signal.pidfd_send_signal(running.pidfd, number)
                return True
            if number == signal.SIGKILL:
                running.process.kill()
                return True
        return False

    def reap(self) -> None:
        """Collect every ended child and tell the lab of those that were containers."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            running = self._running.pop(pid, None)
            if running is None:
                continue
            running.process.returncode = os.waitstatus_to_exitcode(status)
            running.ended = True
            del self._by_container[running.container]
            if running.pidfd >= 0:
                os.close(running.pidfd)
            self._roots.drop(running.container)
            if running.group and running.inside:
                self._leave_behind(running)
            elif running.group:
                # What a shell left behind in its group goes with it, as it does with a pid namespace.
                _kill_groups(running)
                for other in list(self._running.values()):
                    if other.inside == running.container:
                        self.signal(other.container, signal.SIGKILL)
            code = running.process.returncode
            self._channel.send({"exit": running.container, "code": code if code >= 0 else 128 - code})

    def _leave_behind(self, running: "Running") -> None:
        """What an execution started goes on, until its container ends."""
        host = self._by_container.get(running.inside)
        if self._networks is not None or host is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(running.process.pid, 0)
            host.left_behind.append(running.process.pid)

    def kill_everything(self) -> None:
        for running in list(self._running.values()):
            self.signal(running.container, signal.SIGKILL)

    def _die_with_fabric(self) -> None:
        if self._libc is not None:
            self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def _die_with_fabric_on_terminal(self) -> None:
        self._die_with_fabric()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Running:
    """A started container, or a program that was started *inside* one.

    *group*: its process group is what gets signalled, for want of a first process that ends the others with it.
    """

    __slots__ = ("container", "ended", "group", "inside", "left_behind", "pid", "pidfd", "process")

    def __init__(self, container: str, process: "subprocess.Popen[bytes]", group: bool) -> None:
        self.container, self.process, self.group, self.pidfd = container, process, group, -1
        self.inside = ""
        self.left_behind: list[int] = []
        """Process groups of executions that have ended without them."""
        self.ended = False
        self.pid = process.pid
        """Of its first process; in a sandbox the one inside."""


def _kill_groups(running: Running) -> None:
    for group in (running.process.pid, *running.left_behind):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


async def _child_pid(reading: int) -> int | None:
    """The pid of the container's first process, from bwrap's information pipe; None when bwrap failed before."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", buffering=0)
    )
    try:
        return int(json.loads(await reader.readuntil(b"}"))["child-pid"])
    except (asyncio.IncompleteReadError, ValueError, KeyError):
        return None
    finally:
        transport.close()


async def _made(running: Running) -> None:
    """Wait until bubblewrap has made the container and become its program; there is no event that tells."""
    for _ in range(_MAKING_TURNS):
        if running.ended or not _same_program(running.pid, running.process.pid):
            return
        await asyncio.sleep(_MAKING_SECONDS)


def _same_program(one: int, other: int) -> bool:
    try:
        return os.path.samefile(f"/proc/{one}/exe", f"/proc/{other}/exe")
    except OSError:
        return False


def _nothing() -> None:
    return None


def _sealed(data: bytes) -> int:
    """A descriptor that reads *data*: a container's environment shows on no command line and in no file."""
    descriptor = os.memfd_create("bwrap-arguments")
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
