"""What a schema does to a value before it is checked: unknown members go, nulls go, defaults come.

A `Shape` is read from its schema when a value first reaches it, so of a schema with thousands of members only those
in use cost anything. Contract: Kubernetes API surface, section 5.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from podpass.kube.objects import Obj
from podpass.lab.cluster import fields

META_MEMBERS = frozenset({"apiVersion", "kind", "metadata"})

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Shape:
    """The structural part of one schema: its members, items, defaults."""

    __slots__ = ("_default", "_read", "_schema", "additional", "defaults", "items", "keeps", "nullable", "properties")

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._read = False
        self.nullable = bool(schema.get("nullable"))
        default = schema.get("default")
        # Containers are copied by decoding, which is quicker than a deep copy; scalars are shared.
        self._default = _encode(default) if isinstance(default, dict | list) else default

    @property
    def has_default(self) -> bool:
        return self._default is not None

    def default(self) -> Any:
        """A fresh copy of the default; None without one."""
        return _decode(self._default) if isinstance(self._default, bytes) else self._default

    def _open(self) -> None:
        schema = self._schema
        self.keeps = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
        self.properties: dict[str, Shape] = {
            name: Shape(below) for name, below in (schema.get("properties") or {}).items()
        }
        self.defaults = [(name, shape) for name, shape in self.properties.items() if shape.has_default]
        additional = schema.get("additionalProperties")
        self.additional = None if additional is None else Shape(additional if isinstance(additional, dict) else {})
        items = schema.get("items")
        self.items = Shape(items) if isinstance(items, dict) else _NOTHING
        self._read = True

    def prune(self, obj: Obj) -> list[str]:
        """Remove the members of a resource that its schema does not know, and give the path of each."""
        unknown: list[str] = []
        self._object(obj, "", unknown, root=True, fill=False)
        return unknown

    def settle(self, obj: Obj) -> None:
        """Bring a resource into the shape in which it is stored: pruned, nulls taken out, defaults filled in."""
        self._object(obj, "", [], root=True, fill=True)

    def unknown(self, value: Any) -> list[str]:
        """The paths of members of a value, which loses them."""
        found: list[str] = []
        self._value(value, "", found, fill=False)
        return found

    def _value(self, value: Any, path: str, unknown: list[str], *, fill: bool, keeps: bool = False) -> None:
        if type(value) is dict:
            self._object(value, path, unknown, fill=fill, keeps=keeps)
        elif type(value) is list:
            if not self._read:
                self._open()
            self._list(value, path, unknown, fill=fill, keeps=keeps or self.keeps)

    def _object(
        self, obj: Obj, path: str, unknown: list[str], *, fill: bool, root: bool = False, keeps: bool = False
    ) -> None:
        if not self._read:
            self._open()
        embedded = root or bool(self._schema.get("x-kubernetes-embedded-resource"))
        for key in tuple(obj):
            if embedded and key in META_MEMBERS:
                if key == "metadata" and not root:
                    _prune_metadata(obj[key], f"{path}.metadata", unknown)
                continue
            shape = self.properties.get(key) or self.additional
            if shape is None:
                if not (keeps or self.keeps):
                    unknown.append(f"{path}.{key}" if path else key)
                    del obj[key]
                continue
            value = obj[key]
            if value is None:
                if not fill or shape.nullable:
                    continue
                if not shape.has_default:
                    del obj[key]
                    continue
                obj[key] = value = shape.default()
            if type(value) is dict or type(value) is list:
                shape._value(value, f"{path}.{key}" if path else key, unknown, fill=fill)
        if not fill:
            return
        for key, shape in self.defaults:
            if key not in obj and not (root and key in META_MEMBERS):
                value = obj[key] = shape.default()
                # A default may lack defaults of its own.
                shape._value(value, key, unknown, fill=True)

    def _list(self, values: list[Any], path: str, unknown: list[str], *, fill: bool, keeps: bool) -> None:
        shape = self.items
        for at, value in enumerate(values):
            if value is None and fill and not shape.nullable and shape.has_default:
                value = values[at] = shape.default()
            shape._value(value, f"{path}[{at}]", unknown, fill=fill, keeps=keeps)


_NOTHING = Shape({})


def _prune_metadata(meta: Any, path: str, unknown: list[str]) -> None:
    """An object inside of an object has the metadata that every object has."""
    if isinstance(meta, dict):
        known = fields.members("meta.v1.ObjectMeta")
        for name in [each for each in meta if each not in known]:
            unknown.append(f"{path}.{name}")
            del meta[name]


def pruned(schema: Mapping[str, Any], value: Any) -> tuple[str, ...]:
    """The paths of members that *schema* does not know in a copy of *value*."""
    return tuple(Shape(schema).unknown(_decode(_encode(value))))
