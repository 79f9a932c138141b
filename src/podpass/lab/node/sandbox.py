"""Pods in namespaces: own network, own processes, exact paths, nothing of the host but programs."""

import asyncio
import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from podpass.lab.node.addresses import API_ADDRESS, API_PORT, DNS_ADDRESS, DOORS, FIRST, NodeNetwork, node_of
from podpass.lab.node.driver import (
    FabricFailed,
    SetupFailed,
    make_hub,
    make_node,
    make_pod,
    serve_metadata,
    try_container,
)
from podpass.lab.node.rootfs import CA_BUNDLE, Layout, arguments, find_program, layout
from podpass.lab.node.runtime import CannotStart, ContainerProcess, FabricRuntime, Listening, PodSandbox, RuntimeKind

_USUAL_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


class SandboxRuntime(FabricRuntime):
    """One fabric, and the containers in it. Sockets that are None are not offered to pods.

    *gateway_socket* answers TLS on 443 of the gateway's address, *api_socket* is the API server, *dns_socket* speaks
    DNS with TCP's length prefix; *relays* are further addresses and ports with the socket that answers there. *hidden*
    are directories that no container may see even where an image shows their parents. *shares_segment*: the pods of a
    node are on one segment, as kubenet's are, where one can pose as another.
    """

    kind: RuntimeKind = "sandbox"
    note = ""

    def __init__(
        self,
        *,
        directory: Path,
        ca_bundle: Path,
        gateway_socket: Path | None = None,
        api_socket: Path | None = None,
        dns_socket: Path | None = None,
        relays: Iterable[tuple[str, int, Path]] = (),
        hidden: Iterable[Path] = (),
        shares_segment: bool = False,
    ) -> None:
        self._ca_bundle, self._shares_segment = ca_bundle, shares_segment
        self._relays = [
            (address, port, str(path))
            for address, port, path in (
                (DOORS, 443, gateway_socket),
                (API_ADDRESS, 443, api_socket),
                (DOORS, API_PORT, api_socket),
                (DNS_ADDRESS, 53, dns_socket),
                *relays,
            )
            if path is not None
        ]
        self._dns = "" if dns_socket is None else str(dns_socket)
        # Not Path.home(), which fails for a user without an entry; "~" then stays and hides nothing.
        self._hidden = (directory, Path(os.path.expanduser("~")), *hidden)
        self._nodes = {FIRST.number: FIRST}
        self._metadata: dict[int, Path] = {}
        self._served: dict[str, Sequence[Listening]] = {}
        super().__init__(sandboxed=True)

    async def _furnish(self) -> None:
        """Raises FabricFailed when this machine does not allow it; an empty container is tried to be sure."""
        await make_hub(self.fabric, relays=self._relays, dns=self._dns)
        # The first one always: the container that is tried belongs to it.
        for node in {FIRST.number: FIRST, **self._nodes}.values():
            await make_node(self.fabric, node, shares_segment=self._shares_segment)
            if node.number in self._metadata:
                await serve_metadata(self.fabric, node, self._metadata[node.number])
        for service, ports in self._served.items():
            await self._serve(service, ports)
        try:
            await try_container(self.fabric)
        except FabricFailed:
            await self.close()
            raise

    async def add_node(self, node: NodeNetwork, *, metadata: Path | None = None) -> None:
        if node.number not in self._nodes:
            await make_node(self.fabric, node, shares_segment=self._shares_segment)
            self._nodes[node.number] = node
        if metadata is not None:
            await serve_metadata(self.fabric, node, metadata)
            self._metadata[node.number] = metadata

    async def remove_node(self, node: NodeNetwork) -> None:
        self._metadata.pop(node.number, None)
        if self._nodes.pop(node.number, None) is not None:
            await self.fabric.request("remove-node", number=node.number)

    async def serve(self, service: str, ports: Sequence[Listening]) -> list[str]:
        if ports:
            self._served[service] = ports
        else:
            self._served.pop(service, None)
        return await self._serve(service, ports)

    async def _serve(self, service: str, ports: Sequence[Listening]) -> list[str]:
        # The API server's own Service is among the relays, which are there before any Service is.
        relayed = {(address, port) for address, port, _ in self._relays}
        wanted = [
            {
                "protocol": port.protocol,
                "address": port.address,
                "port": port.port,
                "targets": port.targets,
                "affinity": port.affinity_seconds,
            }
            for port in ports
            if (port.address, port.port) not in relayed
        ]
        answer, _ = await self.fabric.request("service", key=f"service/{service}", ports=wanted)
        return list(answer["troubles"])

    async def create_pod(self, pod: PodSandbox) -> None:
        _write_files(pod)
        node = node_of(pod.address)
        await make_pod(self.fabric, pod.uid, pod.address, metadata=node.number in self._metadata)
        if pod.host_ports and pod.address != node.address:
            ports = [
                {
                    "protocol": port.protocol,
                    "address": node.address,
                    "node": node.number,
                    "port": port.port,
                    "targets": [(pod.address, port.pod_port)],
                    "affinity": None,
                }
                for port in pod.host_ports
            ]
            await self.fabric.request("service", key=f"pod/{pod.uid}", ports=ports)

    async def remove_pod(self, uid: str) -> None:
        with contextlib.suppress(FabricFailed):
            await self.fabric.request("remove-pod", pod=uid)

    async def run(
        self, process: ContainerProcess, output: int, errors: int, *, stdin: int | None = None
    ) -> asyncio.Future[int]:
        command = bubblewrap(process, ca_bundle=self._ca_bundle, hidden=self._hidden)
        root = process.image.root
        own = {} if root is None else {"root": {"lower": str(root), "at": str(_place(process))}}
        argv = on_terminal(process, self._hidden) if process.tty else process.argv
        try:
            return await self.fabric.run(
                process.container_id,
                descriptors=(output, errors) if stdin is None else (output, errors, stdin),
                tty=process.tty,
                pod=process.pod.uid,
                bwrap=command,
                argv=list(argv),
                beside=process.beside,
                **own,
            )
        except SetupFailed as error:
            if words := str(error):
                reason = f"the root of image {process.image.reference} can't be shown: {words}"
            else:
                reason = "bubblewrap could not make the container: its words are in the container's log"
            raise CannotStart("CreateContainerError", reason) from error

    def _surroundings(self, process: ContainerProcess) -> tuple[dict[str, str], str]:
        return environment_of(process), process.working_directory or process.image.working_directory or "/"

    async def connect(self, address: str, port: int) -> int:
        """A descriptor of a TCP connection to a pod's port, made in the node's network. Raises FabricFailed."""
        _, descriptors = await self.fabric.request("connect", address=address, port=port)
        return descriptors[0]

    async def dial(self, pod: str, port: int) -> int:
        """As in Runtime. Raises FabricFailed."""
        _, descriptors = await self.fabric.request("dial", pod=pod, port=port)
        return descriptors[0]


