"""Long-running operations: how clients follow a write or a delete that has not ended yet.

The change itself is made when the operation begins, but for a delete, which is made when it ends; until then the
resource says in which state it is. An operation ends at a time, which is the lab's, or when `end` is called.
Contract: Azure HTTP surface, section 1.2.
"""

import secrets
import uuid
from collections.abc import Mapping
from typing import Any, Literal

from podpass.lab.arm import errors
from podpass.lab.arm.authorization import Allowed
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import SERVICE, Estate
from podpass.lab.arm.model import Answer, Call, Operation, Resource, timestamp
from podpass.lab.arm.paths import resource_id

_KIND = "operation"
KEPT_SECONDS = 86_400.0
_RANDOM_BITS = 80
_RETRY = ("Retry-After", "1")

Status = Literal["Succeeded", "Failed", "Canceled"]


def begin(estate: Estate, resource: Resource, call: Call) -> tuple[tuple[str, str], ...]:
    """Start the operation that *resource* is busy with; the headers by which a client follows it, with paths in place
    of addresses.

    Whoever made the *call* may follow it, though its right may go with what is deleted, and who may read the resource.
    """
    now = estate.clock.now()
    name = _name(now, secrets.randbits(_RANDOM_BITS))
    _forget_old(estate, now)
    failure = resource.failure
    document = {
        "resource": resource.id,
        "type": resource.type,
        "by": call.principal_id,
        "began": now,
        "ends": resource.busy_until,
        "status": "Succeeded" if failure is None else "Failed",
        "error": failure,
    }
    estate.store.put(SERVICE, _KIND, name, document)
    base = f"{resource_id(resource.id).subscription_id}/providers/{resource.type.partition('/')[0]}"
    place = f"{base}/locations/{resource.location or 'global'}"
    query = f"?api-version={call.api_version}"
    return (
        ("Azure-AsyncOperation", f"{place}/operations/{name}{query}"),
        ("Location", f"{place}/operationresults/{name}{query}"),
        _RETRY,
    )


def end(estate: Estate, resource: Resource, status: Status, error: Mapping[str, str] | None = None) -> None:
    """End whatever goes on with *resource* until somebody says so."""
    for key, document in estate.store.items(SERVICE, _KIND):
        if document["ends"] is None and document["resource"] == resource.id:
            ended = {**document, "ends": estate.clock.now(), "status": status, "error": error}
            estate.store.put(SERVICE, _KIND, key, ended)


def operations(namespace: str) -> tuple[Operation, ...]:
    """The calls on a provider's operations."""
    return (
        Operation(method="GET", path=f"{namespace}/locations/operations", action="", run=_status),
        Operation(method="GET", path=f"{namespace}/locations/operationresults", action="", run=_result),
    )


def _status(estate: Estate, call: Call) -> Answer:
    document = _found(estate, call)
    running = _runs(estate, document)
    body: dict[str, Any] = {
        "id": str(call.address.id),
        "name": call.address.id.name,
        "status": "InProgress" if running else document["status"],
        "startTime": timestamp(document["began"]),
    }
    if not running:
        body["endTime"] = timestamp(document["ends"])
        if document["error"] is not None:
            body["error"] = document["error"]
    return Answer(200, body, headers=(_RETRY,) if running else ())


def _result(estate: Estate, call: Call) -> Answer:
    document = _found(estate, call)
    if _runs(estate, document):
        return Answer(202, headers=(("Location", f"{call.address.id}?api-version={call.api_version}"), _RETRY))
    if document["status"] != "Succeeded":
        error = document["error"] or {}
        raise ArmError(409, str(error.get("code", "Conflict")), str(error.get("message", "")))
    resource = estate.get(resource_id(document["resource"]))
    return Answer(204) if resource is None else Answer(200, estate.shown(resource))


def _runs(estate: Estate, document: Mapping[str, Any]) -> bool:
    ends = document["ends"]
    return ends is None or bool(estate.clock.now() < ends)


def _found(estate: Estate, call: Call) -> dict[str, Any]:
    document = None if call.address.tail else estate.store.get(SERVICE, _KIND, call.address.id.name.lower())
    if document is None or resource_id(document["resource"]).subscription_id.key != call.address.id.subscription_id.key:
        raise ArmError(404, "OperationNotFound", f"The operation '{call.address.id.name[:64]}' was not found.")
    if document["by"] != call.principal_id and not _may_read(estate, call, document):
        raise errors.authorization_failed(
            call.actor.id, call.principal_id, f"{call.address.type}/read", str(call.address.id)
        )
    return dict(document)


def _may_read(estate: Estate, call: Call, document: Mapping[str, Any]) -> bool:
    action = f"{document['type']}/read"
    decision = estate.decide(principal_id=call.principal_id, action=action, scope=document["resource"])
    return isinstance(decision, Allowed)


def _name(began: float, random: int) -> str:
    """A GUID that sorts by when the operation began, so that the old ones are found without reading the others."""
    milliseconds = max(int(began * 1_000), 0) & ((1 << 48) - 1)
    return str(uuid.UUID(int=milliseconds << _RANDOM_BITS | random))


def _forget_old(estate: Estate, now: float) -> None:
    for key in estate.store.keys(SERVICE, _KIND, before=_name(now - KEPT_SECONDS, 0)):
        document = estate.store.get(SERVICE, _KIND, key)
        if document is not None and document["ends"] is not None and document["ends"] + KEPT_SECONDS < now:
            estate.store.delete(SERVICE, _KIND, key)
