"""The node: registers itself, and owns one loop for each pod that is bound to it."""

import asyncio
import contextlib
import random
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from podpass.kube import objects
from podpass.kube.client import CALL_FAILURES, Client
from podpass.kube.events import EventRecorder
from podpass.kube.objects import Obj
from podpass.kube.reflector import Change, Reflector
from podpass.kube.resources import PODS
from podpass.lab.clock import Clock
from podpass.lab.journal import Hop, Journal
from podpass.lab.node import lifecycle, registration
from podpass.lab.node.addresses import API_ADDRESS, DNS_ADDRESS, FIRST, NodeNetwork
from podpass.lab.node.client import NodeClient
from podpass.lab.node.driver import FabricFailed
from podpass.lab.node.handlers.network import dial_words
from podpass.lab.node.images import Catalogue
from podpass.lab.node.lifecycle import BackOffTimes
from podpass.lab.node.logs import LogOptions, read
from podpass.lab.node.pod_loop import PodLoop, Tools
from podpass.lab.node.runtime import Runtime
from podpass.lab.node.status import Running, Waiting
from podpass.lab.node.streams import READ_AHEAD_BYTES, Connection, NoContainer, RunningContainer
from podpass.lab.node.token_refresh import MOST_JITTER_SECONDS
from podpass.lab.node.virtual_machine import VirtualMachine, furnish
from podpass.lab.scheduler.decide import is_over

_log = structlog.get_logger(__name__)

PARTS = ("pods", "logs", "root")
"""What a node keeps in its directory, all of it its own."""
RETRY_SECONDS = 1.0
CLOCK_CHECK_SECONDS = 0.5


