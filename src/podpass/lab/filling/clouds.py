"""The services of a lab as those use them who fill it, and what they have put so far."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from podpass.lab.arm import Arm
from podpass.lab.arm.errors import ArmError
from podpass.lab.entra.directory import Directory
from podpass.lab.faults import Faults
from podpass.lab.graph import Graph
from podpass.lab.keyvault import KeyVault
from podpass.lab.remembered import Remembered
from podpass.lab.scenario.entries.access import PRINCIPALS, SCOPES, PrincipalEntry, ScopeEntry
from podpass.lab.scenario.fields import members
from podpass.lab.scenario.references import Index
from podpass.lab.scenario.sources import Sources
from podpass.lab.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Clouds:
    """The services of a lab."""

    store: Store
    remembered: Remembered
    directory: Directory
    arm: Arm
    keyvault: KeyVault
    graph: Graph
    faults: Faults
    issuer_of: Callable[[str], str]
    """The issuer URL of the lab's own cluster, by its name in the scenario."""
    client_secrets: Path
    """The directory that passwords are written to which the lab makes for applications."""

    @property
    def operator_client_id(self) -> str:
        return self.remembered.guid("operator/client")

    @property
    def operator_object_id(self) -> str:
        return self.remembered.guid("operator/object")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What became of an entry."""

    id: str = ""
    """A resource id, or a tenant's GUID."""
    principal_id: str = ""
    """The object id of who can be allowed something."""
    issuer: str = ""
    """Of a cluster's tokens."""
    kubelet_id: str = ""
    """The object id of a cluster's nodes."""


@dataclass(slots=True, kw_only=True)
class Making:
    """One application of a scenario."""

    clouds: Clouds
    sources: Sources
    made: Index[Made] = field(default_factory=Index)
    written: dict[Path, str] = field(default_factory=dict)
    """Files to write once everything is kept."""

    def find(self, reference: str, *sections: str) -> Made:
        """What *reference* means. Raises ArmError, as a scenario that was not read from a file is not checked yet."""
        found = self.made.find(sections, reference)
        if len(found) != 1:
            raise ArmError(400, "NotInScenario", f"'{reference}' is not one of the scenario's {' or '.join(sections)}.")
        return found[0][1]

    def principal(self, entry: PrincipalEntry) -> str:
        """The object id of the somebody that *entry* names. Raises ArmError."""
        if entry.operator:
            return self.clouds.operator_object_id
        if entry.object_id:
            return entry.object_id
        found = self._one_of(entry, PRINCIPALS)
        principal = found.kubelet_id if entry.kubelet else found.principal_id
        if not principal:
            raise ArmError(400, "NoIdentity", "What the entry names has no identity of its own.")
        return principal

    def scope(self, entry: ScopeEntry) -> str:
        """The id of the scope that *entry* names; empty for everything. Raises ArmError."""
        return entry.id.rstrip("/") if entry.id else self._one_of(entry, SCOPES).id

    def _one_of(self, entry: PrincipalEntry | ScopeEntry, attributes: tuple[str, ...]) -> Made:
        for member in members(type(entry)):
            reference = getattr(entry, member.attribute)
            if member.attribute in attributes and member.ref is not None and reference:
                return self.find(reference, *member.ref.sections)
        raise ArmError(400, "NotInScenario", "The entry names nobody and nothing.")
