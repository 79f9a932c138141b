"""A template as it is written: its sections, checked for shape and size. Nothing is evaluated here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from podpass.lab.arm.deployments.errors import invalid_template
from podpass.lab.arm.deployments.language.values import key_of
from podpass.lab.arm.errors import not_emulated

MAX_PARAMETERS = 256
MAX_VARIABLES = 256
MAX_RESOURCES = 800
MAX_OUTPUTS = 64

Level = Literal["resourceGroup", "subscription", "managementGroup", "tenant"]
_SCHEMAS: Mapping[str, Level] = {
    "deploymenttemplate.json": "resourceGroup",
    "subscriptiondeploymenttemplate.json": "subscription",
    "managementgroupdeploymenttemplate.json": "managementGroup",
    "tenantdeploymenttemplate.json": "tenant",
}
_SECTIONS = frozenset(
    {
        "$schema",
        "contentversion",
        "apiprofile",
        "languageversion",
        "definitions",
        "parameters",
        "functions",
        "variables",
        "resources",
        "outputs",
        "metadata",
    }
)
_NOT_HERE = frozenset({"imports", "extensions", "asserts", "rules"})


@dataclass(frozen=True, slots=True)
class UserFunction:
    """A function that the template defines."""

    parameters: tuple[str, ...]
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The sections of a template."""

    document: Mapping[str, Any]
    level: Level
    symbolic: bool
    """Whether resources go by symbolic names, which is language version 2.0."""
    parameters: Mapping[str, Mapping[str, Any]]
    definitions: Mapping[str, Mapping[str, Any]]
    variables: Mapping[str, Any]
    functions: Mapping[tuple[str, str], UserFunction]
    """By namespace and name in lower case."""
    resources: tuple[tuple[str, Mapping[str, Any]], ...]
    """With their symbolic names, which are empty without symbolic names."""
    outputs: Mapping[str, Mapping[str, Any]]


def read(document: Any) -> Template:
    """The template that *document* is. Raises ArmError: InvalidTemplate, or 501 for what the lab has not."""
    if not isinstance(document, Mapping):
        raise invalid_template("The template is not a JSON object")
    for name in document:
        if name.lower() in _NOT_HERE:
            raise not_emulated(f"the section '{name}' of templates")
        if name.lower() not in _SECTIONS:
            raise invalid_template(
                f"Could not find member '{name}' on object of type 'Template'. Path '{name}'. Please see "
                "https://aka.ms/arm-template for usage details."
            )
    schema = section(document, "$schema", str, "")
    level = _SCHEMAS.get(schema.rstrip("#").rpartition("/")[2].lower())
    if level is None:
        raise invalid_template(
            f"Template schema '{schema}' is not supported. Please see https://aka.ms/arm-template for usage details."
        )
    if not section(document, "contentVersion", str, ""):
        raise invalid_template(
            "Required property 'contentVersion' not found in JSON. Path ''. Please see https://aka.ms/arm-template "
            "for usage details."
        )
    version = section(document, "languageVersion", str, "1.0")
    if version not in ("1.0", "1.9-experimental", "1.10-experimental", "2.0", "2.1-experimental"):
        raise invalid_template(f"The language version '{version}' is not supported")
    key = key_of(document, "resources")
    given = (None if key is None else document[key]) or []
    template = Template(
        document=document,
        level=level,
        symbolic=isinstance(given, Mapping),
        parameters=_objects(document, "parameters"),
        definitions=_objects(document, "definitions"),
        variables=section(document, "variables", dict, {}),
        functions=dict(_functions(section(document, "functions", list, []))),
        resources=tuple(listed_resources(given)),
        outputs=_objects(document, "outputs"),
    )
    if template.symbolic and version.startswith("1.0"):
        raise invalid_template("Resources with symbolic names need the languageVersion '2.0'")
    for what, count, limit in (
        ("parameters", len(template.parameters), MAX_PARAMETERS),
        ("variables", len(template.variables), MAX_VARIABLES),
        ("outputs", len(template.outputs), MAX_OUTPUTS),
    ):
        if count > limit:
            raise invalid_template(
                f"The number of template {what} limit exceeded. Limit: '{limit}' and actual: '{count}'. Please see "
                "https://aka.ms/arm-template for usage details."
            )
    return template


def section(document: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    """The member of *document*, its name in any letter case. Raises ArmError when it has another JSON type."""
    key = key_of(document, name)
    value = None if key is None else document[key]
    if value is None:
        return default
    if not isinstance(value, kind):
        raise invalid_template(f"The template member '{name}' has a value of the wrong JSON type")
    return value


def listed_resources(given: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The resources of a template or of another resource, in either form. Raises ArmError."""
    if not isinstance(given, Mapping | list):
        raise invalid_template("The template member 'resources' has a value of the wrong JSON type")
    pairs = given.items() if isinstance(given, Mapping) else (("", one) for one in given)
    for symbol, resource in pairs:
        if not isinstance(resource, Mapping):
            raise invalid_template("A template resource is not a JSON object")
        if key_of(resource, "import") or key_of(resource, "extension"):
            raise not_emulated("resources of extensions")
        yield symbol, resource


def _objects(document: Mapping[str, Any], name: str) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Any] = section(document, name, dict, {})
    for key, value in found.items():
        if not isinstance(value, Mapping):
            raise invalid_template(f"The template {name.rstrip('s')} '{key}' is not a JSON object")
    return found


def _functions(given: list[Any]) -> Iterator[tuple[tuple[str, str], UserFunction]]:
    for group in given:
        namespace = section(group, "namespace", str, "") if isinstance(group, Mapping) else ""
        if not namespace:
            raise invalid_template("The template functions need a namespace")
        for name, definition in section(group, "members", dict, {}).items():
            if not isinstance(definition, Mapping):
                raise invalid_template(f"The template function '{namespace}.{name}' is not a JSON object")
            parameters = section(definition, "parameters", list, [])
            if not all(isinstance(one, Mapping) for one in parameters):
                raise invalid_template(f"The parameters of the template function '{namespace}.{name}' are not objects")
            names = [section(one, "name", str, "") for one in parameters]
            output = section(definition, "output", dict, {})
            yield (namespace.lower(), name.lower()), UserFunction(tuple(names), output.get("value"))
