"""The sockets of a lab: loopback ports that stay the same over restarts, and unix sockets for its namespaces."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from podpass.lab.environment import LabPaths
from podpass.lab.remembered import Remembered
from podpass.problems import PodpassError
from podpass.serving.server import PortInUse, bind_tcp, bind_unix

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Listeners:
    """Each is bound and listens; whoever serves it closes it. Those named `…_socket` and `control` are unix sockets."""

    api: socket.socket
    proxy: socket.socket
    gateway: socket.socket
    metadata: socket.socket
    pod_metadata: socket.socket
    """For pods that are plain processes: their machine has no identities."""
    webhook: socket.socket
    webhook_health: socket.socket
    webhook_metrics: socket.socket
    api_socket: socket.socket
    gateway_socket: socket.socket
    dns_socket: socket.socket
    control: socket.socket

    @classmethod
    def bind(cls, paths: LabPaths, remembered: Remembered, wanted: Mapping[str, int], notes: list[str]) -> "Listeners":
        """Bind all of them. *wanted* ports by name win over the ports of last time.

        A port of last time that another program took since is exchanged, and *notes* says so; a wanted one raises
        PodpassError PP101, or PP112 when it is no port that this user may take.
        """
        bound: dict[str, socket.socket] = {}
        try:
            for entry in fields(cls):
                if entry.name == "control" or entry.name.endswith("_socket"):
                    bound[entry.name] = bind_unix(socket_path(paths, entry.name))
                else:
                    bound[entry.name] = _port(entry.name, remembered, wanted.get(entry.name, 0), notes)
        except BaseException:
            for listener in bound.values():
                listener.close()
            raise
        return cls(**bound)

    def addresses(self) -> dict[str, str]:
        """The URLs of the lab's doors for programs on the host, by the names of Endpoints."""
        return {
            "proxy": f"http://{LOOPBACK}:{port_of(self.proxy)}",
            "gateway": f"https://{LOOPBACK}:{port_of(self.gateway)}",
            "metadata": f"http://{LOOPBACK}:{port_of(self.metadata)}",
        }

    def close(self) -> None:
        for entry in fields(self):
            getattr(self, entry.name).close()


def socket_path(paths: LabPaths, name: str) -> Path:
    """Where the unix socket *name* of Listeners lies."""
    return paths.sockets / f"{name.removesuffix('_socket')}.sock"


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


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
