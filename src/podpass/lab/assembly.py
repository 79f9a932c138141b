"""A lab, whole: one context manager that starts the cluster, the clouds, the doors and the node, and stops them.

The same class runs in the daemon of `podpass lab up`, in users' tests, and in ours.
"""

import asyncio
import base64
import os
import time
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from podpass import __version__
from podpass.kube.client import Client
from podpass.kube.config import Access, StaticToken
from podpass.kube.events import EventRecorder
from podpass.lab.arm import Arm
from podpass.lab.certificates import CertificateAuthority
from podpass.lab.clock import LabClock, SkewedClock, rfc3339
from podpass.lab.cluster import NODE_NAME, Cluster
from podpass.lab.cluster.client import Endpoint, no_services
from podpass.lab.control.http import control_app
from podpass.lab.doors.dns import Addresses
from podpass.lab.doors.http import ForwardProxy, Gateway
from podpass.lab.doors.imds_absent import imds_absent
from podpass.lab.doors.names import Names
from podpass.lab.doors.network import lab_session, serve_dns, serve_forward_proxy, serve_gateway
from podpass.lab.doors.traces import TraceSeal
from podpass.lab.entra import Entra, SigningIdentity, open_signing_identity
from podpass.lab.entra.directory import Directory
from podpass.lab.environment import Endpoints, LabPaths, host_variables, state_home
from podpass.lab.faults import Faults, unless_unreachable
from podpass.lab.filling import Filling
from podpass.lab.graph import Graph
from podpass.lab.installing import install_operator, install_webhook, register_webhook
from podpass.lab.journal import Journal
from podpass.lab.keyvault import KeyVault
from podpass.lab.listeners import LOOPBACK, Listeners, port_of
from podpass.lab.lock import only_process
from podpass.lab.node.addresses import API_ADDRESS, API_PORT, DOORS
from podpass.lab.node.loop import Node
from podpass.lab.pod_runtime import RUNTIMES, open_runtime
from podpass.lab.private_files import replace_file
from podpass.lab.remembered import Remembered
from podpass.lab.scenario import DEFAULT, Scenario, read, text_of
from podpass.lab.services.loop import ServiceLoop
from podpass.lab.start_failures import explained
from podpass.lab.store import Store
from podpass.lab.supervision import Supervision
from podpass.problems import PodpassError
from podpass.serving.asgi import App
from podpass.serving.server import serving
from podpass.telemetry.logging import Logger, make_logger
from podpass.tokens.client import KeyFetcher
from podpass.webhook import Settings as WebhookSettings
from podpass.webhook import run as run_webhook
from podpass.webhook.metrics import PATH as WEBHOOK_PATH

READY_SECONDS = 30.0
STOP_SECONDS = 2.0


