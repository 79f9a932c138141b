"""What starts containers: the two runtimes' interface, and the choice between them."""

import asyncio
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from podpass.lab.node.addresses import FIRST, NodeNetwork
from podpass.lab.node.driver import Fabric, FabricFailed, NotStarted, make_hub, make_node, tool_path, try_container
from podpass.lab.node.images import ResolvedImage

RuntimeKind = Literal["sandbox", "plain"]


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or directory of a volume at its place in a container."""

    path: str
    source: Path
    read_only: bool
    optional: bool = False
    """Left out where it can't be shown."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the node that leads to one of the pod's."""

    protocol: str
    port: int
    pod_port: int


@dataclass(frozen=True, slots=True)
class Listening:
    """Where connections to a Service arrive, and where they go."""

    protocol: str
    address: str
    """One of the Service's own, or empty for that of every node."""
    port: int
    targets: tuple[tuple[str, int], ...]
    affinity_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class PodSandbox:
    """What the containers of a pod share."""

    uid: str
    name: str
    namespace: str
    hostname: str
    address: str
    directory: Path
    """The pod's own directory on the host, 0700."""
    hosts: str = ""
    """The text of /etc/hosts."""
    resolver: str = ""
    """The text of /etc/resolv.conf."""
    host_ports: tuple["HostPort", ...] = ()
    node: str = ""
    """The name of the node that it is on."""
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class ContainerProcess:
    """One container, resolved to what is executed."""

    container_id: str
    pod: PodSandbox
    image: ResolvedImage
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    mounts: tuple[Mount, ...] = ()
    working_directory: str = ""
    user: int | None = None
    group: int | None = None
    read_only_root: bool = False
    capabilities: tuple[str, ...] = ()
    stdin: bool = False
    stdin_once: bool = False
    """The first client that was attached takes the input with it when it leaves."""
    tty: bool = False
    beside: str = ""
    """The id of the container whose processes this one sees and is seen by; empty for none but its own."""


@dataclass(frozen=True, slots=True)
class Execution:
    """A program that was started in a running container."""

    id: str
    """To signal it by."""
    ended: asyncio.Future[int]
    """Its exit code, 128 + n for signal n; FabricFailed when the runtime was lost first."""
    terminal: int | None
    """A descriptor of our end of its terminal, the caller's to close; None where it was given descriptors."""


class CannotStart(Exception):
    """The container can't be started; the reason is a word of Kubernetes, the message says what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason, self.message = reason, message


class Runtime(Protocol):
    """Starts containers as processes. All are gone when the runtime is closed or the lab ends in any way."""

    kind: RuntimeKind
    note: str
    """What this runtime can't show, for status messages; empty when nothing is missing."""

    @property
    def lost(self) -> asyncio.Event:
        """Set when the helper process has ended: every container is gone; `start` makes a new one."""
        ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def add_node(self, node: NodeNetwork, *, metadata: Path | None = None) -> None:
        """Make a node's network, where nodes have one. Raises FabricFailed.

        *metadata* is the unix socket of the metadata service of the node's machine, which answers in that network.
        """
        ...

    async def remove_node(self, node: NodeNetwork) -> None: ...

    async def serve(self, service: str, ports: Sequence[Listening]) -> list[str]:
        """Carry connections to *service* on exactly *ports*; what could not be listened on. Raises FabricFailed."""
        ...

    async def create_pod(self, pod: PodSandbox) -> None: ...

    async def remove_pod(self, uid: str) -> None: ...

    async def run(
        self, process: ContainerProcess, output: int, errors: int, *, stdin: int | None = None
    ) -> asyncio.Future[int]:
        """Start *process* with two descriptors for what it writes. Raises CannotStart, FabricFailed.

        Without *stdin* it reads nothing. For a process with a terminal all three are the terminal.
        """
        ...

    async def signal(self, container_id: str, number: int) -> bool:
        """Signal a container's first process, or all processes of an execution; False when it has ended."""
        ...

    async def execute(
        self,
        process: ContainerProcess,
        argv: Sequence[str],
        descriptors: tuple[int, int, int] | None,
        *,
        size: tuple[int, int] | None = None,
    ) -> Execution:
        """Start *argv* beside the running *process*, as a program of the same container.

        *descriptors* become its stdin, stdout and stderr; with None it gets a terminal, of *size* columns and rows.
        Raises NotStarted, FabricFailed.
        """
        ...

    async def connect(self, address: str, port: int) -> int:
        """A descriptor of a TCP connection made where the pods' ports are. Raises FabricFailed."""
        ...

    async def dial(self, pod: str, port: int) -> int:
        """A descriptor of a TCP connection made inside the pod of that uid, to its loopback. Raises FabricFailed."""
        ...


