"""Finds what is wrong with the members of an object: unknown, repeated, of the wrong type.

kubectl leaves this to the server: it sends fieldValidation=Strict and prints the answer. Unknown members are always
removed from what is stored; the mode says whether that is refused, warned of, or silent.
Contract: Kubernetes API surface, section 1.5.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from podpass.kube.objects import Obj
from podpass.kube.quantity import parse_quantity
from podpass.kube.status import StatusError
from podpass.lab.cluster import fields
from podpass.lab.cluster.fields import Field
from podpass.lab.cluster.registry import Kind
from podpass.lab.cluster.requests.bodies import json_type

MAX_NAMED = 20
"""Faults named in one answer; the rest are counted by the client when these are mended."""

_OBJECT_META = "meta.v1.ObjectMeta"
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d([.]\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_GO_LAYOUTS = {fields.TIME: "2006-01-02T15:04:05Z07:00", fields.MICRO_TIME: "2006-01-02T15:04:05.000000Z07:00"}
_GO_TYPES = {
    "string": "string",
    "int32": "int32",
    "int64": "int64",
    "bool": "bool",
    "bytes": "[]uint8",
    "double": "float64",
}

NO_QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


@dataclass(frozen=True, slots=True)
class Mistyped:
    """The first member whose value can't be read as its type."""

    path: str
    found: str
    """What was found, in JSON's words: `number`, `string`, `object`."""
    owner: str
    """The Go struct that the member belongs to, which the API server's message names."""
    expected: str
    said: str = ""
    """The whole message, where the API server's is another one."""

    def __str__(self) -> str:
        if self.said:
            return self.said
        place = f"{self.owner}.{self.path}" if self.owner else self.path
        return f"json: cannot unmarshal {self.found} into Go struct field {place} of type {self.expected}"


@dataclass(frozen=True, slots=True)
class Checked:
    """An object without its unknown members, and where those were."""

    obj: Obj
    unknown: tuple[str, ...]
    mistyped: Mistyped | None = None


def check(obj: Obj, api_version: str, kind: str) -> Checked:
    """The object with only the members that its kind has.

    A null member is dropped as the API server drops it. A kind that is not in the table is returned as it is.
    """
    name = fields.message_of(api_version, kind)
    if name is None:
        return Checked(obj, ())
    walk = _Walk()
    cleaned = walk.message(name, obj, "", root=True)
    return Checked(cleaned, tuple(walk.unknown), walk.mistyped)


