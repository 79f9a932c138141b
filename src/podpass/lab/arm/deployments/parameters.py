"""The parameters of a deployment: what was given and what is left to the template, checked against its rules.

A secure value is in no message.
Contract: the reference of template syntax, section on parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from podpass.lab.arm.deployments.errors import invalid_template
from podpass.lab.arm.deployments.language.errors import ExpressionError
from podpass.lab.arm.deployments.language.values import equal, key_of, text_of, type_name
from podpass.lab.arm.deployments.templates import Template
from podpass.lab.arm.errors import ArmError

_HELP = "Please see https://aka.ms/arm-create-parameter-file for usage details."
_SHOWN = {
    "string": "String",
    "securestring": "SecureString",
    "int": "Int",
    "bool": "Bool",
    "object": "Object",
    "secureobject": "SecureObject",
    "array": "Array",
}
_WANTED = {
    "string": ("String, Uri", str),
    "securestring": ("String, Uri", str),
    "int": ("Integer", int),
    "bool": ("Boolean", bool),
    "object": ("Object", dict),
    "secureobject": ("Object", dict),
    "array": ("Array", list),
}
_MAX_DEPTH = 30
_HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True)
class Parameters:
    """The values of a deployment's parameters, by the names that the template gives them."""

    values: Mapping[str, Any]
    types: Mapping[str, str]
    """As they are shown: String, SecureString."""

    @property
    def secure(self) -> frozenset[str]:
        return frozenset(name for name, kind in self.types.items() if is_secure(kind))

    def shown(self) -> dict[str, Any]:
        """What a deployment says of its parameters: no secure value."""
        return shown(self.values, self.types)


def shown(values: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    """Values with their types, as deployments show parameters and outputs; of a secure one only the type."""
    return {
        name: {"type": kind} if is_secure(kind) else {"type": kind, "value": values[name]}
        for name, kind in types.items()
        if name in values or is_secure(kind)
    }


def is_secure(kind: str) -> bool:
    return kind.lower().startswith("secure")


def resolve(
    template: Template, given: Mapping[str, Any], default: Callable[[Any, Mapping[str, Any]], Any]
) -> Parameters:
    """The values of all parameters. *default* evaluates a default value, over the parameters resolved before.

    Raises ArmError.
    """
    unknown = [name for name in given if key_of(template.parameters, name) is None]
    if unknown:
        raise invalid_template(
            f"The template parameters '{', '.join(unknown)}' in the parameters file are not valid; they are not "
            "present in the original template and can therefore not be provided at deployment time. The only supported "
            f"parameters for this template are '{', '.join(template.parameters)}'. Please see "
            "https://aka.ms/arm-pass-parameter-values for usage details."
        )
    values: dict[str, Any] = {}
    types: dict[str, str] = {}
    for name, written in template.parameters.items():
        schema = _schema(template, written)
        kind = str(schema.get("type", "")).lower()
        if kind not in _SHOWN:
            raise invalid_template(f"The template parameter '{name}' has the type '{kind}', which is not supported")
        types[name] = _SHOWN[kind]
        key = key_of(given, name)
        if key is not None:
            value = _given(name, given[key])
        elif "defaultValue" in written:
            try:
                value = default(written["defaultValue"], values)
            except ExpressionError as error:
                raise invalid_template(
                    f"Unable to evaluate the default value of template parameter '{name}': {error}"
                ) from error
        elif schema.get("nullable") is True:
            value = None
        else:
            raise invalid_template(f"The value for the template parameter '{name}' is not provided. {_HELP}")
        _check(template, name, schema, value, hidden=is_secure(kind))
        values[name] = value
    return Parameters(values, types)


def output_type(template: Template, definition: Mapping[str, Any]) -> str:
    """An output's type as it is shown. Raises ArmError."""
    kind = str(_schema(template, definition).get("type", "")).lower()
    if kind not in _SHOWN:
        raise invalid_template(f"The type '{kind}' of a template output is not supported")
    return _SHOWN[kind]


def check_output(template: Template, name: str, definition: Mapping[str, Any], value: Any) -> None:
    """Raises ExpressionError when the value is not of the output's type."""
    schema = _schema(template, definition)
    wanted, python = _WANTED[str(schema["type"]).lower()]
    if value is None and schema.get("nullable") is True:
        return
    if not _is(value, python):
        raise ExpressionError(
            f"The template output '{name}' is not valid: Template output JToken type is not valid. Expected "
            f"'{wanted}'. Actual '{type_name(value)}'. Please see https://aka.ms/arm-template/#outputs for usage "
            "details."
        )


def _given(name: str, given: Any) -> Any:
    if not isinstance(given, Mapping) or "value" not in given:
        raise invalid_template(
            f"The parameter '{name}' has no value: a JSON object with the member 'value' is expected. {_HELP}"
        )
    return given["value"]


def _schema(template: Template, written: Any) -> Mapping[str, Any]:
    """A definition with what it refers to; its own members win. Raises ArmError."""
    schema = written
    for _ in range(_MAX_DEPTH):
        if not isinstance(schema, Mapping):
            raise invalid_template("A type in the template is not a JSON object")
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        name = reference.removeprefix("#/definitions/").replace("~1", "/").replace("~0", "~")
        if not reference.startswith("#/definitions/") or name not in template.definitions:
            raise invalid_template(f"The type reference '{reference}' can't be resolved")
        own = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**template.definitions[name], **own}
    raise invalid_template("The type definitions refer to each other without end")


