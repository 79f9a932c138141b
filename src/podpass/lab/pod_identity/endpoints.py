"""A metadata service for each pod that is a plain process, which has no network by which it could be known.

Who asks is where a request arrives: each pod has an address of this machine's loopback to itself, and NMI's own code
decides what it gets. Without the add-on it is the machine's metadata service, as on a node without an agent.
It is weaker than the sandbox: any program of this machine's user may ask at an address that it knows.
Contract: pod identity, section 4.1 (what clients do with AZURE_POD_IDENTITY_AUTHORITY_HOST).
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from podpass.kube.client import Client
from podpass.lab.node.runtime import PodSandbox
from podpass.lab.node.virtual_machine import VirtualMachine
from podpass.lab.supervision import Supervision
from podpass.nmi.app import Nmi
from podpass.nmi.client import Upstream
from podpass.nmi.issuing import Issuing
from podpass.nmi.metrics import NmiMetrics
from podpass.nmi.objects import Objects
from podpass.nmi.settings import Mode, Settings
from podpass.serving.asgi import App, Receive, Scope, Send
from podpass.serving.component import telling_failures
from podpass.serving.server import bind_tcp, serving
from podpass.settings.values import Address
from podpass.telemetry.logging import Logger
from podpass.telemetry.metrics import make_registry

STOP_SECONDS = 0.5
_ANY = Address("127.0.0.1", 80)
"""What requests to a unix socket say of their host."""


class Endpoints:
    """Those of one cluster's pods; *is_wanted* tells whether the add-on is there. An async context manager."""

    def __init__(self, kube: Client, supervision: Supervision, log: Logger, *, is_wanted: Callable[[], bool]) -> None:
        self._kube, self._supervision, self._log, self._is_wanted = kube, supervision, log, is_wanted
        self._machines: dict[str, VirtualMachine] = {}
        self._agents: dict[str, Nmi] = {}
        self._starting = asyncio.Lock()
        self._open: dict[str, AsyncExitStack] = {}
        self._upstreams = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for uid in list(self._open):
            await self.close(uid)
        await self._upstreams.aclose()

    def add_machine(self, node: str, machine: VirtualMachine) -> None:
        """The machine that *node* is: its metadata service answers pods where nobody stands between."""
        self._machines[node] = machine

    async def open(self, pod: PodSandbox) -> str:
        """As in PodEndpoints; a node that is no machine has no metadata service."""
        machine = self._machines.get(pod.node)
        if machine is None:
            return ""
        stack = self._open[pod.uid] = AsyncExitStack()
        listener = bind_tcp()
        stack.callback(listener.close)
        await stack.enter_async_context(serving(self._app(pod, machine), [listener], grace_seconds=STOP_SECONDS))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    async def close(self, uid: str) -> None:
        if (stack := self._open.pop(uid, None)) is not None:
            await stack.aclose()

    def _app(self, pod: PodSandbox, machine: VirtualMachine) -> App:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            # As a node's rules would have it: they don't lead its own programs to the agent.
            if pod.host_network or not self._is_wanted():
                await machine.service(scope, receive, send)
                return
            nmi = await self._agent(pod.node, machine)
            await nmi.app_of(pod.uid, pod.namespace, pod.name)(scope, receive, send)

        return app

    async def _agent(self, node: str, machine: VirtualMachine) -> Nmi:
        """What NMI would be on the node, begun when it is first needed."""
        async with self._starting:
            if node not in self._agents:
                settings = Settings(node=node, mode=Mode.MANAGED, forced_namespaced=True, install_rules=False)
                upstream = Upstream(_ANY, socket=machine.metadata)
                await self._upstreams.enter_async_context(upstream)
                metrics = NmiMetrics(make_registry(process=False))
                objects = Objects(self._kube, settings, on_failure=telling_failures(metrics.failed_turns, self._log))
                self._supervision.start(f"pod identity of {node}", objects.run)
                await objects.synced()
                issuing = Issuing(upstream, self._kube, metrics)
                self._agents[node] = Nmi(settings, objects, upstream, issuing, metrics, self._log)
            return self._agents[node]
