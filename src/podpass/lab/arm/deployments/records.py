"""Deployments as they are kept, and as they are shown.

A secure value is kept nowhere: of a secure parameter or output only the type is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from podpass.lab.arm.deployments.places import DEPLOYMENTS
from podpass.lab.arm.model import Actor, timestamp
from podpass.lab.arm.performing import Principal
from podpass.lab.store import Store

SERVICE = "arm-deployments"
State = Literal["Accepted", "Running", "Succeeded", "Failed", "Canceled"]
ENDED = frozenset({"Succeeded", "Failed", "Canceled"})
MOST_IN_A_SCOPE = 800
"""Of the deployments to one scope the oldest are forgotten, as in Azure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One deployment."""

    id: str
    name: str
    scope: str
    """The id of the subscription or the resource group that it is for."""
    location: str
    tags: Mapping[str, str] | None
    mode: str
    state: State
    began: float
    """In seconds since the epoch, as *ended*."""
    ended: float | None = None
    correlation_id: str
    status_id: str
    """Names the operation by which a client follows it."""
    actor: str
    actor_kind: Literal["Application", "ManagedIdentity"]
    client_id: str
    object_id: str
    tenant_id: str
    parameter_values: Mapping[str, Any]
    """Those that are not secure."""
    parameter_types: Mapping[str, str]
    own: bool
    """Whether it can be gone on with from what is kept: nothing secure, and a template of its own."""
    nested: bool
    """Whether another deployment made it."""
    template_hash: str
    members: Mapping[str, Any] = field(default_factory=dict)
    """What is shown as it was worked out at the beginning: providers, dependencies, debugSetting."""
    outputs: Mapping[str, Any] | None = None
    resources: tuple[str, ...] = ()
    """The ids of what was deployed."""
    error: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        return self.id.lower()

    @property
    def active(self) -> bool:
        return self.state not in ENDED

    @property
    def principal(self) -> Principal:
        return Principal(Actor(self.actor, self.actor_kind), self.client_id, self.object_id, self.tenant_id)

    def to_dict(self) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "templateHash": self.template_hash,
            "parameters": {
                name: {"type": kind, "value": self.parameter_values[name]}
                if name in self.parameter_values
                else {"type": kind}
                for name, kind in self.parameter_types.items()
            },
            "mode": self.mode,
            "provisioningState": self.state,
            "timestamp": timestamp(self.ended or self.began),
            "duration": duration((self.ended or self.began) - self.began),
            "correlationId": self.correlation_id,
            **self.members,
        }
        if self.outputs is not None:
            properties["outputs"] = self.outputs
        if self.state == "Succeeded":
            properties["outputResources"] = [{"id": one} for one in self.resources]
        if self.error is not None:
            properties["error"] = self.error
        document: dict[str, Any] = {"id": self.id, "name": self.name, "type": DEPLOYMENTS, "properties": properties}
        if self.location:
            document["location"] = self.location
        if self.tags is not None:
            document["tags"] = self.tags
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation of a deployment: what became of one resource."""

    number: int
    operation_id: str
    operation: Literal["Create", "Delete", "Read", "EvaluateDeploymentOutput"]
    state: Literal["Running", "Succeeded", "Failed", "Canceled"]
    began: float
    ended: float | None = None
    status: str = "OK"
    """The HTTP status by its name."""
    error: Mapping[str, Any] | None = None
    resource: str = ""
    resource_type: str = ""
    resource_name: str = ""
    api_version: str = ""
    symbol: str = ""

    def to_dict(self, deployment: str) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "provisioningOperation": self.operation,
            "provisioningState": self.state,
            "timestamp": timestamp(self.ended or self.began),
            "duration": duration((self.ended or self.began) - self.began),
            "statusCode": self.status,
        }
        if self.error is not None:
            properties["statusMessage"] = {"status": "Failed", "error": self.error}
        if self.resource:
            target = {"id": self.resource, "resourceType": self.resource_type, "resourceName": self.resource_name}
            if self.symbol:
                target |= {"symbolicName": self.symbol, "apiVersion": self.api_version}
            properties["targetResource"] = target
        return {
            "id": f"{deployment}/operations/{self.operation_id}",
            "operationId": self.operation_id,
            "properties": properties,
        }


def duration(seconds: float) -> str:
    return f"PT{max(seconds, 0.0):.7f}S"


class Records:
    """The stored deployments of every scope."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, deployment: str) -> Record | None:
        document = self._store.get(SERVICE, "record", deployment.lower())
        return None if document is None else _record(document)

    def at(self, scope: str) -> list[Record]:
        """The deployments to one scope, the newest first."""
        prefix = f"{scope}/providers/{DEPLOYMENTS}/".lower()
        found = [_record(document) for _, document in self._store.items(SERVICE, "record", prefix)]
        return sorted(found, key=lambda one: -one.began)

    def active(self) -> Iterator[Record]:
        """Those that have not ended."""
        for key, _ in self._store.items(SERVICE, "active"):
            record = self.get(key)
            if record is not None:
                yield record

    def put(self, record: Record) -> None:
        with self._store.transaction():
            self._store.put(SERVICE, "record", record.key, asdict(record))
            if record.active:
                self._store.put(SERVICE, "active", record.key, record.began)
            else:
                self._store.delete(SERVICE, "active", record.key)

    def begin(self, record: Record, template: Mapping[str, Any]) -> None:
        """Keep a new deployment in place of the one of its name, and no more of its scope than Azure does."""
        with self._store.transaction():
            self.forget(record.key)
            for old in self.at(record.scope)[MOST_IN_A_SCOPE - 1 :]:
                if not old.active:
                    self.forget(old.key)
            self.put(record)
            self._store.put(SERVICE, "template", record.key, template)

    def template(self, record: Record) -> Any:
        """The template as it was given."""
        return self._store.get(SERVICE, "template", record.key)

    def steps(self, record: Record) -> list[Step]:
        """The operations of a deployment, the first one first."""
        return [Step(**document) for _, document in self._store.items(SERVICE, "step", f"{record.key}#")]

    def put_step(self, record: Record, step: Step) -> None:
        self._store.put(SERVICE, "step", f"{record.key}#{step.number:06d}", asdict(step))

    def forget(self, key: str) -> None:
        """Remove a deployment, its template and its operations."""
        with self._store.transaction():
            for step, _ in self._store.items(SERVICE, "step", f"{key}#"):
                self._store.delete(SERVICE, "step", step)
            for kind in ("record", "active", "template"):
                self._store.delete(SERVICE, kind, key)

    def forget_below(self, scope: str) -> None:
        """Remove the deployments to a scope that is gone."""
        for record in self.at(scope):
            self.forget(record.key)


def _record(document: Mapping[str, Any]) -> Record:
    return Record(**{**document, "resources": tuple(document["resources"])})
