"""What a probe or a hook asks of a container, resolved to values: which command, which address, which request.

Contract: Kubernetes API surface, section 7.1.
"""

from dataclasses import dataclass
from typing import Any

from podpass.kube.objects import Obj

USER_AGENT = "kube-probe/1.37"


@dataclass(frozen=True, slots=True)
class HttpGet:
    """A request of the node to a port of the pod."""

    scheme: str
    host: str
    port: int
    path: str
    headers: tuple[tuple[str, str], ...]

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class TcpConnect:
    """A connection of the node to a port of the pod, closed at once."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class GrpcHealth:
    """A call of gRPC's health check on a port of the pod."""

    host: str
    port: int
    service: str


@dataclass(frozen=True, slots=True)
class Exec:
    """A command inside the container; it passes when its exit code is 0."""

    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sleep:
    """A pause. Only hooks have it."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Impossible:
    """The check can't be made; the message says why."""

    message: str


Check = HttpGet | TcpConnect | GrpcHealth | Exec | Sleep | Impossible


def check(handler: Obj, container: Obj, pod_ip: str) -> Check:
    """What *handler* of *container* asks for."""
    if command := handler.get("exec"):
        return Exec(tuple(command.get("command") or ()))
    if request := handler.get("httpGet"):
        return _http(request, container, pod_ip)
    if target := handler.get("tcpSocket"):
        port = _port(target.get("port"), container)
        return port if isinstance(port, Impossible) else TcpConnect(target.get("host") or pod_ip, port)
    if (pause := handler.get("sleep")) is not None:
        return Sleep(float(pause.get("seconds") or 0))
    if call := handler.get("grpc"):
        return GrpcHealth(pod_ip, int(call.get("port") or 0), call.get("service") or "")
    return Impossible("missing probe handler")


def _http(request: Obj, container: Obj, pod_ip: str) -> Check:
    port = _port(request.get("port"), container)
    if isinstance(port, Impossible):
        return port
    path = str(request.get("path") or "/")
    return HttpGet(
        scheme=str(request.get("scheme") or "HTTP").lower(),
        host=request.get("host") or pod_ip,
        port=port,
        path=path if path.startswith("/") else "/" + path,
        headers=tuple(
            (header.get("name", ""), header.get("value") or "") for header in request.get("httpHeaders") or ()
        ),
    )


def _port(port: Any, container: Obj) -> int | Impossible:
    """A port's number: as given, or by its name among the container's own."""
    if isinstance(port, int):
        return port
    text = str(port or "")
    if text.isdigit():
        return int(text)
    for listed in container.get("ports") or ():
        if listed.get("name") == text:
            return int(listed["containerPort"])
    return Impossible(f"couldn't find port: {text}")
