"""The JSON schema of the scenario file, for editors, from the types of its entries.

What a schema can't say, such as that a name exists, `podpass lab scenario check` says.
"""

import json
from typing import Any

from podpass.lab.scenario.fields import Member, members
from podpass.lab.scenario.model import Scenario

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def page() -> str:
    definitions: dict[str, Any] = {}
    root = _mapping(Scenario, definitions)
    root["properties"] = {"version": {"const": 1}, **root["properties"]}
    root["required"] = ["version"]
    for section in ("tenants", "subscriptions", "clusters"):
        root["properties"][section].pop("minItems", None)
    document = {"$schema": _DRAFT, "title": "podpass scenario", **root, "$defs": dict(sorted(definitions.items()))}
    return json.dumps(document, indent=2) + "\n"


def _mapping(entry: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    found = members(entry)
    return {
        "type": "object",
        "description": (entry.__doc__ or "").splitlines()[0],
        "properties": {one.name: _member(one, definitions) for one in found},
        "required": [one.name for one in found if one.is_required],
        "additionalProperties": False,
    }


def _member(one: Member, definitions: dict[str, Any]) -> dict[str, Any]:
    shown = _form(one, definitions)
    if one.says:
        shown["description"] = one.says
    if not one.is_required and one.default not in ("", None, (), {}):
        shown["default"] = one.default
    return shown


def _form(one: Member, definitions: dict[str, Any]) -> dict[str, Any]:
    match one.form:
        case "entries":
            return {"type": "array", "items": _reference(one.entry, definitions)}
        case "entry":
            return _reference(one.entry, definitions)
        case "texts":
            # In whatever letter case, which a schema can't say: the words are only offered.
            item = {"anyOf": [{"enum": list(one.words)}, _SCALAR]} if one.words else _SCALAR
            return {"type": "array", "items": item}
        case "choice":
            return {"enum": list(one.words)}
        case "flag":
            return {"type": "boolean"}
        case "number" | "decimal":
            assert one.bounds is not None
            kind = "integer" if one.form == "number" else "number"
            return {"type": kind, "minimum": one.bounds.least, "maximum": one.bounds.most}
        case "labels":
            return {"type": "object", "additionalProperties": _SCALAR}
        case "json":
            return {"type": "object"}
    # Every scalar is read as the text that stands there: `zones: [1]` is fine.
    return dict(_SCALAR)


_SCALAR = {"type": ["string", "number", "boolean"]}


def _reference(entry: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    name = entry.__name__.removesuffix("Entry")
    if name not in definitions:
        definitions[name] = {}
        definitions[name] = _mapping(entry, definitions)
    return {"$ref": f"#/$defs/{name}"}
