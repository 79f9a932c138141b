"""Networks inside: the one that joins the nodes, each node's, and each pod's behind a veth pair.

A pod has a line of its own to its node, on which nothing passes that is not of its own address. Where the pods of a
node share a segment, as kubenet's do, one that may send raw packets can pose as another.

The process itself stays in the network that joins the nodes: the relays to the lab and those of Services listen
there. What a node's pods send to other nodes, and to Services, passes through their node.
"""

import asyncio
import contextlib
import ctypes
import functools
import os
import socket
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

from .channel import Refused
from .relays import CONNECT_SECONDS, DnsRelay, TcpRelay

_CLONE_NEWNET = 0x40000000
_NODES_BRIDGE, _PODS_BRIDGE = "nodes", "pods"


class Node(NamedTuple):
    """A node's network: a descriptor of its namespace, its own address, and whether its pods share a segment."""

    network: int
    address: str
    shares_segment: bool


class Networks:
    """The network that this process was started in, nodes' by number, and pods' by pod."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._own = _this_network()
        self.nodes: dict[int, Node] = {}
        self._pods: dict[str, int] = {}
        self._links = 0
        self._servers: list[asyncio.Server | asyncio.DatagramTransport] = []
        self._metadata: dict[int, asyncio.Server] = {}

    async def make_hub(self, request: dict[str, Any]) -> None:
        """Make the network that joins the nodes: the lab's address in it, the ranges that are its own, the relays."""
        _ip(
            "link set lo up",
            f"link add {_NODES_BRIDGE} type bridge forward_delay 0",
            f"addr add {request['address']}/{request['prefix']} dev {_NODES_BRIDGE}",
            f"link set {_NODES_BRIDGE} up",
            # Every address of a Service is this network's own; where nothing listens, a connection is refused.
            *(f"route add local {found} dev lo" for found in request["local"]),
        )
        _set("ip_forward", "1")
        for address, port, target in request["relays"]:
            self._servers.append(
                await asyncio.start_server(functools.partial(TcpRelay(target).serve), address, port, backlog=256)
            )
        if request["dns"]:
            address, target = request["dns"]
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                functools.partial(DnsRelay, target), local_addr=(address, 53)
            )
            self._servers.append(transport)

    def make_node(self, request: dict[str, Any]) -> None:
        """Make a node's network: its address among the nodes, and a bridge that its pods may share."""
        number, address, hub = request["number"], request["address"], request["hub"]
        if number in self.nodes:
            return
        network = self._new_network()
        try:
            link = f"node{number}"
            _ip(
                f"link add {link} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{network}",
                f"link set {link} master {_NODES_BRIDGE} up",
            )
            with self._inside(network):
                _ip(
                    "link set lo up",
                    f"addr add {address}/{request['prefix']} dev eth0",
                    "link set eth0 up",
                    f"link add {_PODS_BRIDGE} type bridge forward_delay 0",
                    f"addr add {request['gateway']}/{request['pod_prefix']} dev {_PODS_BRIDGE}",
                    f"link set {_PODS_BRIDGE} up",
                    *(f"route add {found} via {hub}" for found in request["routes"]),
                )
                _set("ip_forward", "1")
            # The route stays when the node goes: nobody answers there then, as of any machine that is off.
            _ip(f"route replace {request['pods']} via {address}")
        except BaseException:
            os.close(network)
            raise
        self.nodes[number] = Node(network, address, request["shares_segment"])

    async def serve_metadata(self, request: dict[str, Any]) -> None:
        """Have the metadata service of a node's machine answer inside the node's network, and nowhere else.

        It is an address of the node itself. What its pods send there may be led to the node's own loopback, by rules
        that an agent on the node makes.
        """
        number, address = request["number"], request["address"]
        if number in self._metadata:
            return
        with self.inside_node(number):
            _ip(f"addr replace {address}/32 dev lo")
            _set("conf/all/route_localnet", "1")
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind((address, request["port"]))
            server = await asyncio.start_server(TcpRelay(request["target"]).serve, sock=listener, backlog=256)
        except BaseException:
            listener.close()
            raise
        self._metadata[number] = server

    def remove_node(self, number: int) -> None:
        """Its namespace goes with the last pod in it."""
        node = self.nodes.pop(number, None)
        if (server := self._metadata.pop(number, None)) is not None:
            server.close()
        if node is not None:
            with contextlib.suppress(Refused):
                _ip(f"link del node{number}")
            os.close(node.network)

    def make_pod(self, request: dict[str, Any]) -> None:
        """Make the pod's network: loopback, and eth0 with routes to other pods, nodes and Services only.

        A pod without an address of its own has its node's network.
        """
        pod, node = request["pod"], self._node(request["number"])
        if pod in self._pods:
            return
        if not request["address"]:
            self._pods[pod] = os.dup(node.network)
            return
        self._links += 1
        link = f"pod{self._links}"
        network = self._new_network()
        try:
            pair = f"link add {link} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{network}"
            address, gateway = request["address"], request["gateway"]
            with self._inside(node.network):
                if node.shares_segment:
                    _ip(pair, f"link set {link} master {_PODS_BRIDGE} up")
                else:
                    _ip(pair, f"link set {link} up", f"route add {address}/32 dev {link}")
                    # What comes in must be of the address that this line leads to.
                    _set(f"conf/{link}/rp_filter", "1")
            with self._inside(network):
                # As containerd does: a program that is not root may listen on port 80 of its own pod.
                with contextlib.suppress(OSError):
                    _set("ip_unprivileged_port_start", "0")
                _ip(
                    "link set lo up",
                    f"addr add {address}/{request['prefix'] if node.shares_segment else 32} dev eth0",
                    "link set eth0 up",
                    *(() if node.shares_segment else (f"route add {gateway} dev eth0",)),
                    *(f"route add {found} via {gateway}" for found in request["routes"]),
                )
        except BaseException:
            os.close(network)
            raise
        self._pods[pod] = network

    def remove_pod(self, pod: str) -> None:
        # The namespace, and the veth pair with it, goes when its last process and this descriptor are gone.
        network = self._pods.pop(pod, -1)
        if network >= 0:
            os.close(network)

    @contextlib.contextmanager
    def inside(self, pod: str) -> Iterator[None]:
        """What is started inside belongs to the pod's network. Raises Refused for a pod without one."""
        if pod not in self._pods:
            raise Refused(f"pod {pod} has no network")
        with self._inside(self._pods[pod]):
            yield

    async def dial(self, pod: str, port: int) -> int:
        """A connection to a port of the pod's own loopback. Raises Refused, OSError."""
        with self.inside(pod):
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        return await connect("127.0.0.1", port, connection)

    @contextlib.contextmanager
    def inside_node(self, number: int) -> Iterator[None]:
        with self._inside(self._node(number).network):
            yield

    def _node(self, number: int) -> Node:
        if number not in self.nodes:
            raise Refused(f"node {number} has no network")
        return self.nodes[number]

    def _new_network(self) -> int:
        """A descriptor of a new namespace; this process is in its own again afterwards."""
        if self._libc.unshare(_CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "no network namespace: " + os.strerror(ctypes.get_errno()))
        try:
            return _this_network()
        finally:
            self._enter(self._own)

    def _enter(self, network: int) -> None:
        if self._libc.setns(network, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    @contextlib.contextmanager
    def _inside(self, network: int) -> Iterator[None]:
        """What is made inside belongs to that network; sockets that exist already keep theirs.

        Never to be left waiting: everything else in this process would be in that network meanwhile.
        """
        self._enter(network)
        try:
            yield
        finally:
            self._enter(self._own)


async def connect(address: str, port: int, connection: socket.socket | None = None) -> int:
    """A connection to a pod's or a node's port, made in the network that joins the nodes; the lab uses it.

    *connection* is a socket that was made in another network.
    """
    connection = connection or socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(connection, (address, port))
        return connection.detach()
    except TimeoutError as error:
        raise Refused(f"no answer from {address}:{port}") from error
    finally:
        connection.close()


def _this_network() -> int:
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _set(name: str, value: str) -> None:
    """A setting of IPv4 in the network that this process is in."""
    with open(f"/proc/sys/net/ipv4/{name}", "w") as setting:
        setting.write(value)


def _ip(*commands: str) -> None:
    """Run iproute2 once over *commands*. Raises Refused with its words."""
    done = subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(commands) + "\n", capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Refused(f"ip: {done.stderr.strip() or done.returncode}")
