"""Networks inside: the node's bridge, each pod's namespace behind a veth pair, and the relays that listen there."""

import asyncio
import contextlib
import ctypes
import functools
import os
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

from .channel import Refused
from .relays import CONNECT_SECONDS, DnsRelay, TcpRelay

BRIDGE = "pods"
_CLONE_NEWNET = 0x40000000


class Networks:
    """The network that this process was started in, and pods' networks by pod."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._node_network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._networks: dict[str, int] = {}
        self._links = 0
        self._servers: list[asyncio.Server | asyncio.DatagramTransport] = []

    async def make_node(self, request: dict[str, Any]) -> None:
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

    def make_pod(self, pod: str, address: str, gateway: str, services: str) -> None:
        """Make the pod's network: loopback, and eth0 with a route to the other pods and to services only."""
        if pod in self._networks:
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

    def remove_pod(self, pod: str) -> None:
        # The namespace, and the veth pair with it, goes when its last process and this descriptor are gone.
        network = self._networks.pop(pod, -1)
        if network >= 0:
            os.close(network)

    @contextlib.contextmanager
    def inside(self, pod: str) -> Iterator[None]:
        """What is started inside belongs to the pod's network. Raises Refused for a pod without one."""
        if pod not in self._networks:
            raise Refused(f"pod {pod} has no network")
        with self._inside(self._networks[pod]):
            yield

    def _enter_new_network(self) -> None:
        if self._libc.unshare(_CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "no network namespace: " + os.strerror(ctypes.get_errno()))

    def _enter_network(self, network: int) -> None:
        if self._libc.setns(network, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    @contextlib.contextmanager
    def _inside(self, network: int) -> Iterator[None]:
        """What is started inside belongs to that network; sockets that exist already keep theirs."""
        self._enter_network(network)
        try:
            yield
        finally:
            self._enter_network(self._node_network)


async def connect(address: str, port: int) -> int:
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


def _ip(*commands: str) -> None:
    """Run iproute2 once over *commands*. Raises Refused with its words."""
    done = subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(commands) + "\n", capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Refused(f"ip: {done.stderr.strip() or done.returncode}")
