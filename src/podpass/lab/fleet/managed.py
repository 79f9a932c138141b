"""A managed cluster as the host sees it, and what is told of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from podpass.lab.arm.hosting import HostedCluster
from podpass.lab.certificates import CertificateAuthority
from podpass.lab.embedded import EmbeddedCluster

if TYPE_CHECKING:
    from podpass.lab.fleet.plan import Action, Applied


class Managed(Protocol):
    """A managed cluster, whoever runs it."""

    embedded: EmbeddedCluster | None
    """None while it does not run, or runs elsewhere."""
    ca: CertificateAuthority | None
    notes: list[str]
    beside: bool
    """Whether it runs beside the lab's own cluster, and is not that one."""

    @property
    def runs(self) -> bool: ...

    @property
    def keys(self) -> Path: ...

    @property
    def applied(self) -> "Applied | None": ...

    async def do(self, action: "Action", cluster: HostedCluster) -> None:
        """Raises what keeps it from being done."""
        ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class Entry:
    """What the host knows of one cluster."""

    wanted: HostedCluster
    managed: Managed
    doing: str = ""
    refused: str = ""
    announced: bool = True
    """Whether Resource Manager knows of it, and waits to hear how it ended."""

    def described(self) -> dict[str, Any]:
        """As `podpass lab status` tells of it."""
        embedded, wanted = self.managed.embedded, self.wanted
        if self.doing:
            state = "changing"
        elif self.refused:
            state = "failed"
        else:
            state = "running" if self.managed.runs else "stopped"
        return {
            "name": wanted.name,
            "guid": wanted.guid,
            "resource_id": wanted.resource_id,
            "state": state,
            "doing": self.doing,
            "why": self.refused,
            "server": "" if embedded is None else embedded.server,
            "fqdn": wanted.fqdn,
            "issuer": wanted.issuer,
            "nodes": {} if embedded is None else embedded.nodes.states(),
        }

    def notes(self) -> list[str]:
        """What a person should know of it now, in a sentence each."""
        from podpass.lab.fleet.plan import MOST_NODES_EACH

        notes = list(self.managed.notes)
        if self.managed.beside and self.managed.embedded is not None:
            notes += self.managed.embedded.notes()
        if self.refused:
            notes.append(self.refused)
        if self.wanted.node_count > MOST_NODES_EACH:
            asked = self.wanted.node_count
            notes.append(f"{asked} nodes were asked for; {MOST_NODES_EACH} run, the most of one cluster")
        return notes
