"""The host of managed clusters: makes those that run equal to those that Resource Manager wants.

Level-triggered: whenever something may have changed every cluster is looked at, each by a task of its own, which does
one thing after the other. A cluster that fails keeps no other one waiting, and is tried again at the next look.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from podpass.lab.arm.hosting import HostedCluster, HostedClusters
from podpass.lab.clock import Clock
from podpass.lab.doors.origin import asked_by_pod
from podpass.lab.embedded import EmbeddedCluster
from podpass.lab.environment import LabPaths
from podpass.lab.fleet.managed import Entry, Managed
from podpass.lab.journal import Hop, Journal, Outcome
from podpass.lab.start_failures import explained
from podpass.lab.supervision import Supervision
from podpass.telemetry.logging import Logger

# Most labs have no managed cluster: what only those need is imported with the first one.

FIRST_LOOK_SECONDS = 30.0


class Fleet:
    """Resource Manager's `ClusterHost`. As a context manager it runs what is wanted until it is left.

    *make* gives a cluster that was not known before.
    """

    def __init__(
        self,
        make: Callable[[HostedCluster], Managed],
        *,
        clock: Clock,
        journal: Journal,
        log: Logger,
        paths: LabPaths,
    ) -> None:
        self._make = make
        self._clock, self._journal, self._log, self._paths = clock, journal, log, paths
        self._clusters: HostedClusters | None = None
        self._entries: dict[str, Entry] = {}
        self._due: dict[str, HostedCluster] = {}
        self._busy: set[str] = set()
        self._look = asyncio.Event()
        self._idle = asyncio.Event()
        self._supervision = Supervision(log)

    # What Resource Manager asks

    def changed(self) -> None:
        self._look.set()

    def kubeconfig(self, guid: str, *, admin: bool) -> str:
        """As in `ClusterHost`. The server that it names is one that whoever asks can reach.

        A program on the host reaches its port on loopback, with the lab's proxy or without it; a pod only its name.
        """
        from podpass.lab.fleet.credentials import kubeconfig_of

        entry = self._entries[guid]
        embedded, ca = entry.managed.embedded, entry.managed.ca
        if embedded is None or ca is None:
            raise KeyError(guid)
        server = f"https://{entry.wanted.fqdn}:443" if self._has_own_network(embedded) else embedded.server
        return kubeconfig_of(
            entry.wanted, admin=admin, server=server, ca=ca, keys=entry.managed.keys, token=embedded.admin_token
        )

    def _has_own_network(self, embedded: EmbeddedCluster) -> bool:
        return asked_by_pod() and embedded.runtime()["name"] == "sandbox"

    # What the lab asks

    def begin(self, clusters: HostedClusters) -> None:
        """Make the clusters as they are wanted, from now on."""
        self._clusters = clusters
        self.changed()
        self._supervision.start("fleet", self._run)

    async def settled(self) -> None:
        """Returns when every cluster has been looked at, or when that takes too long."""
        try:
            async with asyncio.timeout(FIRST_LOOK_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._supervision.__aexit__(kind, error, trace)
        await asyncio.gather(*(entry.managed.close() for entry in self._entries.values()), return_exceptions=True)

    @property
    def others(self) -> list[EmbeddedCluster]:
        """The clusters that run beside the lab's own."""
        embedded = [entry.managed.embedded for entry in self._entries.values() if entry.managed.beside]
        return [cluster for cluster in embedded if cluster is not None]

    def guid_of(self, name: str) -> str:
        """The guid of the cluster of that name, guid or resource id. Raises KeyError for none, and for several."""
        found = [
            guid
            for guid, entry in self._entries.items()
            if name.lower() in (guid, entry.wanted.name.lower(), entry.wanted.resource_id.lower())
        ]
        if len(found) != 1:
            raise KeyError(name)
        return found[0]

    def find(self, name: str) -> EmbeddedCluster | None:
        """The cluster of that name, guid or resource id, where it runs."""
        try:
            return self._entries[self.guid_of(name)].managed.embedded
        except KeyError:
            return None

    def report(self) -> dict[str, dict[str, Any]]:
        return self._supervision.report()

    def described(self) -> list[dict[str, Any]]:
        """Each cluster as `podpass lab status` tells of it."""
        return [entry.described() for entry in self._entries.values()]

    def notes(self) -> list[str]:
        return [f"cluster {entry.wanted.name}: {note}" for entry in self._entries.values() for note in entry.notes()]

    def clock_moved(self) -> None:
        for embedded in self.others:
            embedded.clock_moved()
        self.changed()

    # The loop

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                self._take_up(group)
                try:
                    async with asyncio.timeout(self._seconds_to_next()):
                        await self._look.wait()
                except TimeoutError:
                    continue

    def _take_up(self, group: asyncio.TaskGroup) -> None:
        self._look.clear()
        assert self._clusters is not None
        wanted = {cluster.guid: cluster for cluster in self._clusters.wanted()}
        for guid, entry in self._entries.items():
            if guid not in wanted:
                # Nobody waits to hear of it.
                entry.announced = False
                wanted[guid] = replace(entry.wanted, leaving=True)
        for guid, cluster in wanted.items():
            if guid not in self._entries and not self._add(cluster):
                continue
            self._due[guid] = cluster
            if guid not in self._busy:
                self._busy.add(guid)
                group.create_task(self._serve(guid), name=f"fleet {cluster.name}")
        self._note_idle()

    def _add(self, cluster: HostedCluster) -> bool:
        try:
            self._entries[cluster.guid] = Entry(cluster, self._make(cluster))
        except Exception as error:  # noqa: BLE001 - one cluster must not end the work on the others
            self._log.exception("fleet.cluster.failed", cluster=cluster.name)
            self._tell(cluster, _words(error, self._paths.of_cluster(cluster.guid)))
            return False
        return True

    def _note_idle(self) -> None:
        if self._busy:
            self._idle.clear()
        else:
            self._idle.set()

    def _seconds_to_next(self) -> float | None:
        """Until a key is to be withdrawn; None when none is."""
        ends = [
            entry.managed.applied.older_key_until
            for entry in self._entries.values()
            if entry.managed.applied is not None and entry.managed.applied.older_key_until
        ]
        return max(min(ends) - self._clock.now(), 1.0) if ends else None

    async def _serve(self, guid: str) -> None:
        """Do to one cluster what is due, until nothing is."""
        try:
            while (cluster := self._due.pop(guid, None)) is not None:
                entry = self._entries[guid]
                entry.wanted = cluster
                entry.refused = await self._make_so(entry, cluster)
                if cluster.leaving and not entry.refused:
                    # A look meanwhile may have found it still leaving.
                    self._due.pop(guid, None)
                    del self._entries[guid]
                if entry.announced:
                    self._tell(cluster, entry.refused)
        finally:
            self._busy.discard(guid)
            self._note_idle()

    def _tell(self, cluster: HostedCluster, refused: str) -> None:
        assert self._clusters is not None
        try:
            self._clusters.settled(cluster, refused=refused)
        except Exception:  # noqa: BLE001 - one cluster must not end the work on the others
            self._log.exception("fleet.settled.failed", cluster=cluster.name)

    async def _make_so(self, entry: Entry, cluster: HostedCluster) -> str:
        """Do all that is planned; why it could not be done, or nothing."""
        from podpass.lab.fleet.plan import Remove, plan

        managed = entry.managed
        try:
            while actions := plan(cluster, managed.applied, runs=managed.runs, now=self._clock.now()):
                entry.doing = str(actions[0])
                await managed.do(actions[0], cluster)
                self._record(cluster, entry.doing)
                if isinstance(actions[0], Remove):
                    break
        except Exception as error:  # noqa: BLE001 - the outermost turn of one cluster: told, and tried again
            why = _words(error, self._paths.of_cluster(cluster.guid))
            self._log.warning("fleet.change.failed", cluster=cluster.name, change=entry.doing, reason=why)
            self._record(cluster, entry.doing, why)
            return why
        finally:
            entry.doing = ""
        return ""

    def _record(self, cluster: HostedCluster, what: str, why: str = "") -> None:
        decision = {"cluster": cluster.name, "guid": cluster.guid}
        outcome: Outcome = "failed" if why else "done"
        self._journal.record(
            Hop(who="arm", whom="fleet", what=f"{cluster.name}: {what}", outcome=outcome, why=why, decision=decision)
        )


def _words(error: Exception, paths: LabPaths) -> str:
    found: BaseException = error
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    problem = explained(found, paths)
    return problem.cause if problem is not None else str(found) or type(found).__name__
