"""A lab, whole: one context manager that starts the cluster, the clouds, the doors and the node, and stops them.

The same class runs in the daemon of `podpass lab up`, in users' tests, and in ours.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from podpass import __version__
from podpass.lab.arm import Arm
from podpass.lab.arm.hosting import HostedCluster
from podpass.lab.arm.model import Resource
from podpass.lab.certificates import CertificateAuthority
from podpass.lab.clock import LabClock, SkewedClock, rfc3339
from podpass.lab.control.http import control_app
from podpass.lab.doors import own
from podpass.lab.doors.dns import Addresses
from podpass.lab.doors.http import ForwardProxy, Gateway, OwnTls
from podpass.lab.doors.names import Names
from podpass.lab.doors.network import lab_session, serve_dns, serve_forward_proxy, serve_gateway
from podpass.lab.doors.planes import Planes
from podpass.lab.doors.traces import TraceSeal
from podpass.lab.embedded import EmbeddedCluster
from podpass.lab.entra import Entra, SigningKeys
from podpass.lab.entra.directory import Application, Directory
from podpass.lab.environment import Endpoints, LabPaths, host_variables, pod_variables, state_home
from podpass.lab.faults import Faults, unless_unreachable
from podpass.lab.filling import Clouds, Filling
from podpass.lab.fleet.doors import Doors
from podpass.lab.fleet.issuers import Issuers
from podpass.lab.fleet.kept import AppliedRecords
from podpass.lab.fleet.loop import Fleet
from podpass.lab.fleet.machines import Cloud, Machines
from podpass.lab.fleet.managed import Managed
from podpass.lab.graph import Graph
from podpass.lab.instance import Instance
from podpass.lab.journal import Journal
from podpass.lab.keyvault import KeyVault
from podpass.lab.listeners import LOOPBACK, Listeners, PodSockets, port_of
from podpass.lab.lock import only_process
from podpass.lab.node.addresses import API_ADDRESS, DOORS, MOST_NODES
from podpass.lab.node_set import NodeSet, wanted_nodes
from podpass.lab.pod_runtime import RUNTIMES
from podpass.lab.private_files import replace_file
from podpass.lab.redis import Caches
from podpass.lab.remembered import Remembered
from podpass.lab.scenario import DEFAULT, Scenario, Sources, read, text_of
from podpass.lab.start_failures import explained
from podpass.lab.store import Store
from podpass.lab.supervision import Supervision
from podpass.lab.surroundings import LabCluster, Surroundings
from podpass.problems import PodpassError
from podpass.serving.asgi import App
from podpass.serving.server import serving
from podpass.telemetry.logging import Logger, make_logger
from podpass.tokens.client import KeyFetcher

_THEIR_OWN_NODES = "An existing cluster has nodes of its own; leave --nodes out"


class Lab:
    """A cloud and a cluster on this machine, as an async context manager.

    *scenario* fills it at its first start, and again whenever it is given. *home* is the directory of all labs. A lab
    of the same name and home goes on where the last one stopped, however it stopped. *kubeconfig*, with one of its
    contexts, names a cluster to use instead of the embedded one; *nodes* is how many that one has, 0: those of last
    time, or what the scenario says, or one. Entering raises PodpassError.
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
        kubeconfig: Path | None = None,
        context: str = "",
        nodes: int = 0,
        log: Logger | None = None,
    ) -> None:
        if runtime not in RUNTIMES:
            reason = f"There is no runtime {runtime!r}."
            raise PodpassError("PP109", reason=reason, remedy=f"Choose one of {', '.join(RUNTIMES)}.")
        if not 0 <= nodes <= MOST_NODES:
            raise PodpassError("PP141", reason=f"A lab has between 1 and {MOST_NODES} nodes", lab=name)
        if nodes and (kubeconfig or context):
            raise PodpassError("PP141", reason=_THEIR_OWN_NODES, lab=name)
        self._wanted_nodes = nodes
        self._home = home or state_home(os.environ)
        self.paths = LabPaths.of(name, home=self._home)
        self._scenario = scenario
        self._wanted_runtime = runtime
        self._wanted_cluster = (kubeconfig, context)
        self._wanted_ports = {"api": api_port, "proxy": proxy_port}
        self._log = log or make_logger("lab", level=os.environ.get("PODPASS_LOG_LEVEL", "info"))
        self._notes: list[str] = []
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
            "cluster": self._cluster.described(),
            "clusters": self._fleet.described(),
            "runtime": self._cluster.runtime(),
            "caches": self._caches.described(),
            "clock": {"now": rfc3339(self.clock.now()), "offset_seconds": self.clock.offset_seconds},
            "faults": asdict(self.faults),
            "identities": [asdict(identity) for identity in self._filling.identities()],
            "journal": {"newest": self.journal.newest},
            "loops": {**self._supervision.report(), **self._cache_supervision.report(), **self._fleet.report()},
            "notes": [*self._notes, *self._cluster.notes(), *self._fleet.notes(), *self._caches.notes()],
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
        self._fleet.clock_moved()

    def set_faults(self, values: dict[str, Any]) -> dict[str, Any]:
        """Change the named faults and return all of them. Raises ValueError for what is not a fault."""
        self.faults.change(self._store, values)
        self._cluster_clock.skew_seconds = self.faults.cluster_skew_seconds
        return asdict(self.faults)

    def signing_keys(self) -> list[dict[str, Any]]:
        """The keys of the lab's Entra: each one's `kid` and state."""
        return self._entra.signing.described()

    async def rotate_signing_keys(self, *, withdraw: bool) -> list[dict[str, Any]]:
        """Have Entra sign with the next key, and say which there are. Raises OSError when it can't be kept."""
        return await self._entra.rotate_keys(withdraw=withdraw)

    def revoke_tokens(self, name: str) -> dict[str, Any]:
        """Revoke the tokens of the application or managed identity called so, or with that client or object id.

        Raises PodpassError when there is not exactly one.
        """
        wanted, every = name.lower(), self._applications()
        found = [one for one in every if wanted in (one.client_id.lower(), one.object_id.lower())]
        found = found or [one for one in every if one.display_name.lower() == wanted]
        if len(found) != 1:
            have = ", ".join(sorted({one.display_name for one in every})) or "none"
            raise PodpassError("PP111", f"there is no one identity {name}", identity=name, have=have)
        since = self._entra.revoke_tokens(found[0])
        return {"name": found[0].display_name, "client_id": found[0].client_id, "since": rfc3339(since)}

    def _applications(self) -> list[Application]:
        tenants = self._directory.tenants()
        return [one for tenant in tenants for one in self._directory.applications(tenant.tenant_id) if one.object_id]

    def forget_issuer_keys(self) -> None:
        """Make the clouds ask every issuer for its keys again, as they do when their copies are old."""
        self._issuer_keys.forget()

    def images_in_use(self) -> list[dict[str, str]]:
        """What runs on the nodes, of all clusters."""
        clusters = (self._cluster, *self._fleet.others)
        return [image for cluster in clusters for image in cluster.images_in_use()]

    def export(self, *, with_secret_values: bool = False) -> str:
        """What is in the clouds, as the text of a scenario that recreates it."""
        return self._filling.export(with_secret_values=with_secret_values)

    @property
    def nodes(self) -> NodeSet:
        """The nodes, to be changed. Raises PodpassError where they are none of the lab's."""
        return self._cluster.nodes

    def nodes_of(self, cluster: str = "") -> NodeSet:
        """The nodes of a managed cluster, or of the lab's own, to be changed.

        Raises PodpassError where they are none of the lab's, and where no cluster is called so.
        """
        if cluster in ("", self._own_name):
            return self.nodes
        found = self._fleet.find(cluster)
        if found is None:
            raise PodpassError("PP142", cluster=cluster, have=self._cluster_names(), lab=self.paths.name)
        return found.nodes

    def kubeconfig(self, cluster: str = "") -> dict[str, str]:
        """An administrator's file for the lab's own cluster, or for another one, and the directory of its CA.

        There is no CA for an existing cluster, whose people get their certificates elsewhere. Raises PodpassError.
        """
        if cluster in ("", self._own_name):
            own = isinstance(self._cluster, EmbeddedCluster)
            authority = str(self.paths.authority) if own else ""
            return {"kubeconfig": self._cluster.kubeconfig(), "authority": authority}
        try:
            guid = self._fleet.guid_of(cluster)
            text = self._fleet.kubeconfig(guid, admin=True)
        except KeyError:
            raise PodpassError("PP142", cluster=cluster, have=self._cluster_names(), lab=self.paths.name) from None
        return {"kubeconfig": text, "authority": str(self.paths.of_cluster(guid).authority)}

    def _cluster_names(self) -> str:
        return ", ".join(dict.fromkeys([self._own_name, *(entry["name"] for entry in self._fleet.described())]))

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
        self._ca = CertificateAuthority.open(self.paths.authority)
        replace_file(self.paths.ca_certificate, self._ca.pem, mode=0o644)
        self._ca.bundle(self.paths.ca_bundle)
        self._listeners = Listeners.bind(self.paths, self._remembered, self._wanted_ports, self._notes)
        self._stack.callback(self._listeners.close)
        cluster = scenario.clusters[0]
        self._own_name, self._own_guid = cluster.name, self._remembered.guid(f"cluster/{cluster.name}", cluster.id)
        self._surroundings = self._for_cluster()
        self._cluster = self._choose_cluster(scenario, new=new, applied=given is not None)
        async with asyncio.TaskGroup() as opening:
            signing = opening.create_task(SigningKeys.open(self.paths.keys / "entra", self.clock))
            opening.create_task(self._cluster.open())
        await self._serve_clouds(signing.result())
        if new or given is not None:
            self._filling.apply(scenario, self._sources())
            self._remembered.keep_scenario(scenario)
        self._keep_endpoints(scenario)
        await self._stack.enter_async_context(self._fleet)
        self._supervision = await self._cluster.start(self.endpoints.tenant_id)
        # Its own cluster may be one of those that are to be changed.
        self._fleet.begin(self._arm.hosted)
        await self._fleet.settled()
        self._supervision.start("deployments", self._arm.deployments.run)
        await self._stack.enter_async_context(serving(self._control_app(), [self._listeners.control]))
        # Streams end because their source closes, before the servers that carry them.
        self._stack.callback(self.journal.close)
        self._stack.push_async_callback(self._cluster.close_watches)
        self._ready_seconds = time.monotonic() - began

    def _read_scenario(self) -> Scenario | None:
        if not isinstance(self._scenario, Path):
            return self._scenario
        return read(text_of(self._scenario), source=str(self._scenario))

    def _sources(self) -> Sources:
        """Where a scenario's values come from that do not stand in it."""
        return Sources(self._scenario.absolute().parent) if isinstance(self._scenario, Path) else Sources()

    def _open_state(self) -> None:
        self._store = Store.open(self.paths.database)
        self._stack.callback(self._store.close)
        self._remembered = Remembered(self._store)
        self.clock = LabClock(self._remembered.offset_seconds)
        self.faults = Faults.load(self._store)
        self._cluster_clock = SkewedClock(self.clock, self.faults.cluster_skew_seconds)
        self.journal = Journal(self._store, self.clock)

    def _for_cluster(self) -> Surroundings:
        return Surroundings(
            home=self._home,
            paths=self.paths,
            store=self._store,
            clock=self._cluster_clock,
            journal=self.journal,
            ca=self._ca,
            listeners=self._listeners,
            sockets=PodSockets.of(self.paths),
            keys=self.paths.keys / "cluster",
            node=self.paths.node,
            pod_variables=pod_variables(self._listeners.pod_addresses(), self.paths),
            stack=self._stack,
            log=self._log,
        )

    def _choose_cluster(self, scenario: Scenario, *, new: bool, applied: bool) -> LabCluster:
        if self._wanted_cluster != (None, "") or self.paths.cluster.exists():
            # Most labs need none of this.
            from podpass.lab.existing.chosen import choose, keep, kept
            from podpass.lab.existing.cluster import ExistingCluster

            before, (kubeconfig, context) = kept(self.paths), self._wanted_cluster
            chosen = choose(before, kubeconfig, context, name=self.paths.name, embedded=before is None and not new)
            if chosen is not None:
                if self._wanted_nodes:
                    raise PodpassError("PP141", reason=_THEIR_OWN_NODES, lab=self.paths.name)
                cluster = ExistingCluster(self._surroundings, chosen)
                if chosen != before:
                    keep(self.paths, chosen)
                return cluster
        entry = scenario.clusters[0]
        tenant = next(tenant for tenant in scenario.tenants if tenant.name == entry.tenant)
        tenant_id = self._remembered.tenant_id(tenant.name, tenant.id)
        before_now = AppliedRecords(self._store).get(self._own_guid)
        return EmbeddedCluster(
            self._surroundings,
            name=entry.name,
            issuer=f"https://{entry.region}.oic.prod-aks.azure.com/{tenant_id}/{self._own_guid}/",
            runtime=self._wanted_runtime,
            host_paths=tuple(map(Path, entry.host_paths)),
            nodes=wanted_nodes(self._remembered.nodes, asked=self._wanted_nodes, scenario=entry.nodes, applied=applied),
            keep_nodes=self._remembered.keep_nodes,
            webhook=before_now is None or before_now.workload_identity,
            machines=Machines(self._machine_cloud(), self._own_guid, self.paths.sockets),
        )

    async def _serve_clouds(self, signing: SigningKeys) -> None:
        """Entra, ARM and Key Vault behind the doors."""
        names, seal = Names(), TraceSeal()
        for name, service in self._cluster.names.items():
            names.add(name, service)
        gateway = (LOOPBACK, port_of(self._listeners.gateway))
        session = lab_session(self._ca, gateway, names, seal=seal)
        await self._stack.enter_async_context(session)
        self._directory = Directory(self._store, self.clock)
        self._issuer_keys = KeyFetcher(session, self.clock)
        self._entra = entra = Entra(
            self._store,
            self.clock,
            self.journal,
            self._directory,
            self._issuer_keys,
            signing=signing,
            faults=self.faults,
            resources=(own.origin(gateway[1]), own.vault_resource(gateway[1])),
        )
        self._arm = Arm(self._store, self.clock, self.journal, self._directory, entra.access_tokens)
        keyvault = KeyVault(self._store, self.clock, self.journal, entra.access_tokens, self._arm, faults=self.faults)
        people = self._arm.estate.people
        graph = Graph(
            self._directory, self.clock, self.journal, entra.access_tokens, people, audiences=(own.origin(gateway[1]),)
        )
        names.only_existing("keyvault", keyvault.exists)
        await self._serve_caches(names)
        services: dict[str, App] = {
            "entra": entra.app,
            "arm": self._arm.app,
            "keyvault": keyvault.app,
            "graph": graph.app,
            **self._cluster.services,
        }
        services["planes"] = Planes(services)
        own_tls: dict[str, OwnTls] = {}
        issuers = Issuers(services["issuer"])
        services["issuer"] = unless_unreachable(issuers.app, self.faults)
        self._doors = Doors(names, services, own_tls, issuers)
        self._fleet = Fleet(
            self._managed, clock=self._cluster_clock, journal=self.journal, log=self._log, paths=self.paths
        )
        self._arm.use_host(self._fleet)
        door = Gateway(names, services, self.journal, seal=seal)
        self.traffic = door.traffic
        listeners = self._listeners
        for door_open in (
            serve_gateway(door, [listeners.gateway, listeners.gateway_socket], self._ca, names, own_tls=own_tls),
            serve_forward_proxy(ForwardProxy(door, names, self._ca, self.journal, own_tls=own_tls), listeners.proxy),
            serve_dns(
                listeners.dns_socket,
                names,
                Addresses(DOORS, API_ADDRESS),
                self.journal,
                services=self._cluster.find_service,
            ),
            serving(self._instance("program on the host", entra, self._host_machine), [listeners.metadata]),
            serving(self._instance("pod", entra, lambda: None), [listeners.pod_metadata]),
        ):
            await self._stack.enter_async_context(door_open)
        self._filling = Filling(
            Clouds(
                store=self._store,
                remembered=self._remembered,
                directory=self._directory,
                arm=self._arm,
                keyvault=keyvault,
                graph=graph,
                faults=self.faults,
                issuer_of=lambda _cluster: self._cluster.issuer,
                client_secrets=self.paths.directory / "client-secrets",
            )
        )

    async def _serve_caches(self, names: Names) -> None:
        """Redis, which is no service behind the doors: its protocol is its own."""
        self._caches = caches = Caches(
            self._store,
            self.journal,
            self._ca,
            self._arm.caches,
            directory=self.paths.directory / "redis",
            sockets=self.paths.sockets,
        )
        self._arm.on_caches_changed(caches.changed)
        if caches.missing:
            self._arm.refuse_caches(caches.missing)
        names.only_existing("redis", self._arm.cache_exists)
        names.addressed("redis", caches.pod_address)
        self._cache_supervision = await self._stack.enter_async_context(Supervision(self._log))
        self._cache_supervision.start("caches", caches.run)

    def _managed(self, cluster: HostedCluster) -> Managed:
        # Most labs need none of this.
        from podpass.lab.fleet.hosted import Hosted
        from podpass.lab.fleet.own import Own

        if cluster.guid == self._own_guid:
            embedded = self._cluster if isinstance(self._cluster, EmbeddedCluster) else None
            return Own(cluster, self._surroundings, embedded, self._doors)
        return Hosted(cluster.guid, self._surroundings, self._doors, self._wanted_runtime, self._machine_cloud())

    def _machine_cloud(self) -> Cloud:
        # The cluster is chosen before there is a cloud; nobody asks before it is there.
        def machines(guid: str) -> Sequence[str]:
            return self._arm.hosted.machines(guid)

        def config(guid: str) -> Mapping[str, Any]:
            return self._arm.hosted.cloud_config(guid)

        def metadata(machine: str) -> App:
            return self._instance("pod", self._entra, lambda: self._arm.machine(machine))

        return Cloud(machines=machines, config=config, metadata=metadata)

    def _instance(self, who: str, entra: Entra, machine: Callable[[], tuple[Resource, str] | None]) -> App:
        """The metadata service of *machine*, for *who*."""
        return Instance(
            self.clock,
            self.journal,
            who=who,
            machine=machine,
            issue=entra.issue,
            limited=lambda: self.faults.metadata_limited,
        ).app

    def _host_machine(self) -> tuple[Resource, str] | None:
        """The virtual machine that programs on the host run on, as the scenario says, with its tenant."""
        return self._arm.machine(self._remembered.host_machine)

    def _keep_endpoints(self, scenario: Scenario) -> None:
        """Write what programs need to find the lab: the kubeconfig."""
        cluster = scenario.clusters[0]
        operator = self._filling.operator(cluster.tenant, cluster.name)
        subscriptions = [entry for entry in scenario.subscriptions if entry.tenant == cluster.tenant]
        subscription = (subscriptions or scenario.subscriptions)[0]
        self.endpoints = Endpoints(
            **self._listeners.addresses(),
            api=self._cluster.server,
            tenant_id=operator.tenant_id,
            subscription_id=self._remembered.subscription_id(subscription.name, subscription.id),
            operator_client_id=operator.client_id,
            issuer=self._cluster.issuer,
            kubeconfig=os.pathsep.join(map(str, self._cluster.kubeconfig_paths)),
        )
        replace_file(self.paths.kubeconfig, self._cluster.kubeconfig().encode())

    def _control_app(self) -> App:
        return control_app(self, self.stop_requested.set)
