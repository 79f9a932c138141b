"""Start a lab as a process of its own, wait until it is ready, stop it."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from podpass.lab.control.client import Control
from podpass.lab.environment import LabPaths
from podpass.lab.lock import only_process
from podpass.problems import PodpassError

READY_WITHIN_SECONDS = 60.0
STOP_WITHIN_SECONDS = 15.0

# Labs that this process started. A lab outlives its starter on purpose, which Popen would warn of if it were forgotten.
_started: dict[int, subprocess.Popen[bytes]] = {}


def start(
    paths: LabPaths,
    *,
    home: Path,
    scenario: Path | None = None,
    runtime: str = "auto",
    api_port: int = 0,
    proxy_port: int = 0,
    kubeconfig: Path | None = None,
    context: str = "",
    nodes: int = 0,
) -> dict[str, Any]:
    """Start the lab and return its status once every endpoint answers.

    Raises PodpassError: PP102 when it already runs, otherwise whatever kept it from starting.
    """
    paths.make()
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "podpass.lab.daemon", paths.name, "--home", str(home)]
    command += ["--runtime", runtime, "--ready-fd", str(write_end)]
    command += ["--api-port", str(api_port), "--proxy-port", str(proxy_port), "--nodes", str(nodes)]
    if kubeconfig is not None:
        command += ["--kubeconfig", str(kubeconfig.absolute())]
    if context:
        command += ["--context", context]
    if scenario is not None:
        command += ["--scenario", str(scenario.absolute())]
    process: subprocess.Popen[bytes] | None = None
    try:
        with _log_of(paths) as log, _signals_held_back():
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[write_end],
                start_new_session=True,
                cwd=paths.directory,
            )
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            message = _first_line(pipe.fileno(), READY_WITHIN_SECONDS)
    except BaseException:
        if process is not None:
            _end(process)
        raise
    if message is None:
        raise PodpassError("PP104", reason=_end(process), log=paths.log)
    if "error" in message:
        process.wait()
        raise PodpassError(message["code"], message["error"], **{"log": paths.log, **message["values"]})
    _forget_ended()
    _started[process.pid] = process
    return message


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Deliver signals that would end this process only afterwards: a process that was started is then also known."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {
        number: signal.signal(number, lambda received, _frame: held.append(received))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for received in held[:1]:
            os.kill(os.getpid(), received)


def _end(process: subprocess.Popen[bytes]) -> str:
    """Leave no half-started lab behind, and say how it ended."""
    try:
        # One that closed its pipe without a word is about to be gone.
        code = process.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return f"It said nothing for {READY_WITHIN_SECONDS:.0f} s."
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return f"Its process ended {how} before it was ready."


@contextlib.contextmanager
def _log_of(paths: LabPaths) -> Iterator[int]:
    try:
        descriptor = os.open(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise PodpassError("PP105", path=paths.log, reason=error.strerror) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _first_line(descriptor: int, seconds: float) -> dict[str, Any] | None:
    """The JSON line that arrives within *seconds*, or None when none does or the process ended without one."""
    deadline = time.monotonic() + seconds
    content = b""
    while b"\n" not in content:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(descriptor, 65_536) if ready else b""
        if not chunk:
            return None
        content += chunk
    message: dict[str, Any] = json.loads(content)
    return message


def stop(paths: LabPaths) -> None:
    """Stop the lab and wait until its process has ended. Raises PodpassError PP103 when it does not run."""
    control = Control(paths)
    pid = int(control.status()["pid"])
    with _end_of(pid) as ended:
        control.stop()
        while not ended(STOP_WITHIN_SECONDS):
            # It acknowledged the stop from its own socket a moment ago, so this is certainly our process.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    _forget_ended()


@contextlib.contextmanager
def _end_of(pid: int) -> Iterator[Callable[[float], bool]]:
    """Tells whether the process ends within some seconds.

    The kernel says so where it can: a pid outlives its process until the parent has asked for the exit code, and for
    a lab that is the machine's init, which may take seconds.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield lambda seconds: _gone(pid, seconds)
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        yield lambda seconds: bool(poll.poll(seconds * 1_000))
    finally:
        os.close(descriptor)


def _gone(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _forget_ended() -> None:
    """Let go of labs that this process started and that have ended, however they did."""
    for pid, process in list(_started.items()):
        if process.poll() is not None:
            del _started[pid]


def _alive(pid: int) -> bool:
    _forget_ended()
    if pid in _started:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def delete(paths: LabPaths) -> None:
    """Remove everything the lab kept: cluster, clouds, keys, journal.

    Raises PodpassError: PP102 when the lab runs, or is about to; PP105 when the files can't be removed.
    """
    _forget_ended()
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            # Nothing to lock is nothing that runs.
            stack.enter_context(only_process(paths))
        for directory in (paths.sockets, paths.directory):
            try:
                shutil.rmtree(directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise PodpassError("PP105", path=error.filename or directory, reason=error.strerror) from error