class Lab:
    """A cloud and a cluster on this machine, as an async context manager.

    *scenario* fills it at its first start, and again whenever it is given. *home* is the directory of all labs. A lab
    of the same name and home goes on where the last one stopped, however it stopped. Entering raises PodpassError.
    """

    def __init__(
        self,
        name: str = "default",
        *,
        home: Path | None = None,
        scenario: Path | Scenario | None = None,
        runtime: str = "auto",
        api_port: int = 0,
        proxy_port: int = 0,
        log: Logger | None = None,
    ) -> None:
        if runtime not in RUNTIMES:
            reason = f"There is no runtime {runtime!r}."
            raise PodpassError("PP109", reason=reason, remedy=f"Choose one of {', '.join(RUNTIMES)}.")
        self._home = home or state_home(os.environ)
        self.paths = LabPaths.of(name, home=self._home)
        self._scenario = scenario
        self._wanted_runtime = runtime
        self._wanted_ports = {"api": api_port, "proxy": proxy_port}
        self._log = log or make_logger("lab", level=os.environ.get("PODPASS_LOG_LEVEL", "info"))
        self._notes: list[str] = []
        self._nodes: list[Node] = []
        self._services: ServiceLoop | None = None
        self._stack = AsyncExitStack()
        self.stop_requested = asyncio.Event()
        """Set when somebody asked through the control socket that the lab stop."""

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException as error:
            await self._stack.aclose()
            if (problem := explained(error, self.paths)) is None:
                raise
            raise problem from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    # What a running lab tells and takes

    def status(self) -> dict[str, Any]:
        """What `podpass lab status --output json` prints."""
        return {
            "name": self.paths.name,
            "version": __version__,
            "pid": os.getpid(),
            "directory": str(self.paths.directory),
            "ready_seconds": self._ready_seconds,
            "endpoints": asdict(self.endpoints),
            "runtime": {"name": self._opened.runtime.kind, "why": self._opened.why},
            "clock": {"now": rfc3339(self.clock.now()), "offset_seconds": self.clock.offset_seconds},
            "faults": asdict(self.faults),
            "identities": [asdict(identity) for identity in self._filling.identities()],
            "journal": {"newest": self.journal.newest},
            "loops": self._supervision.report(),
            "notes": self._notes,
        }

    def host_variables(self) -> dict[str, str]:
        """The variables of `podpass lab env`."""
        return host_variables(self.endpoints, self.paths)

    def advance(self, seconds: float) -> None:
        """Move the lab's clock. Raises ValueError for a negative number of seconds."""
        # Kept before it counts: a disk that refuses must leave the clock where it was.
        self._remembered.keep_offset(self.clock.offset_after(seconds))
        self.clock.advance(seconds)
        self._cluster.clock_moved()

    def set_faults(self, values: dict[str, Any]) -> dict[str, Any]:
        """Change the named faults and return all of them. Raises ValueError for what is not a fault."""
        self.faults.change(self._store, values)
        self._cluster_clock.skew_seconds = self.faults.cluster_skew_seconds
        return asdict(self.faults)

    def forget_issuer_keys(self) -> None:
        """Make the clouds ask every issuer for its keys again, as they do when their copies are old."""
        self._issuer_keys.forget()

    def images_in_use(self) -> list[dict[str, str]]:
        """What runs on the nodes."""
        return [image for node in self._nodes for image in node.images_in_use()]

    # The start, each step after what it needs

    async def _start(self) -> None:
        began = time.monotonic()
        given = self._read_scenario()
        self.paths.make()
        self._stack.enter_context(only_process(self.paths))
        self._open_state()
        # What `up` gets without a file is what the lab was filled with before.
        scenario = given or self._remembered.scenario or DEFAULT
        new = self._remembered.scenario is None
        self._ca = CertificateAuthority.open(self.paths.keys / "ca")
        replace_file(self.paths.ca_certificate, self._ca.pem, mode=0o644)
        self._ca.bundle(self.paths.ca_bundle)
        self._listeners = Listeners.bind(self.paths, self._remembered, self._wanted_ports, self._notes)
        self._stack.callback(self._listeners.close)
        async with asyncio.TaskGroup() as opening:
            runtime = opening.create_task(
                open_runtime(
                    self._wanted_runtime,
                    self.paths,
                    hidden=(self._home, self.paths.sockets),
                    plain_environment=self._plain_variables(),
                )
            )
            signing = opening.create_task(open_signing_identity(self.paths.keys / "entra"))
            cluster = opening.create_task(self._open_cluster(scenario))
        self._opened, self._cluster = runtime.result(), cluster.result()
        self._stack.push_async_callback(self._opened.runtime.close)
        await self._serve_clouds(signing.result())
        if new or given is not None:
            self._filling.apply(scenario)
            self._remembered.keep_scenario(scenario)
        self._keep_endpoints(scenario)
        await self._start_loops()
        await self._stack.enter_async_context(serving(self._control_app(), [self._listeners.control]))
        # Streams end because their source closes, before the servers that carry them.
        self._stack.callback(self.journal.close)
        self._stack.push_async_callback(self._cluster.close_watches)
        self._ready_seconds = time.monotonic() - began

    def _read_scenario(self) -> Scenario | None:
        if not isinstance(self._scenario, Path):
            return self._scenario
        return read(text_of(self._scenario), source=str(self._scenario))

    def _open_state(self) -> None:
        self._store = Store.open(self.paths.database)
        self._stack.callback(self._store.close)
        self._remembered = Remembered(self._store)
        self.clock = LabClock(self._remembered.offset_seconds)
        self.faults = Faults.load(self._store)
        self._cluster_clock = SkewedClock(self.clock, self.faults.cluster_skew_seconds)
        self.journal = Journal(self._store, self.clock)

    async def _open_cluster(self, scenario: Scenario) -> Cluster:
        """The embedded cluster, answering on its port and in the pods' network."""
        entry = scenario.clusters[0]
        tenant = next(tenant for tenant in scenario.tenants if tenant.name == entry.tenant)
        tenant_id = self._remembered.tenant_id(tenant.name, tenant.id)
        self._issuer = f"https://{entry.region}.oic.prod-aks.azure.com/{tenant_id}/{self._remembered.guid(f'cluster/{entry.name}')}/"
        cluster = await Cluster.open(
            name=entry.name,
            store=self._store,
            clock=self._cluster_clock,
            journal=self.journal,
            keys_directory=self.paths.keys / "cluster",
            issuer=self._issuer,
            ca_pem=self._ca.pem,
            resolve_service=self._resolve_service,
        )
        await self._stack.enter_async_context(cluster)
        tls = self._ca.server_context(
            [
                "localhost",
                LOOPBACK,
                "::1",
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
                API_ADDRESS,
            ]
        )
        await self._stack.enter_async_context(
            serving(cluster.app, [self._listeners.api, self._listeners.api_socket], tls=tls, grace_seconds=STOP_SECONDS)
        )
        return cluster

    def _resolve_service(self, namespace: str, name: str, port: int) -> Endpoint:
        if self._services is None:
            return no_services(namespace, name, port)
        return self._services.resolve(namespace, name, port)

    async def _serve_clouds(self, signing: SigningIdentity) -> None:
        """Entra, ARM and Key Vault behind the doors."""
        names, seal = Names(), TraceSeal()
        gateway = (LOOPBACK, port_of(self._listeners.gateway))
        session = lab_session(self._ca, gateway, names, seal=seal)
        await self._stack.enter_async_context(session)
        self._directory = Directory(self._store, self.clock)
        self._issuer_keys = KeyFetcher(session, self.clock)
        entra = Entra(
            self._store,
            self.clock,
            self.journal,
            self._directory,
            self._issuer_keys,
            signing=signing,
            faults=self.faults,
        )
        self._arm = Arm(self._store, self.clock, self.journal, self._directory, entra.access_tokens)
        keyvault = KeyVault(self._store, self.clock, self.journal, entra.access_tokens, self._arm)
        operator = self._remembered.guid("operator/client")
        graph = Graph(
            self._directory,
            self.clock,
            self.journal,
            entra.access_tokens,
            may_use=lambda caller: caller.client_id == operator,
        )
        names.only_existing("keyvault", keyvault.exists)
        find_service = self._cluster.services.find
        services: dict[str, App] = {
            "entra": entra.app,
            "arm": self._arm.app,
            "keyvault": keyvault.app,
            "graph": graph.app,
            "issuer": unless_unreachable(self._cluster.issuer_app, self.faults),
            "cluster": self._cluster.app,
        }
        door = Gateway(names, services, self.journal, seal=seal)
        listeners = self._listeners
        for door_open in (
            serve_gateway(door, [listeners.gateway, listeners.gateway_socket], self._ca, names),
            serve_forward_proxy(ForwardProxy(door, names, self._ca, self.journal), listeners.proxy),
            serve_dns(
                listeners.dns_socket,
                names,
                Addresses(DOORS, API_ADDRESS),
                self.journal,
                services=find_service,
            ),
            serving(imds_absent(self.journal), [listeners.metadata]),
        ):
            await self._stack.enter_async_context(door_open)
        self._filling = Filling(
            self._store, self._remembered, self._directory, self._arm, keyvault, lambda _cluster: self._issuer
        )

    def _keep_endpoints(self, scenario: Scenario) -> None:
        """Write what programs need to find the lab: the kubeconfig."""
        cluster = scenario.clusters[0]
        operator = self._filling.operator(cluster.tenant, cluster.name)
        subscriptions = [entry for entry in scenario.subscriptions if entry.tenant == cluster.tenant]
        subscription = (subscriptions or scenario.subscriptions)[0]
        self.endpoints = Endpoints(
            **self._addresses(),
            tenant_id=operator.tenant_id,
            subscription_id=self._remembered.subscription_id(subscription.name, subscription.id),
            operator_client_id=operator.client_id,
            issuer=self._issuer,
        )
        replace_file(self.paths.kubeconfig, self._kubeconfig().encode())

    def _addresses(self) -> dict[str, str]:
        listeners = self._listeners
        return {
            "api": f"https://{LOOPBACK}:{port_of(listeners.api)}",
            "proxy": f"http://{LOOPBACK}:{port_of(listeners.proxy)}",
            "gateway": f"https://{LOOPBACK}:{port_of(listeners.gateway)}",
            "metadata": f"http://{LOOPBACK}:{port_of(listeners.metadata)}",
        }

    def _plain_variables(self) -> dict[str, str]:
        """What leads a pod that is a plain process to the lab: the host's variables without anybody's identity."""
        nobody = Endpoints(**self._addresses(), tenant_id="", subscription_id="", operator_client_id="", issuer="")
        personal = ("KUBECONFIG", "AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST", "AZURE_CONFIG_DIR")
        return {
            name: value
            for name, value in host_variables(nobody, self.paths).items()
            if name not in personal and not name.startswith("PODPASS_")
        }

    def _kubeconfig(self) -> str:
        name = f"podpass-{self.paths.name}"
        certificate = base64.b64encode(self._ca.pem).decode()
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {
                        "name": name,
                        "cluster": {"server": self.endpoints.api, "certificate-authority-data": certificate},
                    }
                ],
                "users": [{"name": name, "user": {"token": self._cluster.admin_token}}],
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
                "current-context": name,
            },
            sort_keys=False,
        )

    async def _start_loops(self) -> None:
        """Controllers, the webhook, the node. Returns when a pod could be created and would run."""
        kube = await self._client(self._cluster.admin_token)
        await install_operator(kube)
        webhook_client = await self._client(await install_webhook(kube))
        node_client = await self._client(self._cluster.node_token)
        # Entered after the clients, so that the loops end before what they call with.
        self._supervision = await self._stack.enter_async_context(Supervision(self._log))
        if self._opened.runtime.kind == "sandbox":
            self._cluster.advertise(DOORS, API_PORT)
        self._supervision.start("controllers", self._cluster.run)
        self._start_services(kube)
        webhook_ready = asyncio.Event()
        await self._start_webhook(kube, webhook_client, webhook_ready)
        node = Node(
            name=NODE_NAME,
            client=node_client,
            runtime=self._opened.runtime,
            clock=self._cluster_clock,
            journal=self.journal,
            state_directory=self.paths.node,
            why=self._opened.why,
        )
        self._nodes.append(node)
        self._cluster.node = node
        self._supervision.start("node", node.run)
        async with asyncio.timeout(READY_SECONDS):
            await webhook_ready.wait()
            await node.ready.wait()

    def _start_services(self, kube: Client) -> None:
        events = EventRecorder(kube, "service-controller", now=self._cluster_clock.now)
        found = self._services = ServiceLoop(self._cluster.services, self._cluster.verbs, self._opened.runtime, events)

        async def services() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(events.run())
                tasks.create_task(found.run())

        self._supervision.start("services", services)

    async def _start_webhook(self, kube: Client, client: Client, ready: asyncio.Event) -> None:
        """The webhook as a cluster runs it: its own account, its own TLS address, registered with the API server."""
        listeners = self._listeners
        address = f"{LOOPBACK}:{port_of(listeners.webhook)}"
        settings = WebhookSettings.read({"AZURE_TENANT_ID": self.endpoints.tenant_id})
        tls = self._ca.context_for(LOOPBACK)

        async def webhook() -> None:
            await run_webhook(
                settings,
                client,
                listener=listeners.webhook.dup(),
                health_listener=listeners.webhook_health.dup(),
                metrics_listener=listeners.webhook_metrics.dup(),
                tls=tls,
                ready=ready,
                log=self._log.bind(component="webhook"),
            )

        self._supervision.start("webhook", webhook)
        bundle = base64.b64encode(self._ca.pem).decode()
        await register_webhook(kube, url=f"https://{address}{WEBHOOK_PATH}", ca_bundle=bundle)

    async def _client(self, token: str) -> Client:
        access = Access(server=self._addresses()["api"], ca_pem=self._ca.pem, credential=StaticToken(token))
        return await self._stack.enter_async_context(Client(access))

    def _control_app(self) -> App:
        return control_app(self, self.stop_requested.set)
