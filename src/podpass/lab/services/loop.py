"""Keeps what is listened on in step with the Services and the pods behind them."""

import asyncio
import contextlib
import errno
import functools
import socket
from collections.abc import Callable, Sequence

import structlog

from podpass.kube.events import EventRecorder
from podpass.kube.objects import Obj
from podpass.kube.resources import SERVICES
from podpass.kube.status import StatusError
from podpass.lab.cluster.admission.client import Endpoint, ServiceUnreachable
from podpass.lab.cluster.collection import Key
from podpass.lab.cluster.controllers.writes import controller_user
from podpass.lab.cluster.services.view import ServiceState, ServiceView
from podpass.lab.cluster.verbs import Verbs
from podpass.lab.node.driver import FabricFailed
from podpass.lab.node.runtime import Listening, Runtime
from podpass.lab.services import model
from podpass.lab.services.model import LOOPBACK, Door
from podpass.lab.services.network import HostPort, listen, not_allowed

_log = structlog.get_logger(__name__)

OTHER_PORT_OFFSET = 8_000
"""A load balancer's port 80 that only root may have becomes 8080."""
RETRY_SECONDS = 1.0


class ServiceLoop:
    """The load balancer and the proxy of a lab. `run` is to be owned by the caller."""

    def __init__(self, view: ServiceView, verbs: Verbs, runtime: Runtime, events: EventRecorder) -> None:
        self._view, self._verbs, self._runtime, self._events = view, verbs, runtime, events
        self._user = controller_user("service-controller")
        self._waiting: dict[Key, None] = {}
        self._work = asyncio.Event()
        self._inside: dict[Key, tuple[Listening, ...]] = {}
        self._doors: dict[Key, dict[Door, HostPort]] = {}
        self._balancers: dict[Key, str] = {}
        self._webhooks: dict[tuple[str, str, int], HostPort] = {}
        self._starting: set[asyncio.Task[None]] = set()
        self._told: set[tuple[Key, str]] = set()
        view.listeners.append(self._noticed)

    async def run(self) -> None:
        """Until cancelled; then nothing listens any more."""
        for key in self._view.names():
            self._noticed(key)
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                while self._waiting:
                    key = next(iter(self._waiting))
                    del self._waiting[key]
                    try:
                        await self._look_at(key)
                    except (FabricFailed, StatusError, OSError) as error:
                        _log.warning("services.failed", service="/".join(key), error=str(error))
                        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._noticed, key)
        finally:
            for doors in self._doors.values():
                for port in doors.values():
                    port.close()
            for port in self._webhooks.values():
                port.close()
            self._doors.clear()
            self._webhooks.clear()

    def resolve(self, namespace: str, name: str, port: int) -> Endpoint:
        """Where a webhook behind a Service is reached from here. Raises ServiceUnreachable."""
        service = self._view.find(namespace, name)
        if service is None:
            raise ServiceUnreachable(f'service "{name}" not found')
        wanted = service.port(port)
        if wanted is None:
            raise ServiceUnreachable(f'no service port {port} found for service "{name}"')
        if not service.targets(wanted):
            raise ServiceUnreachable(f'no endpoints available for service "{name}"')
        key = (namespace, name, port)
        door = self._webhooks.get(key)
        if door is None:
            door = HostPort(listen(LOOPBACK, 0), self._targets((namespace, name), wanted.name), self._runtime.connect)
            self._webhooks[key] = door
            # Connections wait in the socket's queue until then.
            task = asyncio.get_running_loop().create_task(door.start())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)
        return Endpoint(LOOPBACK, door.port)

    def _noticed(self, key: Key) -> None:
        self._waiting[key] = None
        self._work.set()

    async def _look_at(self, key: Key) -> None:
        service = self._view.find(*key)
        wanted = tuple(model.inside(service)) if service is not None else ()
        if wanted != self._inside.get(key, ()):
            for trouble in await self._runtime.serve("/".join(key), wanted):
                self._tell(key, service, "PortNotCarried", f"pods can't reach {trouble}")
            self._inside[key] = wanted
            if not wanted:
                del self._inside[key]
        balancer = self._balancer(key, service)
        await self._open_doors(key, service, balancer)
        if service is None:
            self._told = {each for each in self._told if each[0] != key}
            return
        await self._write_status(key, service, balancer)

    def _balancer(self, key: Key, service: ServiceState | None) -> str:
        """The address of its load balancer; empty for a Service without one."""
        if service is None or service.kind != "LoadBalancer":
            self._balancers.pop(key, None)
            return ""
        if key not in self._balancers:
            before = model.shown_address(self._verbs.find(SERVICES, key[1], key[0]) or {})
            # Others may have had theirs before this one was looked at.
            taken = {*self._balancers.values(), *self._shown_by_others(key)}
            ports = [port.port for port in service.ports if port.protocol == "TCP"]
            usable = functools.partial(_is_free, ports=ports)
            self._balancers[key] = model.balancer_address(before, taken, usable) or LOOPBACK
            if not _has(self._balancers[key]):
                self._balancers[key] = LOOPBACK
        return self._balancers[key]

    def _shown_by_others(self, key: Key) -> set[str]:
        found = set()
        for other in self._view.names():
            state = self._view.find(*other)
            if other != key and other not in self._balancers and state is not None and state.kind == "LoadBalancer":
                found.add(model.shown_address(self._verbs.find(SERVICES, other[1], other[0]) or {}))
        return found

    async def _open_doors(self, key: Key, service: ServiceState | None, balancer: str) -> None:
        wanted = set(model.outside(service, balancer)) if service is not None else set()
        present = self._doors.setdefault(key, {})
        for door in [door for door in present if door not in wanted]:
            present.pop(door).close()
        for door in sorted(wanted - present.keys(), key=lambda each: (each.address, each.port)):
            listener = None
            try:
                listener = listen(door.address, door.port)
            except OSError as error:
                why = not_allowed(error)
                if not door.balancer:
                    text = f"node port {door.port} is not on {LOOPBACK}: {why}"
                    self._tell(key, service, "PortNotAvailable", text)
                    continue
                listener = _another(door.address, door.port)
                number = listener.getsockname()[1]
                text = f"{door.address}:{door.port} can't be listened on: {why}; use {door.address}:{number}"
                self._tell(key, service, "PortNotAvailable", text)
            port = HostPort(listener, self._targets(key, door.service_port), self._runtime.connect)
            await port.start()
            present[door] = port
        if not present:
            del self._doors[key]

    def _targets(self, key: Key, port: str) -> Callable[[], list[tuple[str, int]]]:
        def found() -> list[tuple[str, int]]:
            service = self._view.find(*key)
            wanted = next((each for each in service.ports if each.name == port), None) if service else None
            return service.targets(wanted) if service is not None and wanted is not None else []

        return found

    async def _write_status(self, key: Key, service: ServiceState, balancer: str) -> None:
        obj = self._verbs.find(SERVICES, key[1], key[0])
        if obj is None:
            return
        present = (obj.get("status") or {}).get("loadBalancer") or {}
        wanted: Obj = {}
        if balancer:
            doors = self._doors.get(key, {})
            moved = {door.port: port.port for door, port in doors.items() if door.balancer}
            differs = any(number != listened for number, listened in moved.items())
            ports = [(moved.get(port.port, port.port), port.protocol) for port in service.ports] if differs else []
            wanted = model.balancer_status(balancer, ports)
        if present != wanted:
            status = {**(obj.get("status") or {}), "loadBalancer": wanted}
            with contextlib.suppress(StatusError):
                await self._verbs.update(SERVICES, {**obj, "status": status}, subresource="status", user=self._user)

    def _tell(self, key: Key, service: ServiceState | None, reason: str, message: str) -> None:
        """An event, once for each thing there is to say."""
        if service is None or (key, message) in self._told:
            return
        self._told.add((key, message))
        involved = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": key[0], "name": key[1], "uid": service.uid},
        }
        self._events.record(involved, "Warning", reason, message)


def _has(address: str) -> bool:
    """Whether this machine has *address*; some have only one on their loopback."""
    try:
        listen(address, 0).close()
    except OSError:
        return False
    return True


def _is_free(address: str, ports: Sequence[int]) -> bool:
    """Whether nobody listens on *ports* of *address*; what this user may not listen on is as free as elsewhere."""
    for port in ports:
        try:
            listen(address, port).close()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
    return True


def _another(address: str, port: int) -> socket.socket:
    try:
        return listen(address, port + OTHER_PORT_OFFSET)
    except (OSError, OverflowError):
        return listen(address, 0)
