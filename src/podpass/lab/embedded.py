"""An embedded cluster, whole: the API server on its doors, the controllers, the webhook, the nodes."""

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podpass.kube.client import Client
from podpass.kube.config import Access, StaticToken
from podpass.kube.events import EventRecorder
from podpass.lab.cluster import NODE_NAME, Cluster
from podpass.lab.cluster.admission.client import Endpoint, no_services
from podpass.lab.cluster.serviceaccounts.signing_keys import SigningKeys
from podpass.lab.doors.dns import Services
from podpass.lab.doors.http import OwnTls
from podpass.lab.embedded_webhook import EmbeddedWebhook
from podpass.lab.fleet.machines import Machines
from podpass.lab.installing import install_operator
from podpass.lab.journal import within
from podpass.lab.kubeconfigs import kubeconfig
from podpass.lab.listeners import LOOPBACK, port_of
from podpass.lab.node.addresses import API_ADDRESS, API_PORT, DOORS, NodeNetwork
from podpass.lab.node.driver import tool_path
from podpass.lab.node.images import Catalogue
from podpass.lab.node.images.kept import Kept
from podpass.lab.node.loop import Node
from podpass.lab.node.plain import PlainRuntime
from podpass.lab.node_set import Kept as KeptNodes
from podpass.lab.node_set import NodeSet, State
from podpass.lab.nodes import Nodes
from podpass.lab.pod_runtime import open_runtime
from podpass.lab.scheduler.loop import Scheduler
from podpass.lab.services.loop import ServiceLoop
from podpass.lab.supervision import Supervision
from podpass.lab.surroundings import Surroundings

if TYPE_CHECKING:
    from podpass.lab.pod_identity.addon import PodIdentity
    from podpass.lab.pod_identity.endpoints import Endpoints
from podpass.serving.asgi import App, Receive, Scope, Send
from podpass.serving.server import serving

READY_SECONDS = 30.0
STOP_SECONDS = 2.0


