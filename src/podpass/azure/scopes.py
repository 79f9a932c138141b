"""Resources (v1) and scopes (v2): the same thing, with `/.default` behind it.

Exactly `/.default` is added and removed, so a resource that ends with a slash makes a scope with two, and the access
token's audience keeps its slash. Contract: azure workload identity, sections 2.4 and 5.3.
"""

DEFAULT = "/.default"


def scope_for_resource(resource: str) -> str:
    """The scope to ask for *resource*; a text that is such a scope already stays as it is."""
    return resource if resource.endswith(DEFAULT) else resource + DEFAULT


def resource_for_scope(scope: str) -> str | None:
    """The resource that a scope asks for, its own trailing slash kept; None when the scope lacks `/.default`."""
    if not scope.endswith(DEFAULT) or scope == DEFAULT:
        return None
    return scope[: -len(DEFAULT)]


def same_resource(one: str, other: str) -> bool:
    """Whether two resources are one service: a trailing slash and letter case make no difference."""
    return one.rstrip("/").lower() == other.rstrip("/").lower()
