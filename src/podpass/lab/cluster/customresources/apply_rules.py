"""How custom objects merge under server-side apply: their schema's list and map types as the rules that apply reads.

Contract: Kubernetes API surface, sections 2.7 and 5.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from podpass.kube.merging import METADATA, ListRule, MapRule, Rule


class SchemaRules(MapRule):
    """The rules of an object's members, each made when apply first asks for it."""

    def __init__(self, schema: Mapping[str, Any], *, root: bool = False) -> None:
        super().__init__(atomic=schema.get("x-kubernetes-map-type") == "atomic")
        object.__setattr__(self, "_schema", schema)
        object.__setattr__(self, "_made", {"metadata": METADATA} if root else {})

    def of(self, name: str) -> Rule | None:
        made: dict[str, Rule | None] = self._made  # type: ignore[attr-defined]
        if name not in made:
            schema: Mapping[str, Any] = self._schema  # type: ignore[attr-defined]
            below = (schema.get("properties") or {}).get(name)
            if below is None:
                # Any number of names may come by here, all with the same rule.
                additional = schema.get("additionalProperties")
                return rule_of(additional) if isinstance(additional, Mapping) else None
            made[name] = rule_of(below)
        return made[name]


def rules_of(schema: Mapping[str, Any]) -> MapRule:
    """The rules of a whole custom resource."""
    return SchemaRules(schema, root=True)


def rule_of(schema: Mapping[str, Any]) -> Rule | None:
    """The rule of one value; None where it merges as values without a schema do."""
    items = schema.get("items")
    match schema.get("x-kubernetes-list-type"):
        case "set":
            return ListRule(is_set=True)
        case "map" if isinstance(items, Mapping):
            keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
            return ListRule(keys=keys, item=SchemaRules(items), key_defaults=dict(_key_defaults(items, keys)))
    if schema.get("type") == "object" or schema.get("properties") or schema.get("x-kubernetes-map-type"):
        embedded = bool(schema.get("x-kubernetes-embedded-resource"))
        return SchemaRules(schema, root=embedded)
    return None


def _key_defaults(items: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key in keys:
        default = ((items.get("properties") or {}).get(key) or {}).get("default")
        if default is not None:
            yield key, default
