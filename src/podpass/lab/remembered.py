"""What a lab chose once and keeps: ids of what the scenario left open, and ports, so that kubeconfigs stay valid."""

import uuid

import msgspec

from podpass.lab.node_set import State
from podpass.lab.scenario.model import Scenario
from podpass.lab.store import Store

_SERVICE = "lab"
_KEPT = ("tenants", "subscriptions", "clusters")


class Remembered:
    def __init__(self, store: Store) -> None:
        self._store = store

    def guid(self, what: str, given: str = "") -> str:
        """The GUID of *what*: *given*, else the one chosen before, else a new one."""
        kept = self._store.get(_SERVICE, "guid", what)
        if kept is not None and given in ("", kept):
            return str(kept)
        chosen = given or str(uuid.uuid4())
        self._store.put(_SERVICE, "guid", what, chosen)
        return chosen

    def tenant_id(self, name: str, given: str = "") -> str:
        """The id of the tenant that the scenario calls *name*."""
        return self.guid(f"tenant/{name}", given)

    def subscription_id(self, name: str, given: str = "") -> str:
        return self.guid(f"subscription/{name}", given)

    def port(self, what: str) -> int:
        """The port *what* listened on last, or 0."""
        return int(self._store.get(_SERVICE, "port", what) or 0)

    def keep_port(self, what: str, port: int) -> None:
        if self.port(what) != port:
            self._store.put(_SERVICE, "port", what, port)

    @property
    def nodes(self) -> dict[str, State] | None:
        """The nodes that the lab had last, None before the first time."""
        kept = self._store.get(_SERVICE, "nodes", "states")
        return None if kept is None else msgspec.convert(kept, dict[str, State])

    def keep_nodes(self, nodes: dict[str, State]) -> None:
        if self.nodes != nodes:
            self._store.put(_SERVICE, "nodes", "states", nodes)

    @property
    def offset_seconds(self) -> float:
        """How far the lab's clock was advanced."""
        return float(self._store.get(_SERVICE, "clock", "offset_seconds") or 0.0)

    def keep_offset(self, seconds: float) -> None:
        self._store.put(_SERVICE, "clock", "offset_seconds", seconds)

    @property
    def host_machine(self) -> str:
        """The resource id of the virtual machine that programs on the host run on; empty for none."""
        return str(self._store.get(_SERVICE, "machine", "host") or "")

    def keep_host_machine(self, resource_id: str) -> None:
        self._store.put(_SERVICE, "machine", "host", resource_id)

    @property
    def scenario(self) -> Scenario | None:
        """The tenants, subscriptions and clusters that the lab was filled with, None before the first time.

        Raises msgspec.ValidationError for what no lab of this version kept.
        """
        kept = self._store.get(_SERVICE, "scenario", "applied")
        if kept is None:
            return None
        named = {name: kept[name] for name in _KEPT if name in kept} if isinstance(kept, dict) else kept
        return msgspec.convert(named, Scenario)

    def keep_scenario(self, scenario: Scenario) -> None:
        # Everything else is in the services, and may hold secrets.
        self._store.put(_SERVICE, "scenario", "applied", {name: getattr(scenario, name) for name in _KEPT})
