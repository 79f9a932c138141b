"""Decodes the protobuf request bodies that kubectl's typed commands send.

kubectl has no fallback: a 415 answer ends the command. Answers are always JSON, which its typed clients accept.
Decoding is bounded in depth and in the number of values; whatever is wrong with a body ends in `Malformed`.
Contract: Kubernetes API surface, section 1.4.
"""

import base64
import math
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from podpass.kube.objects import Obj
from podpass.kube.status import StatusError
from podpass.lab.cluster import fields
from podpass.lab.cluster.fields import Field

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAX_DEPTH = 40
MAX_VALUES = 200_000
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_ZERO: dict[str, Any] = {"string": "", "bytes": "", "bool": False, "int32": 0, "int64": 0, "double": 0.0}


class Malformed(ValueError):
    """The body is not a protobuf encoding of a Kubernetes object; the text says what is wrong with it."""


class UnknownKind(Malformed):
    """The body is well formed, and of a kind whose members are not known here."""

    def __init__(self, api_version: str, kind: str) -> None:
        super().__init__(f'no kind "{kind}" is registered for version "{api_version}"')
        self.api_version = api_version
        self.kind = kind


def decode_object(body: bytes, *, api_version: str = "", kind: str = "") -> Obj:
    """The object in *body*, as its JSON form would be read. Members with no value are absent.

    *api_version* and *kind* take the place of empty ones in the body's type. Raises Malformed, or UnknownKind.
    """
    if body[:4] != _MAGIC:
        raise Malformed("the body does not start with the protobuf prefix of Kubernetes")
    budget = _Budget()
    raw = b""
    encoding = ""
    for number, _, value in _wire(body[4:]):
        if number == 1 and isinstance(value, bytes):
            for type_number, _, type_value in _wire(value):
                if type_number == 1 and isinstance(type_value, bytes):
                    api_version = _text(type_value) or api_version
                elif type_number == 2 and isinstance(type_value, bytes):
                    kind = _text(type_value) or kind
        elif number == 2 and isinstance(value, bytes):
            raw = value
        elif number == 3 and isinstance(value, bytes):
            encoding = _text(value)
    if encoding:
        raise Malformed(f'the content encoding "{encoding[:40]}" is not supported')
    name = fields.message_of(api_version, kind)
    if name is None:
        raise UnknownKind(api_version[:80], kind[:80])
    return {"apiVersion": api_version, "kind": kind, **_message(name, raw, budget, depth=0)}


def decode_body(body: bytes) -> Obj:
    """The object in a request's body. Raises StatusError 400 for a body that can't be read."""
    try:
        return decode_object(body)
    except Malformed as error:
        raise StatusError.bad_request(f"couldn't decode the protobuf body of the request: {error}") from error


class _Budget:
    """How many values may still be read. Two bytes can announce a value that costs a hundred in memory."""

    def __init__(self) -> None:
        self.left = MAX_VALUES

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Malformed(f"the body holds more than {MAX_VALUES} values")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("a number in the body is cut off or too long")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7


