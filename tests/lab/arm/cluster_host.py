"""A host of managed clusters that does nothing until a test says so."""

from dataclasses import dataclass, field

import yaml

from podpass.lab.arm import Arm
from podpass.lab.arm.estate import parsed_id
from podpass.lab.arm.hosting import HostedCluster


@dataclass
class ClusterHost:
    """Remembers what it was told, and settles clusters on demand."""

    arm: Arm
    told: int = 0
    running: dict[str, HostedCluster] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.arm.use_host(self)

    def changed(self) -> None:
        # Whoever is told may not be inside a transaction.
        assert not self.arm.estate.store.in_transaction
        self.told += 1

    def settle(self, *, refused: str = "") -> list[HostedCluster]:
        """Do all that is wanted; what was done."""
        done = [cluster for cluster in self.arm.hosted.wanted() if self.running.get(cluster.guid) != cluster]
        for cluster in done:
            if not refused:
                self.running[cluster.guid] = cluster
                if cluster.leaving:
                    del self.running[cluster.guid]
            self.arm.hosted.settled(cluster, refused=refused)
        return done

    def kubeconfig(self, guid: str, *, admin: bool) -> str:
        cluster = self.running[guid]
        name, who = cluster.name, "admin" if admin else "user"
        user = f"cluster{who.capitalize()}_{parsed_id(cluster.resource_id).group}_{name}"
        return yaml.safe_dump(
            {
                "clusters": [{"name": name, "cluster": {"server": f"https://{cluster.fqdn}:443"}}],
                "users": [{"name": user, "user": {"token": f"{who}-of-{name}"}}],
                "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
                "current-context": name,
            }
        )
