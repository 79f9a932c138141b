"""Calls on caches beside the plain ones: their keys, a name that is looked for, and a flush.

Contract: Azure HTTP surface, section 4.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import msgspec

from podpass.lab.arm import errors, long_running
from podpass.lab.arm.caches.cache import SECONDS, TYPE, is_name, is_taken, name_not_available, new_key, tell
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.model import Answer, Call, Operation, Resource, decoded_json


class _Regenerate(msgspec.Struct, frozen=True, rename="camel"):
    key_type: Literal["Primary", "Secondary"]


class _Name(msgspec.Struct, frozen=True):
    name: str
    type: str


def _list_keys(estate: Estate, call: Call) -> Answer:
    return Answer(200, _keys(estate.require(call.address.id)))


def _regenerate_key(estate: Estate, call: Call) -> Answer:
    try:
        wanted = msgspec.convert(decoded_json(call.body), _Regenerate)
    except msgspec.ValidationError as error:
        raise errors.invalid_content(str(error)) from error
    with estate.store.transaction():
        present = estate.require(call.address.id)
        changed = replace(present, hidden={**present.hidden, wanted.key_type.lower(): new_key()})
        estate.keep(changed)
        tell(estate)
    return Answer(200, _keys(changed))


def _flush(estate: Estate, call: Call) -> Answer:
    """Forget everything; a change like others, which takes its time."""
    with estate.store.transaction():
        present = estate.require(call.address.id)
        changed = replace(
            present,
            hidden={**present.hidden, "flushed": present.hidden.get("flushed", 0) + 1},
            busy="Updating",
            busy_until=estate.clock.now() + SECONDS,
        )
        estate.keep(changed)
        tell(estate)
        headers = long_running.begin(estate, changed, call)
    return Answer(202, headers=headers)


def _check_name(estate: Estate, call: Call) -> Answer:
    try:
        asked = msgspec.convert(decoded_json(call.body), _Name)
    except msgspec.ValidationError as error:
        raise errors.invalid_content(str(error)) from error
    if asked.type.lower() != TYPE.lower():
        raise errors.invalid_request(f"The resource type '{asked.type[:64]}' is invalid.", "InvalidParameter")
    if not is_name(asked.name) or is_taken(estate, asked.name):
        raise name_not_available(asked.name)
    return Answer(200)


def _keys(resource: Resource) -> Mapping[str, str]:
    return {"primaryKey": resource.hidden["primary"], "secondaryKey": resource.hidden["secondary"]}


OPERATIONS = (
    *long_running.operations("Microsoft.Cache"),
    Operation(method="POST", path=f"{TYPE}/listKeys", action=f"{TYPE}/listKeys/action", run=_list_keys),
    Operation(method="POST", path=f"{TYPE}/regenerateKey", action=f"{TYPE}/regenerateKey/action", run=_regenerate_key),
    Operation(method="POST", path=f"{TYPE}/flush", action=f"{TYPE}/flush/action", run=_flush),
    Operation(
        method="POST",
        path="Microsoft.Cache/CheckNameAvailability",
        action="Microsoft.Cache/checknameavailability/action",
        run=_check_name,
    ),
)

NOT_EMULATED = tuple(
    f"{TYPE}/{name}"
    for name in (
        "accessPolicies",
        "accessPolicyAssignments",
        "detectors",
        "export",
        "firewallRules",
        "forceReboot",
        "import",
        "linkedServers",
        "listUpgradeNotifications",
        "patchSchedules",
        "privateEndpointConnections",
        "privateLinkResources",
    )
)
