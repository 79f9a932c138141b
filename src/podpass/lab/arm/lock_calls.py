"""Management locks, as calls.

A list shows the locks at its scope, above and below; with `atScope()` it leaves out those below.
Contract: Azure HTTP surface, section 1.1.
"""

import re
from typing import Literal

import msgspec

from podpass.lab.arm import errors
from podpass.lab.arm.authorization import covers
from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.estate import Estate
from podpass.lab.arm.filters import Clause, clauses_of
from podpass.lab.arm.locks import TYPE, Lock
from podpass.lab.arm.model import Answer, Call, Operation

MAX_AT_ONE_SCOPE, MAX_NOTES = 20, 512
_NAME = re.compile(r"[^<>%&:\\?/\x00-\x1f\x7f]{1,260}")


class _Owner(msgspec.Struct, frozen=True, rename="camel"):
    application_id: str


class _Properties(msgspec.Struct, frozen=True):
    level: Literal["CanNotDelete", "ReadOnly"]
    notes: str | None = None
    owners: list[_Owner] | None = None


class _Body(msgspec.Struct, frozen=True):
    properties: _Properties


def _get(estate: Estate, call: Call) -> Answer:
    if not call.address.tail:
        found = estate.locks.get(str(call.address.id))
        if found is None:
            raise _not_found(call.address.id.name)
        return Answer(200, found.to_dict())
    scope = estate.require_scope(call.address.id)
    clauses = clauses_of(call.query)
    if any(one != Clause("atscope", "", True) for one in clauses):
        raise errors.invalid_filter(clauses[0].name)
    shown = [
        one for one in estate.locks.all() if covers(one.scope, scope) or (not clauses and covers(scope, one.scope))
    ]
    return Answer(200, items=tuple(one.to_dict() for one in shown))


def put(estate: Estate, call: Call) -> Answer:
    """Make a lock, or change it."""
    _must_be_named(call)
    name = call.address.id.name
    if _NAME.fullmatch(name) is None:
        raise errors.invalid_request(f"The lock name '{name}' is invalid.", "InvalidLockName")
    try:
        given = msgspec.json.decode(call.body, type=_Body).properties
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.invalid_content(str(error)) from error
    if given.notes is not None and len(given.notes) > MAX_NOTES:
        raise errors.bad_request(f"The notes of a lock can have at most {MAX_NOTES} characters.")
    with estate.store.transaction():
        scope = estate.require_scope(call.address.id.parent)
        before = estate.locks.get(str(call.address.id))
        if before is None and sum(one.scope == scope for one in estate.locks.all()) >= MAX_AT_ONE_SCOPE:
            raise errors.bad_request(f"A scope can have at most {MAX_AT_ONE_SCOPE} locks.")
        lock = Lock(
            name=before.name if before else name,
            scope=scope,
            level=given.level,
            notes=given.notes,
            owners=tuple(one.application_id for one in given.owners or ()),
        )
        estate.locks.put(lock)
    return Answer(201 if before is None else 200, lock.to_dict())


def _delete(estate: Estate, call: Call) -> Answer:
    _must_be_named(call)
    present = estate.locks.get(str(call.address.id))
    if present is None:
        return Answer(204)
    estate.locks.delete(present)
    return Answer(200)


def _not_found(name: str) -> ArmError:
    return ArmError(404, "LockNotFound", f"The lock '{name[:260]}' could not be found.")


def _must_be_named(call: Call) -> None:
    if call.address.tail or not call.address.id.subscription:
        raise errors.method_not_allowed(call.method, TYPE)


OPERATIONS = (
    Operation(method="GET", path=TYPE, action=f"{TYPE}/read", run=_get),
    Operation(method="PUT", path=TYPE, action=f"{TYPE}/write", run=put),
    Operation(method="DELETE", path=TYPE, action=f"{TYPE}/delete", run=_delete),
)
