"""The lab's own cluster in the place of a managed one, as a scenario puts it into a resource group.

It runs as long as the lab does: its nodes, webhook and keys can be changed, but not its being there.
"""

from pathlib import Path

from podpass.lab.arm.hosting import HostedCluster
from podpass.lab.certificates import CertificateAuthority
from podpass.lab.embedded import EmbeddedCluster
from podpass.lab.fleet.doors import Doors
from podpass.lab.fleet.hosted import change
from podpass.lab.fleet.kept import AppliedRecords
from podpass.lab.fleet.plan import Action, Applied, Remove, Stop, nodes_of
from podpass.lab.surroundings import Surroundings


class Refused(Exception):
    """What can't be done to a cluster, in words for who asked."""


class Own:
    """The lab's own cluster. *embedded* is None where it is an existing one: that is none of the lab's to change."""

    notes: list[str] = []  # noqa: RUF012 - it has none of its own: the lab tells them

    beside = False
    runs = True

    def __init__(
        self, cluster: HostedCluster, lab: Surroundings, embedded: EmbeddedCluster | None, doors: Doors
    ) -> None:
        self._guid = cluster.guid
        self._lab = lab
        self._records = AppliedRecords(lab.store)
        self.embedded = embedded
        self.ca: CertificateAuthority | None = lab.ca
        if embedded is None:
            return
        if self._records.get(cluster.guid) is None:
            # It was there before Resource Manager heard of it.
            seen = Applied(node_count=nodes_of(cluster), workload_identity=True, key_generation=cluster.key_generation)
            self._records.put(cluster.guid, seen)
        elif kept := self._records.get(cluster.guid):
            embedded.keep_pod_identity(kept.pod_identity)
        doors.open(cluster, embedded)

    @property
    def keys(self) -> Path:
        return self._lab.keys

    @property
    def applied(self) -> Applied | None:
        return None if self.embedded is None else self._records.get(self._guid)

    async def do(self, action: Action, cluster: HostedCluster) -> None:
        """Raises Refused for what would end it."""
        match action:
            case Stop():
                raise Refused(f"{cluster.name} is the lab's own cluster: podpass lab down stops it, with the lab")
            case Remove():
                raise Refused(f"{cluster.name} is the lab's own cluster: podpass lab reset removes it, with the lab")
            case _:
                assert self.embedded is not None
                await change(self.embedded, action, self._guid, self._records, self._lab.clock.now())

    async def close(self) -> None:
        """The lab closes it."""
