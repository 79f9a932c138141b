"""Caches at work: what Resource Manager wants of them is made so, again and again, and after every restart."""

import asyncio
import contextlib
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from podpass.lab.arm import WantedCache
from podpass.lab.arm.caches import PORT, TLS_PORT
from podpass.lab.certificates import CertificateAuthority
from podpass.lab.journal import Hop, Journal
from podpass.lab.redis import model
from podpass.lab.redis.driver import NotServing, Server, find_server
from podpass.lab.redis.network import Door
from podpass.lab.store import Store
from podpass.serving.server import bind_tcp, bind_unix

SERVICE = "redis"
_LOOPBACK = "127.0.0.1"
_PLACE, _HOST_PORT, _FLUSHED = "place", "port", "flushed"
RETRY_SECONDS = 2.0
STEADY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Running:
    cache: WantedCache
    server: Server
    door: Door
    watch: "asyncio.Task[None]"
    doors: "_Doors"
    began: float
    """By the machine's own clock."""


@dataclass(frozen=True, slots=True)
class _Doors:
    """Where a cache is reached."""

    place: int | None
    """Among the addresses in pods."""
    host_ports: dict[str, int]


class Caches:
    """Every cache of the lab: its server, its doors and its files.

    *wanted* tells which there should be. *directory* is for what they hold, *sockets* for their unix sockets. A server
    that ends within *steady_seconds* is not started again at once; *places* is how many caches pods reach at a time.
    """

    def __init__(
        self,
        store: Store,
        journal: Journal,
        ca: CertificateAuthority,
        wanted: Callable[[], Sequence[WantedCache]],
        *,
        directory: Path,
        sockets: Path,
        program: Path | None = None,
        steady_seconds: float = STEADY_SECONDS,
        places: int = model.MOST_IN_PODS,
    ) -> None:
        self._store, self._journal, self._ca, self._wanted = store, journal, ca, wanted
        self._directory, self._sockets = directory, sockets
        self._program = program or find_server()
        self._steady_seconds, self._places = steady_seconds, places
        self._running: dict[str, _Running] = {}
        self._troubles: dict[str, str] = {}
        self._changed = asyncio.Event()
        self.settled = asyncio.Event()
        """Set while everything wanted is so, or was tried."""

    @property
    def missing(self) -> str:
        """Why there can be no caches on this machine; empty when there can."""
        return "" if self._program else "redis-server is not installed (apt-get install redis-server)"

    def changed(self) -> None:
        """Look again at what is wanted; returns at once."""
        self.settled.clear()
        self._changed.set()

    def pod_address(self, name: str) -> str:
        """Where pods find the cache of this name; empty when nowhere."""
        cache = next((one for one in self._wanted() if one.name == name.lower()), None)
        number = None if cache is None else self._place(cache.guid)
        return "" if number is None else model.pod_address(number)

    def described(self) -> list[dict[str, Any]]:
        """Each cache that runs, and where programs on the host reach it."""
        return [
            {"name": one.cache.name, "host": one.cache.host, "address": _LOOPBACK, **one.doors.host_ports}
            for one in sorted(self._running.values(), key=lambda one: one.cache.name)
        ]

    def notes(self) -> list[str]:
        """What a person should know of them now, in a sentence each."""
        hidden = [one.cache.name for one in self._running.values() if one.doors.place is None]
        return [
            *sorted(self._troubles.values()),
            *(f"pods don't reach the cache {name}: there are too many caches" for name in sorted(hidden)),
        ]

    async def run(self) -> None:
        """Make what is wanted so, until cancelled; then every server is ended, and what they hold is kept."""
        self._changed.set()
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_SECONDS if self._troubles else None):
                        await self._changed.wait()
                self._changed.clear()
                await self._settle()
                if not self._changed.is_set():
                    self.settled.set()
        finally:
            async with asyncio.TaskGroup() as ending:
                for one in list(self._running.values()):
                    ending.create_task(self._end(one))

    async def _settle(self) -> None:
        wanted = {one.guid: one for one in self._wanted()}
        self._forget_gone(wanted)
        self._troubles.clear()
        for guid, one in list(self._running.items()):
            if one.server.has_ended and time.monotonic() - one.began < self._steady_seconds:
                self._troubles[guid] = f"the cache {one.cache.name} does not run: its server ended"
            if one.server.has_ended or self._must_restart(one, wanted.get(guid)):
                await self._end(one)
        for guid in [guid for guid in self._kept() if guid not in wanted]:
            await asyncio.to_thread(shutil.rmtree, self._directory / guid, ignore_errors=True)
        if self._program is None:
            if wanted:
                self._troubles[""] = f"the caches answer nobody: {self.missing}"
            return
        for guid, cache in wanted.items():
            present = self._running.get(guid)
            if guid in self._troubles:
                continue
            try:
                if present is None:
                    await self._start(self._program, cache)
                elif present.cache != cache or present.doors.place != self._place(guid):
                    await present.door.close()
                    door, doors = await self._open_door(cache, present.server)
                    self._running[guid] = replace(present, cache=cache, door=door, doors=doors)
            except (NotServing, OSError) as error:
                self._troubles[guid] = f"the cache {cache.name} does not run: {error}"

    def _must_restart(self, one: _Running, wanted: WantedCache | None) -> bool:
        """Whether its server is not as it is wanted; doors alone are opened anew without it."""
        if wanted is None or wanted.flushed != one.cache.flushed:
            return True
        return self._configuration(wanted) != self._configuration(one.cache)

    def _configuration(self, cache: WantedCache) -> str:
        directory = self._directory / cache.guid
        return model.configuration(cache, directory=directory, socket=self._socket(cache.guid))

    def _socket(self, guid: str) -> Path:
        # Short: the path of a unix socket has 107 bytes.
        return self._sockets / f"r-{guid[:8]}.sock"

    async def _start(self, program: Path, cache: WantedCache) -> None:
        directory = self._directory / cache.guid
        if (self._store.get(SERVICE, _FLUSHED, cache.guid) or 0) != cache.flushed:
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
            self._store.put(SERVICE, _FLUSHED, cache.guid, cache.flushed)
        server = await Server.start(
            program, self._configuration(cache), directory=directory, socket=self._socket(cache.guid)
        )
        try:
            door, doors = await self._open_door(cache, server)
        except BaseException:
            await server.stop()
            raise

        async def watch() -> None:
            await server.ended()
            self.changed()

        watching = asyncio.create_task(watch())
        self._running[cache.guid] = _Running(cache, server, door, watching, doors, time.monotonic())

    async def _open_door(self, cache: WantedCache, server: Server) -> tuple[Door, _Doors]:
        def came(who: str) -> None:
            self._journal.record(
                Hop(who=who, whom="redis", what=f"connect to {cache.host}", outcome="noted", why="", decision={})
            )

        door, ports = Door(server.socket, came), {}
        try:
            number = self._place(cache.guid)
            for kind, port in (("port", PORT), ("ssl_port", TLS_PORT)):
                tls = self._ca.server_context([cache.host]) if port == TLS_PORT else None
                if not cache.public or (port == PORT and not cache.plain):
                    continue
                listener = self._host_listener(cache.guid, kind)
                ports[kind] = int(listener.getsockname()[1])
                await door.open(listener, "program on the host", tls)
                if number is not None:
                    path = self._sockets / model.pod_socket(number, port)
                    await door.open(bind_unix(path), "pod", tls)
        except BaseException:
            await door.close()
            raise
        return door, _Doors(number, ports)

    def _host_listener(self, guid: str, kind: str) -> socket.socket:
        """A port of loopback, the one of last time where it is free."""
        key = f"{guid}/{kind}"
        kept = self._store.get(SERVICE, _HOST_PORT, key) or 0
        try:
            listener = bind_tcp(_LOOPBACK, kept)
        except (OSError, OverflowError):
            listener = bind_tcp(_LOOPBACK)
        self._store.put(SERVICE, _HOST_PORT, key, int(listener.getsockname()[1]))
        return listener

    async def _end(self, one: _Running) -> None:
        self._running.pop(one.cache.guid, None)
        await one.door.close()
        one.watch.cancel()
        await one.server.stop()

    # What is kept of caches

    def _place(self, guid: str) -> int | None:
        """Its place among the addresses in pods, given when it is first asked for."""
        taken = {key: int(number) for key, number in self._store.items(SERVICE, _PLACE)}
        number = model.place(guid, taken, most=self._places)
        if number is not None and guid not in taken:
            self._store.put(SERVICE, _PLACE, guid, number)
        return number

    def _forget_gone(self, wanted: dict[str, WantedCache]) -> None:
        with self._store.transaction():
            for kind in (_PLACE, _HOST_PORT, _FLUSHED):
                for key, _ in self._store.items(SERVICE, kind):
                    if key.partition("/")[0] not in wanted:
                        self._store.delete(SERVICE, kind, key)

    def _kept(self) -> list[str]:
        return [one.name for one in self._directory.iterdir()] if self._directory.is_dir() else []
