"""A container's environment, as the kubelet puts it together.

Contract: Kubernetes API surface, sections 7.2 and 7.3.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from podpass.kube import objects
from podpass.kube.objects import Obj
from podpass.lab.node import fields
from podpass.lab.node.fields import Place
from podpass.lab.node.service_links import service_variables

_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")


@dataclass(frozen=True, slots=True)
class References:
    """The objects of the pod's namespace that were looked up; None where one does not exist."""

    secrets: Mapping[str, Obj | None] = field(default_factory=dict, repr=False)
    config_maps: Mapping[str, Obj | None] = field(default_factory=dict, repr=False)
    claims: Mapping[str, Obj | None] = field(default_factory=dict, repr=False)
    persistent_volumes: Mapping[str, Obj | None] = field(default_factory=dict, repr=False)
    services: tuple[Obj, ...] = ()
    """All of the namespace, where the pod wants to know of them."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A container's variables."""

    variables: dict[str, str] = field(repr=False)
    skipped: tuple[str, ...] = ()
    """Keys of envFrom sources that can't name a variable."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """Something that the pod names does not exist, or not with that key. The pod waits for it."""

    message: str


def referenced(pod: Obj) -> tuple[set[str], set[str]]:
    """The names of the Secrets and ConfigMaps that the environments of *pod* need."""
    secrets: set[str] = set()
    config_maps: set[str] = set()
    for container in containers(pod):
        for source in container.get("envFrom") or ():
            if reference := source.get("secretRef"):
                secrets.add(reference.get("name", ""))
            if reference := source.get("configMapRef"):
                config_maps.add(reference.get("name", ""))
        for variable in container.get("env") or ():
            value_from = variable.get("valueFrom") or {}
            if reference := value_from.get("secretKeyRef"):
                secrets.add(reference.get("name", ""))
            if reference := value_from.get("configMapKeyRef"):
                config_maps.add(reference.get("name", ""))
    return secrets, config_maps


def containers(pod: Obj) -> list[Obj]:
    """All containers, init containers first, those that were added later last."""
    spec = objects.spec(pod)
    members = ("initContainers", "containers", "ephemeralContainers")
    return [container for member in members for container in spec.get(member) or ()]


def resolve(
    pod: Obj, container: Obj, references: References, place: Place, services: Mapping[str, str]
) -> Environment | NotYet:
    """The variables of *container*: of services, then envFrom in order, then env; a later one wins.

    *services* are those of the API server, which every container gets.
    """
    variables = {**service_variables(references.services), **services}
    skipped: list[str] = []
    for source in container.get("envFrom") or ():
        found = _from_source(source, references)
        if isinstance(found, NotYet):
            return found
        prefix = source.get("prefix") or ""
        for key, value in found.items():
            name = prefix + key
            if _NAME.fullmatch(name):
                variables[name] = value
            else:
                skipped.append(key)
    for variable in container.get("env") or ():
        name = variable["name"]
        value_from = variable.get("valueFrom")
        if not value_from:
            variables[name] = expand(variable.get("value") or "", variables)
            continue
        referenced_value = _from_reference(pod, container, value_from, references, place)
        if isinstance(referenced_value, NotYet):
            return referenced_value
        if referenced_value is not None:
            variables[name] = referenced_value
    return Environment(variables, tuple(skipped))


def _from_source(source: Obj, references: References) -> Mapping[str, str] | NotYet:
    if reference := source.get("secretRef"):
        name = reference.get("name", "")
        secret = references.secrets.get(name)
        if secret is None:
            return {} if reference.get("optional") else NotYet(f'secret "{name}" not found')
        return {key: _text(value) for key, value in (secret.get("data") or {}).items()}
    if reference := source.get("configMapRef"):
        name = reference.get("name", "")
        config_map = references.config_maps.get(name)
        if config_map is None:
            return {} if reference.get("optional") else NotYet(f'configmap "{name}" not found')
        return dict(config_map.get("data") or {})
    return {}


def _from_reference(
    pod: Obj, container: Obj, value_from: Obj, references: References, place: Place
) -> str | NotYet | None:
    """The value, None where an optional one is missing."""
    namespace = objects.namespace(pod)
    if reference := value_from.get("fieldRef"):
        path = reference.get("fieldPath", "")
        value = fields.field(pod, path, place)
        return NotYet(f"unsupported fieldPath: {path}") if value is None else value
    if reference := value_from.get("resourceFieldRef"):
        resource = reference.get("resource", "")
        try:
            value = fields.resource_field(
                _named(pod, reference.get("containerName")) or container, resource, reference.get("divisor", "1"), place
            )
        except ValueError as error:
            return NotYet(str(error))
        return NotYet(f"unsupported container resource : {resource}") if value is None else value
    if reference := value_from.get("secretKeyRef"):
        name, key = reference.get("name", ""), reference.get("key", "")
        secret = references.secrets.get(name)
        if secret is None:
            return None if reference.get("optional") else NotYet(f'secret "{name}" not found')
        data = secret.get("data") or {}
        if key not in data:
            return (
                None if reference.get("optional") else NotYet(f"couldn't find key {key} in Secret {namespace}/{name}")
            )
        return _text(data[key])
    if reference := value_from.get("configMapKeyRef"):
        name, key = reference.get("name", ""), reference.get("key", "")
        config_map = references.config_maps.get(name)
        if config_map is None:
            return None if reference.get("optional") else NotYet(f'configmap "{name}" not found')
        texts = config_map.get("data") or {}
        if key not in texts:
            if reference.get("optional"):
                return None
            return NotYet(f"couldn't find key {key} in ConfigMap {namespace}/{name}")
        return str(texts[key])
    return NotYet(f"unknown source of a variable: {', '.join(value_from) or 'empty'}")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """*text* with each `$(NAME)` that is known replaced; `$$` is a dollar sign, everything else stays."""
    result: list[str] = []
    position = 0
    while (dollar := text.find("$", position)) >= 0 and dollar + 1 < len(text):
        result.append(text[position:dollar])
        following = text[dollar + 1]
        if following == "$":
            result.append("$")
            position = dollar + 2
        elif following == "(" and (end := text.find(")", dollar + 2)) >= 0:
            name = text[dollar + 2 : end]
            result.append(variables.get(name, f"$({name})"))
            position = end + 1
        else:
            result.append("$" + following)
            position = dollar + 2
    return "".join(result) + text[position:]


def expanded(texts: Sequence[str] | None, variables: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(expand(text, variables) for text in texts or ())


def _named(pod: Obj, name: str | None) -> Obj | None:
    return next((container for container in containers(pod) if container.get("name") == name), None) if name else None


def _text(encoded: str) -> str:
    # A process's environment is bytes; what is no UTF-8 must survive the way there.
    return base64.b64decode(encoded).decode("utf-8", "surrogateescape")
