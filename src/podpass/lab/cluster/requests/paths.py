"""From a request's path to what it is about: a collection, an object, a subresource.

Contract: Kubernetes API surface, section 1.1.
"""

from dataclasses import dataclass
from urllib.parse import unquote

from podpass.kube.resources import NAMESPACES
from podpass.lab.cluster.registry import Kind, Registry

_NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class Target:
    """A place below a group version that is served."""

    kind: Kind
    namespace: str
    """Empty for cluster-scoped objects, and for a collection over all namespaces."""
    name: str = ""
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class NoResource:
    """Below a group version, but no resource of it: 404 as a Status, to those who may see that."""

    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class GroupVersion:
    """Discovery of a group (*version* empty) or of a group version."""

    group: str
    version: str


def read(registry: Registry, raw_path: str) -> Target | GroupVersion | NoResource | None:
    """What *raw_path* (still percent-encoded) is about; None for a path outside of /api and /apis."""
    parts = [unquote(part) for part in raw_path.strip("/").split("/")]
    match parts:
        case ["api", version, *rest]:
            group = ""
        case ["apis", group]:
            return GroupVersion(group, "")
        case ["apis", group, version, *rest]:
            pass
        case _:
            return None
    if not rest:
        return GroupVersion(group, version)
    found = _target(registry, group, version, rest)
    if found is not None:
        return found
    if not any(kind.resource.group == group for kind in registry):
        return GroupVersion(group, version)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource = (*rest, "", "", "")[:3]
    return NoResource(group, version, namespace, resource, name, subresource)


def _target(registry: Registry, group: str, version: str, parts: list[str]) -> Target | None:
    if not all(parts):
        return None
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2 and not _of_namespace(group, parts):
        namespace, parts = parts[1], parts[2:]
    kind = registry.find(group, version, parts[0])
    if kind is None or len(parts) > 3:
        return None
    name = parts[1] if len(parts) > 1 else ""
    if namespace and not kind.resource.namespaced:
        return None
    if name and kind.resource.namespaced and not namespace:
        return None
    return Target(kind, namespace, name, parts[2] if len(parts) > 2 else "")


def _of_namespace(group: str, parts: list[str]) -> bool:
    """Whether the third part is a subresource of the namespace rather than a resource in it."""
    return not group and len(parts) == 3 and parts[0] == NAMESPACES.plural and parts[2] in _NAMESPACE_SUBRESOURCES
