"""A cache's server: a redis-server of this machine, started, watched and ended here.

It listens on a unix socket alone, which only this user can reach, and ends with the lab however the lab ends.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

from podpass.lab.redis.model import PID_FILE

START_SECONDS = 20.0
"""A large cache is read again before it answers."""
STOP_SECONDS = 10.0
_STEP_SECONDS = 0.01


class NotServing(Exception):
    """The server did not start, in its own words where it had any."""


def find_server() -> Path | None:
    """The redis-server of this machine, or of this program's environment."""
    beside = Path(sys.executable).with_name("redis-server")
    found = shutil.which("redis-server") or (str(beside) if os.access(beside, os.X_OK) else None)
    return None if found is None else Path(found)


class Server:
    """One running server."""

    def __init__(self, process: asyncio.subprocess.Process, socket: Path) -> None:
        self._process, self.socket = process, socket

    @classmethod
    async def start(cls, program: Path, configuration: str, *, directory: Path, socket: Path) -> "Server":
        """Returns when it takes connections. Raises NotServing."""
        await _end_the_one_before(directory, socket)
        _make_room(directory)
        with_the_lab = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        try:
            # The configuration is not in a file and not among the arguments, where others could read it.
            process = await asyncio.create_subprocess_exec(
                *with_the_lab,
                str(program),
                "-",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                start_new_session=True,
            )
        except OSError as error:
            raise NotServing(f"{program}: {error.strerror}") from error
        server = cls(process, socket)
        try:
            assert process.stdin is not None
            process.stdin.write(configuration.encode())
            process.stdin.close()
            async with asyncio.timeout(START_SECONDS):
                while not await _answers(socket):
                    if process.returncode is not None:
                        raise NotServing(_last_words(directory) or f"it ended with {process.returncode}")
                    await asyncio.sleep(_STEP_SECONDS)
        except BaseException as error:
            await server.stop()
            if isinstance(error, TimeoutError):
                raise NotServing(f"it took no connection within {START_SECONDS:.0f} s") from error
            raise
        return server

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None

    async def ended(self) -> None:
        await self._process.wait()

    async def stop(self) -> None:
        """It writes what is left, and ends."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


async def _end_the_one_before(directory: Path, socket: Path) -> None:
    """Wait until nobody else has the cache's files: the server of a lab that was killed may still be writing."""
    told = False
    for _ in range(int(STOP_SECONDS / _STEP_SECONDS)):
        if not await _answers(socket):
            return
        if not told:
            told = True
            with contextlib.suppress(OSError, ValueError):
                os.kill(int((directory / PID_FILE).read_text()), signal.SIGTERM)
        await asyncio.sleep(_STEP_SECONDS)
    raise NotServing(f"another server still answers on {socket}")


def _make_room(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Its log says why it did not start; what an earlier one said must not be taken for that.
    (directory / "redis.log").unlink(missing_ok=True)


async def _answers(socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return False
    writer.transport.abort()
    return True


def _last_words(directory: Path) -> str:
    """The last line of its log, without the time and the process before it."""
    with contextlib.suppress(OSError):
        lines = (directory / "redis.log").read_text(errors="replace").strip().splitlines()
        return lines[-1].partition(" # ")[2].strip() if lines else ""
    return ""
