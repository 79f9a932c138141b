"""One managed cluster beside the lab's own: its directory, and the embedded cluster that runs from it."""

import asyncio
import shutil
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

from podpass.lab.arm.hosting import HostedCluster
from podpass.lab.certificates import CertificateAuthority
from podpass.lab.doors.dns import Addresses
from podpass.lab.doors.network import serve_dns
from podpass.lab.embedded import EmbeddedCluster
from podpass.lab.fleet import keys
from podpass.lab.fleet.doors import Doors
from podpass.lab.fleet.kept import AppliedRecords
from podpass.lab.fleet.machines import Cloud, Machines
from podpass.lab.fleet.nodes import resize
from podpass.lab.fleet.plan import (
    Action,
    Applied,
    Remove,
    Resize,
    Rotate,
    Start,
    Stop,
    UsePodIdentity,
    UseWebhook,
    Withdraw,
    after,
)
from podpass.lab.journal import within
from podpass.lab.listeners import PodSockets, bind_cluster
from podpass.lab.node.addresses import API_ADDRESS, DOORS
from podpass.lab.node_set import resized
from podpass.lab.remembered import Remembered
from podpass.lab.store import Store
from podpass.lab.surroundings import Surroundings


async def change(embedded: EmbeddedCluster, action: Action, guid: str, records: AppliedRecords, now: float) -> None:
    """Do one of the actions on a cluster that runs, and keep that it was done."""
    applied = records.get(guid)
    assert applied is not None
    match action:
        case Resize(nodes):
            await resize(embedded.nodes, embedded.kube, nodes)
        case UseWebhook(True):
            await embedded.webhook.begin()
            await embedded.webhook.ready()
        case UseWebhook(False):
            await embedded.webhook.end()
        case UsePodIdentity(profile):
            await embedded.use_pod_identity(profile)
        case Rotate():
            await keys.rotate(embedded.keys, applied, lambda begun: records.put(guid, begun))
            await embedded.webhook.renew_token()
        case Withdraw():
            keys.withdraw(embedded.keys)
    records.put(guid, after(applied, action, now=now))


class Hosted:
    """A managed cluster with a directory of its own; nothing of it is there until it is started.

    *lab* is what the lab gives to its own cluster, *runtime* how pods are to run, *cloud* knows its nodes' machines.
    """

    beside = True

    def __init__(self, guid: str, lab: Surroundings, doors: Doors, runtime: str, cloud: Cloud) -> None:
        self._guid = guid
        self._cloud = cloud
        self._lab, self._doors, self._runtime = lab, doors, runtime
        self._paths = lab.paths.of_cluster(guid)
        self._sockets = PodSockets.of_another(lab.paths, guid)
        self._stack = AsyncExitStack()
        self._records: AppliedRecords | None = None
        self.embedded: EmbeddedCluster | None = None
        self.ca: CertificateAuthority | None = None
        self.notes: list[str] = []

    @property
    def keys(self) -> Path:
        return self._paths.keys / "cluster"

    @property
    def runs(self) -> bool:
        return self.embedded is not None

    @property
    def applied(self) -> Applied | None:
        """Known while it runs."""
        return None if self._records is None else self._records.get(self._guid)

    async def do(self, action: Action, cluster: HostedCluster) -> None:
        """Raises PodpassError, OSError, and what else keeps a cluster from starting."""
        match action:
            case Start():
                with within(cluster.name):
                    await self._start(cluster)
            case Stop():
                await self.close()
            case Remove():
                await self.close()
                await asyncio.to_thread(self._delete)
            case _:
                assert self.embedded is not None
                assert self._records is not None
                await change(self.embedded, action, self._guid, self._records, self._lab.clock.now())

    async def _start(self, cluster: HostedCluster) -> None:
        paths, lab = self._paths, self._lab
        for directory in (paths.directory, paths.keys, paths.node):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.notes.clear()
        async with AsyncExitStack() as stack:
            store = Store.open(paths.database)
            stack.callback(store.close)
            remembered, records = Remembered(store), AppliedRecords(store)
            applied = records.get(self._guid) or Applied.at_first(cluster)
            # Before it is so: a start that is cut short goes on with the same, whatever is wanted by then.
            records.put(self._guid, applied)
            ca = CertificateAuthority.open(paths.authority)
            listeners = bind_cluster(self._sockets, remembered, self.notes)
            stack.callback(listeners.close)
            embedded = EmbeddedCluster(
                replace(
                    lab,
                    store=store,
                    ca=ca,
                    listeners=listeners,
                    sockets=self._sockets,
                    keys=self.keys,
                    node=paths.node,
                    stack=stack,
                ),
                name=cluster.name,
                issuer=cluster.issuer,
                runtime=self._runtime,
                nodes=remembered.nodes if remembered.nodes is not None else resized({}, applied.node_count),
                keep_nodes=remembered.keep_nodes,
                webhook=applied.workload_identity,
                operator=False,
                recorded_as=cluster.name,
                machines=Machines(self._cloud, self._guid, lab.paths.sockets),
                shares_segment=cluster.kubenet,
            )
            await embedded.open()
            await stack.enter_async_context(
                serve_dns(
                    listeners.dns_socket,
                    self._doors.names,
                    Addresses(DOORS, API_ADDRESS),
                    lab.journal,
                    services=embedded.find_service,
                )
            )
            await embedded.start(cluster.tenant_id)
            embedded.keep_pod_identity(applied.pod_identity)
            stack.push_async_callback(embedded.close_watches)
            self._doors.open(cluster, embedded)
            stack.callback(self._doors.close, cluster)
            self._doors.issuers.add(cluster.issuer, embedded.services["issuer"])
            stack.callback(self._doors.issuers.remove, cluster.issuer)
            self._records, self.ca, self.embedded = records, ca, embedded
            self._stack = stack.pop_all()

    async def close(self) -> None:
        """End what runs; its state stays."""
        self.embedded = self._records = None
        await self._stack.aclose()

    def _delete(self) -> None:
        for path in (self._sockets.api, self._sockets.dns):
            path.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            shutil.rmtree(self._paths.directory)
