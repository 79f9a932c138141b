"""The lab's doors, as clusters come and go behind them."""

from dataclasses import dataclass

from podpass.lab.arm.hosting import HostedCluster
from podpass.lab.doors.http import OwnTls
from podpass.lab.doors.names import Names
from podpass.lab.embedded import EmbeddedCluster
from podpass.lab.fleet.issuers import Issuers
from podpass.serving.asgi import App


@dataclass(frozen=True, slots=True)
class Doors:
    """The lab's doors, by which clusters are reached: each adds itself when it runs, and takes itself away."""

    names: Names
    services: dict[str, App]
    own_tls: dict[str, OwnTls]
    issuers: Issuers

    def open(self, cluster: HostedCluster, embedded: EmbeddedCluster) -> None:
        service = f"managed/{cluster.guid}"
        self.services[service] = embedded.app
        self.own_tls[service] = embedded.own_tls
        self.names.add(cluster.fqdn, service)

    def close(self, cluster: HostedCluster) -> None:
        service = f"managed/{cluster.guid}"
        self.names.remove(cluster.fqdn)
        self.own_tls.pop(service, None)
        self.services.pop(service, None)