class FabricRuntime:
    """The helper process of a runtime, which starts and ends its containers. A lost one is replaced by `start`."""

    def __init__(self, *, sandboxed: bool) -> None:
        self._sandboxed = sandboxed
        self.fabric = Fabric(sandboxed=sandboxed)
        self._starting = asyncio.Lock()
        self._started = False

    @property
    def lost(self) -> asyncio.Event:
        return self.fabric.lost

    @property
    def pid(self) -> int | None:
        return self.fabric.pid

    async def start(self) -> None:
        """Start the helper, or another one for a lost one; who comes second finds it done. Raises FabricFailed."""
        async with self._starting:
            if self._started and not self.fabric.lost.is_set():
                return
            if self.fabric.lost.is_set():
                self.fabric = Fabric(sandboxed=self._sandboxed)
            await self.fabric.start()
            await self._furnish()
            self._started = True

    async def _furnish(self) -> None:
        """Make what is to be there before any pod. Raises FabricFailed."""

    async def close(self) -> None:
        await self.fabric.close()

    async def signal(self, container_id: str, number: int) -> bool:
        """Signal a container; False when it has ended. Raises FabricFailed."""
        return await self.fabric.signal(container_id, number)

    async def execute(
        self,
        process: ContainerProcess,
        argv: Sequence[str],
        descriptors: tuple[int, int, int] | None,
        *,
        size: tuple[int, int] | None = None,
    ) -> Execution:
        """As in Runtime. Raises NotStarted, FabricFailed."""
        environment, directory = self._surroundings(process)
        if descriptors is None:
            environment.setdefault("TERM", "xterm")
        if not argv or any("\0" in text for text in argv):
            raise NotStarted("invalid argument: the command is empty or holds a NUL byte", program=True)
        name = f"exec-{secrets.token_hex(16)}"
        ended, terminal = await self.fabric.execute(
            name,
            inside=process.container_id,
            descriptors=descriptors or (),
            argv=list(argv),
            env=environment,
            cwd=directory,
            tty=descriptors is None,
            size=size,
        )
        return Execution(name, ended, terminal)

    def _surroundings(self, process: ContainerProcess) -> tuple[dict[str, str], str]:
        """The variables and the working directory of a container's programs."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Probe:
    """What this machine allows. *reason* says what stands in the way of namespaces, empty when nothing does."""

    platform: str
    bwrap: bool
    unshare: bool
    ip: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The runtime to use, and the sentence that says why."""

    kind: RuntimeKind
    why: str


def choose_runtime(probe: Probe) -> Choice:
    """The sandbox wherever it works; the sentence says why not otherwise, and what would change it."""
    if probe.platform != "linux":
        return Choice("plain", f"plain processes: {probe.platform} has no Linux namespaces")
    missing = [
        f"{tool} ({package})"
        for tool, package, present in (
            ("bwrap", "package bubblewrap", probe.bwrap),
            ("unshare", "package util-linux", probe.unshare),
            ("ip", "package iproute2", probe.ip),
        )
        if not present
    ]
    if missing:
        return Choice("plain", f"plain processes: install {', '.join(missing)} to run pods in a sandbox")
    if probe.reason:
        return Choice("plain", f"plain processes: {probe.reason}")
    return Choice("sandbox", "sandbox: each pod has its own namespaces and no way out of the lab")


async def probe() -> Probe:
    """Try what the sandbox does: namespaces without privilege, a pod's network, and bubblewrap inside it."""
    tools = {tool: shutil.which(tool, path=tool_path()) is not None for tool in ("bwrap", "unshare", "ip")}
    found = Probe(sys.platform, tools["bwrap"], tools["unshare"], tools["ip"])
    if sys.platform != "linux" or not all(tools.values()):
        return found
    return Probe(sys.platform, True, True, True, reason=await _obstacle())


async def _obstacle() -> str:
    fabric = Fabric(sandboxed=True)
    try:
        await fabric.start()
        await make_hub(fabric)
        await make_node(fabric, FIRST)
        await try_container(fabric)
    except FabricFailed as error:
        return _explained(str(error))
    finally:
        await fabric.close()
    return ""


def _explained(words: str) -> str:
    if "unshare" in words or "uid_map" in words:
        return (
            f"this machine does not let an ordinary user make namespaces ({words}); on the host look at the settings"
            " user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns, in a container at its"
            " seccomp profile"
        )
    if "mount" in words and "proc" in words:
        return f"/proc can't be mounted inside a namespace ({words}), as is usual in a container with a masked /proc"
    return words
