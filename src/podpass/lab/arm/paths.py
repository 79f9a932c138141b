"""ARM paths: which resource, collection or action a URL names.

Letter case never matters for finding, and is kept for answering. Contract: Azure HTTP surface, sections 1 and 4.
"""

from dataclasses import dataclass

from podpass.azure.resourceids import RESOURCE_GROUPS, SUBSCRIPTIONS, Part, ResourceId

_MAX_SEGMENTS = 40
_MAX_SEGMENT_LENGTH = 260
_FORWARDING = frozenset({"microsoft.features"})
"""Providers one of whose types is called providers: …/Microsoft.Features/providers/{namespace}/features/{name}."""


class NotAPath(ValueError):
    """The text is no ARM path; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Address:
    """A path: an id, and what may follow it without a name of its own.

    `…/vaults/kv` has neither namespace nor tail; `…/vaults` has both; `…/vaults/kv/providers/X` has the namespace;
    `…/vaults/kv/accessPolicies` and `…/managedClusters/c/listClusterUserCredential` have the tail only.
    """

    id: ResourceId
    namespace: str = ""
    tail: str = ""

    @property
    def type(self) -> str:
        """The resource type it names or lists, or the type's name with an action behind it."""
        if not self.tail:
            return self.namespace or self.id.type
        if self.namespace:
            return f"{self.namespace}/{self.tail}"
        return f"{self.id.type}/{self.tail}" if self.id.parts else f"Microsoft.Resources/{self.tail}"

    def __str__(self) -> str:
        text = str(self.id)
        if self.namespace:
            text += f"/providers/{self.namespace}"
        return text + (f"/{self.tail}" if self.tail else "") or "/"


def parse(path: str) -> Address:
    """The address that *path* names. Doubled and trailing slashes are tolerated. Raises NotAPath."""
    segments = [segment for segment in path.split("/") if segment]
    if len(segments) > _MAX_SEGMENTS or any(len(segment) > _MAX_SEGMENT_LENGTH for segment in segments):
        raise NotAPath("the path is too long")
    if not path.isprintable():
        raise NotAPath("it holds a control character")
    parts: list[Part] = []
    position = 0
    if segments and segments[0].lower() == SUBSCRIPTIONS:
        pairs: list[tuple[str, str]] = []
        for keyword in (SUBSCRIPTIONS, RESOURCE_GROUPS):
            if position >= len(segments) or segments[position].lower() != keyword.lower():
                break
            if position + 1 == len(segments):
                return Address(_id(parts, "", pairs), tail=segments[position])
            pairs.append((keyword, segments[position + 1]))
            position += 2
        parts.append(Part("", tuple(pairs)))
        if segments[position : position + 1] and segments[position].lower() == "deployments":
            # The oldest form of a deployment's path, by which clients still read its operations.
            segments[position:position] = ["providers", "Microsoft.Resources"]
    while position < len(segments):
        if segments[position].lower() != "providers":
            if position + 1 == len(segments):
                return Address(ResourceId(tuple(parts)), tail=segments[position])
            raise NotAPath(f"'{segments[position]}' is no part of a resource id")
        if position + 1 == len(segments):
            return Address(ResourceId(tuple(parts)), tail=segments[position])
        namespace = segments[position + 1]
        position += 2
        pairs = []
        forwards = namespace.lower() in _FORWARDING
        while position < len(segments) and (forwards or segments[position].lower() != "providers"):
            if position + 1 == len(segments):
                if pairs:
                    return Address(_id(parts, namespace, pairs), tail=segments[position])
                return Address(ResourceId(tuple(parts)), namespace, segments[position])
            pairs.append((segments[position], segments[position + 1]))
            position += 2
        if not pairs:
            if position == len(segments):
                return Address(ResourceId(tuple(parts)), namespace)
            raise NotAPath(f"no resource type follows '{namespace}'")
        parts.append(Part(namespace, tuple(pairs)))
    return Address(ResourceId(tuple(parts)))


def resource_id(text: str) -> ResourceId:
    """The id that *text* is. Raises NotAPath when it is a collection, an action or no path at all."""
    address = parse(text)
    if address.namespace or address.tail or not text.startswith("/"):
        raise NotAPath(f"'{text[:200]}' is not a resource id")
    return address.id


def _id(parts: list[Part], namespace: str, pairs: list[tuple[str, str]]) -> ResourceId:
    return ResourceId((*parts, Part(namespace, tuple(pairs)))) if pairs else ResourceId(tuple(parts))