def environment_of(process: ContainerProcess) -> dict[str, str]:
    """The variables of a container's programs."""
    return {
        "HOME": "/root",
        "HOSTNAME": process.pod.hostname,
        **({"TERM": "xterm"} if process.tty else {}),
        **dict.fromkeys(CA_VARIABLES, CA_BUNDLE),
        **process.environment,
    }


def on_terminal(process: ContainerProcess, hidden: Iterable[Path]) -> tuple[str, ...]:
    """The command in a session of its own, whose terminal is its stdin.

    bubblewrap's watching process would share the session otherwise, and ^C would end it, and the container with it.
    An image without `setsid` has a terminal that sends no signals.
    """
    made = layout(process.image.root, process.image.paths, hidden)
    setsid = find_program(made, "setsid", _USUAL_PATH, "/")
    return (setsid, "-c", *process.argv) if setsid else process.argv


def bubblewrap(process: ContainerProcess, *, ca_bundle: Path, hidden: Iterable[Path]) -> list[str]:
    """bubblewrap's arguments for one container. Raises CannotStart."""
    made = layout(process.image.root, process.image.paths, hidden)
    directory = process.pod.directory
    names, mounted = (_FILES, None) if made.root is None else (_NETWORK_FILES, _place(process) / "root")
    files = {f"/etc/{name}": directory / name for name in names}
    file_system = arguments(made, files, process.mounts, ca_bundle=ca_bundle, mounted=mounted)
    working_directory = process.working_directory or process.image.working_directory
    environment = environment_of(process)
    if any("\0" in argument for argument in process.argv):
        raise CannotStart("CreateContainerError", "invalid argument: the command holds a NUL byte")
    if find_program(made, process.argv[0], environment.get("PATH", ""), working_directory) is None:
        raise CannotStart("StartError", f'exec: "{process.argv[0]}": executable file not found in $PATH')
    # As in Kubernetes, the program is process 1: it gets the signals, and ignores those it has no handler for.
    result = [] if process.beside else ["--unshare-pid", "--as-pid-1"]
    result += [
        "--unshare-uts",
        "--unshare-ipc",
        "--unshare-cgroup-try",
        "--die-with-parent",
        "--hostname",
        process.pod.hostname,
    ]
    if process.user or process.group:
        result += ["--unshare-user", "--uid", str(process.user or 0), "--gid", str(process.group or 0)]
    result += ["--cap-drop", "ALL"]
    for capability in process.capabilities:
        result += ["--cap-add", capability]
    result += file_system
    if working_directory != "/" and _is_missing(made, working_directory):
        result += ["--dir", made.resolve(working_directory)]
    if process.read_only_root:
        result += ["--remount-ro", "/"]
    result += ["--chdir", working_directory or "/", "--clearenv"]
    for name, value in environment.items():
        result += ["--setenv", name, value]
    if any("\0" in argument for argument in result):
        # The arguments travel with NUL between them: one inside would be the start of another argument.
        raise CannotStart("CreateContainerError", "invalid argument: a variable or path holds a NUL byte")
    return result


def _place(process: ContainerProcess) -> Path:
    """Where the helper mounts the container's own root: below here, in a mount namespace that only it sees."""
    return process.pod.directory / "roots" / process.container_id


def _is_missing(made: Layout, directory: str) -> bool:
    source = made.source(made.resolve(directory))
    return source is None or (made.root is not None and not source.exists())


_NETWORK_FILES = ("hosts", "hostname", "resolv.conf")
_FILES = (*_NETWORK_FILES, "passwd", "group", "nsswitch.conf")


def files(pod: PodSandbox) -> Mapping[str, str]:
    """The pod's files below /etc, by name."""
    return {
        "hosts": pod.hosts,
        "hostname": pod.hostname + "\n",
        "resolv.conf": pod.resolver,
        "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
        "group": "root:x:0:\nnogroup:x:65534:\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    }


def _write_files(pod: PodSandbox) -> None:
    pod.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in files(pod).items():
        temporary = pod.directory / f".{name}.new"
        temporary.write_text(text)
        os.replace(temporary, pod.directory / name)
