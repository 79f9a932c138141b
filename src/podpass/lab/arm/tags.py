"""Tags as an object of their own, at the id of a group or resource: read, replaced, merged, taken away.

Follows the Tags operations of Resource Manager, api-version 2021-04-01. Left out: a subscription's own tags, and the
older list of tag names of a subscription.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from podpass.azure.resourceids import SUBSCRIPTION_TYPE
from podpass.lab.arm import errors
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.model import Answer, Call, Operation, Resource, decoded_json

TYPE = "Microsoft.Resources/tags"


class _Tags(msgspec.Struct, frozen=True):
    tags: dict[str, str] = {}


class _Replacement(msgspec.Struct, frozen=True):
    properties: _Tags


class _Change(msgspec.Struct, frozen=True):
    operation: Literal["Merge", "Replace", "Delete", "merge", "replace", "delete"]
    properties: _Tags


def changed(present: Mapping[str, str], operation: str, given: Mapping[str, str]) -> dict[str, str]:
    """*present* tags after *operation* (merge, replace or delete) with *given* ones.

    Names compare without regard to letter case and keep the case they have. Delete takes a tag away when the given
    value is its own or empty.
    """
    if operation == "replace":
        return dict(given)
    tags, names = dict(present), {name.lower(): name for name in present}
    for name, value in given.items():
        known = names.get(name.lower(), name)
        if operation == "merge":
            tags[known] = value
        elif known in tags and value in ("", tags[known]):
            del tags[known]
    return tags


def _holder(estate: Estate, call: Call) -> Resource:
    """The group or resource whose tags are asked for. Raises ArmError."""
    wanted = call.address.id
    if wanted.name.lower() != "default":
        raise errors.invalid_request(f"The tags resource name '{wanted.name}' is invalid: it must be 'default'.")
    if wanted.parent.type.lower() == SUBSCRIPTION_TYPE.lower():
        raise errors.not_emulated("the tags of a subscription")
    return estate.require(wanted.parent)


def _shown(holder: Resource) -> dict[str, Any]:
    return {
        "id": f"{holder.id}/providers/{TYPE}/default",
        "name": "default",
        "type": TYPE,
        "properties": {"tags": dict(holder.tags or {})},
    }


def _write(estate: Estate, call: Call, tags: Mapping[str, str]) -> Resource:
    holder = _holder(estate, call)
    return (
        estate.patch(
            call.address.id.parent,
            {"tags": tags},
            actor=call.actor,
            api_version=call.api_version,
            principal_id=call.principal_id,
        )
        if tags != (holder.tags or {})
        else holder
    )


def _read(estate: Estate, call: Call) -> Answer:
    return Answer(200, _shown(_holder(estate, call)))


def _put(estate: Estate, call: Call) -> Answer:
    body = _decoded(call.body, _Replacement)
    return Answer(200, _shown(_write(estate, call, body.properties.tags)))


def _patch(estate: Estate, call: Call) -> Answer:
    body = _decoded(call.body, _Change)
    present = _holder(estate, call).tags or {}
    tags = changed(present, body.operation.lower(), body.properties.tags)
    return Answer(200, _shown(_write(estate, call, tags)))


def _delete(estate: Estate, call: Call) -> Answer:
    _write(estate, call, {})
    return Answer(200)


def _decoded(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.convert(decoded_json(body), kind)
    except msgspec.ValidationError as error:
        raise errors.invalid_content(str(error)) from error


OPERATIONS = (
    Operation(method="GET", path=TYPE, action=f"{TYPE}/read", run=_read),
    Operation(method="PUT", path=TYPE, action=f"{TYPE}/write", run=_put),
    Operation(method="PATCH", path=TYPE, action=f"{TYPE}/write", run=_patch),
    Operation(method="DELETE", path=TYPE, action=f"{TYPE}/delete", run=_delete),
)