class NoLog(Exception):
    """There is no such log; the message is for the client, *status* the HTTP code."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message, self.status = message, status


class Node:
    """One node of the lab.

    *runtime* has been started and is closed by the caller; *why* is the sentence of its choice. *virtual_machine* is
    what the node is in the cloud, None for a machine that no cloud knows. Without *images*, a user's entries
    are read from images.yaml in *state_directory*. `run` is to be owned by the caller's TaskGroup.
    """

    def __init__(
        self,
        *,
        name: str,
        client: Client,
        runtime: Runtime,
        clock: Clock,
        journal: Journal,
        state_directory: Path,
        network: NodeNetwork = FIRST,
        virtual_machine: VirtualMachine | None = None,
        images: Catalogue | None = None,
        why: str = "",
        host_roots: Sequence[Path] = (),
        times: BackOffTimes | None = None,
        jitter_seconds: Callable[[], float] | None = None,
        sync_seconds: float = 60.0,
        retry_seconds: float = 2.0,
    ) -> None:
        self.name = name
        self._client = client
        self._runtime = runtime
        self._clock = clock
        self._journal = journal
        self._directory = state_directory
        self._why = why
        self._machine = registration.this_machine()
        self._labels = registration.node_labels(name, self._machine)
        self._network = network
        self._virtual_machine = virtual_machine
        self._host_ip = network.address if runtime.kind == "sandbox" else "127.0.0.1"
        self._pods_range = network.pods_range if runtime.kind == "sandbox" else ""
        self._api = NodeClient(client, name)
        self._events = EventRecorder(client, "kubelet", host=name, now=clock.now)
        self._tools = Tools(
            api=self._api,
            runtime=runtime,
            clock=clock,
            journal=journal,
            events=self._events,
            images=images or Catalogue.of(state_directory),
            times=times or BackOffTimes(),
            jitter_seconds=jitter_seconds or (lambda: random.uniform(0, MOST_JITTER_SECONDS)),  # noqa: S311
            services=registration.service_variables(*_api_address(client, runtime)),
            node_name=name,
            host_ip=self._host_ip,
            nameserver=DNS_ADDRESS,
            allocatable=registration.allocatable(self._machine),
            directory=state_directory,
            host_roots=host_roots,
            sync_seconds=sync_seconds,
            retry_seconds=retry_seconds,
        )
        self._pods: Reflector[Obj] = Reflector(
            client,
            PODS,
            field_selector=f"spec.nodeName={name}",
            on_change=self._changed,
            first_wait_seconds=0.1,
        )
        self._loops: dict[str, PodLoop] = {}
        self._loop_tasks: asyncio.TaskGroup | None = None
        self._places: set[str] = set()
        """The pods, by uid, that count against the most that this node runs."""
        self._tidied = asyncio.Event()
        self._renew = asyncio.Event()
        self.ready = asyncio.Event()
        """Set once the node is registered, has seen every pod and removed what earlier ones left."""

    async def run(self) -> None:
        """Until cancelled; then every container is ended before this returns."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(furnish, self._directory / "root", self._virtual_machine)
        metadata = self._virtual_machine.metadata if self._virtual_machine else None
        await self._runtime.add_node(self._network, metadata=metadata)
        # Read before any pod can add to it.
        left_behind = [entry for kind in ("pods", "logs") for entry in _entries(self._directory / kind)]
        try:
            async with asyncio.TaskGroup() as tasks:
                self._loop_tasks = tasks
                tasks.create_task(self._events.run())
                tasks.create_task(self._pods.run())
                tasks.create_task(self._keep_registered())
                tasks.create_task(self._watch_clock())
                tasks.create_task(self._watch_runtime())
                tasks.create_task(self._forget_orphans(left_behind))
        finally:
            self._loop_tasks = None
            self._loops.clear()

    async def disconnect(self) -> None:
        """Take its network away, once `run` has ended. Raises FabricFailed."""
        await self._runtime.remove_node(self._network)

    def resync(self) -> None:
        """Look at every pod again now, as after the lab's clock was moved."""
        for loop in self._loops.values():
            loop.wake()

    def logs(
        self, namespace: str, pod: str, container: str = "", options: LogOptions | None = None
    ) -> AsyncIterator[bytes]:
        """A container's log. Raises NoLog before anything is read."""
        options = options or LogOptions()
        loop = self._find(namespace, pod)
        if loop is None:
            raise NoLog(f'pods "{pod}" not found on node {self.name}', 404)
        known = [*loop.state.main, *loop.state.init, *loop.state.ephemeral]
        if not container and len(loop.state.main) > 1:
            names = " ".join(found.name for found in loop.state.main)
            raise NoLog(f"a container name must be specified for pod {pod}, choose one of: [{names}]")
        name = container or loop.state.main[0].name
        found = next((candidate for candidate in known if candidate.name == name), None)
        if found is None:
            raise NoLog(f"container {name} is not valid for pod {pod}")
        run = found.restarts
        if options.previous:
            run -= isinstance(found.state, Running)
            if found.last is None or run < 0:
                raise NoLog(f'previous terminated container "{name}" in pod "{pod}" not found')
        path, log = loop.log(name, run)
        if not path.exists():
            reason = found.state.reason if isinstance(found.state, Waiting) else "ContainerCreating"
            raise NoLog(f'container "{name}" in pod "{pod}" is waiting to start: {reason}')
        return read(path, log, options)

    def images_in_use(self) -> list[dict[str, str]]:
        """Each running container with the image it runs: its name, and its root where it has one of its own."""
        return [
            {
                "image": image.reference,
                "root": str(image.root or ""),
                "pod": "/".join(objects.key(loop.pod)),
                "container": container,
            }
            for loop in self._loops.values()
            for container, image in loop.images.items()
        ]

    def running(self, namespace: str, pod: str, container: str) -> RunningContainer:
        """A container that runs, to connect to. Raises NoContainer."""
        loop = self._find(namespace, pod)
        if loop is None:
            raise NoContainer("pod does not exist", 404)
        run = loop.running(container)
        if run is None:
            raise NoContainer(f'container not found ("{container}")')
        return run

    async def dial(self, namespace: str, pod: str, port: int) -> Connection:
        """A connection to a port of a pod, as a program inside would make it. Raises NoContainer, FabricFailed."""
        loop = self._find(namespace, pod)
        if loop is None or not loop.state.network_ready:
            raise NoContainer("pod does not exist", 404)
        try:
            connection = socket.socket(fileno=await self._runtime.dial(loop.uid, port))
        except FabricFailed as error:
            raise FabricFailed(
                f"failed to connect to localhost:{port} inside the pod: dial tcp4 127.0.0.1:{port}:"
                f" {dial_words(str(error))}"
            ) from error
        connection.setblocking(False)
        return await asyncio.open_connection(sock=connection, limit=READ_AHEAD_BYTES)

    def has(self, namespace: str, pod: str) -> bool:
        """Whether a pod of that name is on this node."""
        return self._find(namespace, pod) is not None

    def _find(self, namespace: str, name: str) -> PodLoop | None:
        found = [loop for loop in self._loops.values() if objects.key(loop.pod) == (namespace, name)]
        # While an old pod of that name still ends, the newest counts.
        return found[-1] if found else None

    # Pods

    def _changed(self, change: Change[Obj]) -> None:
        before, after = change.before, change.after
        if before is not None and (after is None or objects.uid(after) != objects.uid(before)):
            if loop := self._loops.get(objects.uid(before)):
                loop.deleted()
            self._places.discard(objects.uid(before))
        if after is None:
            return
        if is_over(after):
            self._places.discard(objects.uid(after))
        if objects.spec(after).get("nodeName") == self.name:
            if not is_over(after):
                self._places.add(objects.uid(after))
            self._take(after)

    def _take(self, pod: Obj) -> None:
        uid = objects.uid(pod)
        loop = self._loops.get(uid)
        if loop is not None:
            loop.update(pod)
            return
        if self._loop_tasks is None:
            return
        running = {loop.address for loop in self._loops.values() if loop.needs_address}
        address = self._host_ip
        if self._runtime.kind == "sandbox" and not objects.spec(pod).get("hostNetwork"):
            before = str(objects.status(pod).get("podIP") or "")
            shown = {loop.address for loop in self._loops.values()}
            # Pods that are over still show theirs in their status; those are given again last.
            address = self._network.free_address(shown, before) or self._network.free_address(running) or ""
        # The scheduler counts too; a pod that is made with a node's name passes it by.
        rejected = lifecycle.out_of_pods(len(self._places - {uid}), registration.MOST_PODS)
        loop = PodLoop(pod, address, self._tools, rejected=rejected)
        self._loops[uid] = loop
        self._loop_tasks.create_task(self._own(uid, loop))

    async def _own(self, uid: str, loop: PodLoop) -> None:
        try:
            await loop.run()
        except Exception as error:  # noqa: BLE001 - a loop's outermost turn
            # One pod's fault must not end the node and with it all others.
            _log.exception("node.pod.broken", pod=objects.name(loop.pod))
            self._journal.record(
                Hop(
                    who="kubelet",
                    whom="node",
                    what=f"run pod {objects.name(loop.pod)}",
                    outcome="failed",
                    why=str(error),
                )
            )
            await loop.stop(0)
        self._loops.pop(uid, None)

    # The node itself

    async def _keep_registered(self) -> None:
        since = self._clock.now()
        registered = False
        while True:
            now, began = self._clock.now(), time.monotonic()
            self._renew.clear()
            try:
                # First: a node whose lease is old would be given up as soon as it says that it is ready.
                await self._api.renew_lease(now)
                # A clock that was moved and moved back makes a lease look old, and nobody else says that all is well.
                if not registered or await self._api.is_given_up():
                    status = registration.node_status(
                        self.name,
                        self._machine,
                        address=self._host_ip,
                        runtime=self._runtime.kind,
                        why=self._why or self._runtime.note,
                        now=now,
                        since=since,
                    )
                    provider_id = self._virtual_machine.provider_id if self._virtual_machine else ""
                    await self._api.register(
                        registration.node_object(self.name, self._machine, self._pods_range, provider_id), status
                    )
                    registered = True
                    await self._tidied.wait()
                    self.ready.set()
            except CALL_FAILURES as error:
                _log.warning("node.registration.failed", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                # Who was not heard of for long has been given up, and says anew that all is well.
                registered = registered and time.monotonic() - began < registration.LEASE_SECONDS
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(registration.RENEW_SECONDS):
                    await self._renew.wait()

    async def _watch_clock(self) -> None:
        """Look at every pod again when the lab's clock was moved: tokens and back-offs may be due."""
        offset = self._clock.now() - time.time()
        while True:
            await asyncio.sleep(CLOCK_CHECK_SECONDS)
            latest = self._clock.now() - time.time()
            if abs(latest - offset) > CLOCK_CHECK_SECONDS:
                offset = latest
                # By the new time the lease may be long over.
                self._renew.set()
                self.resync()

    async def _watch_runtime(self) -> None:
        """Start the helper again when it was lost, and every pod's network with it."""
        while True:
            await self._runtime.lost.wait()
            self._journal.record(
                Hop(who="kubelet", whom="node", what="run containers", outcome="failed", why="the helper process ended")
            )
            for loop in self._loops.values():
                loop.network_lost()
            try:
                await self._runtime.start()
            except FabricFailed as error:
                _log.error("node.runtime.failed", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self.resync()

    async def _forget_orphans(self, left_behind: Sequence[Path]) -> None:
        """Remove what is *left_behind* by pods that were deleted while the node was down."""
        await self._pods.synced.wait()
        known = {objects.uid(pod) for pod in self._pods.items()}
        for entry in left_behind:
            if entry.name.rpartition("_")[2] not in known:
                await asyncio.to_thread(shutil.rmtree, entry, ignore_errors=True)
        self._tidied.set()


def _api_address(client: Client, runtime: Runtime) -> tuple[str, int]:
    if runtime.kind == "sandbox":
        return API_ADDRESS, 443
    server = urlsplit(client.access.server)
    return server.hostname or "127.0.0.1", server.port or 443


def _as_pod(pod: Obj) -> Obj:
    return {"apiVersion": "v1", "kind": "Pod", **pod}


def _entries(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.is_dir() else []