def _check(
    template: Template, name: str, schema: Mapping[str, Any], value: Any, *, hidden: bool, depth: int = 0
) -> None:
    if depth > _MAX_DEPTH:
        raise invalid_template(f"The value of the template parameter '{name}' is nested too deeply")
    if value is None and schema.get("nullable") is True:
        return
    kind = str(schema.get("type", "")).lower()
    if kind not in _WANTED:
        raise invalid_template(f"The type '{kind}' in the template parameter '{name}' is not supported")
    wanted, python = _WANTED[kind]
    if not _is(value, python):
        raise invalid_template(
            f"Template parameter JToken type is not valid. Expected '{wanted}'. Actual '{type_name(value)}'. {_HELP}"
        )
    shown = _HIDDEN if hidden or is_secure(kind) else text_of(value)
    allowed = schema.get("allowedValues")
    if isinstance(allowed, list) and not _is_allowed(value, allowed):
        raise invalid_template(
            f"The provided value '{shown}' for the template parameter '{name}' is not valid. The value '{shown}' is "
            f"not part of the allowed value(s): '{','.join(map(text_of, allowed))}'."
        )
    _check_bounds(name, schema, value)
    hidden, depth = hidden or is_secure(kind), depth + 1
    if isinstance(value, list):
        prefix = schema.get("prefixItems")
        first = prefix if isinstance(prefix, list) else []
        for at, item in enumerate(value):
            part = first[at] if at < len(first) else schema.get("items")
            if isinstance(part, Mapping):
                _check(template, f"{name}[{at}]", _schema(template, part), item, hidden=hidden, depth=depth)
    if isinstance(value, dict):
        _check_members(template, name, _discriminated(template, schema, value), value, hidden=hidden, depth=depth)


def _check_members(
    template: Template, name: str, schema: Mapping[str, Any], value: Mapping[str, Any], *, hidden: bool, depth: int
) -> None:
    written = schema.get("properties")
    members: Mapping[str, Any] = written if isinstance(written, Mapping) else {}
    for member, part in members.items():
        resolved = _schema(template, part)
        key = key_of(value, member)
        if key is not None:
            _check(template, f"{name}.{member}", resolved, value[key], hidden=hidden, depth=depth)
        elif resolved.get("nullable") is not True:
            raise _not_valid(name, f"The property '{member}' is required, but was not provided.")
    others = schema.get("additionalProperties", True if "properties" not in schema else None)
    for member in value:
        if key_of(members, member) is None:
            if others is False:
                raise _not_valid(name, f"The property '{member}' is not permitted.")
            if isinstance(others, Mapping):
                resolved = _schema(template, others)
                _check(template, f"{name}.{member}", resolved, value[member], hidden=hidden, depth=depth)


def _discriminated(template: Template, schema: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    rule = schema.get("discriminator")
    if not isinstance(rule, Mapping):
        return schema
    mapping = rule.get("mapping")
    chosen = mapping.get(str(value.get(str(rule.get("propertyName"))))) if isinstance(mapping, Mapping) else None
    if chosen is None:
        raise _not_valid("object", f"The property '{rule.get('propertyName')}' does not say which type is meant.")
    return _schema(template, chosen)


def _check_bounds(name: str, schema: Mapping[str, Any], value: Any) -> None:
    if isinstance(value, str | list):
        least, most = schema.get("minLength"), schema.get("maxLength")
        if isinstance(least, int) and len(value) < least:
            raise _not_valid(name, f"Length of the value should be greater than or equal to '{least}'. {_HELP}")
        if isinstance(most, int) and len(value) > most:
            raise _not_valid(name, f"Length of the value should be less than or equal to '{most}'. {_HELP}")
    elif isinstance(value, int) and not isinstance(value, bool):
        least, most = schema.get("minValue"), schema.get("maxValue")
        if isinstance(least, int) and value < least:
            raise _not_valid(name, f"The value should be greater than or equal to '{least}'. {_HELP}")
        if isinstance(most, int) and value > most:
            raise _not_valid(name, f"The value should be less than or equal to '{most}'. {_HELP}")


def _not_valid(name: str, reason: str) -> ArmError:
    return invalid_template(f"The provided value for the template parameter '{name}' is not valid. {reason}")


def _is_allowed(value: Any, allowed: list[Any]) -> bool:
    if isinstance(value, list) and not any(equal(value, one) for one in allowed):
        return all(any(equal(item, one) for one in allowed) for item in value)
    return any(equal(value, one) for one in allowed)


def _is(value: Any, python: type) -> bool:
    return isinstance(value, python) and not (python is int and isinstance(value, bool))
