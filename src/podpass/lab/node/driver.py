"""The lab's side of the fabric: starts the helper process and speaks its protocol."""

import array
import asyncio
import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from podpass.lab.node.addresses import (
    CLOUDS_RANGE,
    DNS_ADDRESS,
    DOORS,
    FIRST,
    METADATA_ADDRESS,
    METADATA_PORT,
    NODES_PREFIX,
    NODES_RANGE,
    POD_PREFIX,
    PODS_RANGE,
    SERVICES_RANGE,
    NodeNetwork,
    node_of,
)

_log = structlog.get_logger(__name__)

SCRIPT = Path(__file__).with_name("fabric")
START_SECONDS = 15.0
STOP_SECONDS = 3.0
_CHUNK = 65536
_NAMESPACES = (
    "unshare",
    "--user",
    "--map-root-user",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
)


class FabricFailed(Exception):
    """The helper process could not start, refused a request, or has ended."""


class SetupFailed(FabricFailed):
    """The sandbox around a container could not be made; without a text the tool's words are in what it wrote."""


class NotStarted(Exception):
    """A program could not be started in a container. *program*: it is at fault itself, not the way to it."""

    def __init__(self, message: str, *, program: bool) -> None:
        super().__init__(message)
        self.program = program


class Fabric:
    """One helper process and the containers it runs."""

    def __init__(self, *, sandboxed: bool) -> None:
        self._sandboxed = sandboxed
        self._containers: dict[str, asyncio.Future[int]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._connection: socket.socket | None = None
        self._buffer = b""
        self._descriptors: list[int] = []
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._ready: asyncio.Future[None] | None = None
        self._writing = asyncio.Lock()
        self.lost = asyncio.Event()
        """Set once the helper has ended, for whatever reason."""

    @property
    def pid(self) -> int | None:
        """The process that was started: `unshare` around the helper in the sandbox, else the helper itself."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Raises FabricFailed with the words of whichever tool refused."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        self._connection = ours
        self._ready = asyncio.get_running_loop().create_future()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command(theirs.fileno(), sandboxed=self._sandboxed),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                env={"PATH": tool_path()},
                start_new_session=True,
            )
        except OSError as error:
            self._close_connection()
            raise FabricFailed(f"{error.filename or 'the helper'}: {error.strerror}") from error
        finally:
            theirs.close()
        asyncio.get_running_loop().add_reader(ours, self._readable)
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._ready
        except (TimeoutError, FabricFailed) as error:
            words = await self._last_words()
            await self.close()
            raise FabricFailed(words or "the helper process did not start") from error

    async def request(
        self, operation: str, /, *, descriptors: Sequence[int] = (), **arguments: Any
    ) -> tuple[dict[str, Any], list[int]]:
        """Ask for *operation*; its result and the descriptors that came with it. Raises FabricFailed."""
        connection = self._connection
        if connection is None or self.lost.is_set():
            raise FabricFailed("the helper process has ended")
        number = next(self._numbers)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[dict[str, Any], list[int]]] = loop.create_future()
        message = {"id": number, "op": operation, "fds": len(descriptors), **arguments}
        data = json.dumps(message).encode() + b"\n"
        self._waiting[number] = answer
        try:
            async with self._writing:
                if descriptors:
                    data = data[_send_first(connection, data, descriptors) :]
                await loop.sock_sendall(connection, data)
            return await answer
        except OSError as error:
            raise FabricFailed(f"the helper process has ended: {error}") from error
        finally:
            self._waiting.pop(number, None)

    async def run(self, container: str, /, *, descriptors: Sequence[int], **arguments: Any) -> asyncio.Future[int]:
        """Start a container; the future is its exit code, 128 + n for signal n.

        The future raises FabricFailed when the helper ends first. Raises FabricFailed when the start is refused,
        SetupFailed when the program could not be reached.
        """
        ended = self._expect(container)
        try:
            result, _ = await self.request("start", descriptors=descriptors, container=container, **arguments)
        except BaseException:
            self._containers.pop(container, None)
            raise
        if error := result.get("error"):
            self._containers.pop(container, None)
            raise SetupFailed(error)
        if not result["started"]:
            await asyncio.wait([ended])
            raise SetupFailed
        return ended

    def _expect(self, container: str) -> asyncio.Future[int]:
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        # Nobody may be waiting when the helper is lost.
        ended.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._containers[container] = ended
        return ended

    async def execute(
        self, name: str, /, *, inside: str, descriptors: Sequence[int] = (), **arguments: Any
    ) -> tuple[asyncio.Future[int], int | None]:
        """Start a program in the running container *inside*: its exit code to come, and its terminal if it has one.

        Under *name* it is signalled as containers are. Raises NotStarted, FabricFailed.
        """
        ended = self._expect(name)
        try:
            result, terminal = await self.request(
                "exec", descriptors=descriptors, container=name, inside=inside, **arguments
            )
            if not result["started"]:
                raise NotStarted(result["error"], program=result["program"])
        except BaseException:
            self._containers.pop(name, None)
            raise
        return ended, terminal[0] if terminal else None

    async def signal(self, container: str, number: int) -> bool:
        """Signal a container; False when it has ended. Raises FabricFailed."""
        if container not in self._containers:
            return False
        result, _ = await self.request("signal", container=container, signal=number)
        return bool(result["delivered"])

    async def close(self) -> None:
        """End the helper, and with it everything it started."""
        self._close_connection()
        process = self._process
        if process is None or process.returncode is not None:
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _readable(self) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            data, ancillary, _, _ = connection.recvmsg(_CHUNK, socket.CMSG_SPACE(16 * 4))
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                arrived = array.array("i")
                arrived.frombytes(content[: len(content) - len(content) % arrived.itemsize])
                self._descriptors.extend(arrived)
        if not data:
            self._close_connection()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._heard(json.loads(line))

    def _heard(self, message: dict[str, Any]) -> None:
        if "exit" in message:
            ended = self._containers.pop(message["exit"], None)
            if ended is not None and not ended.done():
                ended.set_result(message["code"])
            return
        if "trouble" in message:
            _log.warning("node.helper.failed", trouble=message["trouble"])
            return
        if "ready" in message:
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
            return
        count = message.get("fds", 0)
        descriptors, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        answer = self._waiting.get(message["id"])
        if answer is None or answer.done():
            for descriptor in descriptors:
                os.close(descriptor)
        elif "error" in message:
            answer.set_exception(FabricFailed(message["error"]))
        else:
            answer.set_result((message["ok"], descriptors))

    def _close_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        asyncio.get_running_loop().remove_reader(connection)
        connection.close()
        gone = FabricFailed("the helper process has ended")
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(gone)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(gone)
        for ended in self._containers.values():
            if not ended.done():
                ended.set_exception(gone)
        self._containers.clear()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []
        self.lost.set()

    async def _last_words(self) -> str:
        process = self._process
        if process is None or process.stderr is None:
            return ""
        try:
            async with asyncio.timeout(1.0):
                words = await process.stderr.read()
        except TimeoutError:
            return ""
        return words.decode("utf-8", "replace").strip().splitlines()[-1] if words.strip() else ""


# Every option that containers use and an old bubblewrap may lack.
_EMPTY_CONTAINER = (
    *("--unshare-pid", "--unshare-uts", "--unshare-ipc", "--as-pid-1", "--die-with-parent", "--cap-drop", "ALL"),
    *("--ro-bind", "/", "/", "--tmpfs", "/tmp", "--perms", "0755", "--dir", "/tmp/try"),  # noqa: S108
    *("--proc", "/proc", "--dev", "/dev", "--clearenv"),
)


async def make_hub(fabric: Fabric, *, relays: Sequence[tuple[str, int, str]] = (), dns: str = "") -> None:
    """Make the network that joins the nodes. Raises FabricFailed.

    *relays* are addresses and ports in it with the unix socket that answers there, *dns* the socket of the resolver.
    """
    await fabric.request(
        "hub",
        address=DOORS,
        prefix=NODES_PREFIX,
        local=[SERVICES_RANGE, CLOUDS_RANGE],
        relays=relays,
        dns=[DNS_ADDRESS, dns] if dns else None,
    )


async def make_node(fabric: Fabric, node: NodeNetwork, *, shares_segment: bool = False) -> None:
    """Make a node's network, in which pods are kept apart unless they share a segment. Raises FabricFailed."""
    await fabric.request(
        "node",
        number=node.number,
        address=node.address,
        prefix=NODES_PREFIX,
        gateway=node.gateway,
        pods=node.pods_range,
        pod_prefix=POD_PREFIX,
        hub=DOORS,
        routes=[PODS_RANGE, SERVICES_RANGE],
        shares_segment=shares_segment,
    )


async def serve_metadata(fabric: Fabric, node: NodeNetwork, target: Path) -> None:
    """Have the metadata service that answers on the unix socket *target* answer in the node's network.

    Raises FabricFailed.
    """
    await fabric.request(
        "metadata", number=node.number, address=METADATA_ADDRESS, port=METADATA_PORT, target=str(target)
    )


async def make_pod(fabric: Fabric, pod: str, address: str, *, metadata: bool = False) -> None:
    """Make a pod's network, which leads to the other pods, to the nodes and to Services. Raises FabricFailed.

    With the address of its node, it has the node's network. *metadata* says whether it leads to the metadata service
    of the node's machine as well.
    """
    node = node_of(address)
    await fabric.request(
        "pod",
        pod=pod,
        number=node.number,
        address="" if address == node.address else address,
        prefix=POD_PREFIX,
        gateway=node.gateway,
        routes=[PODS_RANGE, SERVICES_RANGE, NODES_RANGE, *([METADATA_ADDRESS] if metadata else ())],
    )


async def try_container(fabric: Fabric) -> None:
    """Start an empty container in a pod of its own. Raises FabricFailed with the words of what stood in the way."""
    if shutil.which("bwrap", path=tool_path()) is None:
        raise FabricFailed("bwrap is not installed")
    reading, writing = os.pipe()
    try:
        await make_pod(fabric, "try", FIRST.tried_first)
        async with asyncio.timeout(START_SECONDS):
            ended = await fabric.run(
                "try",
                descriptors=(writing, writing),
                pod="try",
                bwrap=list(_EMPTY_CONTAINER),
                tty=False,
                beside="",
                argv=["/bin/sh", "-c", "exit 0"],
            )
            code = await ended
        if code != 0:
            raise FabricFailed(f"bwrap: exit code {code}")
        await fabric.request("remove-pod", pod="try")
    except SetupFailed as error:
        words = os.read(reading, 4096).decode("utf-8", "replace").strip().partition("\n")[0]
        raise FabricFailed(words or str(error)) from error
    except TimeoutError as error:
        raise FabricFailed("an empty container did not end in time") from error
    finally:
        os.close(reading)
        os.close(writing)


def command(descriptor: int, *, sandboxed: bool) -> list[str]:
    """The command line of the helper, which inherits its socket as *descriptor*."""
    helper = [sys.executable, "-I", "-S", str(SCRIPT), str(descriptor), "sandbox" if sandboxed else "plain"]
    parent_death = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    return [*parent_death, *_NAMESPACES, *helper] if sandboxed else helper


def tool_path() -> str:
    """Where the tools of the sandbox are looked for."""
    # iproute2 lives in sbin, which an ordinary user's PATH often lacks.
    return os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin:/sbin:/usr/bin:/bin"


def _send_first(connection: socket.socket, data: bytes, descriptors: Sequence[int]) -> int:
    """Send *descriptors* with the first bytes of *data*; how many bytes went."""
    while True:
        try:
            return socket.send_fds(connection, [data], list(descriptors))
        except BlockingIOError:
            # The helper reads all the time; its buffer is full for microseconds.
            connection.setblocking(True)
            try:
                return socket.send_fds(connection, [data], list(descriptors))
            finally:
                connection.setblocking(False)