def duplicates(body: bytes) -> tuple[str, ...]:
    """The paths of members that the JSON *body* gives more than once. Empty when it is not JSON."""

    def pairs(items: list[tuple[str, Any]]) -> Any:
        made = _Pairs(items)
        seen: set[str] = set()
        for key, _ in items:
            if key in seen:
                made.repeated.append(key)
            seen.add(key)
        return made

    try:
        root = json.loads(body, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return ()
    return tuple(dict.fromkeys(_repeated(root, "")))


def validate_fields(kind: Kind, obj: Obj, body: bytes) -> list[str]:
    """Remove the members of *obj* that its kind does not have, and name each, and each that *body* repeats.

    Raises StatusError 400 for a value that can't be read as its member's type, whatever the mode.
    """
    resource = kind.resource
    if kind.prune is not None:
        return _texts(kind.prune(obj), body)
    api_version = obj.get("apiVersion") or resource.api_version
    checked = check(obj, api_version, obj.get("kind") or resource.kind)
    if checked.mistyped is not None:
        raise cannot_be_handled(api_version, obj.get("kind") or resource.kind, str(checked.mistyped))
    if checked.obj is not obj:
        obj.clear()
        obj.update(checked.obj)
    return _texts(checked.unknown, body)


def _texts(unknown: Iterable[str], body: bytes) -> list[str]:
    texts = [f'unknown field "{path}"' for path in unknown]
    texts += [f'duplicate field "{path}"' for path in (duplicates(body) if body else ())]
    return texts[:MAX_NAMED]


def prune_metadata(obj: Obj, api_version: str) -> list[str]:
    """Remove from the metadata of *obj* what no object has there, and give the path of each member that went.

    Raises StatusError 400 for a value that can't be read as its member's type.
    """
    walk, meta = _Walk(), obj["metadata"]
    kind = str(obj.get("kind") or "")
    if not isinstance(meta, dict):
        why = f"json: cannot unmarshal {json_type(meta)} into Go value of type v1.ObjectMeta"
        raise cannot_be_handled(api_version, kind, why)
    obj["metadata"] = walk.message(_OBJECT_META, meta, "")
    if walk.mistyped is not None:
        raise cannot_be_handled(api_version, kind, str(walk.mistyped))
    return [f"metadata.{path}" for path in walk.unknown]


def typed_body(obj: Obj | None, api_version: str, kind: str) -> Obj:
    """The body of a subresource without unknown members. Raises StatusError 400 for members of the wrong type."""
    checked = check(obj or {}, api_version, kind)
    if checked.mistyped is not None:
        raise cannot_be_handled(api_version, kind, str(checked.mistyped))
    return checked.obj


def cannot_be_handled(api_version: str, kind: str, why: str) -> StatusError:
    """400 for a body that can't be read as its kind."""
    version = api_version.rpartition("/")[2]
    return StatusError.bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')


def written_time(kind: str, value: str) -> str | None:
    """A time as the API server writes it back, in UTC; None when it is none.

    Clients that keep times as objects send them with an offset or a fraction: the Python clients write +00:00.
    """
    if _RFC3339.fullmatch(value) is None:
        return None
    try:
        moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    text = moment.isoformat(timespec="microseconds" if kind == fields.MICRO_TIME else "seconds")
    return text.replace("+00:00", "Z")


class _Pairs(dict[str, Any]):
    def __init__(self, items: list[tuple[str, Any]]) -> None:
        super().__init__(items)
        self.repeated: list[str] = []


def _repeated(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        for key in value.repeated:
            yield _join(path, key)
        for key, element in value.items():
            yield from _repeated(element, _join(path, key))
    elif isinstance(value, list):
        for index, element in enumerate(value):
            yield from _repeated(element, f"{path}[{index}]")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


class _Walk:
    def __init__(self) -> None:
        self.unknown: list[str] = []
        self.mistyped: Mistyped | None = None

    def message(self, name: str, obj: Any, path: str, *, root: bool = False) -> Any:
        members = fields.members(name)
        kept: Obj = {}
        for key, value in obj.items():
            if root and key in ("apiVersion", "kind"):
                kept[key] = value
                continue
            field = members.get(key)
            if field is None:
                self.unknown.append(_join(path, key))
                continue
            if value is None:
                continue
            kept[key] = self._member(name, field, value, _join(path, key))
        return kept

    def _member(self, owner: str, field: Field, value: Any, path: str) -> Any:
        if field.shape == "list":
            if not isinstance(value, list):
                return self._wrong(owner, path, value, f"[]{_go_type(field.type)}")
            return [
                self._value(owner, field, element, f"{path}[{index}]")
                for index, element in enumerate(value)
                if element is not None or field.type in fields.SCALARS or field.type == fields.JSON
            ]
        if field.shape == "map":
            if not isinstance(value, dict):
                return self._wrong(owner, path, value, f"map[string]{_go_type(field.type)}")
            return {
                # Go names the map in a fault, and the key only of what lies deeper.
                key: ""
                if element is None
                else self._value(owner, field, element, path if field.type in fields.SCALARS else _join(path, key))
                for key, element in value.items()
            }
        return self._value(owner, field, value, path)

    def _value(self, owner: str, field: Field, value: Any, path: str) -> Any:
        kind = field.type
        if kind == "string":
            good = isinstance(value, str)
        elif kind in _GO_LAYOUTS:
            good = isinstance(value, str)
            if good and value:
                written = written_time(kind, value)
                if written is None:
                    said = f'parsing time "{value[:64]}" as "{_GO_LAYOUTS[kind]}": cannot parse it'
                    return self._wrong(owner, path, value, _go_type(kind), said)
                value = written
        elif kind == "bytes":
            good = isinstance(value, str)
            if good and (place := _base64_fault(value)) is not None:
                said = f"illegal base64 data at input byte {place}"
                return self._wrong(owner, path, value, "[]uint8", said)
        elif kind == "bool":
            good = isinstance(value, bool)
        elif kind in ("int32", "int64"):
            # Go reads 1.0 as no integer, JSON Patch libraries of clients send it all the same.
            good = not isinstance(value, bool) and (isinstance(value, int) or _whole(value))
            if good:
                value = int(value)
        elif kind in (fields.QUANTITY, fields.INT_OR_STRING):
            good = isinstance(value, str | int | float) and not isinstance(value, bool)
            if kind == fields.QUANTITY and good and not _is_quantity(value):
                return self._wrong(owner, path, value, _go_type(kind), NO_QUANTITY)
        elif kind in fields.EXTRA_VALUES:
            good = isinstance(value, list)
        elif kind == "double":
            good = isinstance(value, int | float) and not isinstance(value, bool)
        elif kind in (fields.RAW_EXTENSION, fields.FIELDS_V1, fields.JSON):
            good = True
        elif kind in fields.SCHEMA_UNIONS:
            return self._union(owner, kind, value, path)
        elif isinstance(value, dict):
            return self.message(kind, value, path)
        else:
            good = False
        return value if good else self._wrong(owner, path, value, _go_type(kind))

    def _union(self, owner: str, kind: str, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            # Go reads these by hand and drops what it does not know there without a word.
            inner = _Walk()
            cleaned = inner.message(fields.SCHEMA, value, path)
            self.mistyped = self.mistyped or inner.mistyped
            return cleaned
        if kind == fields.SCHEMA_OR_BOOL:
            good = isinstance(value, bool)
        else:
            element = dict if kind == fields.SCHEMA_OR_ARRAY else str
            good = isinstance(value, list) and all(isinstance(each, element) for each in value)
        return value if good else self._wrong(owner, path, value, _go_type(kind))

    def _wrong(self, owner: str, path: str, value: Any, expected: str, said: str = "") -> Any:
        if self.mistyped is None:
            plain = "".join(part for index, part in enumerate(_without_indexes(path)) if part or index == 0)
            self.mistyped = Mistyped(plain, json_type(value), owner.rpartition(".")[2], expected, said)
        return value


def _without_indexes(path: str) -> list[str]:
    parts = path.split("[")
    return [parts[0], *(part.partition("]")[2] for part in parts[1:])]


def _go_type(kind: str) -> str:
    if kind in _GO_TYPES:
        return _GO_TYPES[kind]
    package, _, name = kind.rpartition(".")
    group, _, version = package.rpartition(".")
    return f"{version if version.startswith('v') else group or package}.{name}"


def _whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _is_quantity(value: str | int | float) -> bool:
    try:
        parse_quantity(value)
    except ValueError:
        return False
    return True


def _base64_fault(value: str) -> int | None:
    """Where Go's decoder stops at *value*: a character that can't be there, or the group that is not whole."""
    compact = value.replace("\r", "").replace("\n", "")
    try:
        base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        wrong = re.search(r"[^A-Za-z0-9+/]", compact.rstrip("="))
        return wrong.start() if wrong else len(compact.rstrip("=")) // 4 * 4
    return None
