"""The process that every pod's processes live below: pod networks, relays to the lab, starting and signalling.

It runs as a script of its own (`python -I -S fabric.py FD sandbox|plain`), so it imports the standard library and
nothing else: with the lab's packages its start would take several times as long. In the sandbox it is process 1 of
a user, mount, network and pid namespace; when it ends, the kernel ends every container with it. It ends as soon as
the lab's side of the socket closes, however the lab ended.

The protocol is one JSON object a line on the inherited socket, with file descriptors beside it where a message says
`"fds": n`. Requests carry `id` and `op`; answers the same `id` with `ok` or `error`; `exit` and `trouble` are notices.
"""

import array
import asyncio
import contextlib
import ctypes
import functools
import importlib.util
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any, cast

BRIDGE = "pods"
MAX_CONNECTIONS = 512
MAX_DNS_IN_FLIGHT = 128
MAX_DATAGRAM = 4096
MAX_MESSAGE = 16 * 1024 * 1024
CONNECT_SECONDS = 10.0
DNS_SECONDS = 5.0
_MAKING_SECONDS, _MAKING_TURNS = 0.002, 1000
_CHUNK = 65536
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1


class Refused(Exception):
    """The request can't be done; the text goes back to the lab."""


class Fabric:
    """State of one helper process: pod networks by pod, running containers by id."""

    def __init__(self, channel: "Channel", *, sandboxed: bool) -> None:
        self._channel = channel
        self._sandboxed = sandboxed
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._node_network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC) if sandboxed else -1
        self._networks: dict[str, int] = {}
        self._links = 0
        self._running: dict[int, Running] = {}
        self._by_container: dict[str, Running] = {}
        self._servers: list[asyncio.Server | asyncio.DatagramTransport] = []

    async def handle(self, request: dict[str, Any], descriptors: list[int]) -> tuple[dict[str, Any], list[int]]:
        """Do one request. Raises Refused, OSError."""
        match request["op"]:
            case "node":
                await self._node(request)
            case "pod":
                self._pod(request["pod"], request["address"], request["gateway"], request["services"])
            case "remove-pod":
                self._remove_pod(request["pod"])
            case "start":
                return {"started": await self._start(request, descriptors)}, []
            case "exec":
                return await self._exec(request, descriptors)
            case "signal":
                return {"delivered": self._signal(request["container"], request["signal"])}, []
            case "connect":
                return {}, [await _connect(request["address"], request["port"])]
            case other:
                raise Refused(f"unknown operation {other!r}")
        return {}, []

    async def _node(self, request: dict[str, Any]) -> None:
        """Make the node's network: a bridge with the gateway's address, the API's address, and the relays."""
        gateway, prefix, services_address = request["gateway"], request["prefix"], request["api_address"]
        _ip(
            "link set lo up",
            f"link add {BRIDGE} type bridge forward_delay 0",
            f"addr add {gateway}/{prefix} dev {BRIDGE}",
            f"addr add {services_address}/32 dev {BRIDGE}",
            f"link set {BRIDGE} up",
        )
        for address, port, target in request["relays"]:
            self._servers.append(
                await asyncio.start_server(functools.partial(TcpRelay(target).serve), address, port, backlog=256)
            )
        if request["dns"]:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                functools.partial(DnsRelay, request["dns"]), local_addr=(gateway, 53)
            )
            self._servers.append(transport)

    def _pod(self, pod: str, address: str, gateway: str, services: str) -> None:
        """Make the pod's network: loopback, and eth0 with a route to the other pods and to services only."""
        if not self._sandboxed or pod in self._networks:
            return
        self._links += 1
        link = f"pod{self._links}"
        self._enter_new_network()
        try:
            network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            # As containerd does: a program that is not root may listen on port 80 of its own pod.
            with (
                contextlib.suppress(OSError),
                open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w") as setting,
            ):
                setting.write("0")
        finally:
            self._enter_network(self._node_network)
        try:
            _ip(
                f"link add {link} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{network}",
                f"link set {link} master {BRIDGE} up",
            )
            with self._inside(network):
                _ip(
                    "link set lo up",
                    f"addr add {address} dev eth0",
                    "link set eth0 up",
                    f"route add {services} via {gateway}",
                )
        except BaseException:
            os.close(network)
            raise
        self._networks[pod] = network

    def _remove_pod(self, pod: str) -> None:
        # The namespace, and the veth pair with it, goes when its last process and this descriptor are gone.
        network = self._networks.pop(pod, -1)
        if network >= 0:
            os.close(network)

    async def _start(self, request: dict[str, Any], descriptors: list[int]) -> bool:
        """Start a container; False when bubblewrap failed before the container's first process."""
        output, errors = descriptors
        container, pod = request["container"], request["pod"]
        if container in self._by_container:
            raise Refused(f"container {container} runs already")
        if not self._sandboxed:
            process = self._spawn(request, output, errors)
            self._record(container, process, group=True)
            return True
        if pod not in self._networks:
            raise Refused(f"pod {pod} has no network")
        process, information = self._spawn_sandboxed(request, output, errors)
        running = self._record(container, process, group=False)
        inner = await _child_pid(information)
        if inner is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            running.pidfd = os.pidfd_open(inner)
            running.pid = inner
        return True

    async def _exec(self, request: dict[str, Any], descriptors: list[int]) -> tuple[dict[str, Any], list[int]]:
        """Start another program in a running container, on the descriptors given or on a terminal of its own.

        It counts as a container of its own name: it is signalled and its end is told in the same way.
        """
        entering = _entering()
        name, argv = request["container"], request["argv"]
        running = self._by_container.get(request["inside"])
        if running is not None and self._sandboxed:
            await _made(running)
        if running is None or running.ended or (self._sandboxed and running.pidfd < 0):
            return {"started": False, "program": False, "error": "the container is not running"}, []
        if name in self._by_container:
            raise Refused(f"{name} runs already")
        ours = theirs = -1
        if request["tty"]:
            ours, theirs = entering.open_terminal(running.pid if self._sandboxed else None)
            if size := request["size"]:
                entering.set_size(ours, *size)
        try:
            process = entering.start(
                argv,
                (theirs, theirs, theirs) if request["tty"] else (descriptors[0], descriptors[1], descriptors[2]),
                request["env"],
                request["cwd"],
                controlling=request["tty"],
                container=(running.pid, running.pidfd) if self._sandboxed else None,
                first=_nothing if self._sandboxed else self._die_with_fabric,
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

    def _spawn(self, request: dict[str, Any], output: int, errors: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            request["argv"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=request["env"],
            cwd=request["cwd"],
            start_new_session=True,
            # This process has one thread, so running Python between fork and exec is safe here.
            preexec_fn=self._die_with_fabric,  # noqa: PLW1509
        )

    def _spawn_sandboxed(
        self, request: dict[str, Any], output: int, errors: int
    ) -> tuple["subprocess.Popen[bytes]", int]:
        """bubblewrap in the pod's network, and the descriptor on which it tells the pid of the container."""
        arguments = _sealed(b"".join(os.fsencode(argument) + b"\0" for argument in request["bwrap"]))
        reading, writing = os.pipe()
        try:
            with self._inside(self._networks[request["pod"]]):
                process = subprocess.Popen(
                    ["bwrap", "--args", str(arguments), "--info-fd", str(writing), "--", *request["argv"]],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    env={"PATH": os.environ.get("PATH", os.defpath)},
                    pass_fds=(arguments, writing),
                    start_new_session=True,
                )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(arguments)
            os.close(writing)
        return process, reading

    def _record(self, container: str, process: "subprocess.Popen[bytes]", *, group: bool) -> "Running":
        running = Running(container, process, group)
        self._running[process.pid] = running
        self._by_container[container] = running
        return running

    def _signal(self, container: str, number: int) -> bool:
        """Signal a container's first process; False when it has ended."""
        running = self._by_container.get(container)
        if running is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            if running.group:
                # As in Kubernetes, only the first process is asked to end; killing means all of them.
                (os.killpg if number == signal.SIGKILL else os.kill)(running.process.pid, number)
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
            if running.group and not running.inside:
                # What a shell left behind in its group goes with it, as it does with a pid namespace.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                for other in list(self._running.values()):
                    if other.inside == running.container:
                        self._signal(other.container, signal.SIGKILL)
            code = running.process.returncode
            self._channel.send({"exit": running.container, "code": code if code >= 0 else 128 - code})

    def kill_everything(self) -> None:
        for running in list(self._running.values()):
            self._signal(running.container, signal.SIGKILL)

    def _die_with_fabric(self) -> None:
        if self._libc is not None:
            self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def _enter_new_network(self) -> None:
        assert self._libc is not None
        if self._libc.unshare(_CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "no network namespace: " + os.strerror(ctypes.get_errno()))

    def _enter_network(self, network: int) -> None:
        assert self._libc is not None
        if self._libc.setns(network, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    @contextlib.contextmanager
    def _inside(self, network: int) -> Any:
        """What is started inside belongs to that network; sockets that exist already keep theirs."""
        self._enter_network(network)
        try:
            yield
        finally:
            self._enter_network(self._node_network)


class Running:
    """A started container, or a program that was started *inside* one.

    *group*: its process group is what gets signalled, for want of a first process that ends the others with it.
    """

    __slots__ = ("container", "ended", "group", "inside", "pid", "pidfd", "process")

    def __init__(self, container: str, process: "subprocess.Popen[bytes]", group: bool) -> None:
        self.container, self.process, self.group, self.pidfd = container, process, group, -1
        self.inside = ""
        self.ended = False
        self.pid = process.pid
        """Of its first process; in a sandbox the one inside."""


class Channel:
    """Lines of JSON with descriptors beside them, over the inherited socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.setblocking(True)
        self._buffer = b""
        self._descriptors: list[int] = []

    def send(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        # Blocking on purpose: answers are small, and a lab that reads nothing is not waited on by anyone else.
        data = json.dumps(message).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if descriptors:
                sent = socket.send_fds(self._connection, [data], descriptors)
                data = data[sent:]
            if data:
                self._connection.sendall(data)

    def receive(self) -> list[tuple[dict[str, Any], list[int]]] | None:
        """The messages that have arrived whole; None when the lab is gone. Call when the socket is readable."""
        try:
            data, ancillary, _, _ = self._connection.recvmsg(_CHUNK, socket.CMSG_SPACE(16 * 4))
        except ConnectionResetError:
            return None
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                arrived = array.array("i")
                arrived.frombytes(content[: len(content) - len(content) % arrived.itemsize])
                for descriptor in arrived:
                    os.set_inheritable(descriptor, False)
                self._descriptors.extend(arrived)
        if not data:
            return None
        self._buffer += data
        if len(self._buffer) > MAX_MESSAGE:
            return None
        *lines, self._buffer = self._buffer.split(b"\n")
        messages = []
        for line in lines:
            message = json.loads(line)
            count = message.get("fds", 0)
            taken, self._descriptors = self._descriptors[:count], self._descriptors[count:]
            messages.append((message, taken))
        return messages


class TcpRelay:
    """Carries connections made inside the node's network to a unix socket of the lab."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open += 1
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                lab_reader, lab_writer = await asyncio.open_unix_connection(self._target)
        except (OSError, TimeoutError):
            writer.transport.abort()
            self._open -= 1
            return
        try:
            await asyncio.gather(_pump(reader, lab_writer), _pump(lab_reader, writer))
        finally:
            writer.transport.abort()
            lab_writer.transport.abort()
            self._open -= 1


class DnsRelay(asyncio.DatagramProtocol):
    """Carries DNS over UDP to the lab, which speaks DNS over TCP's length-prefixed framing."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # In Python 3.11 the loop's own class is no DatagramTransport.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: Any) -> None:
        if len(data) > MAX_DATAGRAM or len(self._tasks) >= MAX_DNS_IN_FLIGHT:
            return
        task = asyncio.get_running_loop().create_task(self._answer(data, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, query: bytes, address: Any) -> None:
        try:
            async with asyncio.timeout(DNS_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._target)
                try:
                    writer.write(struct.pack(">H", len(query)) + query)
                    (length,) = struct.unpack(">H", await reader.readexactly(2))
                    answer = await reader.readexactly(length)
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return  # The resolver asks again.
        if self._transport is not None:
            self._transport.sendto(answer, address)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except (ConnectionError, TimeoutError, OSError):
        writer.transport.abort()


async def _connect(address: str, port: int) -> int:
    """A connection to a pod's port, made in the node's network; the lab uses it from outside."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(connection, (address, port))
        return connection.detach()
    except TimeoutError as error:
        raise Refused(f"no answer from {address}:{port}") from error
    finally:
        connection.close()


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


@functools.cache
def _entering() -> Any:
    """The neighbouring module, found by its file: isolated, this process has no package of ours."""
    specification = importlib.util.spec_from_file_location(
        "entering", os.path.join(os.path.dirname(os.path.abspath(__file__)), "entering.py")
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # Dataclasses look their module up.
    sys.modules["entering"] = module
    specification.loader.exec_module(module)
    return module


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


def _ip(*commands: str) -> None:
    """Run iproute2 once over *commands*. Raises Refused with its words."""
    done = subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(commands) + "\n", capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Refused(f"ip: {done.stderr.strip() or done.returncode}")


async def serve(connection: socket.socket, *, sandboxed: bool) -> None:
    """Answer requests until the lab's side closes."""
    loop = asyncio.get_running_loop()
    channel = Channel(connection)
    fabric = Fabric(channel, sandboxed=sandboxed)
    gone = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    async def answer(request: dict[str, Any], descriptors: list[int]) -> None:
        answer_descriptors: list[int] = []
        try:
            result, answer_descriptors = await fabric.handle(request, descriptors)
            reply = {"id": request["id"], "ok": result, "fds": len(answer_descriptors)}
        except (Refused, OSError, KeyError, ValueError) as error:
            reply = {"id": request["id"], "error": str(error) or type(error).__name__}
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        channel.send(reply, answer_descriptors)
        for descriptor in answer_descriptors:
            os.close(descriptor)

    def readable() -> None:
        messages = channel.receive()
        if messages is None:
            loop.remove_reader(connection)
            gone.set()
            return
        for request, descriptors in messages:
            task = loop.create_task(answer(request, descriptors))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        channel.send({"trouble": f"{context.get('message')}: {context.get('exception')!r}"})

    loop.set_exception_handler(tell)
    # From here on the lab hears of trouble through the channel; nobody reads this process's stderr any more.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    loop.add_signal_handler(signal.SIGCHLD, fabric.reap)
    loop.add_signal_handler(signal.SIGTERM, gone.set)
    loop.add_reader(connection, readable)
    channel.send({"ready": True})
    await gone.wait()
    fabric.kill_everything()


def main(arguments: list[str]) -> None:
    descriptor, mode = arguments
    connection = socket.socket(fileno=int(descriptor))
    connection.set_inheritable(False)
    run: Callable[[Awaitable[None]], None] = asyncio.run  # type: ignore[assignment]
    run(serve(connection, sandboxed=mode == "sandbox"))
    # Relays may still be open, and nothing is left to tidy: the kernel ends the namespaces with this process.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
