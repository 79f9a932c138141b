"""The sockets of a lab: loopback ports that stay the same over restarts, and unix sockets for its namespaces."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from podpass.lab.environment import LabPaths
from podpass.lab.redis.model import pod_relays
from podpass.lab.remembered import Remembered
from podpass.problems import PodpassError
from podpass.serving.server import PortInUse, bind_tcp, bind_unix

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ClusterListeners:
    """Those of one embedded cluster. Each is bound and listens; whoever serves it closes it.

    Those named `…_socket` and `control` are unix sockets.
    """

    api: socket.socket
    webhook: socket.socket
    webhook_health: socket.socket
    webhook_metrics: socket.socket
    api_socket: socket.socket
    dns_socket: socket.socket

    def close(self) -> None:
        for entry in fields(self):
            getattr(self, entry.name).close()


@dataclass(frozen=True, slots=True)
class Listeners(ClusterListeners):
    """The lab's: its own cluster's, and its doors'."""

    proxy: socket.socket
    gateway: socket.socket
    metadata: socket.socket
    pod_metadata: socket.socket
    """For pods that are plain processes: their machine has no identities."""
    gateway_socket: socket.socket
    control: socket.socket

    @classmethod
    def bind(cls, paths: LabPaths, remembered: Remembered, wanted: Mapping[str, int], notes: list[str]) -> "Listeners":
        """Bind all of them. *wanted* ports by name win over the ports of last time.

        A port of last time that another program took since is exchanged, and *notes* says so; a wanted one raises
        PodpassError PP101, or PP112 when it is no port that this user may take.
        """
        return cls(
            **_bound(
                cls,
                lambda name: socket_path(paths, name),
                lambda name: _port(name, remembered, wanted.get(name, 0), notes),
            )
        )

    def addresses(self) -> dict[str, str]:
        """The URLs of the lab's doors for programs on the host, by the names of Endpoints."""
        return {
            "proxy": f"http://{LOOPBACK}:{port_of(self.proxy)}",
            "gateway": f"https://{LOOPBACK}:{port_of(self.gateway)}",
            "metadata": f"http://{LOOPBACK}:{port_of(self.metadata)}",
        }

    def pod_addresses(self) -> dict[str, str]:
        """As `addresses`, for pods that are plain processes."""
        return {**self.addresses(), "metadata": f"http://{LOOPBACK}:{port_of(self.pod_metadata)}"}


def bind_cluster(sockets: "PodSockets", remembered: Remembered, notes: list[str]) -> ClusterListeners:
    """Bind those of a cluster beside the lab's own, its API's on the port of last time; as `Listeners.bind`."""
    places = {"api_socket": sockets.api, "dns_socket": sockets.dns}
    return ClusterListeners(
        **_bound(
            ClusterListeners,
            lambda name: places[name],
            lambda name: _port(name, remembered, 0, notes),
        )
    )


@dataclass(frozen=True, slots=True)
class PodSockets:
    """The unix sockets by which a cluster's pods reach the lab."""

    gateway: Path
    api: Path
    dns: Path
    relays: tuple[tuple[str, int, Path], ...]
    """Further addresses and ports in their networks, each with the socket that answers there."""

    @classmethod
    def of(cls, paths: LabPaths) -> "PodSockets":
        """Those of the lab's own cluster."""
        gateway, api, dns = (socket_path(paths, f"{name}_socket") for name in ("gateway", "api", "dns"))
        return cls(gateway, api, dns, pod_relays(paths.sockets))

    @classmethod
    def of_another(cls, paths: LabPaths, guid: str) -> "PodSockets":
        """Those of the cluster *guid* of the same lab, which shares the gateway."""
        # Short: a unix socket's whole path has room for few characters more.
        api, dns = (paths.sockets / f"{guid[:8]}-{which}.sock" for which in ("a", "d"))
        return cls(socket_path(paths, "gateway_socket"), api, dns, pod_relays(paths.sockets))


def socket_path(paths: LabPaths, name: str) -> Path:
    """Where the unix socket *name* of Listeners lies."""
    return paths.sockets / f"{name.removesuffix('_socket')}.sock"


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def _bound(of: type, path: Callable[[str], Path], port: Callable[[str], socket.socket]) -> dict[str, socket.socket]:
    """A listener for each field of the dataclass *of*; when one can't be had, none stays open."""
    bound: dict[str, socket.socket] = {}
    try:
        for entry in fields(of):
            if entry.name == "control" or entry.name.endswith("_socket"):
                bound[entry.name] = bind_unix(path(entry.name))
            else:
                bound[entry.name] = port(entry.name)
    except BaseException:
        for listener in bound.values():
            listener.close()
        raise
    return bound


def _port(name: str, remembered: Remembered, wanted: int, notes: list[str]) -> socket.socket:
    if wanted:
        try:
            listener = bind_tcp(LOOPBACK, wanted)
        except PortInUse as error:
            option = f"--{name}-port"
            raise PodpassError("PP101", str(error), host=LOOPBACK, port=wanted, option=option) from error
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "there is no such port"
            option = f"--{name}-port"
            raise PodpassError("PP112", host=LOOPBACK, port=wanted, option=option, reason=reason) from error
    else:
        kept = remembered.port(name)
        try:
            listener = bind_tcp(LOOPBACK, kept)
        except (OSError, OverflowError):
            listener = bind_tcp(LOOPBACK)
            notes.append(f"the {name} port changed: another program took {kept}")
    remembered.keep_port(name, port_of(listener))
    return listener
