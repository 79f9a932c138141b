"""Microsoft.Resources/deployments as calls, to a resource group and to a subscription.

Contract: the 2025-04-01 version of the API.
"""

from typing import TYPE_CHECKING, Any

from podpass.azure.resourceids import GROUP_TYPE
from podpass.lab.arm import errors as arm_errors
from podpass.lab.arm.deployments import errors, what_if
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.filters import clauses_of
from podpass.lab.arm.model import Answer, Call, Operation

if TYPE_CHECKING:
    from podpass.lab.arm.deployments.records import Record
    from podpass.lab.arm.deployments.service import Deployments

TYPE = "Microsoft.Resources/deployments"
_RETRY = ("Retry-After", "1")


def _service(estate: Estate) -> "Deployments":
    assert estate.deployments is not None
    return estate.deployments


def _put(estate: Estate, call: Call) -> Answer:
    _must_be_named(call)
    record, created = _service(estate).accept(call)
    status = f"{record.id}/operationStatuses/{record.status_id}?api-version={call.api_version}"
    return Answer(201 if created else 200, record.to_dict(), headers=(("Azure-AsyncOperation", status), _RETRY))


def _get(estate: Estate, call: Call) -> Answer:
    if call.address.tail:
        return _list(estate, call)
    record = _service(estate).require(call.address.id)
    return Answer(204) if call.method == "HEAD" else Answer(200, record.to_dict())


def _list(estate: Estate, call: Call) -> Answer:
    scope = call.address.id
    if scope.type.lower() == GROUP_TYPE.lower():
        estate.require(scope)
    found = _service(estate).records.at(str(scope))
    for clause in clauses_of(call.query):
        if clause.name != "provisioningstate" or clause.is_call:
            raise arm_errors.invalid_filter(clause.name)
        found = [one for one in found if one.state.lower() == clause.value.lower()]
    return Answer(200, items=tuple(one.to_dict() for one in found))


def _delete(estate: Estate, call: Call) -> Answer:
    _must_be_named(call)
    service = _service(estate)
    record = service.records.get(str(call.address.id))
    if record is None:
        return Answer(204)
    if record.active:
        raise ArmError(
            409,
            "DeploymentActive",
            f"The deployment '{record.name}' can't be deleted: its provisioning state is '{record.state}'.",
        )
    service.records.forget(record.key)
    # It is gone at once; the address answers that it is.
    place = f"{record.id}/operationResults/{record.status_id}?api-version={call.api_version}"
    return Answer(202, headers=(("Location", place), ("Retry-After", "0")))


def _cancel(estate: Estate, call: Call) -> Answer:
    service = _service(estate)
    service.cancel(service.require(call.address.id))
    return Answer(204)


def _validate(estate: Estate, call: Call) -> Answer:
    return Answer(200, _service(estate).validate(call, call.address.id))


def _what_if(estate: Estate, call: Call) -> Answer:
    try:
        prepared, tried = _service(estate).tried(call, call.address.id)
    except ArmError as error:
        if error.status in (403, 404, 501):
            raise
        return Answer(200, {"status": "Failed", **error.to_dict()})
    refused = next((one.error for one in tried if one.error is not None), None)
    if refused is not None:
        return Answer(200, {"status": "Failed", **refused.to_dict()})
    with_values = str(prepared.wanted.what_if.get("resultFormat", "")).lower() != "resourceidonly"
    found = what_if.changes(tried, with_values=with_values)
    if prepared.wanted.scope.group:
        named = {one.planned.key for one in tried}
        others = [
            estate.shown(one)
            for one in estate.below(prepared.wanted.scope)
            if one.type.count("/") == 1 and one.id.lower() not in named and estate.may_read(call.principal_id, one)
        ]
        complete = prepared.wanted.mode == "Complete"
        found += what_if.left_alone(others, complete=complete, with_values=with_values)
    return Answer(200, {"status": "Succeeded", "properties": {"correlationId": prepared.tracking, "changes": found}})


def _export(estate: Estate, call: Call) -> Answer:
    service = _service(estate)
    record = service.require(call.address.id)
    template = service.records.template(record)
    if not template:
        raise errors.not_kept(record.name)
    return Answer(200, {"template": template})


def _outputs(estate: Estate, call: Call) -> Answer:
    service = _service(estate)
    return Answer(200, service.outputs(service.require(call.address.id)))


def _operations(estate: Estate, call: Call) -> Answer:
    service = _service(estate)
    listed = bool(call.address.tail)
    record = service.require(call.address.id if listed else call.address.id.parent)
    shown = [step.to_dict(record.id) for step in service.records.steps(record)]
    if listed:
        return Answer(200, items=tuple(reversed(shown)))
    wanted = call.address.id.name.lower()
    found = next((one for one in shown if one["operationId"].lower() == wanted), None)
    if found is None:
        raise ArmError(
            404, "DeploymentOperationNotFound", f"The deployment operation '{call.address.id.name}' could not be found."
        )
    return Answer(200, found)


def _status(estate: Estate, call: Call) -> Answer:
    if call.address.tail:
        raise arm_errors.method_not_allowed(call.method, call.address.type)
    record: Record = _service(estate).require(call.address.id.parent)
    if record.status_id != call.address.id.name:
        raise ArmError(
            404, "DeploymentOperationNotFound", f"The operation '{call.address.id.name}' could not be found."
        )
    body: dict[str, Any] = {"status": record.state}
    if record.error is not None:
        body["error"] = record.error
    return Answer(200, body, headers=(_RETRY,) if record.active else ())


def _gone(estate: Estate, call: Call) -> Answer:
    """The end of a deployment's removal."""
    present = None if call.address.tail else _service(estate).records.get(str(call.address.id.parent))
    if call.address.tail or present is not None:
        raise ArmError(404, "OperationNotFound", f"The operation '{call.address.id.name}' was not found.")
    return Answer(204)


def _must_be_named(call: Call) -> None:
    if call.address.tail:
        raise arm_errors.method_not_allowed(call.method, TYPE)


OPERATIONS = (
    Operation(method="PUT", path=TYPE, action=f"{TYPE}/write", run=_put),
    Operation(method="GET", path=TYPE, action=f"{TYPE}/read", run=_get),
    Operation(method="DELETE", path=TYPE, action=f"{TYPE}/delete", run=_delete),
    Operation(method="POST", path=f"{TYPE}/cancel", action=f"{TYPE}/cancel/action", run=_cancel),
    Operation(method="POST", path=f"{TYPE}/validate", action=f"{TYPE}/validate/action", run=_validate),
    Operation(method="POST", path=f"{TYPE}/whatIf", action=f"{TYPE}/whatIf/action", run=_what_if),
    Operation(method="POST", path=f"{TYPE}/exportTemplate", action=f"{TYPE}/exportTemplate/action", run=_export),
    Operation(
        method="POST",
        path=f"{TYPE}/listOutputsWithSecureValues",
        action=f"{TYPE}/listOutputsWithSecureValues/action",
        run=_outputs,
    ),
    Operation(method="GET", path=f"{TYPE}/operations", action=f"{TYPE}/operations/read", run=_operations),
    Operation(method="GET", path=f"{TYPE}/operationStatuses", action=f"{TYPE}/operationstatuses/read", run=_status),
    Operation(method="GET", path=f"{TYPE}/operationResults", action=f"{TYPE}/read", run=_gone),
)
