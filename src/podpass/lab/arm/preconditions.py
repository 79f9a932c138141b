"""Conditions of a write: a writer says which state of a resource it knows, by the entity tag of that state.

Only types that have tags heed them, as in Azure. Contract: the service's REST reference, `If-Match` and
`If-None-Match`.
"""

import uuid
from typing import Any

import msgspec

from podpass.lab.arm.errors import ArmError
from podpass.lab.arm.model import Call, Resource

_NAMES = uuid.UUID("9f1f1c0e-1f4a-4a7e-8f0e-6a3f6f0d2c55")


def tag(*content: Any) -> str:
    """The tag of what *content* is: another one with each change."""
    return str(uuid.uuid5(_NAMES, msgspec.json.encode(content, order="deterministic").decode()))


def tag_of(resource: Resource) -> str:
    """The tag of a resource, which does not tell how far a change to it has come."""
    return tag(resource.id, resource.properties, resource.tags, resource.extra)


def check(call: Call, present: str | None) -> None:
    """Raises ArmError, 412, unless the request's conditions hold for the tag that is there; None: nothing is."""
    wanted, unwanted = _tags(call.if_match), _tags(call.if_none_match)
    if wanted and (present is None or not wanted & {"*", present}):
        raise _mismatch()
    if unwanted and present is not None and unwanted & {"*", present}:
        raise _mismatch()


def _tags(header: str) -> set[str]:
    """The tags of a header, without their quotes and whether they are weak."""
    return {one.strip().removeprefix("W/").strip('"') for one in header.split(",") if one.strip()}


def _mismatch() -> ArmError:
    return ArmError(412, "EtagMismatch", "The entity tag in the request does not match that of the resource.")
