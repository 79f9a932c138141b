"""The members of every kind that the cluster serves: name, type, number on the wire.

One table, `fields.json`, is what protobuf bodies are decoded by, what unknown members are found by, and what the
OpenAPI documents list. Its facts are those of the generated.proto files of kubernetes/api, kubernetes/apimachinery
and kubernetes/apiextensions-apiserver; each entry is `[JSON name, type, flags]`, where a type begins with `[]` for a
list and `{}` for a map, and flags are `p` (a pointer in Go: a zero value was set on purpose), `e` (a zero value is
always written) and `i` (the members of the nested message belong to the parent in JSON).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

TIME = "meta.v1.Time"
MICRO_TIME = "meta.v1.MicroTime"
QUANTITY = "api.resource.Quantity"
INT_OR_STRING = "util.intstr.IntOrString"
FIELDS_V1 = "meta.v1.FieldsV1"
RAW_EXTENSION = "runtime.RawExtension"
EXTRA_VALUES = frozenset({"authentication.v1.ExtraValue", "authorization.v1.ExtraValue"})
JSON = "apiextensions.v1.JSON"
SCHEMA = "apiextensions.v1.JSONSchemaProps"
SCHEMA_OR_ARRAY = f"{SCHEMA}OrArray"
SCHEMA_OR_BOOL = f"{SCHEMA}OrBool"
SCHEMA_OR_STRINGS = f"{SCHEMA}OrStringArray"
SCHEMA_UNIONS = frozenset({SCHEMA_OR_ARRAY, SCHEMA_OR_BOOL, SCHEMA_OR_STRINGS})
"""Places of a schema where JSON has a schema or something simpler."""
SCALARS = frozenset({"string", "bytes", "bool", "int32", "int64", "double"})
SPECIAL = (
    frozenset({TIME, MICRO_TIME, QUANTITY, INT_OR_STRING, FIELDS_V1, RAW_EXTENSION, JSON})
    | EXTRA_VALUES
    | SCHEMA_UNIONS
)
"""Messages whose JSON form is not an object of their members."""


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a message."""

    number: int
    name: str
    shape: Literal["one", "list", "map"]
    type: str
    """A scalar of SCALARS, or the name of a message; of a list or map, the type of its elements."""
    pointer: bool = False
    always: bool = False
    inline: bool = False


Message = Mapping[int, Field]


class _Table(msgspec.Struct):
    kinds: dict[str, str]
    messages: dict[str, dict[str, tuple[str, ...]]]


def _field(number: str, entry: tuple[str, ...]) -> Field:
    name, type_, flags = entry[0], entry[1], entry[2] if len(entry) > 2 else ""
    shape: Literal["one", "list", "map"] = "list" if type_[:2] == "[]" else "map" if type_[:2] == "{}" else "one"
    return Field(
        number=int(number),
        name=name,
        shape=shape,
        type=type_ if shape == "one" else type_[2:],
        pointer="p" in flags,
        always="e" in flags,
        inline="i" in flags,
    )


@cache
def _table() -> _Table:
    return msgspec.json.decode(resources.files(__package__).joinpath("fields.json").read_bytes(), type=_Table)


@cache
def message(name: str) -> Message:
    """The members of message *name* by number. Raises KeyError for one that is not in the table."""
    return {int(number): _field(number, entry) for number, entry in _table().messages[name].items()}


@cache
def members(name: str) -> Mapping[str, Field]:
    """The members of message *name* by JSON name; those of inlined messages are among them."""
    found: dict[str, Field] = {}
    for field in message(name).values():
        if field.inline:
            found.update(members(field.type))
        else:
            found[field.name] = field
    return found


def message_of(api_version: str, kind: str) -> str | None:
    """The message that a kind is encoded as, or None when the table does not hold it."""
    if kind.endswith("Options"):
        # DeleteOptions and its like belong to every group version.
        api_version = "v1"
    return _table().kinds.get(f"{api_version}/{kind}")


def kinds() -> tuple[tuple[str, str], ...]:
    """(apiVersion, kind) of every kind in the table."""
    return tuple((api_version, kind) for api_version, _, kind in (key.rpartition("/") for key in _table().kinds))
