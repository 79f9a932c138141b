"""What carries connections to Services: from an address and a port of a Service to one of the pods behind it.

A relay in this process rather than rules of the kernel: neither iptables nor nft need be there, and no module of
the kernel. What a pod sees as its peer is the lab's address, as behind a load balancer that is a proxy.
"""

import asyncio
import contextlib
import socket
import time
from typing import Any, cast

from .channel import Refused
from .networks import Networks
from .relays import CONNECT_SECONDS, carry

MOST_CONNECTIONS = 1024
MOST_CLIENTS = 4096
MOST_FLOWS = 256
FLOW_SECONDS = 60.0
ATTEMPTS = 3
HUB = -1
"""In the place of a node's number: the network that joins the nodes."""

Target = tuple[str, int]
Place = tuple[int, str, str, int]
"""Network, protocol, address and port to listen on."""


class Balancer:
    """Whose turn it is: the targets one after the other, or for each client always the same."""

    def __init__(self, targets: list[Target], affinity_seconds: float | None) -> None:
        self._turn = 0
        self._clients: dict[str, tuple[Target, float]] = {}
        self.change(targets, affinity_seconds)

    def change(self, targets: list[Target], affinity_seconds: float | None) -> None:
        self._targets, self._affinity = targets, affinity_seconds

    def choices(self, client: str) -> list[Target]:
        """Where to try, the first one first."""
        if not self._targets:
            return []
        self._turn += 1
        start = self._turn % len(self._targets)
        found = [*self._targets[start:], *self._targets[:start]][:ATTEMPTS]
        if self._affinity is not None:
            target, until = self._clients.get(client, (found[0], 0.0))
            if target in self._targets and time.monotonic() < until:
                found = [target, *(each for each in found if each != target)]
        return found

    def took(self, client: str, target: Target) -> None:
        if self._affinity is None:
            return
        self._clients.pop(client, None)
        if len(self._clients) >= MOST_CLIENTS:
            del self._clients[next(iter(self._clients))]
        self._clients[client] = (target, time.monotonic() + self._affinity)


class TcpService:
    """A listening socket and the connections that came through it."""

    def __init__(self, balancer: Balancer) -> None:
        self.balancer = balancer
        self._open = 0
        self._server: asyncio.Server | None = None

    async def listen(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(self._serve, sock=listener, backlog=256)

    def close(self) -> None:
        # Connections that are open go on, as they do when kube-proxy changes its rules.
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._open += 1
        try:
            peer = writer.get_extra_info("peername")
            for target in self.balancer.choices(peer[0] if peer else ""):
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        found = await asyncio.open_connection(*target)
                except (OSError, TimeoutError):
                    continue
                self.balancer.took(peer[0] if peer else "", target)
                await carry((reader, writer), found)
                break
        finally:
            writer.transport.abort()
            self._open -= 1


class UdpService(asyncio.DatagramProtocol):
    """A socket, and for each client a flow to the target that got its first datagram."""

    def __init__(self, balancer: Balancer) -> None:
        self.balancer = balancer
        self._transport: asyncio.DatagramTransport | None = None
        self._flows: dict[Any, UdpFlow] = {}

    async def listen(self, listener: socket.socket) -> None:
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=listener)

    def close(self) -> None:
        for flow in list(self._flows.values()):
            flow.close()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, client: Any) -> None:
        flow = self._flows.get(client)
        if flow is None or not flow.usable():
            if len(self._flows) >= MOST_FLOWS:
                next(iter(self._flows.values())).close()
            choices = self.balancer.choices(client[0])
            if not choices:
                return
            self.balancer.took(client[0], choices[0])
            flow = self._flows[client] = UdpFlow(self, client, choices[0])
        flow.send(data)

    def answer(self, data: bytes, client: Any) -> None:
        if self._transport is not None:
            self._transport.sendto(data, client)

    def forget(self, client: Any) -> None:
        self._flows.pop(client, None)


class UdpFlow:
    """What one client and one target say to each other; over when neither has spoken for a while."""

    def __init__(self, service: UdpService, client: Any, target: Target) -> None:
        self._service, self._client = service, client
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(target)
        self._loop.add_reader(self._socket, self._readable)
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(FLOW_SECONDS, self._look)

    def usable(self) -> bool:
        return self._socket.fileno() >= 0

    def send(self, data: bytes) -> None:
        self._heard = self._loop.time()
        with contextlib.suppress(OSError):
            self._socket.send(data)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(65_535)
        except BlockingIOError:
            return
        except OSError:
            # Nobody listens there; the next datagram tries another target.
            self.close()
            return
        self._heard = self._loop.time()
        self._service.answer(data, self._client)

    def _look(self) -> None:
        left = self._heard + FLOW_SECONDS - self._loop.time()
        if left <= 0:
            self.close()
        else:
            self._timer = self._loop.call_later(left, self._look)

    def close(self) -> None:
        if self.usable():
            self._timer.cancel()
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._service.forget(self._client)


class Services:
    """The relays of every Service, by where they listen. A key stands for what one Service, or one pod, wants."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._wanted: dict[str, list[dict[str, Any]]] = {}
        self._open: dict[str, dict[Place, TcpService | UdpService]] = {}

    async def put(self, key: str, ports: list[dict[str, Any]]) -> list[str]:
        """Listen for *key* on exactly *ports*; what could not be listened on is told, and the rest works.

        A port has protocol, address, port, targets, affinity; an empty address means that of every node.
        """
        self._wanted[key] = ports
        if not ports:
            del self._wanted[key]
        places = {place: port for port in ports for place in self._places(port)}
        present = self._open.setdefault(key, {})
        for place in [place for place in present if place not in places]:
            present.pop(place).close()
        troubles = []
        for place, port in places.items():
            targets = [(address, number) for address, number in port["targets"]]
            if (known := present.get(place)) is not None:
                known.balancer.change(targets, port["affinity"])
                continue
            try:
                present[place] = await self._listen(place, Balancer(targets, port["affinity"]))
            except OSError as error:
                troubles.append(f"{place[2]}:{place[3]}: {error.strerror or error}")
        if not present:
            del self._open[key]
        return troubles

    async def node_changed(self) -> None:
        """A node came or went: what listens on every node follows."""
        for key, ports in list(self._wanted.items()):
            if any(not port["address"] for port in ports):
                await self.put(key, ports)

    def _places(self, port: dict[str, Any]) -> list[Place]:
        protocol, number = port["protocol"], port["port"]
        if port["address"]:
            return [(port.get("node", HUB), protocol, port["address"], number)]
        return [(node, protocol, found.address, number) for node, found in self._networks.nodes.items()]

    async def _listen(self, place: Place, balancer: Balancer) -> TcpService | UdpService:
        network, protocol, address, port = place
        if protocol not in ("TCP", "UDP"):
            raise Refused(f"{protocol} is not carried")
        with self._networks.inside_node(network) if network != HUB else contextlib.nullcontext():
            kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
            listener = socket.socket(socket.AF_INET, kind)
        try:
            listener.setblocking(False)
            if protocol == "TCP":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            service = TcpService(balancer) if protocol == "TCP" else UdpService(balancer)
            await service.listen(listener)
        except BaseException:
            listener.close()
            raise
        return service