class EmbeddedCluster:
    """The cluster of a lab that was given none, or another one beside it.

    *host_paths* are what hostPath volumes may show of this machine. *nodes* are those it begins with; *keep_nodes*
    makes another set of them durable. *webhook* says whether pods get tokens for Azure, *operator* whether it has the
    account that the lab's operator application trusts. The journal tells what happens in it as of *recorded_as*, and
    of no cluster when that is empty. *machines* tells which machine of the cloud a node is. *shares_segment*: pods
    of a node can pose as each other, as on kubenet.
    """

    def __init__(
        self,
        lab: Surroundings,
        *,
        name: str,
        issuer: str,
        runtime: str,
        host_paths: Sequence[Path] = (),
        nodes: KeptNodes,
        keep_nodes: Callable[[dict[str, State]], None],
        webhook: bool = True,
        operator: bool = True,
        recorded_as: str = "",
        machines: Machines | None = None,
        shares_segment: bool = False,
    ) -> None:
        self._lab = lab
        self._shares_segment = shares_segment
        self._machines = machines
        self._recorded_as = recorded_as
        self._wants_webhook, self._wants_operator = webhook, operator
        self._host_paths = host_paths
        self._name = name
        self._wanted_runtime = runtime
        self._kept_nodes, self._keep_nodes = nodes, keep_nodes
        self._nodes: Nodes | None = None
        self._services: ServiceLoop | None = None
        self._pod_identity: PodIdentity | None = None
        self._endpoints: Endpoints | None = None
        self._of_nodes = AsyncExitStack()
        self._node_clients: dict[str, Client] = {}
        """What the nodes call with; one that is switched on again has its former one."""
        self.issuer = issuer
        self.server = f"https://{LOOPBACK}:{port_of(lab.listeners.api)}"

    async def open(self) -> None:
        """Answer on the API's port and in the pods' network. Raises PodpassError, UnusableKey, OSError."""
        async with asyncio.TaskGroup() as opening:
            runtime = opening.create_task(
                open_runtime(
                    self._wanted_runtime,
                    self._lab.node,
                    sockets=self._lab.sockets,
                    ca_bundle=self._lab.paths.ca_bundle,
                    hidden=(self._lab.home, self._lab.paths.sockets),
                    plain_environment=self._lab.pod_variables,
                    shares_segment=self._shares_segment,
                )
            )
            cluster = opening.create_task(self._open_cluster())
            images = Kept(self._lab.paths.node / "images")
            if self._lab.node == self._lab.paths.node and images.directory.is_dir():
                # Nothing runs from one yet.
                opening.create_task(asyncio.to_thread(images.sweep))
        self._opened, self._cluster = runtime.result(), cluster.result()
        self._lab.stack.push_async_callback(self._opened.runtime.close)

    async def _open_cluster(self) -> Cluster:
        lab = self._lab
        cluster = await Cluster.open(
            name=self._name,
            store=lab.store,
            clock=lab.clock,
            journal=lab.journal,
            keys_directory=lab.keys,
            issuer=self.issuer,
            ca_pem=lab.ca.pem,
            resolve_service=self._resolve_service,
        )
        await lab.stack.enter_async_context(cluster)
        self.app = _recorded(cluster.app, self._recorded_as)
        tls = lab.ca.server_context(
            [
                "localhost",
                LOOPBACK,
                "::1",
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
                API_ADDRESS,
            ],
            asks_client=True,
        )
        engine = await lab.stack.enter_async_context(
            serving(self.app, [lab.listeners.api, lab.listeners.api_socket], tls=tls, grace_seconds=STOP_SECONDS)
        )
        self.own_tls = OwnTls(engine, tls)
        return cluster

    def _resolve_service(self, namespace: str, name: str, port: int) -> Endpoint:
        if self._services is None:
            return no_services(namespace, name, port)
        return self._services.resolve(namespace, name, port)

    # What the lab's doors lead to

    @property
    def names(self) -> Mapping[str, str]:
        """Further host names and the services that answer them."""
        return {}

    @property
    def services(self) -> dict[str, App]:
        return {"issuer": self._cluster.issuer_app, "cluster": self.app}

    @property
    def find_service(self) -> Services:
        """Where a Service is, for the pods' DNS."""
        return self._cluster.services.find

    # What the lab tells of it

    def described(self) -> dict[str, Any]:
        return {"kind": "embedded", "server": self.server}

    def runtime(self) -> dict[str, str]:
        return {"name": self._opened.runtime.kind, "why": self._opened.why}

    def images_in_use(self) -> list[dict[str, str]]:
        nodes = self._nodes.by_name.values() if self._nodes is not None else ()
        return [image for node in nodes for image in node.images_in_use()]

    def kubeconfig(self) -> str:
        """The file with which programs on the host are the cluster's administrator."""
        name = f"podpass-{self._lab.paths.name}"
        credential = {"token": self.admin_token}
        return kubeconfig(cluster=name, user=name, server=self.server, ca_pem=self._lab.ca.pem, credential=credential)

    @property
    def kubeconfig_paths(self) -> tuple[Path, ...]:
        return (self._lab.paths.kubeconfig,)

    def notes(self) -> list[str]:
        lab = "" if self._lab.paths.name == "default" else f" --name {self._lab.paths.name}"
        lab += f" --cluster {self._recorded_as}" if self._recorded_as else ""
        notes = [
            *(
                f"{name} is switched off: podpass lab node start {name}{lab}"
                for name in self._node_set.names("stopped")
            ),
            *(
                f"{name} is not removed yet: podpass lab node rm {name}{lab}"
                for name in self._node_set.names("leaving")
            ),
        ]
        if self._opened.runtime.kind == "plain" and len(self._node_set.names("running")) > 1:
            notes.append(
                "the nodes share this machine's network, as their pods are plain processes: 127.0.0.1 is the address"
                " of every node and pod, and a port is there once for all of them"
            )
        if self._pod_identity is not None and self._pod_identity.is_wanted:
            notes += self._pod_identity_notes()
        return notes

    def _pod_identity_notes(self) -> list[str]:
        if self._opened.runtime.kind == "plain":
            return [
                "pod identity is weaker than in the sandbox: as a plain process a pod is known by an address of its own"
                " in AZURE_POD_IDENTITY_AUTHORITY_HOST, which any program of this machine's user may use"
            ]
        if shutil.which("iptables", path=tool_path()) is None:
            return [
                "pods get no pod identity: NMI needs iptables, which this machine lacks: install the package iptables"
            ]
        return []

    @property
    def nodes(self) -> NodeSet:
        """Known once it has started."""
        return self._node_set

    # Its life

    async def start(self, tenant_id: str) -> Supervision:
        """Controllers, the webhook, the scheduler, the nodes. Returns when a pod could be created and would run."""
        lab = self._lab
        kube = self.kube = await self._client(self._cluster.admin_token)
        if self._wants_operator:
            await install_operator(kube)
        scheduler = Scheduler(await self._client(self._cluster.token_of_scheduler()), lab.clock)
        # Entered after the clients, so that the loops end before what they call with. Nodes come and go.
        await lab.stack.enter_async_context(self._of_nodes)
        supervision = self._supervision = Supervision(lab.log)
        webhook = self.webhook = EmbeddedWebhook(lab, kube, supervision, tenant_id=tenant_id)
        lab.stack.push_async_callback(webhook.close)
        await lab.stack.enter_async_context(supervision)
        if self._opened.runtime.kind == "sandbox":
            self._cluster.advertise(DOORS, API_PORT)
        supervision.start("controllers", self._cluster.run)
        self._start_services(supervision, kube)
        if self._wants_webhook:
            await webhook.begin()
        if isinstance(self._opened.runtime, PlainRuntime) and self._machines is not None:
            await self._give_endpoints(self._opened.runtime, supervision)
        supervision.start("scheduler", scheduler.run)
        nodes = self._cluster.node = self._nodes = Nodes(self._make_node, supervision)
        self._node_set = NodeSet(
            lab.paths.name,
            nodes,
            kube,
            self._kept_nodes,
            keep=self._keep_nodes,
            directory_of=self._directory_of,
        )
        started = await self._node_set.begin()
        await webhook.ready()
        async with asyncio.timeout(READY_SECONDS):
            for node in started:
                await node.ready.wait()
        return supervision

    async def _give_endpoints(self, runtime: PlainRuntime, supervision: Supervision) -> None:
        # Most labs have the sandbox.
        from podpass.lab.pod_identity.endpoints import Endpoints

        def is_wanted() -> bool:
            return self._pod_identity is not None and self._pod_identity.is_wanted

        self._endpoints = Endpoints(self.kube, supervision, self._lab.log, is_wanted=is_wanted)
        runtime.endpoints = await self._of_nodes.enter_async_context(self._endpoints)

    def keep_pod_identity(self, profile: Mapping[str, Any] | None) -> None:
        """Keep the objects of *profile*, which were made before this start, as they are to be."""
        if profile is not None:
            self._made_pod_identity().keep(profile)

    async def use_pod_identity(self, profile: Mapping[str, Any] | None) -> None:
        """Make the cluster's objects of pod identity those of *profile*, from now on; None takes all away.

        Raises ApiError, Unreachable, TimeoutError.
        """
        await self._made_pod_identity().use(profile)

    def _made_pod_identity(self) -> "PodIdentity":
        # Few clusters need it.
        from podpass.lab.pod_identity.addon import PodIdentity

        if self._pod_identity is None:
            has_agent = self._opened.runtime.kind == "sandbox"
            self._pod_identity = PodIdentity(self.kube, self._supervision, has_agent=has_agent)
        return self._pod_identity

    @property
    def keys(self) -> SigningKeys:
        """Those of its service accounts' tokens, to be rotated."""
        return self._cluster.keys

    @property
    def admin_token(self) -> str:
        return self._cluster.admin_token

    async def _make_node(self, name: str, network: NodeNetwork) -> Node:
        lab = self._lab
        if name not in self._node_clients:
            token = self._cluster.node_token if name == NODE_NAME else self._cluster.token_of_node(name)
            client = await self._of_nodes.enter_async_context(self._client_with(token))
            self._node_clients[name] = client
        virtual_machine = None
        if self._machines is not None:
            virtual_machine = await self._machines.of(name, self.kube, stack=self._of_nodes)
            if self._endpoints is not None and virtual_machine is not None:
                self._endpoints.add_machine(name, virtual_machine)
        return Node(
            name=name,
            client=self._node_clients[name],
            runtime=self._opened.runtime,
            clock=lab.clock,
            journal=lab.journal,
            state_directory=self._directory_of(name),
            network=network,
            virtual_machine=virtual_machine,
            images=Catalogue.of(lab.paths.node),
            why=self._opened.why,
            host_roots=self._host_paths,
        )

    def _directory_of(self, name: str) -> Path:
        return self._lab.node if name == NODE_NAME else self._lab.node / name

    def _start_services(self, supervision: Supervision, kube: Client) -> None:
        events = EventRecorder(kube, "service-controller", now=self._lab.clock.now)
        found = self._services = ServiceLoop(self._cluster.services, self._cluster.verbs, self._opened.runtime, events)

        async def services() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(events.run())
                tasks.create_task(found.run())

        supervision.start("services", services)

    def clock_moved(self) -> None:
        self._cluster.clock_moved()

    async def close_watches(self) -> None:
        await self._cluster.close_watches()

    async def _client(self, token: str) -> Client:
        return await self._lab.stack.enter_async_context(self._client_with(token))

    def _client_with(self, token: str) -> Client:
        return Client(Access(server=self.server, ca_pem=self._lab.ca.pem, credential=StaticToken(token)))


def _recorded(app: App, cluster: str) -> App:
    """*app*, whose requests the journal tells as of *cluster*."""
    if not cluster:
        return app

    async def recorded(scope: Scope, receive: Receive, send: Send) -> None:
        with within(cluster):
            await app(scope, receive, send)

    return recorded