def _wire(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """(field number, wire type, value) of each field in *data*, in order."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise Malformed("a field in the body has number 0")
        if wire_type == _VARINT:
            value, at = _varint(data, at)
            yield number, wire_type, value
            continue
        if wire_type == _BYTES:
            length, at = _varint(data, at)
        elif wire_type == _FIXED64:
            length = 8
        elif wire_type == _FIXED32:
            length = 4
        else:
            raise Malformed(f"field {number} has wire type {wire_type}, which Kubernetes does not use")
        if length > len(data) - at:
            raise Malformed(f"field {number} is cut off")
        yield number, wire_type, data[at : at + length]
        at += length


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Malformed("a string in the body is not UTF-8") from error


def _message(name: str, data: bytes, budget: _Budget, *, depth: int) -> Obj:
    if depth > MAX_DEPTH:
        raise Malformed(f"the body is nested deeper than {MAX_DEPTH} levels")
    table = fields.message(name)
    found: Obj = {}
    for number, wire_type, value in _wire(data):
        field = table.get(number)
        if field is None:
            continue
        budget.spend()
        if field.inline:
            if not isinstance(value, bytes):
                raise _mistyped(name, field)
            found.update(_message(field.type, value, budget, depth=depth + 1))
        elif field.shape == "list":
            found.setdefault(field.name, []).extend(_elements(name, field, wire_type, value, budget, depth))
        elif field.shape == "map":
            key, element = _entry(name, field, value, budget, depth)
            found.setdefault(field.name, {})[key] = element
        else:
            decoded = _value(name, field, wire_type, value, budget, depth)
            if decoded is None or _unset(field, decoded):
                # proto2 writes scalars that were never set; left in, an empty restartPolicy would block its default.
                found.pop(field.name, None)
            else:
                found[field.name] = decoded
    return found


def _unset(field: Field, value: Any) -> bool:
    return not field.pointer and not field.always and field.type in _ZERO and value == _ZERO[field.type]


def _mistyped(name: str, field: Field) -> Malformed:
    return Malformed(f"{name}.{field.name} is not encoded as {field.type}")


def _value(name: str, field: Field, wire_type: int, value: int | bytes, budget: _Budget, depth: int) -> Any:
    """One value's JSON form; None for an empty time, which means that it is not set."""
    kind = field.type
    if kind in ("int32", "int64", "bool"):
        if wire_type != _VARINT or not isinstance(value, int):
            raise _mistyped(name, field)
        if kind == "bool":
            return value != 0
        return value - (1 << 64) if value >= 1 << 63 else value
    if kind == "double":
        if wire_type != _FIXED64 or not isinstance(value, bytes):
            raise _mistyped(name, field)
        return _number(value)
    if wire_type != _BYTES or not isinstance(value, bytes):
        raise _mistyped(name, field)
    if kind == "string":
        return _text(value)
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if kind in fields.SCHEMA_UNIONS:
        return _schema_union(kind, value, budget, depth)
    if kind in fields.SPECIAL:
        return _special(kind, value, budget)
    return _message(kind, value, budget, depth=depth + 1)


def _elements(
    name: str, field: Field, wire_type: int, value: int | bytes, budget: _Budget, depth: int
) -> Iterator[Any]:
    if field.type in ("int32", "int64", "bool") and wire_type == _BYTES and isinstance(value, bytes):
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            budget.spend()
            yield _value(name, field, _VARINT, number, budget, depth)
        return
    yield _value(name, field, wire_type, value, budget, depth)


def _entry(name: str, field: Field, value: int | bytes, budget: _Budget, depth: int) -> tuple[str, Any]:
    if not isinstance(value, bytes):
        raise _mistyped(name, field)
    key = ""
    element: Any = _ZERO.get(field.type)
    for number, wire_type, part in _wire(value):
        if number == 1 and isinstance(part, bytes):
            key = _text(part)
        elif number == 2:
            element = _value(name, field, wire_type, part, budget, depth)
    if element is None:
        element = _special(field.type, b"", budget) if field.type in fields.SPECIAL else {}
    return key, element


def _special(kind: str, data: bytes, budget: _Budget) -> Any:
    """The JSON form of a message that is not an object in JSON."""
    numbers: dict[int, int] = {}
    chunks: dict[int, list[bytes]] = {}
    for number, wire_type, value in _wire(data):
        budget.spend()
        if isinstance(value, int):
            numbers[number] = value - (1 << 64) if value >= 1 << 63 else value
        elif wire_type == _BYTES:
            chunks.setdefault(number, []).append(value)
    newest = {number: parts[-1] for number, parts in chunks.items()}
    if kind in (fields.TIME, fields.MICRO_TIME):
        return _time(kind, numbers.get(1, 0), numbers.get(2, 0)) if data else None
    if kind == fields.QUANTITY:
        return _text(newest.get(1, b""))
    if kind == fields.INT_OR_STRING:
        return _text(newest.get(3, b"")) if numbers.get(1, 0) == 1 else numbers.get(2, 0)
    if kind in fields.EXTRA_VALUES:
        return [_text(part) for part in chunks.get(1, [])]
    raw = newest.get(1, b"")
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(f"{kind} does not hold JSON") from error


def _schema_union(kind: str, data: bytes, budget: _Budget, depth: int) -> Any:
    """A schema, or the list or boolean that may stand in its place."""
    found = _message(kind, data, budget, depth=depth)
    if "schema" in found:
        return found["schema"]
    if kind == fields.SCHEMA_OR_BOOL:
        return found.get("allows", False)
    return found.get("jSONSchemas" if kind == fields.SCHEMA_OR_ARRAY else "property", [])


def _number(data: bytes) -> int | float:
    """A double as JSON writes it; whole numbers without a fraction."""
    number: float = struct.unpack("<d", data)[0]
    if not math.isfinite(number):
        raise Malformed("a number in the body is not finite")
    return int(number) if number.is_integer() else number


def _time(kind: str, seconds: int, nanos: int) -> str:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Malformed("a time in the body is out of range") from error
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    if kind == fields.MICRO_TIME:
        return f"{text.zfill(19)}.{(nanos // 1000) % 1_000_000:06d}Z"
    return f"{text.zfill(19)}Z"
