"""What a lab and its cluster know of each other, whichever cluster it is."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from podpass.lab.certificates import CertificateAuthority
from podpass.lab.clock import Clock
from podpass.lab.doors.dns import Services
from podpass.lab.environment import LabPaths
from podpass.lab.journal import Journal
from podpass.lab.listeners import ClusterListeners, PodSockets
from podpass.lab.node_set import NodeSet
from podpass.lab.store import Store
from podpass.lab.supervision import Supervision
from podpass.serving.asgi import App
from podpass.telemetry.logging import Logger


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a lab gives to a cluster. *stack* owns what is opened, until the cluster stops."""

    home: Path
    paths: LabPaths
    store: Store
    clock: Clock
    """The cluster's, which a fault may set apart from the clouds'."""
    journal: Journal
    ca: CertificateAuthority
    """Signs the API server's certificate and those of the cluster's people."""
    listeners: ClusterListeners
    sockets: PodSockets
    keys: Path
    """Where the cluster keeps its private keys and tokens."""
    node: Path
    """Where its nodes keep their files."""
    pod_variables: Mapping[str, str]
    """What leads a pod that is a plain process to the lab."""
    stack: AsyncExitStack
    log: Logger


class LabCluster(Protocol):
    """The cluster whose tokens the lab's clouds trust."""

    @property
    def server(self) -> str: ...

    @property
    def issuer(self) -> str:
        """Known once it is open."""
        ...

    @property
    def names(self) -> Mapping[str, str]:
        """Further host names, and the services that answer them."""
        ...

    @property
    def services(self) -> dict[str, App]:
        """What the doors lead to: `issuer` at least."""
        ...

    @property
    def find_service(self) -> Services:
        """Where a Service is, for the pods' DNS."""
        ...

    @property
    def kubeconfig_paths(self) -> tuple[Path, ...]:
        """What KUBECONFIG lists for a program on the host."""
        ...

    def kubeconfig(self) -> str:
        """The content of the lab's own file among them."""
        ...

    def described(self) -> dict[str, Any]: ...

    def runtime(self) -> dict[str, str]:
        """How pods run: `name`, and `why` in a sentence."""
        ...

    def notes(self) -> list[str]:
        """What a person should know of it now, in a sentence each."""
        ...

    @property
    def nodes(self) -> NodeSet:
        """The nodes, to be changed. Raises PodpassError where they are none of the lab's."""
        ...

    def images_in_use(self) -> list[dict[str, str]]: ...

    async def open(self) -> None: ...

    async def start(self, tenant_id: str) -> Supervision:
        """Returns when a pod could be created, with the loops that run as long as the lab."""
        ...

    def clock_moved(self) -> None:
        """The lab's clock jumped."""
        ...

    async def close_watches(self) -> None: ...
